"""Words as units: splitting, vocabulary, and the way back to something to read."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rationalizers.base import Output
from rationalizers.batch import Batch, Packed
from rationalizers.data.document import Document
from rationalizers.explanation import TextExplanation
from rationalizers.featurizer import Explanation, Featurizer
from rationalizers.segment import lengths, segment_runs
from rationalizers.task import Task

UNKNOWN, MASK, SEPARATOR = "<unk>", "<mask>", "<sep>"

# A word keeps an inner apostrophe or hyphenless letters; every other sign stands alone.
_WORD = re.compile(r"\w+(?:['’]\w+)?|[^\w\s]")


class WordFeaturizer(Featurizer):
    """One unit per word, ids from a vocabulary fitted on the training split.

    Documents come with their own words; plain strings are split into words and single signs. A query precedes the document,
    followed by a separator; both are fixed.

    Args:
        min_count: a word must occur this often in the training split to get an id of its own.
        lowercase: fold case before looking a word up (the words shown stay as they are).
        max_words: document words that a model gets to see, the rest is cut off with its evidence; ``None`` keeps all.

    Raises:
        ValueError: a count below 1.
    """

    def __init__(self, *, min_count: int = 2, lowercase: bool = True, max_words: int | None = None) -> None:
        if min_count < 1 or (max_words is not None and max_words < 1):
            raise ValueError(f"'min_count' and 'max_words' must be at least 1, got {min_count} and {max_words}")
        self.min_count, self.lowercase, self.max_words = min_count, lowercase, max_words
        self.vocabulary = ()
        self._rows: dict[str, int] = {}

    def fit(self, documents: Iterable[Document]) -> None:
        """Learn the vocabulary, most frequent words first, ties in alphabetical order."""
        count = Counter(self._fold(word) for document in documents for word in (*document.query, *document.words))
        kept = sorted((word for word in count if count[word] >= self.min_count), key=lambda word: (-count[word], word))
        self._adopt([UNKNOWN, MASK, SEPARATOR, *(word for word in kept if word not in (UNKNOWN, MASK, SEPARATOR))])

    def facts(self) -> dict[str, Any]:
        """``vocabulary`` (number of rows) and ``mask_id``."""
        return {"vocabulary": len(self.vocabulary), "mask_id": self._rows[MASK]}

    def encode(self, document: Document, *, index: int = 0, target: int | None = None, labelled: bool = False) -> Packed:
        """One document as a batch of one.

        Args:
            document: with at least one word.
            index: its row in the split.
            target: its class.
            labelled: its evidence may be trained on.

        Raises:
            ValueError: the document has no words.
        """
        words = document.words[: self.max_words]
        if not words:
            raise ValueError(f"document {document.id!r} has no words; every example needs at least one")
        lead = (*document.query, SEPARATOR) if document.query else ()
        n, first = len(lead) + len(words), len(lead)
        ids = [self._rows.get(self._fold(word), 0) for word in lead]
        ids += [self._rows.get(self._fold(word), 0) for word in words]
        spans = [
            (0, first + start, first + min(end, len(words)), group) for start, end, group in document.spans if start < len(words)
        ]
        evidence = torch.zeros(n, dtype=torch.bool)
        for _, start, end, _ in spans:
            evidence[start:end] = True
        fixed = torch.arange(n) < first
        fields = {"evidence": evidence, "segment": (~fixed).long(), "word": torch.arange(n)}
        for name, values in document.fields.items():
            fields[name] = torch.cat([torch.full((first,), -1), torch.as_tensor(values[: len(words)])])
        return Packed(
            units=torch.tensor(ids),
            ptr=torch.tensor([0, n]),
            y=None if target is None else torch.tensor([target]),
            fixed=fixed,
            fields=fields,
            labelled=torch.tensor([labelled and document.annotated]),
            annotated=torch.tensor([document.annotated]),
            spans=torch.tensor(spans, dtype=torch.long).reshape(-1, 4),
            index=torch.tensor([index]),
            words=((*lead, *words),),
            ids=(document.id,),
        )

    def batch(self, inputs: Sequence[str | Document], *, first: int = 0) -> Packed:
        """A batch from strings or documents, evidence unknown for strings."""
        documents = []
        for place, item in enumerate(inputs, start=first):
            if isinstance(item, str):
                item = Document(id=f"text-{place}", words=tuple(_WORD.findall(item)), annotated=False)
            if not isinstance(item, Document):
                raise TypeError(f"input {place} must be a string or a Document, got {type(item).__name__}")
            if not item.words:
                raise ValueError(f"input {place} ({item.id!r}) has no words; give a text with at least one")
            documents.append(item)
        # Documents may carry different fields; only what every one of them has can be packed.
        common = set.intersection(*(set(document.fields) for document in documents)) if documents else set()
        trimmed = [
            Document(d.id, d.words, d.label, d.spans, d.query, {k: d.fields[k] for k in sorted(common)}, d.annotated)
            for d in documents
        ]
        return Packed.collate([self.encode(document, index=place) for place, document in enumerate(trimmed)])

    def explain(self, batch: Batch, output: Output, task: Task) -> list[Explanation]:
        """One `TextExplanation` for each example."""
        assert isinstance(batch, Packed)
        batch, rationale = batch.to("cpu"), output.rationale.detach()
        scores, selected = rationale.scores.cpu(), rationale.selected.cpu()
        probabilities = task.probabilities(output.logits.detach()).cpu()
        found: list[Explanation] = []
        for b, (start, length) in enumerate(zip(batch.ptr.tolist(), lengths(batch.ptr).tolist(), strict=False)):
            rows = slice(start, start + length)
            lead = int(batch.fixed[rows].sum())
            spans = batch.spans[batch.spans[:, 0] == b]
            found.append(
                TextExplanation(
                    id=batch.ids[b],
                    tokens=batch.words[b][lead:],
                    query=batch.words[b][: max(0, lead - 1)],
                    mask=tuple(selected[rows][lead:].tolist()),
                    scores=tuple(scores[rows][lead:].tolist()),
                    probabilities=dict(zip(task.labels, probabilities[b].tolist(), strict=True)),
                    label=None if batch.y is None else task.labels[int(batch.y[b])],
                    evidence=tuple((s - lead, e - lead, g) for _, s, e, g in spans.tolist())
                    if bool(batch.annotated[b])
                    else None,
                    marks={"shortcut": _intervals(batch.fields["shortcut"][rows][lead:] > 0)}
                    if "shortcut" in batch.fields
                    else {},
                )
            )
        return found

    def save(self, folder: Path) -> None:
        """Write ``vocabulary.json``."""
        (folder / "vocabulary.json").write_text(json.dumps(list(self.vocabulary), ensure_ascii=False, indent=0), "utf-8")

    def load(self, folder: Path) -> None:
        """Read ``vocabulary.json``."""
        file = folder / "vocabulary.json"
        try:
            words = json.loads(file.read_text("utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"{file}:{error.lineno}: expected a JSON list of words: {error.msg}") from error
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError(f"{file}: expected a JSON list of words, got {type(words).__name__}")
        if words[:3] != [UNKNOWN, MASK, SEPARATOR]:
            raise ValueError(f"{file}: expected the list to begin with {UNKNOWN}, {MASK}, {SEPARATOR}, got {words[:3]}")
        self._adopt(words)

    def _fold(self, word: str) -> str:
        return word.lower() if self.lowercase else word

    def _adopt(self, words: list[str]) -> None:
        self.vocabulary, self._rows = tuple(words), {word: row for row, word in enumerate(words)}


def _intervals(mask: Tensor) -> tuple[tuple[int, int], ...]:
    runs = segment_runs(mask, torch.tensor([0, mask.shape[0]]))
    return tuple((start, end) for start, end in runs.tolist())
