"""Charts as inline SVG that follow the page: its colours in light and dark, its font, its width."""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rationalizers.extras import require

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes

# Placeholders: matplotlib must be given colours; the page knows which, and they change with the reader's colour scheme.
SERIES = tuple(f"#0a0b0{digit}" for digit in range(1, 9))
INK, MUTED, GRID = "#0a0b0d", "#0a0b0e", "#0a0b0f"
_VARIABLES = {color: f"var(--series-{place})" for place, color in enumerate(SERIES, start=1)}
_VARIABLES |= {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)"}
# Neither lines nor points are told apart by colour alone.
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


@dataclass(frozen=True)
class Point:
    """A point with its spread.

    Args:
        name: what it stands for.
        x: horizontal value.
        y: vertical value.
        x_error: half the length of the horizontal bar; NaN is none.
        y_error: half the length of the vertical bar; NaN is none.
        floor: a vertical value below which ``y`` says little; NaN is none.
        floor_x: the horizontal value that belongs to it; NaN is that of the point.
        share: a number in [0, 1] that the area of the point grows with; NaN is none.
    """

    name: str
    x: float
    y: float
    x_error: float
    y_error: float
    floor: float
    floor_x: float = math.nan
    share: float = math.nan


@dataclass(frozen=True)
class Curve:
    """Means along a number, with their intervals.

    Args:
        name: what they are of.
        points: ``(x, mean, half the width of its interval)`` by x; a NaN width is none.
        floor: points ``(x, height)`` below which the means say little; may be empty.
    """

    name: str
    points: Sequence[tuple[float, float, float]]
    floor: Sequence[tuple[float, float]]


def line_chart(title: str, lines: Mapping[str, Sequence[tuple[float, float]]], *, best: float) -> Markup:
    """Values over epochs, one line for each name, with the chosen epoch marked.

    Args:
        title: said to those who do not see the chart; unlike that of any other chart of the page.
        lines: points ``(epoch, value)`` by name.
        best: the chosen epoch.
    """
    ticker = require("matplotlib.ticker", extra="report")

    def draw(axes: Axes) -> None:
        axes.axvline(best, color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
        for place, (name, points) in enumerate(lines.items()):
            axes.plot(
                [epoch for epoch, _ in points], [value for _, value in points], color=SERIES[place % len(SERIES)], label=name,
                linestyle=DASHES[place % len(DASHES)], linewidth=1.8, marker="o" if len(points) < 3 else "", markersize=4,
            )  # fmt: skip
        axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        axes.yaxis.set_major_locator(ticker.MaxNLocator(nbins=5))
        axes.set_xlabel("epoch")

    return drawing(title, draw, size=(4.6, 2.5), legend=len(lines) > 1)


def scatter_chart(
    title: str,
    points: Sequence[Point],
    *,
    x: str,
    y: str,
    line: tuple[str, float] | None,
    within: tuple[tuple[float, float], tuple[float, float]] = ((0.0, 1.0), (0.0, 1.0)),
) -> Markup:
    """Named points with error bars, the floor of each in its colour, and one floor for all of them.

    A floor is a short line below or above its point or, where it has a horizontal value of its own, a hollow mark tied to it.

    Args:
        title: said to those who do not see the chart; unlike that of any other chart of the page.
        points: in the order of the legend.
        x: name of the horizontal axis.
        y: name of the vertical axis.
        line: name and height of a horizontal line.
        within: where numbers of either axis can be; shares, unless told otherwise.
    """

    def draw(axes: Axes) -> None:
        if line is not None:
            axes.axhline(line[1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label=line[0])
        for place, point in enumerate(points):
            color, marker = look(place)
            # NaN errors and floors draw nothing.
            bars: dict[str, Any] = {"color": color, "linewidth": 1.3, "capsize": 2.5, "alpha": 0.7}
            axes.errorbar(point.x, point.y, xerr=point.x_error, yerr=point.y_error, fmt="none", **bars)
            if math.isnan(point.floor_x):
                axes.plot(point.x, point.floor, color=color, marker="_", markersize=16, markeredgewidth=2, linestyle="none")
            else:
                tie = [point.floor_x, point.x], [point.floor, point.y]
                axes.plot(*tie, color=color, linewidth=0.8, linestyle=(0, (1, 2)))
                axes.plot(
                    point.floor_x, point.floor, color=color, marker=marker, markersize=6, markerfacecolor="none", linestyle="none"
                )
            size = 8 if math.isnan(point.share) else 5 + 12 * math.sqrt(min(1.0, max(0.0, point.share)))
            axes.plot(point.x, point.y, color=color, marker=marker, markersize=size, linestyle="none", alpha=0.85)
            axes.plot([], [], color=color, marker=marker, markersize=7, linestyle="none", label=point.name)
        axes.margins(0.15)
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        (least, most), (lowest, highest) = within
        axes.set_xlim(max(left, least - 0.02), min(right, most + 0.02))
        axes.set_ylim(max(bottom, lowest - 0.02), min(top, highest + 0.02))
        axes.set_xlabel(x)
        axes.set_ylabel(y)

    return drawing(title, draw, size=(3.8, 2.9), legend=True)


def curve_chart(
    title: str,
    curves: Sequence[Curve],
    *,
    x: str,
    line: tuple[str, Sequence[tuple[float, float]]] | None,
    within: tuple[float, float] = (0.0, 1.0),
) -> Markup:
    """Named curves with error bars, the floor of each as a thin dotted line with small marks, and one floor for all of them.

    The horizontal axis is logarithmic where positive values span more than a factor of 30.

    Args:
        title: said to those who do not see the chart; unlike that of any other chart of the page.
        curves: in the order of the legend; one without points keeps its colour free.
        x: name of the horizontal axis.
        line: name and points ``(x, height)`` of a floor.
        within: where numbers can be; shares, unless told otherwise.
    """
    transforms, ticker = (require(f"matplotlib.{name}", extra="report") for name in ("transforms", "ticker"))
    places = sorted({point[0] for curve in curves for point in curve.points})

    def draw(axes: Axes) -> None:
        if min(places) > 0 and max(places) > 30 * min(places):
            axes.set_xscale("log")
        for place, curve in enumerate(curves):
            if not curve.points:
                continue
            # A few points apart, so that error bars at the same value can be told apart.
            shift = (place - (len(curves) - 1) / 2) * min(3, 12 / len(curves)) / 72
            figure = axes.get_figure()
            assert figure is not None
            moved = axes.transData + transforms.ScaledTranslation(shift, 0, figure.dpi_scale_trans)
            color, marker = look(place)
            values, means, halves = zip(*curve.points, strict=True)
            axes.errorbar(
                values, means, yerr=halves, color=color, label=curve.name, transform=moved,
                marker=marker, markersize=5.5, linewidth=1.6, elinewidth=1.2, capsize=2.5,
            )  # fmt: skip
            if curve.floor:
                axes.plot(
                    *zip(*curve.floor, strict=True), color=color, linewidth=1, linestyle=(0, (1, 2.5)),
                    marker=marker, markersize=3.5, markerfacecolor="none", markeredgewidth=0.8,
                )  # fmt: skip
            # What is drawn beside its place does not count for the axes by itself.
            widths = [0.0 if math.isnan(half) else half for half in halves]
            ends = [
                (value, mean + sign * width) for value, mean, width in zip(values, means, widths, strict=True) for sign in (-1, 1)
            ]
            axes.update_datalim(ends)
        if line is not None:
            # Among error bars, so that it comes last in the legend.
            values, heights = zip(*line[1], strict=True)
            axes.errorbar(values, heights, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label=line[0])
        axes.margins(0.06)
        axes.xaxis.set_major_locator(ticker.FixedLocator(places))
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.xaxis.set_major_formatter(ticker.FixedFormatter(_labels(places, logarithmic=axes.get_xscale() == "log")))
        axes.yaxis.set_major_locator(ticker.MaxNLocator(nbins=5))
        bottom, top = axes.get_ylim()
        axes.set_ylim(max(bottom, within[0] - 0.02), min(top, within[1] + 0.02))
        axes.set_xlabel(x)

    return drawing(title, draw, size=(3.6, 2.7), legend=True)


def look(place: int) -> tuple[str, str]:
    """Colour and mark of the series at a place; the first 64 differ in one of them."""
    return SERIES[place % len(SERIES)], MARKERS[(place + place // len(SERIES)) % len(MARKERS)]


def _labels(places: Sequence[float], *, logarithmic: bool) -> list[str]:
    """What to write at places along an axis: nothing where the last label is too near."""
    across = [math.log(place) if logarithmic else place for place in places]
    labels, last = [], -math.inf
    for place, at in zip(places, across, strict=True):
        near = at - last < 0.14 * (across[-1] - across[0])
        labels.append("" if near else f"{place:.6g}")
        last = last if near else at
    return labels


def drawing(title: str, draw: Callable[[Axes], None], *, size: tuple[float, float], legend: bool) -> Markup:
    """What ``draw`` draws, without global state of matplotlib and equal byte for byte in every process."""
    matplotlib = require("matplotlib", extra="report")
    figures = require("matplotlib.figure", extra="report")
    settings = {
        "svg.fonttype": "none", "svg.hashsalt": title, "text.parse_math": False,  # a name may hold dollar signs
        "font.size": 9.5, "text.color": INK, "legend.frameon": False, "xtick.color": MUTED, "ytick.color": MUTED,
        "axes.edgecolor": GRID, "axes.labelcolor": MUTED, "axes.spines.top": False, "axes.spines.right": False,
        "axes.grid": True, "axes.grid.axis": "y", "axes.axisbelow": True, "axes.formatter.useoffset": False,
        "grid.color": GRID, "grid.linewidth": 0.8,
    }  # fmt: skip
    with matplotlib.rc_context(settings):
        figure = figures.Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        axes.tick_params(length=0)
        draw(axes)
        if legend:
            # About 13 letters of this size fit into an inch; a handle and the space around it take six.
            longest = max(len(str(label)) for label in axes.get_legend_handles_labels()[1])
            columns = max(1, min(3, int(size[0] * 13 / (longest + 6))))
            # More than two lines of a legend make the drawing higher, not the axes lower.
            lines = math.ceil(len(axes.get_legend_handles_labels()[1]) / columns)
            figure.set_size_inches(size[0], size[1] + 0.17 * max(0, lines - 2))
            figure.legend(loc="outside upper left", ncols=columns, fontsize=9, handlelength=1.8, columnspacing=1.2)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _inline(file.getvalue(), title)


def with_own_ids(drawn: Markup, owner: str) -> Markup:
    """The same drawings with ids of their own, for a page that shows them more than once; ``owner`` tells them apart."""
    markup = require("markupsafe", extra="report").Markup
    salt = hashlib.sha256(owner.encode()).hexdigest()[:8]
    # Of markup as text: what is put into markup would be escaped.
    renamed: Markup = markup(re.sub(r'( id="|url\(#|href="#)', rf"\g<1>x{salt}-", str(drawn)))
    return renamed


def _inline(document: str, title: str) -> Markup:
    """An SVG document as an element of a page. The texts in it have been escaped by matplotlib."""
    markupsafe = require("markupsafe", extra="report")
    for color, variable in _VARIABLES.items():
        document = document.replace(color, variable)
    document = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", document)  # before matplotlib 3.10
    document = re.sub(r"; font-family: [^;\"]*", "", document)
    document = re.sub(r"<style.*?</style>", "", document, count=1, flags=re.DOTALL)
    # Ids that nothing refers to would be there once for every chart of the page.
    document = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", document)
    found = re.search(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', document)
    assert found is not None
    opening: Markup = markupsafe.Markup('<svg role="img" viewBox="{}" aria-label="{}"><title>{}</title>')
    drawing: Markup = opening.format(found[1], title, title) + markupsafe.Markup(document[found.end() :].strip())
    return drawing
