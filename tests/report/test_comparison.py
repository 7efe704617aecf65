"""Several runs: right numbers in every form, and only like compared with like."""

import math

import numpy as np
import pandas
import pytest

from rationalizers.report.comparison import compare
from rationalizers.statistics import difference, estimate
from tests.report.page_check import Page
from tests.report.run_folders import PREDICTION, TEST, mean_of, write_evaluation, write_run

ACCURACY = {"full": (0.9, 0.94), "rnp": (0.8, 0.7)}


@pytest.fixture
def folders(tmp_path):
    everything = {name: TEST[f"floor/all/{name}"] for name in ("token_f1", "token_recall")}
    selects_all = {
        **TEST,
        **everything,
        **{f"floor/{which}/{name}": value for which in ("random", "oracle") for name, value in everything.items()},
    }
    return [
        write_run(
            tmp_path, method=method, seed=seed, test={**(selects_all if method == "full" else TEST), "accuracy": values[seed]}
        )
        for method, values in ACCURACY.items()
        for seed in (0, 1)
    ]


def test_table(folders):
    table = compare(folders).table()
    assert table.index.names == ["dataset", "method", "selection"]
    row = table.loc[("toy", "rnp", "model")]
    assert row[("runs", "n")] == 2
    assert row[("accuracy", "mean")] == pytest.approx(0.75)
    assert row[("accuracy", "sd")] == pytest.approx(0.1 / math.sqrt(2))
    assert table.loc[("toy", "rnp", "random"), ("token_f1", "mean")] == pytest.approx(0.12)
    assert table.loc[("toy", "rnp", "oracle"), ("token_recall", "mean")] == pytest.approx(0.95)
    assert math.isnan(table.loc[("toy", "rnp", "all"), ("accuracy", "mean")])
    assert len(table) == 8


def test_differences(folders):
    frame = compare(folders).differences("full")
    row = frame[frame["metric"] == "accuracy"].iloc[0]
    assert (row["dataset"], row["method"], row["reference"], row["n"]) == ("toy", "rnp", "full", 2)
    assert row["difference"] == pytest.approx((-0.1 - 0.24) / 2)
    assert list(frame.columns[5:9]) == ["difference", "low", "high", "p"]
    assert list(frame.columns[9:]) == ["example_low", "example_high", "example_p", "p_holm", "example_p_holm"]
    assert frame["example_p"].isna().all()
    assert row["p_holm"] == row["p"]  # one pair
    pandas.testing.assert_frame_equal(frame, compare(folders).differences())  # one pair


def test_an_unknown_reference_is_refused_with_the_known_ones(folders):
    with pytest.raises(ValueError, match="compared methods, full, rnp; got 'noise'"):
        compare(folders).differences("noise")


def test_the_order_of_the_folders_does_not_matter(folders):
    assert compare(folders).to_text() == compare(reversed(folders)).to_text()


def test_rows_to_read_repeat_no_floor(folders):
    shown = [(row.method, row.selection) for row in compare(folders).rows("toy")]
    assert shown == [("full", "model"), ("rnp", "model"), ("rnp", "random"), ("rnp", "oracle"), ("", "all")]


def test_selecting_everything_stays_with_its_method_where_it_differs(tmp_path):
    folders = [
        write_run(tmp_path, method="a"), write_run(tmp_path, method="b", test={**TEST, "floor/all/token_f1": 0.3})
    ]  # fmt: skip
    shown = [(row.method, row.selection) for row in compare(folders).rows("toy")]
    assert shown == [(method, name) for method in "ab" for name in ("model", "random", "all", "oracle")]


def test_every_form_tells_the_same(folders):
    comparison = compare(folders)
    text, markdown, html = comparison.to_text(), comparison.to_markdown(), Page(comparison.to_html()).text
    for form in (text, markdown, html):
        assert "0.750 ± 0.071" in form
        assert "−0.170" in form
        assert "random, same size" in form
    assert "| toy | rnp | 2 | 0.750 ± 0.071 |" in markdown
    assert comparison._repr_html_() == comparison.to_html()
    assert "full − rnp" in comparison.to_text(reference="rnp")


def test_data_sets_are_never_mixed(tmp_path):
    comparison = compare([write_run(tmp_path, method="rnp"), write_run(tmp_path, method="full", dataset="other")])
    assert comparison.datasets == ["other", "toy"]
    assert comparison.differences().empty
    assert list(comparison.groups("toy")) == ["rnp"]


def test_variants_of_a_method_are_not_averaged(tmp_path):
    folders = [
        write_run(tmp_path, folder=f"{share}{seed}", seed=seed, model={"share": share}) for share in (0.1, 0.2) for seed in (0, 1)
    ]
    comparison = compare(folders)
    assert set(comparison.methods) == {"rnp (share=0.1)", "rnp (share=0.2)"}
    assert comparison.differences()["n"].tolist() == [2] * 6


def test_a_repeated_run_is_left_out_with_a_note(tmp_path):
    comparison = compare([write_run(tmp_path, folder="a"), write_run(tmp_path, folder="b")])
    assert [result.folder.name for result in comparison.results] == ["a"]
    assert "b repeats" in comparison.notes[0]


def test_unfinished_runs_are_noted(tmp_path):
    comparison = compare([write_run(tmp_path), tmp_path / "later.partial"])
    assert comparison.notes[0].startswith("later.partial is unfinished")


def test_runs_without_evidence(tmp_path):
    comparison = compare([write_run(tmp_path, method=method, test=PREDICTION) for method in ("full", "rnp")])
    assert comparison.table().index.get_level_values("selection").unique().tolist() == ["model"]
    assert comparison.differences()["metric"].tolist() == ["accuracy", "selected_share"]
    assert "–" in comparison.to_text()


def test_accuracy_on_whole_inputs_is_a_column_of_every_form(tmp_path):
    numbers = {**TEST, "whole_input/accuracy": 0.875}
    comparison = compare([write_run(tmp_path, seed=seed, test=numbers) for seed in (0, 1)])
    assert comparison.table().loc[("toy", "rnp", "model"), ("whole_input/accuracy", "mean")] == 0.875
    for text in (comparison.to_text(), comparison.to_markdown(), str(comparison.to_html())):
        assert "accuracy on whole inputs" in text
        assert "0.875" in text
    assert "whole inputs" not in compare([write_run(tmp_path / "older")]).to_text()


RIGHT = {("full", 0): [1, 1, 1, 0, 1, 1, 1, 1], ("full", 1): [1, 1, 1, 1, 1, 0, 1, 1], ("rnp", 0): [0, 0, 1, 0, 1, 0, 1, 1]}
RIGHT |= {("rnp", 1): [0, 0, 1, 1, 0, 0, 0, 1]}


@pytest.fixture
def evaluated(tmp_path):
    folders = []
    for (method, seed), values in RIGHT.items():
        folder = write_run(tmp_path, method=method, seed=seed)
        columns = {
            "accuracy": mean_of(values),
            "comprehensiveness": mean_of([0.1 * seed, *[0.2] * 7]),
            "floor/random/comprehensiveness": mean_of([0.1] * 8),
            "mask_signal": mean_of(values),
            "floor/majority/mask_signal": mean_of([0] * 8),
        }
        write_evaluation(folder, columns, numbers={"token_f1": 0.5 + seed / 10})
        folders.append(folder)
    return folders


def test_intervals_over_examples_are_those_of_the_statistics(evaluated):
    comparison = compare(evaluated)
    full, rnp = (np.array([RIGHT[method, seed] for seed in (0, 1)], float) for method in ("full", "rnp"))
    ones = np.ones((2, 8))
    expected = estimate(rnp, ones)
    row = comparison.table().loc[("toy", "rnp", "model")]
    assert (row[("accuracy", "example_low")], row[("accuracy", "example_high")]) == (expected.low, expected.high)
    assert math.isnan(row[("token_f1", "example_low")])  # it is not known example by example
    gap = difference((rnp, ones), (full, ones))
    frame = comparison.differences()
    row = frame[frame["metric"] == "accuracy"].iloc[0]
    assert tuple(row[["example_low", "example_high", "example_p"]]) == (gap.low, gap.high, gap.p)
    assert row["difference"] == pytest.approx(gap.value)
    text = f"0.438 ± 0.088 [{expected.low:.3f}, {expected.high:.3f}]"
    for form in (comparison.to_text(), comparison.to_markdown().replace("\\", ""), Page(comparison.to_html()).text):
        assert text in form
        assert "mean ± standard deviation over n seeds [95 % interval over examples]" in " ".join(form.split())
        assert "95 % over examples" in form
    assert "most frequent answer" in comparison.to_text()


def test_columns_of_evaluations_stand_where_a_run_has_them(evaluated, tmp_path):
    plain = compare([write_run(tmp_path, method="plain")])
    assert "comprehensiveness" not in plain.metrics
    assert "over examples" not in plain.to_text()
    found = list(compare(evaluated).metrics)
    assert found[-2:] == ["comprehensiveness", "mask_signal"]
    assert "token_precision" in found


def test_runs_of_which_one_was_not_evaluated_have_no_interval_and_a_note(evaluated, tmp_path):
    comparison = compare([*evaluated, write_run(tmp_path, method="rnp", seed=2)])
    row = comparison.table().loc[("toy", "rnp", "model")]
    assert math.isnan(row[("accuracy", "example_low")])
    assert not math.isnan(row[("comprehensiveness", "example_low")])  # of the two runs that have it
    assert any(
        "rnp-toy-s2 has no comprehensiveness; the mean of rnp is that of its other runs" in note for note in comparison.notes
    )


def test_a_number_that_is_unknown_does_not_count(evaluated, tmp_path):
    folder = write_run(tmp_path, method="rnp", seed=2)
    write_evaluation(folder, {"accuracy": mean_of([1] * 8), "comprehensiveness": mean_of([None] * 8)})
    table = compare([*evaluated, folder]).table()
    assert table.loc[("toy", "rnp", "model"), ("comprehensiveness", "mean")] == pytest.approx((0.175 + 0.1875) / 2)


def test_warnings_need_the_examples_and_come_with_every_form(evaluated, monkeypatch):
    comparison = compare(evaluated)
    assert not any("within the noise" in note for note in comparison.notes)
    # Accuracy differs by half in eight examples; comprehensiveness is the same, token F1 the same in every seed.
    assert comparison.warnings() == [
        "toy: rnp − full is within the noise: accuracy (over seeds), comprehensiveness (over examples)."
    ]
    assert comparison.warnings("rnp")[0].startswith("toy: full − rnp is within the noise")
    for form in (comparison.to_text(width=400), comparison.to_markdown(), Page(comparison.to_html()).text):
        assert "rnp − full is within the noise" in form
    monkeypatch.setattr("rationalizers.report.seeds.gap", None)
    assert comparison.warnings() == comparison.told()[len(comparison.notes) :]  # nothing is drawn a second time


def test_of_many_methods_pairs_are_compared_with_a_reference_only(tmp_path, monkeypatch):
    monkeypatch.setattr("rationalizers.report.comparison.MOST_PAIRS", 2)
    comparison = compare([write_run(tmp_path, method=method, seed=seed) for method in "abc" for seed in (0, 1)])
    assert comparison.pairs_to_read() == {"toy": []}
    assert comparison.warnings() == ["toy: 3 pairs of methods are too many to compare each; name one as the reference."]
    assert {each.method for each in comparison.pairs_to_read("b")["toy"]} == {"a", "c"}
    assert not any("too many" in warning for warning in comparison.warnings("b"))
    assert len(comparison.differences()) == 3 * 6  # who asks for every pair gets it
