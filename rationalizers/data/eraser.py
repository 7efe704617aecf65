"""ERASER data sets in their official format (DeYoung et al., ACL 2020, https://www.eraserbenchmark.com)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from rationalizers.data.annotations import Annotation, Annotations, Documents, open_folder, read_annotation
from rationalizers.data.document import Corpus, Document, Source
from rationalizers.data.records import broken, only, records, value

T = TypeVar("T")

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
        folder = open_folder(self.name, self.root, download=self.download)
        paths = {split: self._split_file(folder, split) for split in self.stems}
        documents = Documents(folder)
        count: Counter[str] = Counter()
        seen: dict[str, str] = {}
        splits = {}
        for split, path in paths.items():
            met: Counter[str] = Counter()
            # Across splits too: copies of movies circulate whose validation examples are part of train.jsonl.
            examples = [self._document(each, documents) for each in self._read(path, documents, seen, met)]
            splits[split] = self._draw(examples, split, path)
            count.update({f"{split}/{what}": n for what, n in met.items()})
        count["unreferenced_documents"] = documents.unused()
        return Corpus(self.labels, splits, {what: n for what, n in count.items() if n})

    def annotations(self, split: str) -> Annotations:
        """One split as prediction files speak of it: by example and document; ``subset`` holds here too.

        Raises:
            ValueError, FileNotFoundError: as `load`; or the split is not read.
        """
        if split not in self.stems:
            raise ValueError(f"'split' must be one of {', '.join(self.stems)}, got {split!r}")
        folder = open_folder(self.name, self.root, download=self.download)
        path, documents = self._split_file(folder, split), Documents(folder)
        met: Counter[str] = Counter()
        kept = self._draw(list(self._read(path, documents, {}, met)), split, path)
        report = {what: n for what, n in met.items() if n}
        return Annotations(self.name, split, self.labels, {each.id: each for each in kept}, documents, report)

    def names(self, split: str) -> list[str]:
        """The examples in the file of a split, without a look at their documents; ``subset`` does not hold here."""
        path = self._split_file(open_folder(self.name, self.root, download=self.download), split)
        return [str(value(record, "annotation_id", where, str, int)) for where, record in records(path, Counter())]

    def _read(self, path: Path, documents: Documents, seen: dict[str, str], met: Counter[str]) -> Iterator[Annotation]:
        """The examples of a file; ``seen`` holds the place of every one met so far."""
        for where, record in records(path, met):
            example = read_annotation(record, where, name=self.name, labels=self.labels, documents=documents, met=met)
            if example.id in seen:
                raise broken(where, f"annotation_id {example.id!r} was already at {seen[example.id]}", "remove one")
            seen[example.id] = where
            yield example

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

    def _draw(self, examples: list[T], split: str, path: Path) -> list[T]:
        """The subset of a split, in the order of the file."""
        size = self.subset.get(split, len(examples))
        if size > len(examples):
            raise ValueError(f"'subset' asks for {size} examples of {split}, {path} has {len(examples)}; null keeps all")
        order = list(range(len(examples)))
        random.Random(self.seed).shuffle(order)
        return [examples[row] for row in sorted(order[:size])]

    def _document(self, example: Annotation, documents: Documents) -> Document:
        """The example on its joined documents; groups of evidence are numbered in the order of the file."""
        text = documents.join(example.documents, example.where)
        spans = tuple(
            (text.place[span.docid][0] + span.start, text.place[span.docid][0] + span.end, number)
            for number, group in enumerate(example.groups)
            for span in group
        )
        return Document(
            id=example.id,
            words=text.words,
            label=example.label,
            spans=spans,
            query=tuple(example.query.split()) if self.with_query else (),
            fields=text.fields,
            annotated=bool(spans),
        )
