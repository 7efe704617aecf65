"""Numbers over seeds: means with their spread, and paired differences with their uncertainty.

Seeds are few, so intervals are Student's: in simulations of normal data, bootstrap intervals that promise 95 % cover the mean
in 75 to 84 % of the cases with three to five seeds, t intervals in 93 to 97 %. Examples are many, and are drawn again
(`rationalizers.statistics`); their intervals do not know that another training gives another model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from statistics import fmean, stdev

from rationalizers.extras import require
from rationalizers.report.page import between, number, probability, spread
from rationalizers.report.resampling import gap, interval
from rationalizers.report.result import Result

METRICS = {
    "accuracy": "accuracy",
    "token_f1": "token F1",
    "token_precision": "token precision",
    "token_recall": "token recall",
    "iou_f1@0.5": "IoU F1 at 0.5",
    "selected_share": "selected share",
}
# Beside the first numbers of runs that have it: the prediction of a rationalizer whose mask hides nothing, and, of one that
# deploys a prediction from more than its rationale, that from the rationale alone.
VIEWS = {
    "whole_input/accuracy": "accuracy on whole inputs",
    "rationale_input/accuracy": "accuracy from the rationale alone",
    "rationale_input/roc_auc": "ROC-AUC from the rationale alone",
    "rationale_input/rmse": "RMSE from the rationale alone",
}
# Of runs whose method selects whole sentences.
SENTENCES = {
    "sentence_f1": "sentence F1",
    "sentence_precision": "sentence precision",
    "sentence_recall": "sentence recall",
}
# Of runs on graphs.
GRAPHS = {
    "accuracy": "accuracy",
    "roc_auc": "ROC-AUC",
    "r2": "R²",
    "rmse": "RMSE",
    "node_roc_auc": "node ROC-AUC",
    "node_precision@evidence": "node precision at evidence",
    "node_f1": "node F1",
    "edge_roc_auc": "edge ROC-AUC",
    "selected_share": "selected share",
    "mean_mask": "mean mask",
    "leakage": "leakage",
}
# Of runs that were evaluated (`rationalizers.evaluation`).
EVALUATED = {
    "auprc": "AUPRC",
    "comprehensiveness": "comprehensiveness",
    "sufficiency": "sufficiency",
    "comprehensiveness_aopc": "comprehensiveness AOPC",
    "sufficiency_aopc": "sufficiency AOPC",
    "leakage": "leakage",
    "mask_signal": "mask signal",
}
SELECTIONS = {
    "model": "",
    "random": "random, same size",
    "first": "first, same size",
    "last": "last, same size",
    "all": "select all",
    "oracle": "oracle, same size",
    "majority": "most frequent answer",
}
LEVEL = 0.95
HOLM = "p is not corrected for the number of comparisons; Holm's is, for those of one metric"


@dataclass(frozen=True)
class Row:
    """A method, or one of its floors, over its seeds.

    Args:
        method: name of the group of runs; empty for a floor that is the same for all of them.
        selection: ``model`` or the name of a floor.
        n: how many runs.
        cells: mean and standard deviation (n − 1 in the denominator) of each metric; NaN where there is none.
        intervals: 95 % intervals over examples, of the metrics that have one; floors have none.
    """

    method: str
    selection: str
    n: int
    cells: Mapping[str, tuple[float, float]]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def floor(self) -> bool:
        """Whether it is a floor."""
        return self.selection != "model"

    @property
    def name(self) -> str:
        """What to call it."""
        return SELECTIONS[self.selection] if self.floor else self.method

    def same(self, other: Row) -> bool:
        """Whether all means are equal."""
        return all(
            math.isclose(self.cells[name][0], other.cells[name][0], abs_tol=1e-9)
            or (math.isnan(self.cells[name][0]) and math.isnan(other.cells[name][0]))
            for name in self.cells
        )

    def text(self) -> list[str]:
        """The cells to read; those of floors without their spread."""
        found = []
        for name, (mean, deviation) in self.cells.items():
            ends = f" {between(*self.intervals[name])}" if name in self.intervals else ""
            found.append(spread(mean, math.nan if self.floor else deviation) + ends)
        return found


@dataclass(frozen=True)
class Difference:
    """One method minus another in one metric, paired by seed and, where both were evaluated, by example.

    Args:
        method: the one.
        reference: the other.
        metric: its key.
        n: how many seeds both have.
        difference: mean over seeds.
        low: lower end of the 95 % interval; NaN where the differences have no spread.
        high: upper end likewise.
        p: two-sided p value of the paired t test likewise.
        example_low: lower end of the 95 % interval over examples; NaN where numbers of single examples are not known.
        example_high: upper end likewise.
        example_p: its two-sided p value likewise.
        p_holm: ``p`` corrected for the number of comparisons (`corrected`).
        example_p_holm: ``example_p`` likewise.
    """

    method: str
    reference: str
    metric: str
    n: int
    difference: float
    low: float
    high: float
    p: float
    example_low: float = math.nan
    example_high: float = math.nan
    example_p: float = math.nan
    p_holm: float = math.nan
    example_p_holm: float = math.nan

    @property
    def known(self) -> bool:
        """Whether it has an interval over seeds."""
        return not math.isnan(self.low)

    @property
    def sampled(self) -> bool:
        """Whether it has an interval over examples."""
        return not math.isnan(self.example_low)

    def text(self) -> list[str]:
        """Number of seeds, difference, interval and p value to read."""
        return [str(self.n), number(self.difference, sign=True), between(self.low, self.high, sign=True), probability(self.p)]

    def example_text(self) -> list[str]:
        """Interval over examples and its p value to read."""
        return [between(self.example_low, self.example_high, sign=True), probability(self.example_p)]


def metrics_of(results: Iterable[Result]) -> dict[str, str]:
    """The metrics to show of some runs, with their names.

    `METRICS`, unless all runs are on graphs, `SENTENCES` where any run has one of them, of `GRAPHS` what any run on graphs has,
    of `EVALUATED` what any run has, and after each of them the `VIEWS` of it that any run has.
    """
    runs = [result.test.keys() for result in results]
    on_graphs = [names for names in runs if names & (GRAPHS.keys() - METRICS.keys() - EVALUATED.keys())]
    found = {
        **(METRICS if len(on_graphs) < len(runs) else {}),
        **(SENTENCES if any(SENTENCES.keys() & names for names in runs) else {}),
        **{name: shown for name, shown in GRAPHS.items() if any(name in names for names in on_graphs)},
        **{name: shown for name, shown in EVALUATED.items() if any(name in names for names in runs)},
    }
    seen = [name for name in VIEWS if any(name in names for names in runs)]
    beside = {name: {view: VIEWS[view] for view in seen if view.endswith(f"/{name}")} for name in found}
    return {key: label for name, shown in found.items() for key, label in {name: shown, **beside[name]}.items()}


def rows(groups: Mapping[str, Sequence[Result]], metrics: Iterable[str]) -> list[Row]:
    """For each method a row, followed by one for each floor that its runs have."""
    metrics = list(metrics)
    found = []
    for method, results in groups.items():
        for selection in SELECTIONS:
            prefix = "" if selection == "model" else f"floor/{selection}/"
            values = {metric: values_of(results, prefix + metric) for metric in metrics}
            if not prefix or any(values.values()):
                cells = {name: _summary(each) for name, each in values.items()}
                found.append(Row(method, selection, len(results), cells, {} if prefix else _intervals(results, metrics)))
    return found


def pairs_of(methods: Iterable[str], reference: str | None) -> list[tuple[str, str]]:
    """The pairs to compare, each as the one that is subtracted and the other.

    Args:
        methods: names of the groups of runs.
        reference: every other method minus this one; ``None`` is every pair, the later minus the earlier.
    """
    names = list(methods)
    if reference is None:
        return list(combinations(names, 2))
    return [(reference, method) for method in names if method != reference and reference in names]


def differences(
    groups: Mapping[str, Sequence[Result]], pairs: Iterable[tuple[str, str]], metrics: Iterable[str]
) -> list[Difference]:
    """Paired differences in every metric; pairs without a common seed are left out.

    Args:
        groups: runs by method.
        pairs: of methods, as `pairs_of` gives them.
        metrics: their keys.
    """
    metrics = list(metrics)
    found = []
    for base, method in pairs:
        for metric in metrics:
            left, right = ({run.seed: run for run in groups[name] if _known(run, metric)} for name in (method, base))
            common = sorted(left.keys() & right.keys())
            if common:
                paired = [left[seed].test[metric] - right[seed].test[metric] for seed in common]
                drawn = gap([left[seed] for seed in common], [right[seed] for seed in common], metric)
                over_examples = () if drawn is None else (drawn.low, drawn.high, drawn.p)
                found.append(Difference(method, base, metric, len(paired), fmean(paired), *paired_t(paired), *over_examples))
    return found


def corrected(found: Sequence[Difference]) -> list[Difference]:
    """The same differences with p values corrected for how many of them are of one metric (`holm`)."""
    adjusted = {}
    for metric in {each.metric for each in found}:
        places = [place for place, each in enumerate(found) if each.metric == metric]
        seeds, examples = holm([found[place].p for place in places]), holm([found[place].example_p for place in places])
        for place, p_holm, example_p_holm in zip(places, seeds, examples, strict=True):
            adjusted[place] = replace(found[place], p_holm=p_holm, example_p_holm=example_p_holm)
    return [adjusted[place] for place in range(len(found))]


def pair_columns(found: Sequence[Difference]) -> tuple[list[str], Callable[[Difference], list[str]]]:
    """Headings of differences, and what gives their texts: corrected p values where there are several, examples where known."""
    several = len(found) > len({each.metric for each in found})
    sampled = any(each.sampled for each in found)

    def texts(each: Difference) -> list[str]:
        row = [*each.text(), *([probability(each.p_holm)] if several else [])]
        if sampled:
            row += [*each.example_text(), *([probability(each.example_p_holm)] if several else [])]
        return row

    tests = ["p", *(["p, Holm"] if several else [])]
    head = ["n", "difference", "95 % t interval", *tests, *(["95 % over examples", *tests] if sampled else [])]
    return head, texts


def holm(values: Sequence[float]) -> list[float]:
    """Adjust p values by Holm's step-down method: of m sorted ones, p̃_i = max_{j ≤ i} min(1, (m − j + 1) p_j).

    At any level α, rejecting where p̃ ≤ α makes one false rejection or more with probability α at most, however the tests depend
    on each other (Holm, 1979, A Simple Sequentially Rejective Multiple Test Procedure, https://www.jstor.org/stable/4615733).

    Args:
        values: p values; NaN is no test and stays.
    """
    adjusted, largest = list(values), 0.0
    tests = sorted((p, place) for place, p in enumerate(values) if not math.isnan(p))
    for rank, (p, place) in enumerate(tests):
        largest = max(largest, min(1.0, (len(tests) - rank) * p))
        adjusted[place] = largest
    return adjusted


def paired_t(paired: Sequence[float]) -> tuple[float, float, float]:
    """Ends of the 95 % interval d̄ ± t_{.975, n−1} s_d / √n and two-sided p value of the paired t test.

    NaN for a single difference and for differences that are all equal: without spread there is nothing to measure against.
    """
    stats = require("scipy.stats", extra="report")
    n, mean = len(paired), fmean(paired)
    error = stdev(paired) / math.sqrt(n) if n > 1 else 0.0
    if error <= 1e-12 * max(1.0, abs(mean)):
        return math.nan, math.nan, math.nan
    half = half_width(paired)
    return mean - half, mean + half, float(2 * stats.t.sf(abs(mean) / error, n - 1))


def half_width(values: Sequence[float]) -> float:
    """Half of the 95 % interval of a mean, t_{.975, n−1} s / √n; NaN for less than two values."""
    n = len(values)
    if n < 2:
        return math.nan
    stats = require("scipy.stats", extra="report")
    return float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * stdev(values) / math.sqrt(n)


def values_of(results: Sequence[Result], metric: str) -> list[float]:
    """A test number of each run that has it."""
    return [result.test[metric] for result in results if _known(result, metric)]


def _known(result: Result, metric: str) -> bool:
    value = result.test.get(metric)
    return isinstance(value, (int, float)) and not math.isnan(value)


def _intervals(results: Sequence[Result], metrics: Iterable[str]) -> dict[str, tuple[float, float]]:
    """Intervals over examples, of the runs that have the metric."""
    found = {metric: interval([run for run in results if _known(run, metric)], metric) for metric in metrics}
    return {name: (each.low, each.high) for name, each in found.items() if each is not None and not math.isnan(each.low)}


def _summary(values: Sequence[float]) -> tuple[float, float]:
    return fmean(values) if values else math.nan, stdev(values) if len(values) > 1 else math.nan
