"""Selectors: from unit states to a rationale."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from rationalizers.batch import Batch
from rationalizers.kernels.gated_sample import Draw, concrete_sample, hardkuma_sample, straight_through_sample
from rationalizers.kernels.gates import HIGH, LOW
from rationalizers.rationale import Rationale


@dataclass(frozen=True)
class Selected:
    """A rationale, and what penalties on its size and its coherence are made of.

    Args:
        rationale: what was selected.
        share: of the selectable units of each example, ``[B]``; expected or drawn, as the selector has it.
        transitions: mean change between selectable neighbours, ``[B]``, likewise.
    """

    rationale: Rationale
    share: Tensor
    transitions: Tensor


class Selector(nn.Module, ABC):
    """Scores every unit and draws a mask in training, from torch's generator; in evaluation nothing is drawn.

    Attributes:
        soft: why masks may be soft in evaluation, or ``None`` where they are 0 or 1.

    Args:
        width: size D of a state.
        dropout: on the states.
        parameters: numbers that a unit's gate is described by.
    """

    soft: ClassVar[str | None] = None

    def __init__(self, *, width: int, dropout: float = 0.0, parameters: int = 1) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Linear(width, parameters)

    @abstractmethod
    def forward(self, h: Tensor, batch: Batch) -> Selected:
        """A selection from states ``[N, D]``; fixed units get score −∞ and mask 0."""


class SoftGumbel(Selector):
    """The binary concrete relaxation, m = σ((s + g) / τ) with logistic noise g; a unit is selected when its score s is positive.

    Equal in distribution to a two-class Gumbel-softmax whose logits differ by s. Source: Categorical Reparameterization with
    Gumbel-Softmax (Jang et al., 2017, https://arxiv.org/abs/1611.01144); The Concrete Distribution (Maddison et al., 2017).

    Args:
        width: size D of a state.
        temperature: τ > 0.
        dropout: on the states.

    Raises:
        ValueError: τ is not positive.
    """

    def __init__(self, *, width: int, temperature: float = 1.0, dropout: float = 0.0) -> None:
        super().__init__(width=width, dropout=dropout)
        if temperature <= 0:
            raise ValueError(f"'temperature' must be positive, got {temperature}")
        self.temperature = temperature

    def forward(self, h: Tensor, batch: Batch) -> Selected:
        """Drawn masks in training, positive scores in evaluation; share and transitions are those of the mask."""
        logits = self.score(self.dropout(h)).squeeze(-1)  # [N]
        scores = logits.masked_fill(batch.fixed, -torch.inf)
        if not self.training:
            rationale = Rationale(scores, (scores > 0).to(logits.dtype), batch.ptr)
            return Selected(rationale, rationale.share(), rationale.transitions())
        mask, share, transitions = self.sample(logits, batch, torch.randint(2**62, ()))
        return Selected(Rationale(scores, mask, batch.ptr), share, transitions)

    def sample(self, logits: Tensor, batch: Batch, seed: Tensor) -> Draw:
        """A soft mask in (0, 1) from logits ``[N]``."""
        return concrete_sample(logits, batch.ptr, seed, fixed=batch.fixed, temperature=self.temperature)


class StraightThroughGumbel(SoftGumbel):
    """The same draw rounded to 0 or 1, with the gradient of the soft mask: (hard − soft).detach() + soft."""

    def sample(self, logits: Tensor, batch: Batch, seed: Tensor) -> Draw:
        """A hard mask in {0, 1} from logits ``[N]``."""
        return straight_through_sample(logits, batch.ptr, seed, fixed=batch.fixed, temperature=self.temperature)


class HardKuma(Selector):
    """The HardKuma gate: a mask that is exactly 0 or exactly 1 with positive probability, and differentiable in between.

    Two positive numbers a, b describe a unit. In evaluation its mask is 0, 1 or the mean of the Kumaraswamy distribution,
    b · B(1 + 1/a, b), whichever of P(0), P(1) and P(in between) is largest. Share and transitions are expectations, in
    evaluation as in training. The score is the logit of P(m ≠ 0).

    Source: Interpretable Neural Predictions with Differentiable Binary Variables (Bastings, Aziz, Titov, 2019,
    https://arxiv.org/abs/1905.08160).

    Args:
        width: size D of a state.
        dropout: on the states.
    """

    soft = "where a value in between is likelier than 0 and than 1, a unit is weighted by the mean"

    def __init__(self, *, width: int, dropout: float = 0.0) -> None:
        super().__init__(width=width, dropout=dropout, parameters=2)

    def forward(self, h: Tensor, batch: Batch) -> Selected:
        """Drawn masks in training, the likeliest kind in evaluation; share and transitions are expected."""
        a, b = nn.functional.softplus(self.score(self.dropout(h))).clamp(1e-6, 100).unbind(1)  # [N] each
        # In single precision P(m ≠ 0) rounds to one from a = 7 on, and its logit and gradient would not be finite.
        log_shown = _log_above(a.double(), b.double(), at=-LOW / (HIGH - LOW))  # of P(m ≠ 0)
        scores = (log_shown - torch.log(-torch.expm1(log_shown))).to(a.dtype).masked_fill(batch.fixed, -torch.inf)
        # What is expected does not depend on the seed.
        seed = torch.randint(2**62, ()) if self.training else torch.tensor(0)
        mask, share, transitions = hardkuma_sample(a, b, batch.ptr, seed, fixed=batch.fixed)
        if not self.training:
            mask = _likeliest(a, b).to(mask.dtype).masked_fill(batch.fixed, 0.0)
        return Selected(Rationale(scores, mask, batch.ptr), share, transitions)


def _log_above(a: Tensor, b: Tensor, *, at: float) -> Tensor:
    """Log P(k > ``at``) of the Kumaraswamy distribution, b · log(1 − at^a)."""
    return b * torch.log1p(-(a * math.log(at)).exp())


@torch.no_grad()
def _likeliest(a: Tensor, b: Tensor) -> Tensor:
    """0, 1 or the mean of the Kumaraswamy distribution, whichever of the three kinds of values is most probable."""
    a, b = a.double(), b.double()
    shown, one = (_log_above(a, b, at=at).exp() for at in (-LOW / (HIGH - LOW), (1 - LOW) / (HIGH - LOW)))
    zero, between = 1 - shown, shown - one
    mean = b * (torch.lgamma(1 + 1 / a) + torch.lgamma(b) - torch.lgamma(1 + 1 / a + b)).exp()
    return torch.where((between > zero) & (between > one), mean, (one >= zero).double())
