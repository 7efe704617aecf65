"""ERASER's annotation files: examples with their documents, and the evidence that people marked in each of those."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rationalizers.data.download import data_root, fetch, not_found
from rationalizers.data.records import BAD_GZIP, broken, only, open_plain_or_gzip, records, value


class Evidence(NamedTuple):
    """A piece of evidence: half-open, in tokens and in sentences of one document; sentences are −1 where unknown."""

    docid: str
    start: int
    end: int
    text: str
    start_sentence: int
    end_sentence: int


@dataclass(frozen=True)
class Annotation:
    """One line of a split.

    Args:
        id: ``annotation_id``.
        label: ``classification``.
        query: as written, empty where there is none.
        documents: names of its documents, in the order in which they are the text of the example.
        groups: distinct groups of evidence in the order of the file, each by document and place, without empty spans; each group
            alone is sufficient.
        empty: spans without a token, which were dropped; the benchmark's script counts them.
        where: ``file:line``.
    """

    id: str
    label: str
    query: str
    documents: tuple[str, ...]
    groups: tuple[tuple[Evidence, ...], ...]
    empty: tuple[Evidence, ...]
    where: str


@dataclass(frozen=True)
class Text:
    """Documents joined to the words of one example; ``place`` holds the half-open range of words of every document."""

    words: tuple[str, ...]
    fields: Mapping[str, Sequence[int]]
    place: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Annotations:
    """A split as prediction files speak of it: per example and document.

    Args:
        name: of the data set.
        split: ``train``, ``val`` or ``test``.
        labels: class names.
        examples: by ``annotation_id``, in the order of the file.
        documents: of the whole set, those that no example names included.
        report: what was met while reading, as in `rationalizers.data.eraser.Eraser`.
    """

    name: str
    split: str
    labels: tuple[str, ...]
    examples: Mapping[str, Annotation]
    documents: Documents
    report: Mapping[str, int]


class Documents:
    """The documents of a set, split into words when first asked for.

    Args:
        folder: holds ``docs/``, ``docs.jsonl`` or ``docs.jsonl.gz``; blank lines and empty tokens are dropped in all three.
    """

    def __init__(self, folder: Path) -> None:
        store = only(folder / "docs", folder / "docs.jsonl", folder / "docs.jsonl.gz")
        if store is None:
            raise FileNotFoundError(f"{folder} has neither docs/ nor docs.jsonl nor docs.jsonl.gz; unpack the set again")
        self.store, self.used = store, set[str]()
        self.raw: dict[str, str | Path] = {}
        self.joined: dict[tuple[str, ...], Text] = {}
        self.counted: dict[str, tuple[int, ...]] = {}
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

    def join(self, docids: tuple[str, ...], where: str) -> Text:
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
            self.joined[docids] = Text(tuple(words), fields, place)
            self.used.update(docids)
        return self.joined[docids]

    def lengths(self, docid: str, where: str) -> tuple[int, ...]:
        """Tokens of each sentence of a document.

        Raises:
            ValueError: there is no such document, it has no words, or it is not text; names ``where``.
        """
        if docid not in self.counted:
            self.counted[docid] = tuple(len(tokens) for tokens in self._sentences(docid, where))
        return self.counted[docid]

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


def open_folder(name: str, root: str | None, *, download: bool) -> Path:
    """The folder of a set, fetched when it is absent and may be."""
    if Path(name).name != name:
        raise ValueError(f"'name' must be the name of a folder below eraser/, got {name!r}; 'root' says where that is")
    data = data_root(root)
    folder = data / "eraser" / name
    if not folder.is_dir():
        if not download:
            raise FileNotFoundError(not_found(name, data))
        fetch(name, data)
    return folder


def read_annotation(
    record: Mapping[str, Any], where: str, *, name: str, labels: Sequence[str], documents: Documents, met: Counter[str]
) -> Annotation:
    """The example of one line; what is tolerated is counted in ``met``.

    Args:
        record: the line.
        where: its ``file:line``.
        name: of the data set, which decides about the documents of an example that lists none.
        labels: class names.
        documents: of the set.
        met: counts by name.

    Raises:
        ValueError: a key, a label, a document or a span is not as it should be; names ``where``.
    """
    example = str(value(record, "annotation_id", where, str, int))
    label = value(record, "classification", where, object)
    if label not in labels:
        raise broken(where, f"label {label!r} is not one of {', '.join(labels)}", "give 'labels' if this set has others")
    raw = _groups(record, where)
    named = [str(docid) for docid in value(record, "docids", where, list, optional=True) or ()]
    own = _own_documents(name, example)
    named = named or [docid for docid in own if docid in documents]
    evidence = sorted({span.docid for group in raw for span in group})
    met["evidence_elsewhere"] += bool(named) and not set(evidence) <= set(named)
    docids = tuple(dict.fromkeys([*named, *evidence])) or own
    groups = _distinct(raw, documents.join(docids, where), where, met)
    met["examples"] += 1
    met["spans"] += sum(map(len, groups))
    met["without_evidence"] += not groups
    return Annotation(
        id=example,
        label=label,
        query=value(record, "query", where, str, optional=True) or "",
        documents=docids,
        groups=groups,
        empty=tuple(span for group in raw for span in group if span.start == span.end),
        where=where,
    )


def _groups(record: Mapping[str, Any], where: str) -> list[list[Evidence]]:
    """The evidence as it stands in the file."""
    groups = []
    for group in value(record, "evidences", where, list):
        if not isinstance(group, list) or not all(isinstance(span, dict) for span in group):
            raise broken(where, f"a group of 'evidences' should be a list of objects, got {group!r}")
        groups.append([_evidence(span, where) for span in group])
    return groups


def _evidence(span: Mapping[str, Any], where: str) -> Evidence:
    sentences = [value(span, key, where, int, optional=True) for key in ("start_sentence", "end_sentence")]
    return Evidence(
        str(value(span, "docid", where, str, int)),
        value(span, "start_token", where, int),
        value(span, "end_token", where, int),
        value(span, "text", where, str),
        *(-1 if sentence is None else sentence for sentence in sentences),
    )


def _distinct(groups: list[list[Evidence]], text: Text, where: str, met: Counter[str]) -> tuple[tuple[Evidence, ...], ...]:
    """The groups without what is empty or there twice, in the order of the file."""
    kept: dict[tuple[tuple[str, int, int], ...], tuple[Evidence, ...]] = {}
    order = {docid: place for place, docid in enumerate(text.place)}
    for group in groups:
        spans: dict[tuple[str, int, int], Evidence] = {}
        for span in group:
            first, last = text.place[span.docid]
            if not 0 <= span.start <= span.end <= last - first:
                reach = f"should lie within the {last - first} tokens of {span.docid!r}"
                raise broken(where, f"span [{span.start}, {span.end}) {reach}")
            if span.start == span.end:
                met["empty_spans"] += 1
                continue
            met["duplicate_spans"] += span[:3] in spans
            met["text_mismatches"] += " ".join(text.words[first + span.start : first + span.end]) != span.text
            spans.setdefault(span[:3], span)
        keys = tuple(sorted(spans, key=lambda span: (order[span[0]], *span[1:])))
        met["empty_groups"] += not spans
        met["duplicate_groups"] += keys in kept
        if spans:
            kept.setdefault(keys, tuple(spans[key] for key in keys))
    return tuple(kept.values())


def _own_documents(name: str, example: str) -> tuple[str, ...]:
    """The documents of an example that lists none, by its name."""
    if name == "multirc":  # document:question:answer
        return (example.split(":")[0],)
    if name == "esnli":
        return (f"{example}_premise", f"{example}_hypothesis")
    return (example,)
