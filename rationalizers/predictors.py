"""Predictors: from the visible part of a batch to logits."""

from __future__ import annotations

from torch import Tensor, nn

from rationalizers.absence import encode_visible
from rationalizers.batch import Batch
from rationalizers.encoders import Encoder
from rationalizers.kernels.split_pool import split_pool
from rationalizers.segment import (
    lengths,
    owners,
    segment_first,
    segment_last,
    segment_max,
    segment_mean,
    segment_softmax,
    segment_sum,
    starts,
)

_POOLINGS = {"max": segment_max, "mean": segment_mean, "first": segment_first, "last": segment_last}
ATTENTION = "attention"


class Reader(nn.Module):
    """An encoder, and its states pooled over the units.

    Args:
        encoder: owned here, or shared with a selector.
        pooling: ``max`` or ``mean`` over the units, the state of the ``first`` one ([CLS]) or of the ``last``, or
            ``attention``, Σ_t α_t h_t with α = softmax(w·h).

    Raises:
        ValueError: another ``pooling``.
    """

    def __init__(self, encoder: Encoder, *, pooling: str = "max") -> None:
        super().__init__()
        if pooling not in (*_POOLINGS, ATTENTION):
            raise ValueError(f"'pooling' must be one of {', '.join((*_POOLINGS, ATTENTION))}; got {pooling!r}")
        self.pooling = pooling
        self.encoder = encoder
        self.score = nn.Linear(encoder.width, 1) if pooling == ATTENTION else None

    def pooled(self, batch: Batch, mask: Tensor, *, absence: str) -> Tensor:
        """One state ``[B, D]`` for each example, of the units that ``mask [N]`` leaves visible; zero without any."""
        h, visible = encode_visible(self.encoder, batch, mask, absence=absence)
        return self._pool(h, visible.ptr)

    def _pool(self, h: Tensor, ptr: Tensor) -> Tensor:
        """One state for each example, ``[B, D]``."""
        if self.score is None:
            return _POOLINGS[self.pooling](h, ptr)
        pooled, _ = split_pool(h, self._weights(h, ptr), ptr)
        return pooled

    def _weights(self, h: Tensor, ptr: Tensor) -> Tensor:
        assert self.score is not None
        return segment_softmax(self.score(h)[:, 0], ptr)


class Predictor(Reader):
    """A reader and a linear layer on its pooled state.

    Args:
        encoder: owned here, or shared with a selector.
        outputs: logits of an example, C.
        dropout: on the pooled state.
        pooling: as of `Reader`.
    """

    def __init__(self, encoder: Encoder, *, outputs: int, dropout: float, pooling: str = "max") -> None:
        super().__init__(encoder, pooling=pooling)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.width, outputs)

    def forward(self, batch: Batch, mask: Tensor, *, absence: str) -> Tensor:
        """Logits ``[B, C]`` from the units that ``mask [N]`` leaves visible; without any, from a zero state."""
        return self.decide(self.pooled(batch, mask, absence=absence))

    def decide(self, pooled: Tensor) -> Tensor:
        """Logits ``[B, C]`` from pooled states ``[B, D]``."""
        logits: Tensor = self.head(self.dropout(pooled))
        return logits

    def attention(self, batch: Batch) -> Tensor:
        """Weight α of each unit ``[N]`` when everything is visible; sums to one in every example that has units.

        Raises:
            ValueError: the predictor pools otherwise.
        """
        if self.score is None:
            raise ValueError(f"attention needs a predictor with pooling={ATTENTION!r}; this one has {self.pooling!r}")
        return self._weights(self.encoder.states(batch), batch.ptr)

    def pooling_weights(self, batch: Batch) -> Tensor:
        """Part of each unit's state in the pooled one ``[N]`` when everything is visible; sums to one, as `attention` does.

        Of a maximum, the share of the entries that are this unit's; units that tie for one share it.
        """
        n, ptr = batch.position.shape[0], batch.ptr
        if self.score is not None:
            return self.attention(batch)
        if self.pooling == "first":
            return starts(ptr, n).to(self.head.weight.dtype)
        if self.pooling == "last":
            return starts(n - ptr.flip(0), n).flip(0).to(self.head.weight.dtype)
        owner = owners(ptr, n)
        if self.pooling == "mean":
            return lengths(ptr)[owner].to(self.head.weight.dtype).reciprocal()
        h = self.encoder.states(batch)  # [N, D]
        largest = (h == segment_max(h, ptr)[owner]).to(h.dtype)
        return (largest / segment_sum(largest, ptr)[owner]).mean(1)
