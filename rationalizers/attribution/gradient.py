"""Attribution by gradients, computed by captum (https://captum.ai).

Every attribution here goes through the forced mask, the one door for counterfactuals: units are weighted by m in [0, 1] under
absence ``zero`` (m · e), so m = 1 is the input and m = 0 a baseline of zero embeddings. The attribution to a mask entry is the
sum of the attributions to its embedding: ∂f/∂m_v = Σ_d e_vd · ∂f/∂(m_v e_vd).
"""

from __future__ import annotations

import torch
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from torch import Tensor

from rationalizers.attribution.base import Attribution, everything
from rationalizers.base import Rationalizer
from rationalizers.batch import Batch


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

    def scores(self, model: Rationalizer, batch: Batch, target: Tensor) -> Tensor:
        """Captum's, one step at a time: several at once would need as many outputs as units."""

        def forward(mask: Tensor) -> Tensor:
            return model.logits(batch, mask, absence="zero").gather(1, target[:, None])[:, 0]

        mask = everything(batch)
        found: Tensor = CaptumIntegratedGradients(forward).attribute(
            mask, baselines=torch.zeros_like(mask), n_steps=self.steps, internal_batch_size=mask.shape[0]
        )
        return found
