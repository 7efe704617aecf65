"""What an attribution is: a score for every unit from what it does to a prediction, and from the scores a rationale."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
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
            ValueError: the model is in training mode, or cannot be explained this way.
        """
        if model.training:
            raise ValueError("attributions are computed in evaluation mode; call model.eval() first")
        n = batch.position.shape[0]
        # Nothing can be explained of no unit, and captum takes no empty input.
        scores = self.scores(model, batch, explained(model, batch)).detach() if n else torch.zeros(0, device=batch.ptr.device)
        if scores.shape != (n,):
            raise ValueError(f"{type(self).__name__} must score each of {n} units, got {tuple(scores.shape)}")
        scores = scores.to(torch.get_default_dtype()).masked_fill(batch.fixed, -torch.inf)
        ranked = Rationale(scores=scores, mask=torch.zeros_like(scores), ptr=batch.ptr)
        k = (self.share * ranked.selectable_size()).round().clamp(min=1).long()
        return ranked.topk(torch.minimum(k, lengths(batch.ptr)))

    @abstractmethod
    def scores(self, model: Rationalizer, batch: Batch, target: Tensor) -> Tensor:
        """The score of each unit ``[N]``, larger is more important; those of fixed units are not read.

        Args:
            model: in evaluation mode.
            batch: with N units, at least one.
            target: the column of the logits that is explained, of each example ``[B]``.
        """


@torch.no_grad()
def explained(model: Rationalizer, batch: Batch) -> Tensor:
    """The column of the logits of the whole input that is explained, ``[B]``: the most probable class, else the first target."""
    if not isinstance(model.task, Classification):
        return torch.zeros_like(batch.index)
    return model.logits(batch, everything(batch)).argmax(-1)


def everything(batch: Batch) -> Tensor:
    """A mask that leaves all units visible, ``[N]``."""
    return torch.ones(batch.position.shape[0], device=batch.ptr.device)
