"""The number that curves are drawn over is found, or its absence explained."""

import pytest

from rationalizers.report.comparison import compare
from rationalizers.report.dial import find_dials, label
from rationalizers.report.result import read_result
from tests.report.run_folders import write_run


def found(tmp_path, *described, key=None):
    results = [read_result(write_run(tmp_path, folder=str(place), **each)) for place, each in enumerate(described)]
    return find_dials(results, key)


def shortcut(value, **corpus):
    return {"data": {"corpus": {"shortcut": value, **corpus}}}


def grid(values, methods=("rnp", "noise"), seeds=(0, 1), make=shortcut):
    return [{"method": method, "seed": seed, **make(value)} for method in methods for value in values for seed in seeds]


def test_the_one_number_in_which_runs_of_a_method_differ(tmp_path):
    dials, notes = found(tmp_path, *grid([10, 9.5, 0.5]))
    dial = dials["toy"]
    assert (dial.key, dial.name, dial.tied, notes) == ("data.corpus.shortcut", "shortcut", (), [])
    assert dial.values == [0.5, 9.5, 10]  # by size, not by letter
    assert list(dial.lines) == ["noise", "rnp"]
    assert [(value, [run.seed for run in runs]) for value, runs in dial.lines["rnp"].items()] == [
        (0.5, [0, 1]), (9.5, [0, 1]), (10.0, [0, 1])
    ]  # fmt: skip


def test_methods_may_differ_and_one_of_them_is_enough(tmp_path):
    runs = [*grid([0.5, 0.8], methods=["rnp"]), {"method": "full", "model": {"share": 1.0}, **shortcut(0.8)}]
    dial = found(tmp_path, *runs)[0]["toy"]
    assert {method: list(line) for method, line in dial.lines.items()} == {"rnp": [0.5, 0.8], "full": [0.8]}
    assert list(dial.at(0.5)) == ["rnp"]


@pytest.mark.parametrize("copy", [lambda value: value, lambda value: None if value < 0.6 else value])
def test_what_is_tied_does_not_stop_it(tmp_path, copy):
    def make(value):
        return {**shortcut(value, shortcut_val=copy(value)), "model": {"encoder": {"vocabulary": int(850 + 100 * value)}}}

    dials, _ = found(tmp_path, *grid([0.5, 0.8], make=make))
    assert dials["toy"].key == "data.corpus.shortcut"
    assert dials["toy"].tied == ("data.corpus.shortcut_val", "model.encoder.vocabulary")


def test_another_number_that_changes_with_it_is_told(tmp_path):
    dials, notes = found(tmp_path, *grid([0.5, 0.8], make=lambda value: {**shortcut(value), "trainer": {"epochs": value * 10}}))
    assert dials["toy"].key == "data.corpus.shortcut"
    assert notes == [
        "toy: curves over data.corpus.shortcut also show the effect of what changes together with it: trainer.epochs."
    ]


@pytest.mark.parametrize("offset", [0, 7])
def test_seeds_are_no_dials(tmp_path, offset):
    runs = [{"seed": seed, "data": {"corpus": {"seed": seed + offset}, "seed": seed}} for seed in (0, 1)]
    assert found(tmp_path, *runs) == ({}, [])


def test_text_truth_values_and_infinity_are_no_dials(tmp_path):
    runs = [{"seed": place, "model": {"x": value}} for place, value in enumerate(["a", True, float("inf")])]
    assert found(tmp_path, *runs) == ({}, [])


def test_a_difference_between_methods_alone_is_no_dial(tmp_path):
    assert found(tmp_path, {"method": "a", **shortcut(0.5)}, {"method": "b", **shortcut(0.8)}) == ({}, [])


BOTH = [
    {"method": method, "seed": seed, **shortcut(value), "model": {"share": share}}
    for method, shares in (("rnp", (0.1,)), ("noise", (0.1, 0.2)))
    for value in (0.5, 0.8)
    for share in shares
    for seed in (0, 1)
]


def test_of_two_independent_numbers_one_has_to_be_named(tmp_path):
    dials, notes = found(tmp_path / "a", *BOTH)
    assert dials == {}
    assert notes[0].startswith("toy: runs of one method differ in several numbers, data.corpus.shortcut, model.share; dial=")
    dials, notes = found(tmp_path / "b", *BOTH, key="data.corpus.shortcut")
    assert list(dials["toy"].lines) == ["rnp"]
    assert notes == ["toy: noise is on no curve over data.corpus.shortcut: its runs also differ in model.share."]
    dials, notes = found(tmp_path / "c", *BOTH, key="model.share")
    assert dials == {}
    assert notes[-1] == "toy: there are no curves over model.share: no method has two of its values."


def test_a_method_without_the_number_is_on_no_curve(tmp_path):
    runs = [{"method": "noise", "model": {"rate": rate}} for rate in (0.1, 0.2)]
    dials, notes = found(tmp_path, *runs, {"method": "rnp"})
    assert list(dials["toy"].lines) == ["noise"]
    assert notes == ["toy: rnp is on no curve over model.rate: 1 of its 1 runs have none."]


def test_an_unknown_key_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"\(data.corpus.shortcut, model.share\), got 'x'"):
        found(tmp_path / "a", *BOTH, key="x")
    with pytest.raises(ValueError, match=r"\(there is none\), got 'model.share'"):
        found(tmp_path / "b", {}, key="model.share")


def test_each_data_set_has_its_own(tmp_path):
    other = [{**each, "dataset": "other"} for each in grid([0.1, 0.2], make=lambda value: {"model": {"share": value}})]
    dials, _ = found(tmp_path, *grid([0.5, 0.8]), *other)
    assert {name: dial.key for name, dial in dials.items()} == {"toy": "data.corpus.shortcut", "other": "model.share"}


def test_runs_on_curves_need_no_notes_and_are_named_and_sorted_by_the_number(tmp_path):
    folders = [
        write_run(tmp_path, folder=str(place), **each)
        for place, each in enumerate(grid([10, 9.5, 0.5], make=lambda value: shortcut(value, shortcut_val=value)))
    ]
    comparison = compare(folders)
    assert comparison.notes == ()
    assert list(comparison.groups("toy")) == [
        f"{name} (shortcut={value})" for name in ("noise", "rnp") for value in (0.5, 9.5, 10)
    ]


def test_other_data_are_noted_still(tmp_path):
    runs = [{**each, "data": {"batch_size": 8, **each["data"]}} for each in grid([0.5, 0.8], methods=["rnp"])]
    runs += grid([0.5, 0.8], methods=["noise"])
    notes = compare(write_run(tmp_path, folder=str(place), **each) for place, each in enumerate(runs)).notes
    assert len(notes) == 1
    assert "data.batch_size is 32 for" in notes[0]


def test_values_read_as_they_were_written():
    assert [label(value) for value in (0.95, 10.0, 1e-05, -0.5)] == ["0.95", "10", "1e-05", "-0.5"]
