"""What is drawn against what: the task's own number, agreement, size and faithfulness, as far as they are known."""

import math

import pytest

from rationalizers.report import compare
from rationalizers.report import tradeoff as module
from rationalizers.report.tradeoff import tradeoffs
from tests.report.page_check import Page
from tests.report.run_folders import PREDICTION, TEST, mean_of, write_evaluation, write_run

SIZES = {"fractions": [0.1, 0.5], "comprehensiveness": [0.2, 0.6], "sufficiency": [0.4, math.nan]}
SIZES["floor/random/comprehensiveness"] = [0.1, 0.2]


def drawn(folders):
    comparison = compare(folders)
    return dict(tradeoffs("toy", comparison.means["toy"], comparison.groups("toy"), comparison.metrics_of("toy")))


def runs(tmp_path, test, methods="ab"):
    return [
        write_run(tmp_path, method=method, seed=seed, test={name: value + seed / 50 for name, value in test.items()})
        for method in methods
        for seed in (0, 1)
    ]


def points(tmp_path, monkeypatch, test):
    """Everything that is drawn as points, by caption."""
    found = {}
    monkeypatch.setattr(module, "scatter_chart", lambda title, points, **more: found.update({title: (points, more)}) or title)
    drawn(runs(tmp_path, test))
    return found


def test_points_are_means_with_their_spread_size_and_floor(tmp_path, monkeypatch):
    found = points(tmp_path, monkeypatch, TEST)
    (first, second), more = found["token F1 against accuracy on toy"]
    assert (first.name, second.name) == ("a", "b")
    assert (first.x, first.y) == pytest.approx((0.81, 0.5554))
    assert (first.x_error, first.share, first.floor) == pytest.approx((0.02 / math.sqrt(2), 0.16, 0.13))
    assert math.isnan(first.floor_x)  # random words predict nothing
    assert more["line"] == ("select all", pytest.approx(0.21))
    (first, _), more = found["accuracy against selected share on toy"]
    assert (first.x, first.y) == pytest.approx((0.16, 0.81))
    assert math.isnan(first.share)
    assert more["line"] is None


@pytest.mark.parametrize(
    ("numbers", "axis", "within"),
    [
        ({"accuracy": 0.5, "roc_auc": 0.8}, "ROC-AUC", (0.0, 1.0)),
        ({"rmse": 2.5, "r2": 0.8, "mae": 1.0}, "RMSE ↓", (-math.inf, math.inf)),
        ({"accuracy": 0.5}, "accuracy", (0.0, 1.0)),
    ],
)
def test_a_data_set_is_judged_by_its_own_number(tmp_path, monkeypatch, numbers, axis, within):
    found = points(tmp_path, monkeypatch, {**numbers, "node_roc_auc": 0.7, "mean_mask": 0.4})
    _, more = next(iter(found.values()))
    assert (more["x"], more["y"], more["within"]) == (axis, "node ROC-AUC", (within, (0.0, 1.0)))


def test_charts_are_there_as_far_as_numbers_are_known(tmp_path):
    assert list(drawn(runs(tmp_path / "a", TEST))) == ["Token F1 against accuracy", "Accuracy against selected share"]
    assert list(drawn(runs(tmp_path / "b", PREDICTION))) == ["Accuracy against selected share"]
    assert drawn(runs(tmp_path / "c", {"accuracy": 0.8})) == {}
    everything = {"accuracy": 0.8, "selected_share": 1.0}
    assert drawn([write_run(tmp_path / "d", test=everything)]) == {}


def test_faithfulness_stands_beside_random_units_of_the_same_number(tmp_path):
    folders = runs(tmp_path, TEST)
    for folder in folders:
        columns = {name: mean_of([0.2] * 8) for name in ("comprehensiveness", "sufficiency", "floor/random/comprehensiveness")}
        write_evaluation(folder, columns, numbers={"accuracy": 0.8, "floor/random/sufficiency": 0.3}, curve=SIZES)
    found = drawn(folders)
    assert list(found) == ["Comprehensiveness against sufficiency", "Comprehensiveness over sizes ↑"]  # one size is no line
    plane = Page(found["Comprehensiveness against sufficiency"])
    assert "comprehensiveness ↑" in plane.text
    line = Page(found["Comprehensiveness over sizes ↑"])
    assert "share of the units" in line.text


def test_more_methods_than_can_be_told_apart_are_not_drawn(tmp_path, monkeypatch):
    folders = runs(tmp_path, TEST, "abc")
    monkeypatch.setattr(module, "CHARTED", 3)
    assert drawn(folders)
    monkeypatch.setattr(module, "CHARTED", 2)
    assert drawn(folders) == {}
