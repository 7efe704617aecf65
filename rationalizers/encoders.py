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
from torch.nn.utils.rnn import PackedSequence

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
        self.gru = nn.GRU(embedding, hidden // 2, num_layers=layers, bidirectional=True)

    def embed(self, batch: Batch) -> Tensor:
        """Rows of the embedding table ``[N, embedding_width]``."""
        e: Tensor = self.dropout(self.table(batch.units))
        return e

    def encode(self, e: Tensor, batch: Batch) -> Tensor:
        """Bidirectional states ``[N, D]``; the GRU has no positions, so gaps between units are invisible to it."""
        sequence, restore = _time_major(e, batch.ptr)
        if sequence is None:
            return e.new_zeros(0, self.width)
        states, _ = self.gru(sequence)
        h: Tensor = self.dropout(states.data[restore])
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


def _time_major(e: Tensor, ptr: Tensor) -> tuple[PackedSequence | None, Tensor]:
    """The packed rows as torch's time-major packed sequence, without going through a padded tensor.

    Returns:
        the sequence (``None`` without any unit), and for each of the N units its row in the sequence.
    """
    length = lengths(ptr)
    order = torch.argsort(length, descending=True, stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(order.numel(), device=order.device)
    n = e.shape[0]
    if n == 0:
        return None, torch.empty(0, dtype=torch.long, device=e.device)
    owner = owners(ptr, n)
    step = torch.arange(n, device=e.device) - ptr[:-1][owner]
    # Row of a unit: all units of earlier steps, then its example's place among the examples still running.
    key = step * order.numel() + place[owner]
    gather = torch.argsort(key)
    restore = torch.empty_like(gather)
    restore[gather] = torch.arange(n, device=e.device)
    sizes = torch.bincount(step.cpu())
    return PackedSequence(e[gather], sizes), restore


def read_vectors(path: Path, vocabulary: Sequence[str], *, width: int) -> dict[int, Tensor]:
    """Pretrained vectors for the words of a vocabulary, by row.

    A first line with two numbers is word2vec's header; its counts are not trusted (published files contradict theirs).

    Raises:
        ValueError: a line whose number of values differs from ``width``, named by file and line.
    """
    rows = {word: row for row, word in enumerate(vocabulary)}
    found: dict[int, Tensor] = {}
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            word, *values = line.rstrip().split(" ")
            if number == 1 and len(values) == 1:
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
