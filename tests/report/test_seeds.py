"""Means, spreads and paired differences, against scipy's own paired t test and by hand."""

import math

import pytest
from scipy import stats

from rationalizers.report.result import read_result
from rationalizers.report.seeds import (
    GRAPHS,
    METRICS,
    Difference,
    corrected,
    differences,
    holm,
    metrics_of,
    pair_columns,
    paired_t,
    pairs_of,
    rows,
)
from tests.report.run_folders import PREDICTION, TEST, write_run

A = {0: 0.80, 1: 0.84, 2: 0.79, 3: 0.88}
B = {1: 0.70, 2: 0.75, 3: 0.71, 4: 0.99}


def runs(tmp_path, method, accuracies, **numbers):
    return [
        read_result(write_run(tmp_path, method=method, seed=seed, test={**TEST, "accuracy": value, **numbers}))
        for seed, value in accuracies.items()
    ]


def test_means_and_spreads(tmp_path):
    model, random, everything, oracle = rows({"rnp": runs(tmp_path, "rnp", {0: 0.7, 1: 0.9})}, METRICS)
    assert (model.name, model.n, model.floor) == ("rnp", 2, False)
    assert model.cells["accuracy"] == pytest.approx((0.8, math.sqrt(0.02)))
    assert model.cells["token_f1"] == pytest.approx((0.5454, 0))
    assert [row.selection for row in (random, everything, oracle)] == ["random", "all", "oracle"]
    assert random.cells["token_f1"][0] == pytest.approx(0.12)
    assert math.isnan(random.cells["accuracy"][0])
    assert list(model.cells) == list(METRICS)


def test_accuracy_on_whole_inputs_stands_beside_accuracy_where_any_run_has_it(tmp_path):
    whole = {"whole_input/accuracy": 0.85, "whole_input/macro_f1": 0.84}
    older, newer = runs(tmp_path, "older", {0: 0.7}), runs(tmp_path, "newer", {0: 0.7}, **whole)
    assert metrics_of(older) == METRICS
    shown = metrics_of([*older, *newer])
    assert list(shown) == ["accuracy", "whole_input/accuracy", *list(METRICS)[1:]]
    assert shown["whole_input/accuracy"] == "accuracy on whole inputs"
    cells = {row.method: row.text()[1] for row in rows({"older": older, "newer": newer}, shown) if not row.floor}
    assert cells == {"older": "–", "newer": "0.850"}


def test_what_the_rationale_alone_predicts_stands_beside_what_is_deployed(tmp_path):
    test = {"r2": 0.7, "rmse": 1.5, "rationale_input/rmse": 1.8, "rationale_input/r2": 0.6, "node_roc_auc": 0.7}
    shown = metrics_of([read_result(write_run(tmp_path, method="igt", test=test))])
    assert list(shown) == ["r2", "rmse", "rationale_input/rmse", "node_roc_auc"]
    assert shown["rationale_input/rmse"] == "RMSE from the rationale alone"


def test_on_graphs_it_is_shown_with_accuracy_and_makes_no_text_of_them(tmp_path):
    classes = {"accuracy": 0.9, "whole_input/accuracy": 0.8, "node_roc_auc": 0.7}
    numbers = {"rmse": 1.5, "whole_input/rmse": 1.25, "node_roc_auc": 0.7}
    found = [read_result(write_run(tmp_path, method=name, test=test)) for name, test in (("a", classes), ("b", numbers))]
    assert list(metrics_of(found[:1])) == ["accuracy", "whole_input/accuracy", "node_roc_auc"]
    assert metrics_of(found[1:]) == {name: GRAPHS[name] for name in ("rmse", "node_roc_auc")}


def test_one_run_has_no_spread_and_a_run_without_evidence_no_floors(tmp_path):
    (row,) = rows({"rnp": [read_result(write_run(tmp_path, test=PREDICTION))]}, METRICS)
    assert row.cells["accuracy"][0] == 0.8
    assert math.isnan(row.cells["accuracy"][1])
    assert row.text() == ["0.800", "–", "–", "–", "–", "0.150"]


def test_differences_are_paired_over_common_seeds(tmp_path):
    groups = {"b": runs(tmp_path, "b", B), "a": runs(tmp_path, "a", A)}
    found = next(each for each in differences(groups, pairs_of(groups, "b"), METRICS) if each.metric == "accuracy")
    common = [1, 2, 3]
    expected = stats.ttest_rel([A[seed] for seed in common], [B[seed] for seed in common])
    interval = expected.confidence_interval(0.95)
    assert (found.method, found.reference, found.n) == ("a", "b", 3)
    assert found.difference == pytest.approx((0.14 + 0.04 + 0.17) / 3)
    assert (found.low, found.high, found.p) == pytest.approx((interval.low, interval.high, expected.pvalue))


@pytest.mark.parametrize("paired", [[0.1], [0.1, 0.1, 0.1], [0.0, 0.0]])
def test_without_spread_there_is_neither_interval_nor_p_value(paired):
    assert all(math.isnan(value) for value in paired_t(paired))


def test_pairs(tmp_path):
    groups = {name: runs(tmp_path, name, A) for name in ("a", "b", "c")} | {"d": runs(tmp_path, "d", {9: 0.5})}

    def compared(reference):
        return {(each.method, each.reference) for each in differences(groups, pairs_of(groups, reference), METRICS)}

    assert compared(None) == {("b", "a"), ("c", "a"), ("c", "b")}
    assert compared("b") == {("a", "b"), ("c", "b")}
    assert compared("elsewhere") == set()


def test_a_difference_reads_with_its_sign(tmp_path):
    groups = {"b": runs(tmp_path, "b", {0: 0.8, 1: 0.8}), "a": runs(tmp_path, "a", {0: 0.7, 1: 0.72})}
    accuracy, constant = differences(groups, pairs_of(groups, "b"), METRICS)[:2]
    # t with one degree of freedom: 12.706 · 0.01
    assert accuracy.text() == ["2", "−0.090", "[−0.217, +0.037]", "0.070"]
    assert constant.text() == ["2", "+0.000", "–", "–"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # R: p.adjust(c(.01, .04, .03, .005), "holm")
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.2], [0.2]),
        ([0.02, math.nan, 0.01], [0.02, math.nan, 0.02]),
        ([], []),
    ],
)
def test_holm(values, expected):
    assert holm(values) == pytest.approx(expected, nan_ok=True)


def test_p_values_are_corrected_for_the_comparisons_of_one_metric():
    def of(metric, p, example_p):
        return Difference("b", "a", metric, 3, 0.1, 0.0, 0.2, p, 0.0, 0.2, example_p)

    found = corrected([of("accuracy", 0.01, 0.2), of("token_f1", 0.02, math.nan), of("accuracy", 0.04, 0.02)])
    assert [each.p_holm for each in found] == [0.02, 0.02, 0.04]
    assert [each.example_p_holm for each in found] == pytest.approx([0.2, math.nan, 0.04], nan_ok=True)
    assert [each.p for each in found] == [0.01, 0.02, 0.04]
    head, texts = pair_columns(found)
    assert head == ["n", "difference", "95 % t interval", "p", "p, Holm", "95 % over examples", "p", "p, Holm"]
    assert texts(found[0]) == ["3", "+0.100", "[+0.000, +0.200]", "0.010", "0.020", "[+0.000, +0.200]", "0.200", "0.200"]
    single = Difference("b", "a", "accuracy", 3, 0.1, 0.0, 0.2, 0.01)
    assert pair_columns([single])[0] == ["n", "difference", "95 % t interval", "p"]
