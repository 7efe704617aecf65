"""Rationalizing Neural Predictions (Lei, Barzilay, Jaakkola, 2016, https://arxiv.org/abs/1606.04155), reparameterised.

A generator selects words, a predictor sees only those:

    min_{g,f}  CE(f(m ⊙ x), y) + λ₁ · mean_b |share_b − s| + λ₂ · mean_b transitions_b,   m ~ g(x)

Deviations from the paper, all of them what is called RNP today (e.g. Liu et al., 2022): the gradient of the generator comes
from a Gumbel relaxation instead of REINFORCE; the penalty on the size is its distance to a target share s instead of ‖m‖₁; the
encoders are recurrent networks with max-pooling instead of RCNNs. An optional term trains the scores on human evidence, for
examples that the data module marks as labelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from rationalizers import losses
from rationalizers.base import Output, Rationalizer
from rationalizers.batch import Batch
from rationalizers.build import build
from rationalizers.encoders import Encoder
from rationalizers.predictors import Predictor
from rationalizers.selectors import Selector


class RNP(Rationalizer):
    """Generator and predictor, trained together.

    Args:
        task: description of a `rationalizers.task.Task`.
        encoder: description of an `Encoder`; the predictor's, and the generator's too.
        selector: description of a `Selector` (straight-through or soft).
        weights: of the terms ``task``, ``sparsity`` (λ₁), ``continuity`` (λ₂) and ``evidence``.
        optimizer: arguments of `rationalizers.base.OptimizerConfig`.
        share: target s of the selected share, in (0, 1].
        shared_encoder: generator and predictor use one encoder instead of one each.
        dropout: on the predictor's pooled state.
        absence: ``zero`` or ``mask_token`` (the mask acts on embeddings and passes a gradient).

    Raises:
        ValueError: ``share`` or ``absence`` outside these.
    """

    def __init__(
        self,
        *,
        task: Mapping[str, Any],
        encoder: Mapping[str, Any],
        selector: Mapping[str, Any],
        weights: Mapping[str, float],
        optimizer: Mapping[str, Any],
        share: float,
        shared_encoder: bool = False,
        dropout: float = 0.2,
        absence: str = "zero",
    ) -> None:
        super().__init__(task=task, weights=weights, optimizer=optimizer, absence=absence)
        if absence not in ("zero", "mask_token"):
            raise ValueError(f"'absence' of RNP must be 'zero' or 'mask_token' (others pass no gradient), got {absence!r}")
        if not 0 < share <= 1:
            raise ValueError(f"'share' must be in (0, 1], got {share}")
        self.share = share
        self.generator = build(encoder, Encoder)
        self.selector = build(selector, Selector, width=self.generator.width)
        own = self.generator if shared_encoder else build(encoder, Encoder)
        self.predictor = Predictor(own, outputs=self.task.outputs, dropout=dropout)

    def forward(self, batch: Batch) -> Output:
        """Select, then predict from the selection."""
        h = self.generator.states(batch)  # [N, D]
        selected = self.selector(h, batch)
        rationale = selected.rationale
        logits = self.logits(batch, rationale.mask)
        if batch.y is None:
            return Output(logits=logits, rationale=rationale)
        terms = {
            "task": self.task.loss(logits, batch.y),
            "sparsity": losses.sparsity(selected.share, target=self.share),
            "continuity": selected.transitions.mean(),
            "evidence": losses.evidence(rationale, batch),
        }
        return Output(logits=logits, rationale=rationale, terms=terms)

    def logits(self, batch: Batch, mask: Tensor, *, absence: str | None = None) -> Tensor:
        """Predict from what ``mask [N]`` leaves visible."""
        logits: Tensor = self.predictor(batch, mask, absence=absence or self.absence)
        return logits
