"""What models say of parts of a text beside what is true, as a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from rationalizers.report.figure import MARKERS, MUTED, SERIES, drawing
from rationalizers.report.page import render

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes


class Asked(Protocol):
    """A `rationalizers.compatibility.Compatibility`, which needs torch to be made and not to be shown."""

    name: str
    perplexity: float
    bound: float
    truth: Sequence[float]
    said: Sequence[float]

    @property
    def error(self) -> float:
        """Mean distance of the two."""


def compatibility_page(found: Sequence[Asked]) -> Markup:
    """A scatter of what is said against the truth, with its diagonal, and the perplexity of each model."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="the truth")
        for place, each in enumerate(found):
            look: dict[str, Any] = {"color": SERIES[place % len(SERIES)], "marker": MARKERS[place % len(MARKERS)]}
            axes.plot(each.truth, each.said, linestyle="none", markersize=5, alpha=0.7, label=each.name, **look)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set_xlabel("probability that most bits are 1, given those shown")
        axes.set_ylabel("what the model says")

    chart = drawing("What models say of parts, against the truth", draw, size=(5.0, 4.0), legend=True)
    return render("compatibility.html.j2", title="Do predictions from parts fit together?", chart=chart, found=found)
