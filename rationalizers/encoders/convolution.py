"""A small convolution that learns on top of another encoder, such as a frozen one.

Letters: ``B`` examples, ``N`` packed units, ``L`` longest example, ``D`` width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rationalizers.batch import Batch
from rationalizers.build import build
from rationalizers.encoders.encoder import Encoder
from rationalizers.segment import lengths, owners


class ConvolutionEncoder(Encoder):
    """A convolution over the states of another encoder: h'_t = relu(Σ_j W_j h_{t+j} + b), |j| ≤ ⌊kernel/2⌋.

    The layer of Convolutional Neural Networks for Sentence Classification (Kim, 2014, https://arxiv.org/abs/1408.5882), without
    pooling. Beyond the ends of an example there are zeros.

    Args:
        inputs: description of the encoder below; if it is frozen, only what is here learns.
        hidden: width D of a state.
        kernel: units that a state is computed from, odd.
        dropout: on the states below.

    Raises:
        ValueError: ``kernel`` is even, or a size below 1.
    """

    def __init__(self, *, inputs: Mapping[str, Any], hidden: int = 64, kernel: int = 5, dropout: float = 0.1) -> None:
        super().__init__()
        if hidden < 1 or kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"'hidden' must be at least 1 and 'kernel' odd, got {hidden} and {kernel}")
        self.inputs = build(inputs, Encoder)
        self.width, self.embedding_width = hidden, self.inputs.embedding_width
        self.dropout = nn.Dropout(dropout)
        self.convolve = nn.Conv1d(self.inputs.width, hidden, kernel, padding=kernel // 2)

    def embed(self, batch: Batch) -> Tensor:
        """Embeddings of the encoder below ``[N, embedding_width]``."""
        return self.inputs.embed(batch)

    def encode(self, e: Tensor, batch: Batch) -> Tensor:
        """States ``[N, D]``; neighbours are those that are left, however many were removed between them."""
        return self._read(self.inputs.encode(e, batch), batch)

    def states(self, batch: Batch) -> Tensor:
        """States ``[N, D]`` of whole examples."""
        return self._read(self.inputs.states(batch), batch)

    def mask_embedding(self) -> Tensor:
        """That of the encoder below."""
        return self.inputs.mask_embedding()

    def _read(self, h: Tensor, batch: Batch) -> Tensor:
        n = h.shape[0]
        if n == 0:
            return h.new_zeros(0, self.width)
        owner = owners(batch.ptr, n)
        place = torch.arange(n, device=h.device) - batch.ptr[:-1][owner]
        length = lengths(batch.ptr)
        padded = h.new_zeros(length.numel(), int(length.max()), h.shape[1]).index_put((owner, place), self.dropout(h))
        states = self.convolve(padded.transpose(1, 2)).transpose(1, 2).relu()  # [B, L, D]
        return states[owner, place]  # type: ignore[no-any-return]
