"""Raw text examples, before any encoder has seen them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Document:
    """One text example: words, label, human evidence.

    Args:
        id: name of the example, unique in its split.
        words: the words of the document in order.
        label: class name, or ``None`` for a text without one.
        spans: evidence as ``(start, end, group)``, half-open, in words of this document; a group alone is sufficient
            evidence (ERASER); spans of different groups may overlap or touch.
        query: words that are always visible and never selectable (the question of MultiRC, the claim of FEVER).
        fields: further facts, one number per word, by name (``sentence``, ``document``, ``shortcut``, ``aspect``).
        annotated: whether people marked evidence here; ``False`` means unknown, not "no evidence".
        pieces: ids of each word's pieces where the text comes already cut, one at least for each; else none at all.

    Raises:
        ValueError: a span, a field or the pieces do not fit the words.
    """

    id: str
    words: tuple[str, ...]
    label: str | None = None
    spans: tuple[tuple[int, int, int], ...] = ()
    query: tuple[str, ...] = ()
    fields: Mapping[str, Sequence[float]] = field(default_factory=dict)
    annotated: bool = True
    pieces: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        n = len(self.words)
        for start, end, _ in self.spans:
            if not 0 <= start < end <= n:
                raise ValueError(f"document {self.id!r}: span [{start}, {end}) does not lie within its {n} words")
        for name, values in self.fields.items():
            if len(values) != n:
                raise ValueError(f"document {self.id!r}: field {name!r} has {len(values)} values for {n} words")
        if self.pieces and len(self.pieces) != n:
            raise ValueError(
                f"document {self.id!r}: there are pieces of {len(self.pieces)} words for {n} words; give all or none"
            )
        if not all(self.pieces):
            place = self.pieces.index(())
            raise ValueError(
                f"document {self.id!r}: word {place} ({self.words[place]!r}) has no pieces; every word needs at least one"
            )


@dataclass(frozen=True)
class Corpus:
    """Documents in splits, with their label names and what the reader met on the way.

    Args:
        labels: class names; a document's label is one of them, its class index is the position here.
        splits: ``train``, ``val`` and ``test``, and what else there is, by name (copies of training documents).
        report: counts worth telling a reader (tolerated defects, generator settings), by name.
    """

    labels: tuple[str, ...]
    splits: Mapping[str, Sequence[Document]]
    report: Mapping[str, int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for split, documents in self.splits.items():
            for document in documents:
                if document.label is not None and document.label not in self.labels:
                    raise ValueError(
                        f"document {document.id!r} of split {split!r} has the unknown label {document.label!r}; "
                        f"known labels are {', '.join(self.labels)}"
                    )


class Source:
    """Anything that yields a corpus; subclasses are named by ``_target_`` under ``data.corpus``."""

    def load(self) -> Corpus:
        """Read or generate the corpus."""
        raise NotImplementedError
