"""How well the targets of a task are predicted: classes, yes-or-no questions, numbers."""

from __future__ import annotations

from functools import singledispatch

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score
from torchmetrics.functional.classification import binary_auroc
from torchmetrics.utilities.data import dim_zero_cat

from rationalizers.task import BinaryTasks, Classification, Regression, Task


@singledispatch
def prediction_metric(task: Task) -> Metric | MetricCollection:
    """The metric of a kind of task: ``update(predictions [B, C], y)``, where `Task.predict` gives the first; names to numbers.

    A new kind of task registers its own: ``@prediction_metric.register``.

    Raises:
        TypeError: nothing is registered for this kind of task.
    """
    raise TypeError(f"no metric is registered for {type(task).__name__}; see rationalizers.metrics.prediction")


@prediction_metric.register
def _(task: Classification) -> MetricCollection:
    metrics = {
        "accuracy": MulticlassAccuracy(num_classes=task.outputs, average="micro"),
        "macro_f1": MulticlassF1Score(num_classes=task.outputs, average="macro"),
    }
    return MetricCollection(metrics, compute_groups=False)  # type: ignore[arg-type]


@prediction_metric.register
def _(task: BinaryTasks) -> Metric:
    return TaskROC(task.outputs)


@prediction_metric.register
def _(task: Regression) -> Metric:
    return RegressionScores(task.outputs)


class TaskROC(Metric):
    """Area under the ROC curve and accuracy at ½, means over the targets of which both values occur, as OGB averages them.

    Args:
        targets: T.
    """

    full_state_update = False
    hits: Tensor
    positive: Tensor
    known: Tensor
    predictions: list[Tensor]
    truth: list[Tensor]

    def __init__(self, targets: int) -> None:
        super().__init__()
        self.targets = targets
        # Flat and floating, as a process that has no example fills in what it lacks.
        for name in ("predictions", "truth"):
            self.add_state(name, [], dist_reduce_fx="cat")
        for name in ("hits", "positive", "known"):
            self.add_state(name, torch.zeros(targets, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, y: Tensor) -> None:
        """Add probabilities ``[B, T]`` and ``y [B, T]``, NaN where unknown."""
        labelled = ~y.isnan()
        yes = labelled & (y > 0.5)
        self.known = self.known + labelled.sum(0)
        self.positive = self.positive + yes.sum(0)
        self.hits = self.hits + (((predictions > 0.5) == yes) & labelled).sum(0)
        self.predictions.append(predictions.flatten().float())
        self.truth.append(y.flatten().float())

    def compute(self) -> dict[str, Tensor]:
        """``roc_auc`` and ``accuracy``; NaN where no target has both values."""
        scored = ((self.positive > 0) & (self.positive < self.known)).tolist()
        columns = (dim_zero_cat(state).view(-1, self.targets).unbind(1) for state in (self.predictions, self.truth))
        areas = [
            binary_auroc(predictions[~truth.isnan()], (truth[~truth.isnan()] > 0.5).long()).double()
            for predictions, truth, counts in zip(*columns, scored, strict=True)
            if counts
        ]
        accuracies = [hits for hits, counts in zip(self.hits / self.known.clamp(min=1), scored, strict=True) if counts]
        nothing = self.hits.new_tensor(torch.nan)
        return {
            "roc_auc": torch.stack(areas).mean() if areas else nothing,
            "accuracy": torch.stack(accuracies).mean() if accuracies else nothing,
        }


class RegressionScores(Metric):
    """R² = 1 − Σ(y − ŷ)² / Σ(y − ȳ)², root of the mean squared error, and mean absolute error; means over targets.

    Args:
        targets: T.
    """

    full_state_update = False
    count: Tensor
    total: Tensor
    squares: Tensor
    residual: Tensor
    absolute: Tensor

    def __init__(self, targets: int) -> None:
        super().__init__()
        for name in ("count", "total", "squares", "residual", "absolute"):
            self.add_state(name, torch.zeros(targets, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, y: Tensor) -> None:
        """Add values ``[B, T]`` and ``y [B, T]`` in the same units, NaN where unknown."""
        labelled = ~y.isnan()
        truth = torch.where(labelled, y, torch.zeros_like(y)).double()
        error = torch.where(labelled, predictions.double() - truth, torch.zeros_like(truth))
        self.count = self.count + labelled.sum(0)
        self.total = self.total + truth.sum(0)
        self.squares = self.squares + truth.square().sum(0)
        self.residual = self.residual + error.square().sum(0)
        self.absolute = self.absolute + error.abs().sum(0)

    def compute(self) -> dict[str, Tensor]:
        """``r2`` (NaN where a target does not vary), ``rmse`` and ``mae``."""
        spread = self.squares - self.total.square() / self.count.clamp(min=1)
        r2 = torch.where(spread > 0, 1 - self.residual / spread, torch.full_like(spread, torch.nan))
        mean = 1 / self.count.clamp(min=1)
        return {"r2": r2.mean(), "rmse": (self.residual * mean).sqrt().mean(), "mae": (self.absolute * mean).mean()}
