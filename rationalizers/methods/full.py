"""The full-input classifier: no selection, the reference that every rationalizer is compared with.

Objective: min CE(f(x), y). Its rationale is everything that can be selected.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from rationalizers.base import Output, Rationalizer
from rationalizers.batch import Batch
from rationalizers.build import build
from rationalizers.encoders import Encoder
from rationalizers.predictors import Predictor
from rationalizers.rationale import select_all


class Full(Rationalizer):
    """Predicts from the whole input.

    Args:
        task: description of a `rationalizers.task.Task`.
        encoder: description of an `Encoder`.
        weights: of the term ``task``.
        optimizer: arguments of `rationalizers.base.OptimizerConfig`.
        dropout: on the pooled state.
        pooling: of the predictor (see `rationalizers.predictors.Predictor`).
        absence: what a forced mask takes away, for counterfactuals.
    """

    def __init__(
        self,
        *,
        task: Mapping[str, Any],
        encoder: Mapping[str, Any],
        weights: Mapping[str, float],
        optimizer: Mapping[str, Any],
        dropout: float = 0.2,
        pooling: str = "max",
        absence: str = "zero",
    ) -> None:
        super().__init__(task=task, weights=weights, optimizer=optimizer, absence=absence)
        self.predictor = Predictor(build(encoder, Encoder), outputs=self.task.outputs, dropout=dropout, pooling=pooling)

    def forward(self, batch: Batch) -> Output:
        """Predict from everything."""
        rationale = select_all(batch.fixed, batch.ptr)
        logits = self.logits(batch, rationale.mask)
        terms = {} if batch.y is None else {"task": self.task.loss(logits, batch.y)}
        return Output(logits=logits, rationale=rationale, terms=terms)

    def logits(self, batch: Batch, mask: Tensor, *, absence: str | None = None) -> Tensor:
        """Predict from what ``mask [N]`` leaves visible."""
        logits: Tensor = self.predictor(batch, mask, absence=absence or self.absence)
        return logits
