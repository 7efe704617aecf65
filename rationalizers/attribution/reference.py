"""What attributions are compared with, at the same size: a model's own scores, and chance."""

from __future__ import annotations

import torch
from torch import Tensor

from rationalizers.attribution.base import Attribution
from rationalizers.base import Rationalizer
from rationalizers.batch import Batch
from rationalizers.levels import group
from rationalizers.metrics.floors import uniform_hash
from rationalizers.rationale import Rationale
from rationalizers.segment import owners


class OwnScores(Attribution):
    """The model's own rationale, cut at another share, so that methods are compared at one size whatever size they chose.

    What the method selects as a whole, words or sentences, is still selected as a whole, and the share is one of those. Ties go
    in order of position; soft masks become hard.

    Args:
        share: as in `Attribution`.

    Raises:
        ValueError: a share outside (0, 1]; at a call, a method that selects everything, all alike, as `full` and `erm` do.
    """

    @torch.no_grad()
    def __call__(self, model: Rationalizer, batch: Batch) -> Rationale:
        """The best of each example, by the scores of the method itself."""
        rationale = self.own(model, batch)
        groups = group(batch, rationale.level)
        ranked = groups.gather(rationale)
        k = (self.share * ranked.selectable_size()).round().clamp(min=1).long()
        return groups.spread(ranked.topk(k), batch)

    @torch.no_grad()
    def scores(self, model: Rationalizer, batch: Batch, target: Tensor) -> Tensor:
        """Those before thresholding; ``target`` plays no part."""
        return self.own(model, batch).scores

    def own(self, model: Rationalizer, batch: Batch) -> Rationale:
        """What the model points at by itself.

        Raises:
            ValueError: the model is in training mode, or selects everything, all alike.
        """
        if model.training:
            raise ValueError("attributions are computed in evaluation mode; call model.eval() first")
        rationale: Rationale = model(batch).rationale
        free = rationale.selectable
        if free.any() and rationale.selected[free].all() and not rationale.scores[free].any():
            raise ValueError(
                f"{type(model).__name__} selects everything, all alike, and has no scores of its own; ask for another attribution"
            )
        return rationale


class RandomScores(Attribution):
    """Uniform scores that know nothing about the example, the same for every model: the floor of a comparison.

    They are a hash of the example's row in its split and the unit's position, as in `rationalizers.metrics.floors`, so that they
    do not depend on the batch.

    Args:
        share: as in `Attribution`.
    """

    def scores(self, model: Rationalizer, batch: Batch, target: Tensor) -> Tensor:
        """Numbers in [0, 1); neither ``model`` nor ``target`` plays a part."""
        return uniform_hash(batch.index[owners(batch.ptr, batch.position.shape[0])], batch.position)
