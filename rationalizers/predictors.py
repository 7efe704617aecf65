"""Predictors: from the visible part of a batch to logits."""

from __future__ import annotations

from torch import Tensor, nn

from rationalizers.absence import encode_visible
from rationalizers.batch import Batch
from rationalizers.encoders import Encoder
from rationalizers.segment import segment_first, segment_max, segment_mean

_POOLINGS = {"max": segment_max, "mean": segment_mean, "first": segment_first}


class Predictor(nn.Module):
    """An encoder, its states pooled over the units, and a linear layer.

    Args:
        encoder: owned here, or shared with a selector.
        outputs: logits of an example, C.
        dropout: on the pooled state.
        pooling: ``max`` or ``mean`` over the units, or the state of the ``first`` one ([CLS]).

    Raises:
        ValueError: another ``pooling``.
    """

    def __init__(self, encoder: Encoder, *, outputs: int, dropout: float, pooling: str = "max") -> None:
        super().__init__()
        if pooling not in _POOLINGS:
            raise ValueError(f"'pooling' must be one of {', '.join(_POOLINGS)}; got {pooling!r}")
        self.pool = _POOLINGS[pooling]
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.width, outputs)

    def forward(self, batch: Batch, mask: Tensor, *, absence: str) -> Tensor:
        """Logits ``[B, C]`` from the units that ``mask [N]`` leaves visible; without any, from a zero state."""
        h, visible = encode_visible(self.encoder, batch, mask, absence=absence)
        logits: Tensor = self.head(self.dropout(self.pool(h, visible.ptr)))  # [B, C]
        return logits
