"""What a predictor predicts: the kind of target, its names, its loss, and what its numbers mean to a reader."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

TRANSFORMS = ("none", "log10")


class Task(ABC):
    """A target and how it is learnt and read; `rationalizers.metrics.prediction` says how it is scored.

    Attributes:
        criterion: name of the loss of one entry, for what computes it by itself (`rationalizers.kernels.swap_grid`).
        names: of the columns of a prediction.
    """

    criterion: ClassVar[str]
    names: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """Numbers that a predictor returns for an example, C."""
        return len(self.names)

    def targets(self, y: Tensor) -> Tensor:
        """What the loss compares with: ``y`` on the scale of the logits."""
        return y

    @abstractmethod
    def entries(self, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each example and target, and which of them are labelled: ``[B, C], [B, …] → [B, T], [B, T]`` bool.

        Where nothing is labelled the loss is zero.
        """

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Mean over labelled entries, zero without any: ``[B, C], [B, …] →`` scalar.

        With one target this is the mean over examples; with several, entries of all examples are pooled, as OGB does.
        """
        loss, labelled = self.entries(logits, y)
        return loss.sum() / labelled.sum().clamp(min=1)

    @abstractmethod
    def predict(self, logits: Tensor) -> Tensor:
        """Probabilities, or values in the data's units: ``[B, C] → [B, C]``."""


class Classification(Task):
    """Single-label classification: cross-entropy over classes, ``y [B]``.

    Args:
        labels: class names; class index is the position.

    Raises:
        ValueError: fewer than two names, or one twice.
    """

    criterion = "cross_entropy"

    def __init__(self, *, labels: Sequence[str]) -> None:
        if len(labels) < 2 or len(set(labels)) != len(labels):
            raise ValueError(f"'labels' must be at least two different names, got {list(labels)}")
        self.labels = self.names = tuple(labels)

    def entries(self, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy ``[B, 1]``; every example is labelled."""
        loss = F.cross_entropy(logits, y, reduction="none")[:, None]
        return loss, torch.ones_like(loss, dtype=torch.bool)

    def predict(self, logits: Tensor) -> Tensor:
        """Softmax over classes."""
        return logits.softmax(-1)


class Columns(Task):
    """A task with targets ``y [B, T]`` in columns of their own, NaN where unknown."""

    def __init__(self, targets: Sequence[str]) -> None:
        if not targets or len(set(targets)) != len(targets):
            raise ValueError(f"'targets' must be different names, at least one; got {list(targets)}")
        self.names = tuple(targets)

    def entries(self, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of every entry ``[B, T]``; entries that are NaN count zero and pass no gradient."""
        if y.shape != logits.shape:
            raise ValueError(f"'y' must be [B, T] like the logits {tuple(logits.shape)}, got {tuple(y.shape)}")
        labelled = ~y.isnan()
        known = torch.where(labelled, self.targets(y), torch.zeros_like(y)).to(logits.dtype)
        loss = self.compare(logits, known)
        return torch.where(labelled, loss, torch.zeros_like(loss)), labelled

    @abstractmethod
    def compare(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of entries that are all known, ``[B, T]``."""


class BinaryTasks(Columns):
    """One or several yes-or-no questions: binary cross-entropy with logits, ``y [B, T]`` 0, 1 or NaN.

    Args:
        targets: a name for each.

    Raises:
        ValueError: no name, or one twice.
    """

    criterion = "binary_cross_entropy"

    def __init__(self, *, targets: Sequence[str]) -> None:
        super().__init__(targets)

    def compare(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy."""
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")

    def predict(self, logits: Tensor) -> Tensor:
        """Probability of yes."""
        return logits.sigmoid()


class Regression(Columns):
    """Numbers: squared error between logits and standardised targets z = (t(y) − mean) / std, ``y [B, T]`` or NaN.

    Args:
        targets: a name for each.
        unit: of all of them, to be shown.
        transform: t, ``none`` or ``log10``.
        mean: of t(y) for each target; zero where not given.
        std: of t(y) for each target; one where not given.

    Raises:
        ValueError: no name or one twice, an unknown transform, or a scale that does not fit the targets.
    """

    criterion = "squared_error"

    def __init__(
        self,
        *,
        targets: Sequence[str],
        unit: str = "",
        transform: str = "none",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__(targets)
        if transform not in TRANSFORMS:
            raise ValueError(f"'transform' must be one of {', '.join(TRANSFORMS)}; got {transform!r}")
        self.unit, self.transform = unit, transform
        self.mean = [0.0] * self.outputs if mean is None else list(mean)
        self.std = [1.0] * self.outputs if std is None else list(std)
        if len(self.mean) != self.outputs or len(self.std) != self.outputs or not all(each > 0 for each in self.std):
            raise ValueError(
                f"'mean' and 'std' must be {self.outputs} numbers, the latter positive; got {self.mean} and {self.std}"
            )

    def targets(self, y: Tensor) -> Tensor:
        """z, computed in double precision."""
        t = y.double().log10() if self.transform == "log10" else y.double()
        return ((t - t.new_tensor(self.mean)) / t.new_tensor(self.std)).to(y.dtype)

    def compare(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Squared error."""
        return (logits - targets).square()

    def predict(self, logits: Tensor) -> Tensor:
        """Values in the data's units: t⁻¹(z · std + mean)."""
        t = logits.double() * logits.new_tensor(self.std).double() + logits.new_tensor(self.mean).double()
        return (torch.exp(t * math.log(10)) if self.transform == "log10" else t).to(logits.dtype)
