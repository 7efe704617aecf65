"""Encoders with two verbs: ``embed`` turns units into vectors, ``encode`` lets them see each other.

Letters: ``B`` examples, ``N`` packed units, ``L`` longest example, ``D`` width, ``V`` vocabulary. Padding exists only here.
"""

from __future__ import annotations

import gzip
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from rationalizers.batch import Batch
from rationalizers.segment import lengths, owners

log = logging.getLogger(__name__)


class Encoder(nn.Module, ABC):
    """Turns a batch into one state per unit; a mask may act between the verbs, after them, or before (compaction).

    Attributes:
        width: size D of a state.
        embedding_width: size of an embedding.
    """

    width: int
    embedding_width: int

    @abstractmethod
    def embed(self, batch: Batch) -> Tensor:
        """Unit embeddings ``[N, embedding_width]``, each from its own unit alone."""

    @abstractmethod
    def encode(self, e: Tensor, batch: Batch) -> Tensor:
        """States ``[N, D]`` in context, from embeddings ``[N, embedding_width]`` and the batch's offsets and positions."""

    @abstractmethod
    def mask_embedding(self) -> Tensor:
        """The embedding ``[embedding_width]`` that stands for an absent unit."""

    def initialize(self, vocabulary: Sequence[str]) -> None:
        """Hook for pretrained starting values; called once before training, never when a trained model is loaded.

        Args:
            vocabulary: the word of each row of the embedding table.
        """


class GRUEncoder(Encoder):
    """Word embeddings and a bidirectional gated recurrent unit (Cho et al., 2014, https://arxiv.org/abs/1406.1078).

    ``encode`` runs exactly over the units of each example, so neither padding nor company changes a state.

    Args:
        vocabulary: number of words V; row ``mask_id`` stands for absent words.
        mask_id: row of the mask word.
        embedding: width of an embedding.
        hidden: width of a state, both directions together.
        layers: stacked GRUs.
        dropout: on embeddings and on states.
        vectors: file of pretrained vectors in GloVe or word2vec text format (plain, ``.gz``), or ``None``.
        freeze_vectors: keep the embedding table as it was initialised.

    Raises:
        ValueError: ``hidden`` is odd.
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        mask_id: int,
        embedding: int = 100,
        hidden: int = 200,
        layers: int = 1,
        dropout: float = 0.2,
        vectors: str | None = None,
        freeze_vectors: bool = False,
    ) -> None:
        super().__init__()
        if hidden % 2:
            raise ValueError(f"'hidden' is shared by two directions and must be even, got {hidden}")
        self.embedding_width, self.width, self.mask_id, self.vectors = embedding, hidden, mask_id, vectors
        self.table = nn.Embedding(vocabulary, embedding)
        nn.init.normal_(self.table.weight, std=embedding**-0.5)
        self.table.weight.requires_grad_(not freeze_vectors)
        self.dropout = nn.Dropout(dropout)
        widths = [embedding, *[hidden] * (layers - 1)]
        self.forwards = nn.ModuleList(nn.GRU(width, hidden // 2) for width in widths)
        self.backwards = nn.ModuleList(nn.GRU(width, hidden // 2) for width in widths)

    def embed(self, batch: Batch) -> Tensor:
        """Rows of the embedding table ``[N, embedding_width]``."""
        e: Tensor = self.dropout(self.table(batch.units))
        return e

    def encode(self, e: Tensor, batch: Batch) -> Tensor:
        """Bidirectional states ``[N, D]``; the GRU has no positions, so gaps between units are invisible to it."""
        if e.shape[0] == 0:
            return e.new_zeros(0, self.width)
        # Each direction reads its examples from their own first step on and is done before any padding comes. torch's packed
        # sequences would save the padding, but their backward pass on CPU takes ten times as long at 700 words (torch 2.13).
        length, owner = lengths(batch.ptr), owners(batch.ptr, e.shape[0])
        place = torch.arange(e.shape[0], device=e.device) - batch.ptr[:-1][owner]  # [N], counted from the start
        mirrored = length[owner] - 1 - place  # [N], counted from the end
        longest = int(length.max())
        h = e
        for forward, backward in zip(self.forwards, self.backwards, strict=True):
            directions = []
            for gru, step in ((forward, place), (backward, mirrored)):
                padded = h.new_zeros(longest, length.numel(), h.shape[1]).index_put((step, owner), h)  # [L, B, ·]
                states, _ = gru(padded)
                directions.append(states[step, owner])  # [N, D/2]
            h = self.dropout(torch.cat(directions, dim=1))  # [N, D]
        return h

    def mask_embedding(self) -> Tensor:
        """The embedding of the mask word."""
        return self.table.weight[self.mask_id]

    @torch.no_grad()
    def initialize(self, vocabulary: Sequence[str]) -> None:
        """Copy pretrained vectors into the embedding table where the vocabulary has the word."""
        if self.vectors is None:
            return
        found = read_vectors(Path(self.vectors), vocabulary, width=self.embedding_width)
        if not found:
            raise ValueError(f"{self.vectors}: none of the {len(vocabulary)} words of the vocabulary has a vector here")
        for row, vector in found.items():
            self.table.weight[row] = vector
        log.info("%s: vectors for %d of %d words", self.vectors, len(found), len(vocabulary))


def read_vectors(path: Path, vocabulary: Sequence[str], *, width: int) -> dict[int, Tensor]:
    """Pretrained vectors for the words of a vocabulary, by row.

    A first line with two numbers is word2vec's header; its counts are not trusted (published files contradict theirs).

    Raises:
        ValueError: a line with fewer values than ``width`` or with something else than numbers, named by file and line.
    """
    rows = {word: row for row, word in enumerate(vocabulary)}
    found: dict[int, Tensor] = {}
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            word, *values = line.rstrip().split(" ")
            if number == 1 and len(values) == 1 and word.isdecimal() and values[0].isdecimal():
                continue
            # A few GloVe words contain spaces: the last `width` values are the vector.
            if len(values) < width:
                raise ValueError(f"{path}:{number}: expected a word and {width} values, got {len(values)}")
            word = " ".join([word, *values[:-width]])
            if word in rows:
                try:
                    found[rows[word]] = torch.tensor([float(value) for value in values[-width:]])
                except ValueError as error:
                    raise ValueError(f"{path}:{number}: expected {width} numbers after {word!r}: {error}") from error
    return found
