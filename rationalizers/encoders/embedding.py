"""Embeddings alone: what each unit is, whatever stands around it.

Letters: ``N`` packed units, ``V`` vocabulary.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from rationalizers.batch import Batch
from rationalizers.encoders.encoder import Encoder
from rationalizers.encoders.sources import pretrained_folder
from rationalizers.encoders.vectors import read_piece_vectors, read_vectors

log = logging.getLogger(__name__)


class EmbeddingEncoder(Encoder):
    """A table of embeddings without context: the state of a unit is its embedding.

    Args:
        vocabulary: number of words V; row ``mask_id`` stands for absent words.
        mask_id: row of the mask word.
        embedding: width of an embedding, and so of a state.
        dropout: on embeddings.
        vectors: file of pretrained vectors in GloVe or word2vec text format (plain, ``.gz``), or ``None``.
        pretrained: Transformer whose word-piece embeddings are the starting values, for units that are pieces of its tokenizer
            (see `rationalizers.encoders.sources`), or ``None``.
        freeze_vectors: keep the embedding table as it was initialised.

    Raises:
        ValueError: both ``vectors`` and ``pretrained`` are given.
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        mask_id: int,
        embedding: int = 100,
        dropout: float = 0.2,
        vectors: str | None = None,
        pretrained: str | None = None,
        freeze_vectors: bool = False,
    ) -> None:
        super().__init__()
        if vectors is not None and pretrained is not None:
            raise ValueError(
                f"starting values come from 'vectors' or from 'pretrained', not from both; got {vectors}, {pretrained}"
            )
        self.embedding_width = self.width = embedding
        self.mask_id, self.vectors, self.pretrained = mask_id, vectors, pretrained
        self.table = nn.Embedding(vocabulary, embedding)
        nn.init.normal_(self.table.weight, std=embedding**-0.5)
        self.table.weight.requires_grad_(not freeze_vectors)
        self.dropout = nn.Dropout(dropout)

    def embed(self, batch: Batch) -> Tensor:
        """Rows of the embedding table ``[N, embedding_width]``."""
        e: Tensor = self.dropout(self.table(batch.units))
        return e

    def encode(self, e: Tensor, batch: Batch) -> Tensor:
        """The embeddings themselves ``[N, embedding_width]``; units do not see each other."""
        return e

    def mask_embedding(self) -> Tensor:
        """The embedding of the mask word."""
        return self.table.weight[self.mask_id]

    @torch.no_grad()
    def initialize(self, vocabulary: Sequence[str]) -> None:
        """Copy pretrained vectors into the embedding table where the vocabulary has the word.

        Raises:
            FileNotFoundError: there are none where ``vectors`` or ``pretrained`` says.
            ValueError: they do not fit the embedding table, or know no word.
        """
        if self.pretrained is not None:
            self.table.weight.copy_(read_piece_vectors(pretrained_folder(self.pretrained), like=self.table.weight))
            log.info("%s: vectors for all %d pieces", self.pretrained, self.table.num_embeddings)
        if self.vectors is None:
            return
        found = read_vectors(Path(self.vectors), vocabulary, width=self.embedding_width)
        if not found:
            raise ValueError(f"{self.vectors}: none of the {len(vocabulary)} words of the vocabulary has a vector here")
        for row, vector in found.items():
            self.table.weight[row] = vector
        log.info("%s: vectors for %d of %d words", self.vectors, len(found), len(vocabulary))
