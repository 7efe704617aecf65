"""Numbers along a dial: means over seeds with their intervals, differences at each value, and one chart for each metric."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from rationalizers.report.dial import Dial, label
from rationalizers.report.figure import Curve, curve_chart
from rationalizers.report.page import spread
from rationalizers.report.result import Result
from rationalizers.report.seeds import HOLM, SELECTIONS, Difference, differences, half_width, pair_columns, pairs_of, values_of
from rationalizers.report.table import Table

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True)
class Cell:
    """A metric of a method at one value of the dial.

    Args:
        method: its name.
        value: of the dial.
        metric: its key.
        n: how many runs have the metric.
        mean: over them.
        half: half the width of the 95 % t interval; NaN for one run.
    """

    method: str
    value: float
    metric: str
    n: int
    mean: float
    half: float

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.mean + self.half

    def text(self) -> str:
        """Mean ± half width to read."""
        return spread(self.mean, self.half)


def cells(dial: Dial, metrics: Iterable[str]) -> list[Cell]:
    """Every metric that runs have, by method, value and metric, in this order."""
    every = list(metrics)
    return [
        Cell(method, value, metric, len(numbers), fmean(numbers), half_width(numbers))
        for method, line in dial.lines.items()
        for value, runs in line.items()
        for metric in every
        if (numbers := values_of(runs, metric))
    ]


def differences_at(dial: Dial, reference: str | None, metrics: Iterable[str]) -> list[tuple[float, Difference]]:
    """Paired differences between methods where the dial has the same value; ``reference`` as in `pairs_of`."""
    every = list(metrics)
    at = {value: dial.at(value) for value in dial.values}
    return [(value, each) for value, groups in at.items() for each in differences(groups, pairs_of(groups, reference), every)]


def cell_rows(dial: Dial, metrics: Iterable[str]) -> list[tuple[str, float, int, dict[str, Cell]]]:
    """The table of `cells` to read: method, value, number of runs, and the cells that it has by metric."""
    held = {(each.method, each.value, each.metric): each for each in cells(dial, metrics)}
    return [
        (method, value, len(runs), {metric: cell for (*place, metric), cell in held.items() if place == [method, value]})
        for method, line in dial.lines.items()
        for value, runs in line.items()
    ]


def curve_tables(dataset: str, dial: Dial, pairs: Sequence[tuple[float, Difference]], metrics: Mapping[str, str]) -> list[Table]:
    """Means and differences along the dial for the terminal and for Markdown."""
    means = [
        [
            method,
            label(value),
            str(n),
            *(found[metric].text() if metric in found else spread(math.nan, math.nan) for metric in metrics),
        ]
        for method, value, n, found in cell_rows(dial, metrics)
    ]
    head, texts = pair_columns([each for _, each in pairs])
    paired = [[f"{each.method} − {each.reference}", label(value), metrics[each.metric], *texts(each)] for value, each in pairs]
    return [
        Table(
            f"{dataset} over {dial.key}, mean ± half of the 95 % t interval over n seeds",
            ["method", dial.name, "n", *metrics.values()],
            means,
            name=f"curves-{dataset}",
        ),
        Table(
            f"{dataset} at each {dial.key}, paired differences over n common seeds ({HOLM})",
            ["pair", dial.name, "metric", *head],
            sorted(paired, key=lambda row: row[0]),
            names=3,
            name=f"curve-differences-{dataset}",
        ),
    ]


def curve_charts(dataset: str, dial: Dial, metrics: Mapping[str, str]) -> list[tuple[str, Markup]]:
    """Name and chart of every metric that runs on curves have: a line for each method, and floors for agreement with people."""
    found = cells(dial, metrics)
    charts = []
    for metric, name in metrics.items():
        curves = [
            Curve(
                method,
                [(each.value, each.mean, each.half) for each in found if (each.method, each.metric) == (method, metric)],
                _floor(line, "random", metric),
            )
            for method, line in dial.lines.items()
        ]
        if any(each.points for each in curves):
            everything = [] if "recall" in metric else _shared(dial, metric)
            title = f"{name} on {dataset} over {dial.key}"
            drawn = curve_chart(title, curves, x=dial.name, line=(SELECTIONS["all"], everything) if everything else None)
            charts.append((name, drawn))
    return charts


def _floor(line: Mapping[float, Sequence[Result]], selection: str, metric: str) -> list[tuple[float, float]]:
    """A floor along the dial."""
    found = {value: values_of(runs, f"floor/{selection}/{metric}") for value, runs in line.items()}
    return [(value, fmean(numbers)) for value, numbers in found.items() if numbers]


def _shared(dial: Dial, metric: str) -> list[tuple[float, float]]:
    """What selecting everything reaches along the dial; nothing where methods have different numbers for it."""
    heights: dict[float, float] = {}
    for line in dial.lines.values():
        for value, height in _floor(line, "all", metric):
            if not math.isclose(heights.setdefault(value, height), height, abs_tol=1e-9):
                return []
    return sorted(heights.items())
