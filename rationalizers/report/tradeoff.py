"""What methods give and take, as charts: prediction, agreement with people, size and faithfulness against each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from rationalizers.report.figure import Curve, Point, curve_chart, scatter_chart
from rationalizers.report.result import Result
from rationalizers.report.seeds import SELECTIONS, Row, half_width

if TYPE_CHECKING:
    from markupsafe import Markup

# By the first of these that is known of any method: data sets of yes-or-no targets are judged by ROC-AUC, of numbers by RMSE
# (as those of OGB), all others by accuracy.
TASK = ("roc_auc", "rmse", "accuracy")
AGREEMENT = ("token_f1", "node_roc_auc", "node_f1", "sentence_f1", "auprc")
SIZE = ("selected_share", "mean_mask")
FAITHFULNESS = ("comprehensiveness", "sufficiency")
# Of numbers that are no shares, which way is better.
BETTER = {"rmse": "↓", "comprehensiveness": "↑", "sufficiency": "↓"}
SHARE, ANY = (0.0, 1.0), (-math.inf, math.inf)
# More points and lines than this cannot be told apart.
CHARTED = 24


def tradeoffs(
    dataset: str, found: Sequence[Row], groups: Mapping[str, Sequence[Result]], metrics: Mapping[str, str]
) -> list[tuple[str, Markup]]:
    """Caption and chart of everything that can be drawn of a data set; nothing of more than `CHARTED` methods.

    Args:
        dataset: its name.
        found: methods and floors (`rationalizers.report.seeds.rows`).
        groups: the runs by method.
        metrics: the metrics that are compared, with their names.
    """
    if len(groups) > CHARTED:
        return []
    task, agreement, size = (_first(names, found) for names in (TASK, AGREEMENT, SIZE))
    charts = []
    if task and agreement:
        charts.append(_plane(dataset, found, metrics, x=task, y=agreement, size=size))
    if task and size and any(0 < value < 1 for value in _means(found, size)):
        charts.append(_plane(dataset, found, metrics, x=size, y=task, size=None))
    if all(_first((name,), found) for name in FAITHFULNESS):
        charts.append(_plane(dataset, found, metrics, x="sufficiency", y="comprehensiveness", size=size))
    charts += [each for name in FAITHFULNESS if (each := _over_sizes(dataset, groups, name)) is not None]
    return [each for each in charts if each is not None]


def _plane(
    dataset: str, found: Sequence[Row], metrics: Mapping[str, str], *, x: str, y: str, size: str | None
) -> tuple[str, Markup] | None:
    """Two numbers of every method that has both, with what random units of the same number reach; ``size`` is the area."""
    unknown = (math.nan, math.nan)
    random = {row.method: row.cells for row in found if row.selection == "random"}
    points = []
    for row in (row for row in found if not row.floor):
        (across, across_error), (up, up_error) = row.cells[x], row.cells[y]
        floor = random.get(row.method, {})
        share = row.cells[size][0] if size else math.nan
        if not math.isnan(across + up):
            points.append(
                Point(row.method, across, up, across_error, up_error, floor.get(y, unknown)[0], floor.get(x, unknown)[0], share)
            )
    if not points:
        return None
    everything = [row.cells[y][0] for row in found if row.selection == "all" and not math.isnan(row.cells[y][0])]
    shared = everything and max(everything) - min(everything) < 1e-9
    name_x, name_y = metrics[x], metrics[y]
    chart = scatter_chart(
        f"{name_y} against {name_x} on {dataset}",
        points,
        x=_axis(x, name_x),
        y=_axis(y, name_y),
        line=(SELECTIONS["all"], everything[0]) if shared else None,
        within=(_bounds(x), _bounds(y)),
    )
    return f"{name_y[0].upper()}{name_y[1:]} against {name_x}", chart


def _over_sizes(dataset: str, groups: Mapping[str, Sequence[Result]], name: str) -> tuple[str, Markup] | None:
    """Faithfulness over the share of the units, mean over seeds, as far as evaluations asked for sizes."""
    curves = [
        Curve(
            method,
            [(share, fmean(values), half_width(values)) for share, values in _at(results, name)],
            [(share, fmean(values)) for share, values in _at(results, f"floor/random/{name}")],
        )
        for method, results in groups.items()
    ]
    if not any(len(each.points) > 1 for each in curves):
        return None
    title = f"{name} over sizes on {dataset}"
    return f"{name.capitalize()} over sizes {BETTER[name]}", curve_chart(
        title, curves, x="share of the units", line=None, within=ANY
    )


def _at(results: Sequence[Result], name: str) -> list[tuple[float, list[float]]]:
    """A number of all runs at every size that any of them was evaluated at."""
    found: dict[float, list[float]] = {}
    for curve in (result.evaluation.curve for result in results if result.evaluation is not None):
        for share, value in zip(curve["fractions"], curve.get(name, ()), strict=False):
            if not math.isnan(value):
                found.setdefault(share, []).append(value)
    return sorted(found.items())


def _first(names: Sequence[str], found: Sequence[Row]) -> str | None:
    """The first of some numbers that is known of any method."""
    return next((name for name in names if _means(found, name)), None)


def _means(found: Sequence[Row], name: str) -> list[float]:
    values = [row.cells[name][0] for row in found if not row.floor and name in row.cells]
    return [value for value in values if not math.isnan(value)]


def _axis(key: str, name: str) -> str:
    return f"{name} {BETTER[key]}" if key in BETTER else name


def _bounds(key: str) -> tuple[float, float]:
    return ANY if key in BETTER else SHARE
