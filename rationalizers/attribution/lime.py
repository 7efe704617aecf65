"""Attribution by a linear model that is fitted to perturbed predictions, computed by captum (https://captum.ai)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from captum import attr
from captum.attr._core.lime import get_exp_kernel_similarity_function
from torch import Tensor

from rationalizers.attribution.perturbation import Perturbation, check_draws, draws
from rationalizers.base import Rationalizer
from rationalizers.batch import Batch
from rationalizers.segment import segment_sum


class Lime(Perturbation):
    """“Why Should I Trust You?” (Ribeiro, Singh, Guestrin, 2016, https://arxiv.org/abs/1602.04938).

        min_a,c  Σ_z exp(−d(1, z)² / 2σ²) · (f(z) − c − a·z)² + λ ‖a‖²,   z ∈ {0, 1}ⁿ with each unit at even odds

    with d the cosine distance. In (−∞, ∞): the coefficients of a linear model that behaves like f when half of the units are
    absent. σ and λ are those of the authors' code (https://github.com/marcotcr/lime, whose σ = 25 is for distances times 100),
    which has more samples and leaves out a number of words that is drawn first; captum's own default fits the lasso.

    Args:
        share: as in `Attribution`.
        samples: perturbed copies of each example; fewer than units leave the coefficients to λ.
        seed: of the copies; drawn by example as in `ShapleySampling`.
        kernel_width: σ, in (0, ∞).
        ridge: λ, in (0, ∞).
        absence: as in `Perturbation`.
        units: as in `Perturbation`.

    Raises:
        ValueError: as `Perturbation`, fewer than one sample, a negative seed, or a width or ridge that is not positive.
    """

    def __init__(
        self,
        *,
        share: float,
        samples: int = 500,
        seed: int = 0,
        kernel_width: float = 0.25,
        ridge: float = 1.0,
        absence: str = "zero",
        units: int = 16_384,
    ) -> None:
        super().__init__(share=share, absence=absence, units=units)
        check_draws(samples, seed)
        for name, value in (("kernel_width", kernel_width), ("ridge", ridge)):
            if not value > 0:
                raise ValueError(f"'{name}' must be positive, got {value}")
        self.samples, self.seed, self.kernel_width, self.ridge = samples, seed, kernel_width, ridge

    def scores(self, model: Rationalizer, batch: Batch, target: Tensor) -> Tensor:
        """Captum's coefficients, one example at a time as it demands, ``[N]``; zero for fixed units."""
        found = torch.zeros(batch.fixed.shape, device=batch.ptr.device)
        always = segment_sum(batch.fixed.long(), batch.ptr)  # [B]
        for example, (draw, free) in enumerate(draws(batch, seed=self.seed)):
            if free.numel() == 0:
                continue
            units = free.to(batch.ptr.device)
            masks = torch.from_numpy(draw.integers(2, size=(self.samples, units.numel()))).to(units)

            def forward(mask: Tensor, example: int = example, units: Tensor = units) -> Tensor:
                there = torch.ones(mask.shape[0], batch.fixed.shape[0], dtype=torch.bool, device=mask.device)
                there[:, units] = mask > 0.5
                return self.outcomes(
                    model,
                    batch,
                    target,
                    rows=torch.full((mask.shape[0],), example, device=mask.device),
                    size=(mask > 0.5).sum(1) + always[example],
                    shown=lambda copy, unit: there[copy, unit],
                )

            found[units] = self._coefficients(forward, masks).to(found)
        return found

    def _coefficients(self, forward: Callable[[Tensor], Tensor], masks: Tensor) -> Tensor:
        """Of the linear model that is fitted to the outcomes of some masks ``[S, n]``, ``[n]``."""

        def perturbed(*_: Tensor, **__: object) -> Iterator[Tensor]:
            yield from masks[:, None]

        explainer = attr.Lime(
            forward,
            interpretable_model=Ridge(self.ridge),
            similarity_func=get_exp_kernel_similarity_function("cosine", self.kernel_width),
            perturb_func=perturbed,
        )
        whole = torch.ones(1, masks.shape[1], device=masks.device)
        count = masks.shape[0]
        # All samples in one call; what a pass may read is seen to below.
        coefficients: Tensor = explainer.attribute(whole, n_samples=count, perturbations_per_eval=count, return_input_shape=False)
        return coefficients


class Ridge:
    """Weighted least squares with a penalty on the squared coefficients, but for the intercept, as captum asks of a model.

    Captum's own is scikit-learn's, which is optional here.

    Args:
        penalty: λ.
    """

    coefficients: Tensor

    def __init__(self, penalty: float) -> None:
        self.penalty = penalty

    def fit(self, samples: Iterable[tuple[Tensor, Tensor, Tensor]]) -> None:
        """Fit inputs ``[S, n]`` to outputs ``[S]`` with weights ``[S]``; captum gives all at once."""
        x, y, weight = (torch.cat(parts).double() for parts in zip(*samples, strict=True))
        share = weight / weight.sum()
        x, y = x - share @ x, y - share @ y
        weighted = x.T * weight
        self.coefficients = torch.linalg.solve(weighted @ x + self.penalty * torch.eye(x.shape[1]).to(x), weighted @ y)

    def representation(self) -> Tensor:
        """The coefficients ``[n]``, without the intercept."""
        return self.coefficients
