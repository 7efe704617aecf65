"""Curves: the numbers of the tables are numpy's and scipy's, and the page shows them and nothing else."""

import math
import re

import numpy
import pytest
from scipy import stats

from rationalizers.report.comparison import compare
from rationalizers.report.comparison_page import write_comparison
from rationalizers.report.curve import cells, curve_charts
from rationalizers.report.seeds import METRICS, SENTENCES
from tests.report.page_check import check_page
from tests.report.run_folders import TEST, write_run

HOSTILE = "<script>alert(1)</script>"
VALUES = (0.5, 9.5, 10)


def numbers(method, value, seed):
    draw = numpy.random.default_rng([len(method), int(value * 10), seed])
    return {**TEST, **{metric: float(draw.uniform(0.2, 0.9)) for metric in METRICS}}


def sweep(tmp_path, methods=("rnp", "noise"), values=VALUES, seeds=(0, 1, 2), without=(), **extra):
    return [
        write_run(
            tmp_path, folder=f"{place}-{value}-{seed}", method=method, seed=seed,
            test={**numbers(method, value, seed), **extra}, data={"corpus": {"shortcut": value}},
        )
        for place, method in enumerate(methods) for value in values for seed in seeds if (method, value) not in without
    ]  # fmt: skip


def raw(metric, method, value, seeds=(0, 1, 2)):
    return numpy.array([numbers(method, value, seed)[metric] for seed in seeds])


def comparison_page(folders, path, **options):
    return check_page(write_comparison(folders, path, **options).read_text("utf-8"))


def test_every_number_is_that_of_numpy_and_scipy(tmp_path):
    comparison = compare(sweep(tmp_path))
    frame = comparison.curves()
    assert len(frame) == 2 * 3 * len(METRICS)
    assert set(frame["dial"]) == {"data.corpus.shortcut"}
    for row in frame.itertuples():
        values = raw(row.metric, row.method, row.value)
        interval = stats.t.interval(0.95, 2, loc=values.mean(), scale=stats.sem(values))
        assert (row.n, row.mean, row.low, row.high) == pytest.approx((3, values.mean(), *interval))
    pairs = comparison.pairs_at("toy")
    assert len(pairs) == 3 * len(METRICS)
    for value, each in pairs:
        expected = stats.ttest_rel(raw(each.metric, each.method, value), raw(each.metric, each.reference, value))
        interval = expected.confidence_interval(0.95)
        assert (each.method, each.reference) == ("rnp", "noise")
        assert (each.low, each.high, each.p) == pytest.approx((interval.low, interval.high, expected.pvalue))


def test_every_form_tells_the_same_in_the_order_of_the_numbers(tmp_path):
    folders = sweep(tmp_path)
    comparison, page = compare(folders), comparison_page(folders, tmp_path / "c.html")
    told = [
        (each.method, f"{each.value:g}", each.text())
        for each in cells(comparison.dials["toy"], METRICS)
        if each.metric == "accuracy"
    ]
    assert [value for _, value, _ in told] == ["0.5", "9.5", "10"] * 2
    shown = [
        tuple(row[place] for place in (0, 1, 3))
        for row in page.rows
        if len(row) == 3 + len(METRICS) and row[0] in ("rnp", "noise")
    ]
    assert shown == told
    for method, value, text in told:
        assert f"| {method} | {value} | 3 | {text} |" in comparison.to_markdown()
    lines = comparison.to_text().splitlines()
    assert max(map(len, lines)) <= 160
    assert any(re.fullmatch(rf"│ noise +│ 10 +│ 3 │ +{told[2][2]} │.*", line) for line in lines)


def test_each_metric_has_a_chart_and_each_method_a_line(tmp_path):
    dial = compare(sweep(tmp_path)).dials["toy"]
    charts = dict(curve_charts("toy", dial, METRICS))
    assert list(charts) == list(METRICS.values())
    for svg in charts.values():
        lines = re.findall(r'<path d="M [^"]*"[^>]*style="[^"]*stroke: var\(--series-(\d)\); stroke-width: 1.6', svg)
        assert sorted(lines) == ["1", "1", "2", "2"]  # each with its legend
        assert "var(--series-3)" not in svg
    assert "<title>token F1 on toy over data.corpus.shortcut</title>" in charts["token F1"]
    assert 'role="img"' in charts["token F1"]
    assert "select all" in charts["token F1"]
    assert "select all" not in charts["token recall"]
    assert "select all" not in charts["accuracy"]


def test_a_method_name_is_text(tmp_path):
    page = comparison_page(sweep(tmp_path, methods=("rnp", HOSTILE), seeds=(0, 1)), tmp_path / "c.html")
    assert len(page.scripts) == 1
    assert HOSTILE not in page.scripts[0]
    assert page.text.count(HOSTILE) > 12


def test_one_seed_has_no_interval(tmp_path):
    folders = sweep(tmp_path, seeds=(0,))
    comparison = compare(folders)
    frame = comparison.curves()
    assert frame["low"].isna().all()
    assert not frame["mean"].isna().any()
    assert all(math.isnan(each.low) for _, each in comparison.pairs_at("toy"))
    page = comparison_page(folders, tmp_path / "c.html")
    assert page.tags.count("figure") == len(METRICS) + 2  # with those of what methods give and take
    assert page.row("rnp − noise")[2].endswith("one seed, no interval")


def test_missing_cells_are_left_out(tmp_path):
    folders = sweep(tmp_path, without=[("noise", 9.5)])
    comparison = compare(folders)
    assert len(comparison.curves()) == 5 * len(METRICS)
    assert {value for value, _ in comparison.pairs_at("toy")} == {0.5, 10}
    comparison_page(folders, tmp_path / "c.html")


def test_a_metric_that_some_runs_lack_is_a_dash(tmp_path):
    test = {name: value for name, value in TEST.items() if "token" not in name}
    folders = [*sweep(tmp_path), write_run(tmp_path, method="full", test=test, data={"corpus": {"shortcut": 10}})]
    page = comparison_page(folders, tmp_path / "c.html")
    assert next(row for row in page.rows if row[:2] == ["full", "10"])[3:6] == ["0.800", "–", "–"]


def test_runs_on_different_curves_are_compared_where_the_number_is_the_same(tmp_path):
    folders = [*sweep(tmp_path, values=(0.5, 10)), *sweep(tmp_path / "other", methods=("full",), values=(10,))]
    comparison = compare(folders)
    assert comparison.pairs_to_read() == {"toy": []}
    assert {(each.method, each.reference) for _, each in comparison.pairs_at("toy", "rnp")} == {("full", "rnp"), ("noise", "rnp")}
    found = comparison.differences("rnp")
    assert set(found["reference"]) == {"rnp (shortcut=0.5)", "rnp (shortcut=10)"}
    pairs = set(zip(found["method"], found["reference"], strict=True))
    assert pairs == {
        ("noise (shortcut=0.5)", "rnp (shortcut=0.5)"), ("noise (shortcut=10)", "rnp (shortcut=10)"),
        ("full", "rnp (shortcut=10)"),
    }  # fmt: skip
    asked = comparison.pairs_to_read("rnp (shortcut=10)")["toy"]
    assert {each.reference for each in asked} == {"rnp (shortcut=10)"}
    with pytest.raises(ValueError, match=r"rnp \(shortcut=0.5\), .*got 'x'"):
        comparison.differences("x")


def test_one_method_is_compared_with_itself(tmp_path):
    comparison = compare(sweep(tmp_path, methods=("rnp",), values=(0.5, 10)))
    assert len(comparison.pairs_to_read()["toy"]) == len(METRICS)
    assert comparison.pairs_at("toy") == []


def test_sentences_have_columns_where_a_run_selects_them(tmp_path):
    sentences = {**dict.fromkeys(SENTENCES, 0.625), "sentence_f1_macro": 0.5, "floor/random/sentence_f1": 0.25, "noise/x": 1.0}
    folders = [
        write_run(tmp_path, method="full"), write_run(tmp_path, method="rnp", test={**TEST, **sentences})
    ]  # fmt: skip
    comparison = compare(folders)
    assert list(comparison.metrics) == [*METRICS, *SENTENCES]
    assert comparison.table().loc[("toy", "rnp", "random"), ("sentence_f1", "mean")] == 0.25
    page = comparison_page(folders, tmp_path / "c.html")
    assert page.row("Method")[2:] == [*METRICS.values(), *SENTENCES.values(), "seconds per epoch"]
    assert page.row("rnp")[-4:] == ["0.625", "0.625", "0.625", "27.7"]
    assert page.row("full")[-4:] == ["–", "–", "–", "27.7"]
    assert max(map(len, comparison.to_text().splitlines())) <= 160
    assert list(compare(folders[:1]).metrics) == list(METRICS)


def test_the_time_of_a_frozen_encoder_is_apart(tmp_path):
    folders = [write_run(tmp_path), write_run(tmp_path, seed=1)]
    assert "frozen encoder" not in comparison_page(folders, tmp_path / "c.html").text
    (folders[0] / "timing.json").write_text('{"seconds_per_epoch": 2.0, "encoding_seconds": 9.0, "encoding_documents": 3}')
    (folders[1] / "timing.json").write_text('{"seconds_per_epoch": 3.0}')
    page = comparison_page(folders, tmp_path / "c.html")
    assert page.row("rnp")[-1] == "2.50"
    assert "do not count the states of a frozen encoder" in page.text
    (folders[0] / "timing.json").write_text("{}")
    (folders[1] / "timing.json").write_text("{}")
    assert comparison_page(folders, tmp_path / "c.html").row("rnp")[-1] == "–"
