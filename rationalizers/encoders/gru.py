"""Word embeddings and a recurrent network.

Letters: ``B`` examples, ``N`` packed units, ``L`` longest example, ``D`` width, ``V`` vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rationalizers.batch import Batch
from rationalizers.encoders.embedding import EmbeddingEncoder
from rationalizers.segment import lengths, owners


class GRUEncoder(EmbeddingEncoder):
    """Word embeddings and a bidirectional gated recurrent unit (Cho et al., 2014, https://arxiv.org/abs/1406.1078).

    ``encode`` runs exactly over the units of each example, so neither padding nor company changes a state.

    Args:
        vocabulary: number of words V; row ``mask_id`` stands for absent words.
        mask_id: row of the mask word.
        embedding: width of an embedding.
        hidden: width D of a state, both directions together.
        layers: stacked GRUs.
        dropout: on embeddings and on states.
        vectors: as in `EmbeddingEncoder`.
        pretrained: likewise.
        freeze_vectors: likewise.
        norm: normalise the states of the last layer, h ↦ γ ⊙ (h − mean h) / sd h + β (Ba, Kiros and Hinton, 2016,
            https://arxiv.org/abs/1607.06450), as the encoder of FR does (Liu et al., 2022, https://arxiv.org/abs/2209.08285).

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
        norm: bool = False,
    ) -> None:
        if hidden % 2:
            raise ValueError(f"'hidden' is shared by two directions and must be even, got {hidden}")
        super().__init__(
            vocabulary=vocabulary,
            mask_id=mask_id,
            embedding=embedding,
            dropout=dropout,
            vectors=vectors,
            pretrained=pretrained,
            freeze_vectors=freeze_vectors,
        )
        self.width = hidden
        self.forwards, self.backwards = (
            nn.ModuleList(nn.GRU(hidden if layer else embedding, hidden // 2) for layer in range(max(1, layers)))
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(hidden) if norm else nn.Identity()

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
        for layer, (forward, backward) in enumerate(zip(self.forwards, self.backwards, strict=True)):
            below = self.dropout(h) if layer else h  # embeddings have had theirs
            directions = []
            for gru, step in ((forward, place), (backward, mirrored)):
                padded = below.new_zeros(longest, length.numel(), below.shape[1]).index_put((step, owner), below)  # [L, B, ·]
                states, _ = gru(padded)
                directions.append(states[step, owner])  # [N, D/2]
            h = torch.cat(directions, dim=1)  # [N, D]
        return self.dropout(self.norm(h))  # type: ignore[no-any-return]
