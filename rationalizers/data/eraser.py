"""ERASER data sets in their official format (DeYoung et al., ACL 2020, https://www.eraserbenchmark.com)."""

from __future__ import annotations

import io
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rationalizers.data.document import Corpus, Document, Source
from rationalizers.data.download import data_root, fetch, not_found
from rationalizers.data.records import BAD_GZIP, broken, only, open_plain_or_gzip, records, value

LABELS: Mapping[str, tuple[str, ...]] = {
    "boolq": ("False", "True"),
    "cose": ("A", "B", "C", "D", "E"),
    "esnli": ("contradiction", "entailment", "neutral"),
    "evidence_inference": ("significantly decreased", "no significant difference", "significantly increased"),
    "fever": ("REFUTES", "SUPPORTS"),
    "movies": ("NEG", "POS"),
    "multirc": ("False", "True"),
}
SPLITS = ("train", "val", "test")


class Eraser(Source):
    """An ERASER data set, read from ``<root>/eraser/<name>``.

    The folder holds one ``.jsonl`` per split and the documents, either as files in ``docs/`` or as lines of
    ``docs.jsonl``; every file may carry ``.gz``. A document is newline-separated sentences of space-separated tokens;
    blank lines and empty tokens are dropped in both forms. (The benchmark's own loader keeps an empty token for a blank
    line of ``docs.jsonl``, but spans count without it.) An example on several documents is their concatenation: its
    ``docids`` in their order, else the document it is named after, then those of its evidence. Every word has the
    fields ``document`` and ``sentence``.

    Known defects of the published files are tolerated and counted in ``Corpus.report`` as ``<split>/<count>``, before
    ``subset`` is drawn: ``empty_spans``, ``duplicate_spans`` within a group, ``duplicate_groups`` and ``empty_groups``
    (all dropped), ``text_mismatches`` (the token indices are believed), ``without_evidence`` (not annotated),
    ``evidence_elsewhere`` (in a document that the example does not name; it is appended), ``blank_lines`` (skipped);
    and ``unreferenced_documents`` over all splits read. A count that is absent is zero.

    Args:
        name: movies, multirc, fever, boolq, cose, esnli, evidence_inference, or any other with ``labels``.
        root: folder of all data; ``None`` is the environment variable ``RATIONALIZERS_DATA``, else the user's cache.
        splits: file stem by split, where it is not the name of the split; ``None`` for a stem leaves the split out.
        labels: class names in the order of their indices; ``None`` takes those of a known set.
        subset: examples of a split to keep, drawn by a seeded shuffle: a smaller subset lies in a larger one.
        seed: of that shuffle.
        with_query: give the query to the model; ``None`` means yes, except for movies, whose query never changes.
        download: fetch the set when its folder is absent.

    Raises:
        ValueError: a contradictory argument; or, with file and line, what `load` cannot mend: invalid JSON, a missing
            key, an unknown label, a span outside its document, a missing or empty document, an example listed twice.
        FileNotFoundError: the set or the file of a split is absent.
    """

    def __init__(
        self,
        *,
        name: str,
        root: str | None = None,
        splits: Mapping[str, str | None] | None = None,
        labels: Sequence[str] | None = None,
        subset: Mapping[str, int | None] | None = None,
        seed: int = 0,
        with_query: bool | None = None,
        download: bool = True,
    ) -> None:
        if labels is None and name not in LABELS:
            raise ValueError(f"'name' must be one of {', '.join(LABELS)}, got {name!r}; give 'labels' to read another set")
        self.labels = tuple(LABELS[name] if labels is None else labels)
        if len(set(self.labels)) != len(self.labels) or not self.labels:
            raise ValueError(f"'labels' must be different class names, at least one, got {list(self.labels)}")
        for argument, given in (("splits", splits), ("subset", subset)):
            if unknown := set(given or {}) - set(SPLITS):
                raise ValueError(f"{argument!r} must name {', '.join(SPLITS)}, got {', '.join(sorted(unknown))}")
        stems = {**{split: split for split in SPLITS}, **(splits or {})}
        self.stems = {split: stem for split, stem in stems.items() if stem is not None}
        self.subset = {split: size for split, size in (subset or {}).items() if size is not None}
        for split, size in self.subset.items():
            if size < 1 or split not in self.stems:
                raise ValueError(f"'subset' must keep at least one example of a split that is read, got {split}: {size}")
        if not self.stems:
            raise ValueError("'splits' leaves every split out; name the file of at least one")
        self.name, self.root, self.seed, self.download = name, root, seed, download
        self.with_query = name != "movies" if with_query is None else with_query

    def load(self) -> Corpus:
        """Read all splits; see the class for what is tolerated and what is not."""
        root = data_root(self.root)
        folder = root / "eraser" / self.name
        if not folder.is_dir():
            if not self.download:
                raise FileNotFoundError(not_found(self.name, root))
            fetch(self.name, root)
        paths = {split: self._split_file(folder, split) for split in self.stems}
        documents = _Documents(folder)
        count: Counter[str] = Counter()
        seen: dict[str, str] = {}
        splits = {}
        for split, path in paths.items():
            met: Counter[str] = Counter()
            examples = []
            for where, record in records(path, met):
                example = self._example(record, where, documents, met)
                # Across splits too: copies of movies circulate whose validation examples are part of train.jsonl.
                if example.id in seen:
                    raise broken(where, f"annotation_id {example.id!r} was already at {seen[example.id]}", "remove one")
                seen[example.id] = where
                examples.append(example)
            splits[split] = self._draw(examples, split, path)
            count.update({f"{split}/{what}": n for what, n in met.items()})
        count["unreferenced_documents"] = documents.unused()
        return Corpus(self.labels, splits, {what: n for what, n in count.items() if n})

    def _split_file(self, folder: Path, split: str) -> Path:
        """The file of a split, or an error that says how to do without."""
        stem = folder / self.stems[split]
        path = only(Path(f"{stem}.jsonl"), Path(f"{stem}.jsonl.gz"))
        if path is None:
            raise FileNotFoundError(
                f"the split {split!r} of {self.name} should be {stem}.jsonl or {stem}.jsonl.gz, but neither exists; "
                f"name another file (splits={{{split}: stem}}) or leave the split out (splits={{{split}: null}})"
            )
        return path

    def _draw(self, examples: list[Document], split: str, path: Path) -> list[Document]:
        """The subset of a split, in the order of the file."""
        size = self.subset.get(split, len(examples))
        if size > len(examples):
            raise ValueError(f"'subset' asks for {size} examples of {split}, {path} has {len(examples)}; null keeps all")
        order = list(range(len(examples)))
        random.Random(self.seed).shuffle(order)
        return [examples[row] for row in sorted(order[:size])]

    def _example(self, record: dict[str, Any], where: str, documents: _Documents, met: Counter[str]) -> Document:
        """The example of one line."""
        example = str(value(record, "annotation_id", where, str, int))
        label = value(record, "classification", where, object)
        if label not in self.labels:
            known = ", ".join(self.labels)
            raise broken(where, f"label {label!r} is not one of {known}", "give 'labels' if this set has others")
        groups = _groups(record, where)
        named = [str(docid) for docid in value(record, "docids", where, list, optional=True) or ()]
        own = _own_documents(self.name, example)
        named = named or [docid for docid in own if docid in documents]
        evidence = sorted({docid for group in groups for docid, *_ in group})
        met["evidence_elsewhere"] += bool(named) and not set(evidence) <= set(named)
        text = documents.join(tuple(dict.fromkeys([*named, *evidence])) or own, where)
        spans = _spans(groups, text, where, met)
        query = value(record, "query", where, str, optional=True) or ""
        met["examples"] += 1
        met["spans"] += len(spans)
        met["without_evidence"] += not spans
        return Document(
            id=example,
            words=text.words,
            label=label,
            spans=spans,
            query=tuple(query.split()) if self.with_query else (),
            fields=text.fields,
            annotated=bool(spans),
        )


@dataclass(frozen=True)
class _Text:
    """Documents joined to the words of one example; ``place`` holds the half-open range of words of every document."""

    words: tuple[str, ...]
    fields: Mapping[str, Sequence[int]]
    place: Mapping[str, tuple[int, int]]


class _Documents:
    """The documents of a set, split into words when first asked for."""

    def __init__(self, folder: Path) -> None:
        store = only(folder / "docs", folder / "docs.jsonl", folder / "docs.jsonl.gz")
        if store is None:
            raise FileNotFoundError(f"{folder} has neither docs/ nor docs.jsonl nor docs.jsonl.gz; unpack the set again")
        self.store, self.used = store, set[str]()
        self.raw: dict[str, str | Path] = {}
        self.joined: dict[tuple[str, ...], _Text] = {}
        if store.is_dir():
            listed: Iterable[tuple[str, str, str | Path]] = (
                (str(path), path.name.removesuffix(".gz"), path) for path in sorted(store.iterdir())
            )
        else:
            listed = (
                (where, str(value(row, "docid", where, str, int)), str(value(row, "document", where, str)))
                for where, row in records(store, Counter())
            )
        for where, docid, content in listed:
            if docid in self.raw:
                raise broken(where, f"document {docid!r} is there twice", "remove one")
            self.raw[docid] = content

    def __contains__(self, docid: str) -> bool:
        return docid in self.raw

    def unused(self) -> int:
        """How many documents no example has asked for."""
        return len(self.raw.keys() - self.used)

    def join(self, docids: tuple[str, ...], where: str) -> _Text:
        """The documents one after the other; examples on the same documents share the result."""
        if docids not in self.joined:
            words: list[str] = []
            document: list[int] = []
            sentence: list[int] = []
            place = {}
            for number, docid in enumerate(docids):
                start, first = len(words), sentence[-1] + 1 if sentence else 0
                for row, tokens in enumerate(self._sentences(docid, where)):
                    words.extend(tokens)
                    sentence.extend([first + row] * len(tokens))
                place[docid] = (start, len(words))
                document.extend([number] * (len(words) - start))
            fields = {"document": tuple(document), "sentence": tuple(sentence)}
            self.joined[docids] = _Text(tuple(words), fields, place)
            self.used.update(docids)
        return self.joined[docids]

    def _sentences(self, docid: str, where: str) -> list[list[str]]:
        if docid not in self.raw:
            raise broken(where, f"document {docid!r} is not in {self.store}", "unpack the set again")
        content = self.raw[docid]
        if isinstance(content, Path):
            try:
                # Universal newlines, as the benchmark's loader reads these files.
                with open_plain_or_gzip(content) as file, io.TextIOWrapper(file, encoding="utf-8") as lines:
                    content = lines.read()
            except (UnicodeDecodeError, *BAD_GZIP) as error:
                raise broken(str(content), f"expected text in UTF-8, got {error}") from error
        rows = ([token for token in line.strip().split(" ") if token] for line in content.split("\n"))
        if not (sentences := [tokens for tokens in rows if tokens]):
            raise broken(where, f"document {docid!r} in {self.store} has no words", "unpack the set again")
        return sentences


# docid, first token, end token, text
_Span = tuple[str, int, int, str]


def _groups(record: dict[str, Any], where: str) -> list[list[_Span]]:
    """The evidence as it stands in the file."""
    groups = []
    for group in value(record, "evidences", where, list):
        if not isinstance(group, list) or not all(isinstance(span, dict) for span in group):
            raise broken(where, f"a group of 'evidences' should be a list of objects, got {group!r}")
        groups.append(
            [
                (
                    str(value(span, "docid", where, str, int)),
                    value(span, "start_token", where, int),
                    value(span, "end_token", where, int),
                    value(span, "text", where, str),
                )
                for span in group
            ]
        )
    return groups


def _spans(groups: list[list[_Span]], text: _Text, where: str, met: Counter[str]) -> tuple[tuple[int, int, int], ...]:
    """The evidence in words of the example; groups are numbered in the order of the file."""
    kept: dict[tuple[tuple[int, int], ...], None] = {}
    for group in groups:
        spans: set[tuple[int, int]] = set()
        for docid, start, end, covered in group:
            first, last = text.place[docid]
            if not 0 <= start <= end <= last - first:
                raise broken(where, f"span [{start}, {end}) should lie within the {last - first} tokens of {docid!r}")
            if start == end:
                met["empty_spans"] += 1
                continue
            span = (first + start, first + end)
            met["duplicate_spans"] += span in spans
            met["text_mismatches"] += " ".join(text.words[slice(*span)]) != covered
            spans.add(span)
        met["empty_groups"] += not spans
        met["duplicate_groups"] += tuple(sorted(spans)) in kept
        if spans:
            kept[tuple(sorted(spans))] = None
    return tuple((start, end, number) for number, spans in enumerate(kept) for start, end in spans)


def _own_documents(name: str, example: str) -> tuple[str, ...]:
    """The documents of an example that lists none, by its name."""
    if name == "multirc":  # document:question:answer
        return (example.split(":")[0],)
    if name == "esnli":
        return (f"{example}_premise", f"{example}_hypothesis")
    return (example,)
