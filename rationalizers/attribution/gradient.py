"""Attribution by gradients, computed by captum (https://captum.ai).

All explain f, the logit of what the model predicts, by the embeddings e of the units; a unit has the sum over the D entries of
its embedding, but for the norm in `Saliency`. The baseline, where there is one, has zero embeddings in place of everything that
can be selected (absence ``zero``), and fixed units as they are. Captum gets packed ``[N, D]``, without padding: examples do not
see each other, so that the sum of the outputs ``[B]``, which it differentiates, has the gradients of each.
"""

from __future__ import annotations

import torch
from captum import attr
from torch import Tensor

from rationalizers.attribution.base import Attribution, everything
from rationalizers.attribution.embedding import Embedded
from rationalizers.base import Rationalizer
from rationalizers.batch import Batch

# Of each place where a path may begin, what absent means there.
PLACES = {"embedding": "zero", "state": "state"}


class Saliency(Attribution):
    """Deep Inside Convolutional Networks (Simonyan, Vedaldi, Zisserman, 2013, https://arxiv.org/abs/1312.6034), for embeddings.

        a_v = ‖∂f/∂e_v‖₂

    In [0, ∞): how far f can move with a unit, not in which direction. Of a pixel the paper takes the largest entry; this is the
    L2 norm, as in the baselines of Vafa, Deng, Blei, Rush, 2021, https://arxiv.org/abs/2109.06387.

    Args:
        share: as in `Attribution`.
    """

    def scores(self, model: Rationalizer, batch: Batch, target: Tensor) -> Tensor:
        """Norms of captum's gradients."""
        f = Embedded(model, batch, target)
        gradient: Tensor = attr.Saliency(f).attribute(f.inputs, abs=False)  # [N, D]
        norm: Tensor = torch.linalg.vector_norm(gradient, dim=1)
        return norm


class InputXGradient(Attribution):
    """Not Just a Black Box (Shrikumar et al., 2016, https://arxiv.org/abs/1605.01713).

        a_v = Σ_d e_vd · ∂f/∂e_vd

    In (−∞, ∞): what f would lose with the unit if it were linear. Exactly that for a linear f, and then the same as all other
    attributions from zero embeddings.

    Args:
        share: as in `Attribution`.
    """

    def scores(self, model: Rationalizer, batch: Batch, target: Tensor) -> Tensor:
        """Captum's, summed over entries."""
        f = Embedded(model, batch, target)
        found: Tensor = attr.InputXGradient(f).attribute(f.inputs)  # [N, D]
        return found.sum(1)


class IntegratedGradients(Attribution):
    """Axiomatic Attribution for Deep Networks (Sundararajan, Taly, Yan, 2017, https://arxiv.org/abs/1703.01365).

        a_v = ∫₀¹ ∂f(α, …, α)/∂m_v dα

    In (−∞, ∞). The forced mask m, the one door for counterfactuals, weights what stands for a unit: ∂f/∂m_v = Σ_d e_vd ·
    ∂f/∂(m_v e_vd), so that this is the integral over embeddings α·e. Within an example attributions add up to f(1) − f(0), as
    exactly as the steps allow (`completeness_gap`).

    Args:
        share: as in `Attribution`.
        steps: points at which the integral is evaluated (Gauss-Legendre).
        at: ``embedding`` weights m·e (absence ``zero``), ``state`` the encoder's states m·h (absence ``state``), which have seen
            their neighbours: what a state says is then its unit's, whichever unit it was read from.

    Raises:
        ValueError: a share outside (0, 1], fewer than one step, or another place.
    """

    def __init__(self, *, share: float, steps: int = 32, at: str = "embedding") -> None:
        super().__init__(share=share)
        if steps < 1:
            raise ValueError(f"'steps' must be at least 1, got {steps}")
        if at not in PLACES:
            raise ValueError(f"'at' must be one of {', '.join(PLACES)}; got {at!r}")
        self.steps, self.at = steps, at

    def scores(self, model: Rationalizer, batch: Batch, target: Tensor) -> Tensor:
        """Captum's, one step at a time: several at once would need as many outputs as units."""

        def forward(mask: Tensor) -> Tensor:
            return model.logits(batch, mask, absence=PLACES[self.at]).gather(1, target[:, None])[:, 0]

        mask = everything(batch)
        found: Tensor = attr.IntegratedGradients(forward).attribute(
            mask, baselines=torch.zeros_like(mask), n_steps=self.steps, internal_batch_size=mask.shape[0]
        )
        return found
