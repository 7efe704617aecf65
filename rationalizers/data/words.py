"""Words as units, with a vocabulary of the training split."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rationalizers.data.document import Document
from rationalizers.data.text import SEPARATOR, Layout, TextFeaturizer
from rationalizers.parsing import read_json

UNKNOWN, MASK = "<unk>", "<mask>"


class WordFeaturizer(TextFeaturizer):
    """One unit per word, ids from a vocabulary fitted on the training split.

    A query precedes the document, followed by a separator that is a unit and a word of its own; both are fixed.

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
        super().__init__(max_words=max_words)
        self.min_count, self.lowercase = min_count, lowercase
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

    def layout(self, document: Document) -> Layout:
        """Query, separator and document, one unit per word."""
        lead = (*document.query, SEPARATOR) if document.query else ()
        words = (*lead, *document.words)
        return Layout(units=self._ids(words), word=torch.arange(len(words)), inside=(len(lead), len(words)), lead=lead)

    def units_of(self, words: Sequence[str]) -> tuple[Tensor, Tensor]:
        """One unit for each word."""
        return self._ids(words), torch.arange(len(words) + 1)

    def save(self, folder: Path) -> None:
        """Write ``vocabulary.json``."""
        (folder / "vocabulary.json").write_text(json.dumps(list(self.vocabulary), ensure_ascii=False, indent=0), "utf-8")

    def load(self, folder: Path) -> None:
        """Read ``vocabulary.json``."""
        file = folder / "vocabulary.json"
        words = read_json(file, problem="expected a JSON list of words", remedy="copy the run again")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError(f"{file}: expected a JSON list of words, got {type(words).__name__}")
        if words[:3] != [UNKNOWN, MASK, SEPARATOR]:
            raise ValueError(f"{file}: expected the list to begin with {UNKNOWN}, {MASK}, {SEPARATOR}, got {words[:3]}")
        self._adopt(words)

    def _ids(self, words: Sequence[str]) -> Tensor:
        return torch.tensor([self._rows.get(self._fold(word), 0) for word in words], dtype=torch.long)

    def _fold(self, word: str) -> str:
        return word.lower() if self.lowercase else word

    def _adopt(self, words: list[str]) -> None:
        self.vocabulary, self._rows = tuple(words), {word: row for row, word in enumerate(words)}
