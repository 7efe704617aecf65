"""Charts: inline, themed by the page, equal byte for byte, and safe with any name."""

import math
import re

import matplotlib
import pytest

from rationalizers.report.figure import SERIES, Curve, Point, curve_chart, line_chart, look, scatter_chart, with_own_ids
from tests.report.page_check import Page

HOSTILE = "<script>alert(1)</script>"
LINES = {"loss": [(1, 1.0), (2, 0.5), (3, 0.4)], HOSTILE: [(1, 0.2), (2, 0.3), (3, 0.1)], "$\\foo$": [(1, 0.5)]}


def points(**changes):
    facts = {"name": "rnp", "x": 0.8, "y": 0.5, "x_error": 0.02, "y_error": 0.01, "floor": 0.1, **changes}
    return [Point(**facts), Point("full $\\foo$", 0.9, 0.2, math.nan, math.nan, math.nan)]


def scatter(**changes):
    return scatter_chart("toy", points(**changes), x="accuracy", y="token F1", line=("select all", 0.2))


def along(places=(0.5, 0.8), half=0.1):
    curves = [
        Curve(name, [(place, 0.5, half) for place in places], [(place, 0.1) for place in places]) for name in (HOSTILE, "$\\foo$")
    ]
    return curve_chart(HOSTILE, [*curves, Curve("nothing", [], [])], x="shortcut", line=("select all", [(places[0], 0.2)]))


@pytest.mark.parametrize(
    "svg", [line_chart(HOSTILE, LINES, best=2), scatter(name=HOSTILE), along()], ids=["lines", "scatter", "curves"]
)
def test_names_are_text_and_colours_belong_to_the_page(svg):
    page = Page(svg)
    assert page.tags[0] == "svg"
    assert not {"script", "style", "metadata"} & set(page.tags)
    assert HOSTILE in page.text
    assert "$\\foo$" in page.text
    assert "var(--series-1)" in svg
    assert "var(--muted)" in svg
    assert re.findall("#[0-9a-f]{6}", svg) == []
    assert "http" not in re.sub('xmlns[^"]*"[^"]*"', "", svg)


def test_equal_charts_are_equal_bytes():
    assert line_chart("a", LINES, best=2) == line_chart("a", LINES, best=2)
    assert scatter() == scatter()


def test_charts_of_one_page_share_no_id():
    ids = [re.findall(' id="([^"]*)"', line_chart(title, LINES, best=2)) for title in ("a", "b")]
    assert ids[0]
    assert not set(ids[0]) & set(ids[1])


def test_a_drawing_can_be_shown_twice_on_a_page():
    svg = along()
    one, other = with_own_ids(svg, "a"), with_own_ids(svg, "b")
    ids = [set(re.findall(' id="([^"]*)"', each)) for each in (one, other)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for each, own in zip((one, other), ids, strict=True):
        assert set(re.findall(r'(?:url\(#|href="#)([^")]*)', each)) <= own
    assert Page(one).text == Page(svg).text
    assert with_own_ids(svg, "a") == one


def test_settings_of_matplotlib_are_left_alone():
    before = matplotlib.rcParams["svg.fonttype"], matplotlib.rcParams["text.color"]
    scatter()
    assert (matplotlib.rcParams["svg.fonttype"], matplotlib.rcParams["text.color"]) == before


def test_a_missing_number_draws_nothing():
    with_floor, without = scatter(), scatter(floor=math.nan)
    assert with_floor.count("<use") == without.count("<use") + 1
    assert "nan" not in without.lower()


def test_one_epoch_is_a_point():
    assert "<use" in line_chart("a", {"loss": [(1, 0.5)]}, best=1)


def test_more_lines_than_colours():
    lines = {str(place): [(1, place), (2, place), (3, place)] for place in range(len(SERIES) + 1)}
    assert line_chart("a", lines, best=1).count("var(--series-1)") == 4  # two lines and their legend


def test_accuracy_does_not_go_beyond_one():
    assert ">1.05<" not in scatter_chart("toy", [Point("a", 1.0, 1.0, math.nan, math.nan, math.nan)], x="x", y="y", line=None)


def test_an_unknown_interval_draws_nothing():
    assert "nan" not in along(half=math.nan).lower()
    assert along(half=math.nan).count("<use") < along().count("<use")


def test_axes_are_marked_at_the_values_where_there_is_room():
    labels = Page(along((0, 0.01, 0.5, 1))).text.split("shortcut")[0]
    assert [label for label in ("0.01", "0.5", "1") if f"{label}\n" in labels] == ["0.5", "1"]
    assert "0.001" in Page(along((0.001, 0.01, 0.1))).text  # logarithmic: there is room
    assert along() == along()


def test_the_area_of_a_point_grows_with_its_share_and_not_its_mark_in_the_legend():
    small, large, none = (scatter(share=share) for share in (0.1, 0.9, math.nan))
    assert len({small, large, none}) == 3
    assert small.count("<use") == large.count("<use") == none.count("<use")
    sizes = [{path for path in re.findall(r'<path [^>]*d="([^"]*)"', svg) if path.count("C") == 8} for svg in (small, large)]
    assert len(sizes[0] & sizes[1]) == 1  # that of the legend


def test_a_floor_with_a_place_of_its_own_is_a_mark_there():
    # It is tied to its point.
    assert scatter(floor_x=0.5).count("stroke-dasharray") == scatter().count("stroke-dasharray") + 1


def test_many_names_make_a_chart_higher():
    heights = []
    for count in (4, 24):
        many = [Point(f"method {each}", each / 30, 0.5, 0.1, 0.1, 0.1) for each in range(count)]
        svg = scatter_chart("a", many, x="x", y="y", line=None)
        heights.append(float(re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', svg)[1]))
        assert all(f"method {each}" in Page(svg).text for each in range(count))
    assert heights[1] > heights[0] + 60


def test_series_differ_in_colour_or_mark():
    assert len({look(place) for place in range(64)}) == 64
