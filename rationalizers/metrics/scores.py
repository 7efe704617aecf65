"""All numbers of a split: task, selection, plausibility, and the floors beside each plausibility number."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from rationalizers.batch import Batch
from rationalizers.levels import group
from rationalizers.metrics.floors import FLOORS, floors
from rationalizers.metrics.plausibility import RationaleMetric, SpanF1, TokenAUPRC, TokenF1
from rationalizers.metrics.selection import Selection
from rationalizers.rationale import Rationale
from rationalizers.task import Task


class Scores(nn.Module):
    """Collects the metrics of a split over its batches; synchronises across processes like any torchmetrics metric.

    Args:
        task: what the logits mean.
        floors: also score the selections of `rationalizers.metrics.floors` by every plausibility metric.
    """

    def __init__(self, task: Task, *, floors: bool = False) -> None:
        super().__init__()
        self.task = task
        self.loss = MeanMetric()
        self.prediction = nn.ModuleDict(
            {
                "accuracy": MulticlassAccuracy(num_classes=task.outputs, average="micro"),
                "macro_f1": MulticlassF1Score(num_classes=task.outputs, average="macro"),
            }
        )
        self.selection = Selection()
        self.plausibility = nn.ModuleDict(
            {name: nn.ModuleList([TokenF1(), SpanF1(), TokenAUPRC()]) for name in ("model", *(FLOORS if floors else ()))}
        )
        self.sentences = nn.ModuleDict({name: TokenF1(prefix="sentence") for name in self.plausibility})

    def update(self, logits: Tensor, rationale: Rationale, batch: Batch) -> None:
        """Add a batch with targets; plausibility only counts where the batch carries evidence.

        Counted are words, or the units themselves where single units were selected; and sentences where those were.
        """
        self.loss.update(self.task.loss(logits, batch.y))
        for _, metric in self._prediction():
            metric.update(logits, batch.y)
        words = group(batch, "unit" if rationale.level == "unit" else "word")
        self.selection.update(words.gather(rationale), words.batch)
        if "evidence" not in batch.fields:
            return
        selections = {"model": rationale}
        if len(self.plausibility) > 1:
            selections.update(floors(rationale, batch))
        for name, selection in selections.items():
            counted = words.gather(selection)
            for metric in self._plausibility(name):
                if "spans" not in metric.needs or batch.spans is not None:
                    metric.update(counted, words.batch)
        if rationale.level == "sentence":
            sentences = group(batch, "sentence")
            for name, selection in selections.items():
                self._sentences(name).update(sentences.gather(selection), sentences.batch)

    def compute(self) -> dict[str, float]:
        """Every number by name; floors are ``floor/<which>/<metric>``. Metrics that never saw a batch are absent."""
        if not self.loss.update_called:
            return {}
        numbers: dict[str, Tensor] = {"loss": self.loss.compute()}
        numbers |= {name: metric.compute() for name, metric in self._prediction()}
        numbers |= self.selection.compute()
        for name in self.plausibility:
            found: dict[str, Tensor] = {}
            for metric in (*self._plausibility(name), self._sentences(name)):
                if metric.update_called:
                    found |= metric.compute()
            if name != "model":
                found.pop("examples_without_evidence", None)
                found = {f"floor/{name}/{key}": value for key, value in found.items()}
            numbers |= found
        return {name: float(value) for name, value in numbers.items()}

    def reset(self) -> None:
        """Start over."""
        for metric in (self.loss, self.selection, *(metric for _, metric in self._prediction())):
            metric.reset()
        for name in self.plausibility:
            for metric in (*self._plausibility(name), self._sentences(name)):
                metric.reset()

    def _prediction(self) -> Iterable[tuple[str, Metric]]:
        for name, metric in self.prediction.items():
            assert isinstance(metric, Metric)
            yield name, metric

    def _plausibility(self, name: str) -> Iterable[RationaleMetric]:
        metrics = self.plausibility[name]
        assert isinstance(metrics, nn.ModuleList)
        for metric in metrics:
            assert isinstance(metric, RationaleMetric)
            yield metric

    def _sentences(self, name: str) -> RationaleMetric:
        metric = self.sentences[name]
        assert isinstance(metric, RationaleMetric)
        return metric
