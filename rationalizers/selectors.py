"""Selectors: from unit states to a rationale."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from rationalizers.batch import Batch
from rationalizers.rationale import Rationale


class Selector(nn.Module, ABC):
    """Scores every unit and draws a mask; in evaluation a unit is selected when its score is positive.

    Args:
        width: size D of a state.
        dropout: on the states.
    """

    def __init__(self, *, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Linear(width, 1)

    def forward(self, h: Tensor, batch: Batch) -> Rationale:
        """A rationale from states ``[N, D]``; fixed units get score −∞ and mask 0."""
        logits = self.score(self.dropout(h)).squeeze(-1)  # [N]
        mask = self.sample(logits) if self.training else (logits > 0).to(logits.dtype)
        return Rationale(
            scores=logits.masked_fill(batch.fixed, -torch.inf), mask=mask.masked_fill(batch.fixed, 0.0), ptr=batch.ptr
        )

    @abstractmethod
    def sample(self, logits: Tensor) -> Tensor:
        """A training mask in [0, 1] ``[N]`` with gradient to the logits ``[N]``."""


class SoftGumbel(Selector):
    """The binary concrete relaxation, m = σ((s + g) / τ) with logistic noise g.

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

    def sample(self, logits: Tensor) -> Tensor:
        """A soft mask in (0, 1)."""
        u = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)
        return torch.sigmoid((logits + torch.logit(u)) / self.temperature)


class StraightThroughGumbel(SoftGumbel):
    """The same draw rounded to 0 or 1, with the gradient of the soft mask: (hard − soft).detach() + soft."""

    def sample(self, logits: Tensor) -> Tensor:
        """A hard mask in {0, 1}."""
        soft = super().sample(logits)
        return ((soft > 0.5).to(soft.dtype) - soft).detach() + soft
