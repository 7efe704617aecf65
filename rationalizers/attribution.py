"""Attribution: rationales of a model that was not made to give any, by captum (https://captum.ai).

Every attribution goes through the forced mask, the one door for counterfactuals: units are weighted by m in [0, 1] under absence
``zero`` (m · e), so m = 1 is the input and m = 0 a baseline of zero embeddings. The attribution to a mask entry is the sum of the
attributions to its embedding: ∂f/∂m_v = Σ_d e_vd · ∂f/∂(m_v e_vd).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from torch import Tensor

from rationalizers.base import Rationalizer
from rationalizers.batch import Batch
from rationalizers.rationale import Rationale
from rationalizers.segment import lengths
from rationalizers.task import Classification


class Attribution(ABC):
    """Scores every unit by what it does to a model's prediction, and selects the best.

    Args:
        share: of the selectable units of each example, in (0, 1]; k = max(1, round(share · n)) are selected.

    Raises:
        ValueError: a share outside these.
    """

    def __init__(self, *, share: float) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"'share' must be in (0, 1], got {share}")
        self.share = share

    def __call__(self, model: Rationalizer, batch: Batch) -> Rationale:
        """The rationale of each example for what the model predicts.

        Explained is the logit of the most probable class; of the first target where there are yes-or-no questions or numbers.

        Raises:
            ValueError: the model is in training mode.
        """
        if model.training:
            raise ValueError("attributions are computed in evaluation mode; call model.eval() first")
        ones = torch.ones(batch.position.shape[0], device=batch.ptr.device)
        with torch.no_grad():
            logits = model.logits(batch, ones, absence="zero")
        first = torch.zeros_like(batch.index)
        target = logits.argmax(-1) if isinstance(model.task, Classification) else first  # [B]

        def forward(mask: Tensor) -> Tensor:
            return model.logits(batch, mask, absence="zero").gather(1, target[:, None])[:, 0]

        # captum takes no empty input.
        scores = self.attribute(forward, ones).detach() if ones.numel() else ones
        scores = scores.to(ones.dtype).masked_fill(batch.fixed, -torch.inf)
        ranked = Rationale(scores=scores, mask=torch.zeros_like(scores), ptr=batch.ptr)
        k = (self.share * ranked.selectable_size()).round().clamp(min=1).long()
        return ranked.topk(torch.minimum(k, lengths(batch.ptr)))

    @abstractmethod
    def attribute(self, forward: Callable[[Tensor], Tensor], mask: Tensor) -> Tensor:
        """The score of each entry of a mask of ones ``[N]``, from a function of the mask to a number for each example ``[B]``."""


class IntegratedGradients(Attribution):
    """Axiomatic Attribution for Deep Networks (Sundararajan, Taly, Yan, 2017, https://arxiv.org/abs/1703.01365).

        a_v = ∫₀¹ ∂f(α, …, α)/∂m_v dα

    Within an example attributions add up to f(1) − f(0), as exactly as the steps allow.

    Args:
        share: as in `Attribution`.
        steps: points at which the integral is evaluated (Gauss-Legendre).

    Raises:
        ValueError: a share outside (0, 1], or fewer than one step.
    """

    def __init__(self, *, share: float, steps: int = 32) -> None:
        super().__init__(share=share)
        if steps < 1:
            raise ValueError(f"'steps' must be at least 1, got {steps}")
        self.steps = steps

    def attribute(self, forward: Callable[[Tensor], Tensor], mask: Tensor) -> Tensor:
        """Captum's, one step at a time: several at once would need as many outputs as units."""
        found: Tensor = CaptumIntegratedGradients(forward).attribute(
            mask, baselines=torch.zeros_like(mask), n_steps=self.steps, internal_batch_size=mask.shape[0]
        )
        return found
