"""Interpretable Neural Predictions with Differentiable Binary Variables (Bastings, Aziz, Titov, 2019).

https://arxiv.org/abs/1905.08160. A generator describes every unit by a HardKuma gate, which is exactly 0 or exactly 1 with
positive probability and differentiable in between; a predictor sees the units times their gates. How much is selected, and in
how many pieces, are constraints, whose multipliers are found while the model trains:

    min_{g,f} max_{λ₀,λ₁}  CE(f(z ⊙ x), y) + λ₀ · (E[rate] − r) + λ₁ · (E[transition rate] − c),   z ~ HardKuma(g(x))
    rate_b = mean_t P(z_bt ≠ 0),   transition rate_b = mean_t P(z_t−1 = 0) P(z_t ≠ 0) + P(z_t−1 ≠ 0) P(z_t = 0)

In evaluation a unit is 0, 1 or the mean of its gate's distribution, whichever kind of value is likeliest.

Deviations: gates are independent given the text, where the paper's depend on the gates before them through a recurrent cell, so
that all are drawn at once; transitions are counted over the pairs of selectable neighbours, not over the length, so that their
rate lies in [0, 1] for texts of any length; encoders are recurrent networks, the predictor's with max-pooling, instead of RCNNs,
as in every method here. An optional term trains the gates on human evidence, for examples that the data module marks as
labelled. Both multipliers have the same settings, as in the authors' code, whose values are the defaults of `Multiplier`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rationalizers import losses, selectors
from rationalizers.base import Output, Rationalizer
from rationalizers.batch import Batch
from rationalizers.build import build
from rationalizers.encoders import Encoder
from rationalizers.predictors import Predictor


class HardKuma(Rationalizer):
    """Generator and predictor, trained together under two constraints.

    Args:
        task: description of a `rationalizers.task.Task`.
        encoder: description of an `Encoder`; one for the generator, one for the predictor.
        weights: of the terms ``task``, ``sparsity`` (λ₀ times its constraint), ``continuity`` (λ₁ times its) and ``evidence``.
        optimizer: arguments of `rationalizers.base.OptimizerConfig`.
        share: r, the rate of selected units, in (0, 1].
        transitions: c, the rate of changes between neighbours, in [0, 1].
        multiplier: arguments of `Multiplier`, for λ₀ and λ₁ alike.
        dropout: on the predictor's pooled state.
        absence: ``zero`` or ``mask_token`` (the mask acts on embeddings and passes a gradient).

    Raises:
        ValueError: ``share``, ``transitions``, ``absence`` or an argument of `Multiplier` outside these.
    """

    soft = selectors.HardKuma.soft

    def __init__(
        self,
        *,
        task: Mapping[str, Any],
        encoder: Mapping[str, Any],
        weights: Mapping[str, float],
        optimizer: Mapping[str, Any],
        share: float,
        transitions: float,
        multiplier: Mapping[str, float],
        dropout: float = 0.2,
        absence: str = "zero",
    ) -> None:
        super().__init__(task=task, weights=weights, optimizer=optimizer, absence=absence)
        if absence not in ("zero", "mask_token"):
            raise ValueError(f"'absence' of HardKuma must be 'zero' or 'mask_token' (others pass no gradient), got {absence!r}")
        if not 0 < share <= 1:
            raise ValueError(f"'share' must be in (0, 1], got {share}")
        if not 0 <= transitions <= 1:
            raise ValueError(f"'transitions' must be in [0, 1], got {transitions}")
        self.share, self.transitions = share, transitions
        self.generator = build(encoder, Encoder)
        self.selector = selectors.HardKuma(width=self.generator.width)
        self.predictor = Predictor(build(encoder, Encoder), outputs=self.task.outputs, dropout=dropout)
        self.size_multiplier, self.transition_multiplier = Multiplier(**multiplier), Multiplier(**multiplier)

    def forward(self, batch: Batch) -> Output:
        """Select, then predict from the selection; in training, both multipliers take a step."""
        h = self.generator.states(batch)  # [N, D]
        selected = self.selector(h, batch)
        rationale = selected.rationale
        logits = self.logits(batch, rationale.mask)
        if batch.y is None:
            return Output(logits=logits, rationale=rationale)
        terms = {
            "task": self.task.loss(logits, batch.y),
            "sparsity": self.size_multiplier(selected.share.mean() - self.share),
            "continuity": self.transition_multiplier(selected.transitions.mean() - self.transitions),
            "evidence": losses.evidence(rationale, batch),
        }
        return Output(logits=logits, rationale=rationale, terms=terms)

    def logits(self, batch: Batch, mask: Tensor, *, absence: str | None = None) -> Tensor:
        """Predict from what ``mask [N]`` leaves visible."""
        logits: Tensor = self.predictor(batch, mask, absence=absence or self.absence)
        return logits


class Multiplier(nn.Module):
    """A Lagrange multiplier λ that grows while its constraint C ≤ 0 is violated and falls while there is room.

        C_ma ← ρ · C_ma + (1 − ρ) · C,   λ ← clamp(λ · exp(η · C_ma)),   term = λ · (C + stop_gradient(C_ma − C))

    A step is taken by every call in training, as batch normalisation updates its statistics; the term then has the value of the
    smoothed constraint and the gradient of the batch's own. In evaluation the term is λ · C, and nothing changes.

    Source: Taming VAEs (Rezende, Viola, 2018, https://arxiv.org/abs/1810.00597), algorithm 1, as Bastings et al. use it.

    Args:
        initial: λ before the first step, in [``minimum``, ``maximum``].
        rate: η > 0.
        smoothing: ρ in [0, 1); C_ma starts from 0.
        minimum: least value of λ, positive, or it could never grow again.
        maximum: greatest value of λ.

    Raises:
        ValueError: an argument outside these.
    """

    value: Tensor
    average: Tensor

    def __init__(
        self,
        *,
        initial: float = 1e-5,
        rate: float = 0.05,
        smoothing: float = 0.5,
        minimum: float = 1e-12,
        maximum: float = 5.0,
    ) -> None:
        super().__init__()
        if not 0 < minimum <= initial <= maximum:
            raise ValueError(
                "'minimum', 'initial' and 'maximum' of a multiplier must be positive and rise in this order, "
                f"got {minimum}, {initial} and {maximum}"
            )
        if rate <= 0:
            raise ValueError(f"'rate' of a multiplier must be positive, got {rate}")
        if not 0 <= smoothing < 1:
            raise ValueError(f"'smoothing' of a multiplier must be in [0, 1), got {smoothing}")
        self.rate, self.smoothing, self.minimum, self.maximum = rate, smoothing, minimum, maximum
        self.register_buffer("value", torch.tensor(initial))
        self.register_buffer("average", torch.tensor(0.0))

    def forward(self, constraint: Tensor) -> Tensor:
        """The term, a scalar like ``constraint`` C."""
        if not self.training:
            return self.value * constraint
        with torch.no_grad():
            self.average.lerp_(constraint.to(self.average.dtype), 1 - self.smoothing)
            self.value.mul_((self.rate * self.average).exp()).clamp_(self.minimum, self.maximum)
        # A copy, so that a second pass before the backward pass of the first may update in place.
        return self.value.clone() * (constraint + (self.average - constraint).detach())
