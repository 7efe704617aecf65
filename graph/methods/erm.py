"""Principles of Risk Minimization for Learning Theory (Vapnik, 1991), on graphs.

https://papers.nips.cc/paper/1991/hash/ff4d5fbbafdf976cfdc032e3bde78de5-Abstract.html

The graph classifier without selection that every rationalizer is compared with: min L(f(Σ_v h_v), y). Its rationale is
everything that can be selected.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from graph.predictor import GraphPredictor
from rationalizers.absence import encode_visible
from rationalizers.base import Output, Rationalizer
from rationalizers.batch import Batch
from rationalizers.build import build
from rationalizers.encoders import Encoder
from rationalizers.rationale import select_all
from rationalizers.segment import segment_sum


class ERM(Rationalizer):
    """Predicts from the sum of all node states.

    Args:
        task: description of a `rationalizers.task.Task`.
        encoder: description of an `Encoder` of graphs.
        weights: of the term ``task``.
        optimizer: arguments of `rationalizers.base.OptimizerConfig`.
        dropout: of the predictor.
        absence: what a forced mask takes away, for counterfactuals.
    """

    unit = "node"

    def __init__(
        self,
        *,
        task: Mapping[str, Any],
        encoder: Mapping[str, Any],
        weights: Mapping[str, float],
        optimizer: Mapping[str, Any],
        dropout: float = 0.5,
        absence: str = "compact",
    ) -> None:
        super().__init__(task=task, weights=weights, optimizer=optimizer, absence=absence)
        self.encoder = build(encoder, Encoder)
        self.predictor = GraphPredictor(self.encoder.width, outputs=self.task.outputs, dropout=dropout)

    def forward(self, batch: Batch) -> Output:
        """Predict from everything."""
        rationale = select_all(batch.fixed, batch.ptr)
        logits = self.logits(batch, rationale.mask)
        terms = {} if batch.y is None else {"task": self.task.loss(logits, batch.y)}
        return Output(logits=logits, rationale=rationale, terms=terms)

    def logits(self, batch: Batch, mask: Tensor, *, absence: str | None = None) -> Tensor:
        """Predict from the nodes that ``mask [N]`` leaves, and the edges between them."""
        h, visible = encode_visible(self.encoder, batch, mask, absence=absence or self.absence)
        logits: Tensor = self.predictor(segment_sum(h, visible.ptr))
        return logits
