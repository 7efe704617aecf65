"""All numbers of a split: task, also on the whole input, selection, plausibility, and the floors beside the latter."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection

from rationalizers.batch import Batch
from rationalizers.levels import Groups, group
from rationalizers.metrics.floors import FLOORS, floors
from rationalizers.metrics.plausibility import RationaleMetric, SpanF1, TokenAUPRC, TokenF1
from rationalizers.metrics.prediction import prediction_metric
from rationalizers.metrics.ranking import EdgeRanking, Ranking
from rationalizers.metrics.selection import Selection
from rationalizers.processes import anywhere
from rationalizers.rationale import Rationale
from rationalizers.task import Task

VIEWS = {"whole": "on the whole input", "alone": "from the rationale alone"}


class Scores(nn.Module):
    """Collects the metrics of a split over its batches; `compute` is of the batches of all processes.

    Args:
        task: what the logits mean.
        floors: also score the selections of `rationalizers.metrics.floors` by every plausibility metric.
        unit: what the units are, ``token`` or ``node``; nodes are also ranked, and their edges.
        soft: masks are not 0 or 1 in evaluation.
        whole: also score predictions on the whole input, by the metrics of the task.
        alone: also score predictions from the rationale alone, of a model whose deployed ones are made from more.
    """

    def __init__(
        self,
        task: Task,
        *,
        floors: bool = False,
        unit: str = "token",
        soft: bool = False,
        whole: bool = False,
        alone: bool = False,
    ) -> None:
        super().__init__()
        self.task = task
        self.loss = MeanMetric()
        self.prediction = prediction_metric(task)
        self.whole = prediction_metric(task) if whole else None
        self.alone = prediction_metric(task) if alone else None
        self.selection = Selection(soft=soft)
        self.plausibility = nn.ModuleDict(
            {name: nn.ModuleList(_metrics(unit)) for name in ("model", *(FLOORS if floors else ()))}
        )
        self.sentences = nn.ModuleDict({name: TokenF1(prefix="sentence") for name in self.plausibility})

    def update(
        self,
        logits: Tensor,
        rationale: Rationale,
        batch: Batch,
        *,
        whole: Tensor | None = None,
        alone: Tensor | None = None,
    ) -> None:
        """Add a batch with targets; plausibility only counts where the batch carries evidence.

        Counted are words, or the units themselves where single units were selected; and sentences where those were.

        Args:
            logits: the deployed prediction ``[B, C]``.
            rationale: what it was predicted from.
            batch: the examples.
            whole: what is predicted on the whole input ``[B, C]``, already as `Task.predict` has it: probabilities or values.
            alone: the same from the rationale alone.

        Raises:
            ValueError: ``whole`` or ``alone`` is missing where it is collected, given where it is not, or not of the shape of the
                logits.
        """
        for (name, metric), values in zip(self._views(), (whole, alone), strict=True):
            if metric is None and values is not None:
                raise ValueError(f"{name!r} is not collected here and must be None; make Scores with {name}=True to score it")
            if metric is not None and (values is None or values.shape != logits.shape):
                got = "None" if values is None else str(tuple(values.shape))
                raise ValueError(
                    f"{name!r} must be predictions {VIEWS[name]}, [B, C] like the logits {tuple(logits.shape)}, got {got}; "
                    f"make Scores with {name}=False to do without"
                )
        for (_, metric), values in zip(self._views(), (whole, alone), strict=True):
            if metric is not None:
                metric.update(values, batch.y)
        loss, known = self.task.entries(logits, batch.y)
        self.loss.update(loss, weight=known.to(loss.dtype))
        self.prediction.update(self.task.predict(logits), batch.y)
        words = None if rationale.level == "unit" else group(batch, "word")
        self._count(self.selection, rationale, batch, words)
        if "evidence" not in batch.fields:
            return
        selections = {"model": rationale}
        if len(self.plausibility) > 1:
            selections.update(floors(rationale, batch))
        for name, selection in selections.items():
            for metric in self._plausibility(name):
                if all(getattr(batch, need, None) is not None for need in metric.needs if need != "evidence"):
                    self._count(metric, selection, batch, words)
        if rationale.level == "sentence":
            sentences = group(batch, "sentence")
            for name, selection in selections.items():
                self._sentences(name).update(sentences.gather(selection), sentences.batch)

    def compute(self) -> dict[str, float]:
        """Every number by name; metrics that never saw a batch, in any process, are absent.

        Those on the whole input are ``whole_input/<metric>``, those from the rationale alone ``rationale_input/<metric>``, floors
        ``floor/<which>/<metric>``.
        """
        told = [metric for name in self.plausibility for metric in (*self._plausibility(name), self._sentences(name))]
        seen, *called = anywhere([each.update_called for each in (self.loss, *told)], device=self.loss.device)
        if not seen:
            return {}
        with warnings.catch_warnings():
            # A process may have had no example of what others count.
            warnings.filterwarnings(
                "ignore", message=r"The ``compute`` method of metric \w+ was called before", category=UserWarning
            )
            return self._numbers(called)

    def _numbers(self, called: Iterable[bool]) -> dict[str, float]:
        """Every number, and of the metrics of plausibility those of which it is said that they were called."""
        called = iter(called)
        numbers: dict[str, Tensor] = {"loss": self.loss.compute()}
        numbers |= self.prediction.compute()
        for prefix, (_, metric) in zip(("whole_input", "rationale_input"), self._views(), strict=True):
            if metric is not None:
                numbers |= {f"{prefix}/{name}": value for name, value in metric.compute().items()}
        numbers |= self.selection.compute()
        for name in self.plausibility:
            found: dict[str, Tensor] = {}
            for metric in (*self._plausibility(name), self._sentences(name)):
                if next(called):
                    found |= metric.compute()
            if name != "model":
                found.pop("examples_without_evidence", None)
                found = {f"floor/{name}/{key}": value for key, value in found.items()}
            numbers |= found
        return {name: float(value) for name, value in numbers.items()}

    def reset(self) -> None:
        """Start over."""
        views = [metric for _, metric in self._views() if metric is not None]
        for metric in (self.loss, self.selection, self.prediction, *views):
            metric.reset()
        for name in self.plausibility:
            for metric in (*self._plausibility(name), self._sentences(name)):
                metric.reset()

    def _views(self) -> tuple[tuple[str, Metric | MetricCollection | None], ...]:
        """Predictions other than the deployed ones, by name."""
        return ("whole", self.whole), ("alone", self.alone)

    @staticmethod
    def _count(metric: RationaleMetric, rationale: Rationale, batch: Batch, words: Groups | None) -> None:
        """Update with units, or with the words that they are pieces of."""
        if words is None:
            metric.update(rationale, batch)
        else:
            metric.update(words.gather(rationale), words.batch)

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


def _metrics(unit: str) -> list[RationaleMetric]:
    """What agreement with evidence is measured by."""
    if unit == "node":
        return [TokenF1(prefix=unit), TokenAUPRC(), Ranking(prefix=unit), EdgeRanking()]
    return [TokenF1(prefix=unit), SpanF1(), TokenAUPRC()]
