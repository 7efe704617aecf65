"""Word embeddings and a recurrent network.

Letters: ``B`` examples, ``N`` packed units, ``L`` longest example, ``D`` width, ``V`` vocabulary.
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
from rationalizers.segment import lengths, owners

log = logging.getLogger(__name__)


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
        pretrained: Transformer whose word-piece embeddings are the starting values, for units that are pieces of its tokenizer
            (see `rationalizers.encoders.sources`), or ``None``.
        freeze_vectors: keep the embedding table as it was initialised.

    Raises:
        ValueError: ``hidden`` is odd, or both ``vectors`` and ``pretrained`` are given.
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
        pretrained: str | None = None,
        freeze_vectors: bool = False,
    ) -> None:
        super().__init__()
        if hidden % 2:
            raise ValueError(f"'hidden' is shared by two directions and must be even, got {hidden}")
        if vectors is not None and pretrained is not None:
            raise ValueError(
                f"starting values come from 'vectors' or from 'pretrained', not from both; got {vectors}, {pretrained}"
            )
        self.embedding_width, self.width, self.mask_id = embedding, hidden, mask_id
        self.vectors, self.pretrained = vectors, pretrained
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
