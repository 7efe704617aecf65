"""What is said before the numbers."""

from rationalizers.report.caveats import caveats
from rationalizers.report.result import read_result
from rationalizers.report.seeds import METRICS
from tests.report.run_folders import PREDICTION, TEST, write_run


def notes(tmp_path, *described):
    runs = [read_result(write_run(tmp_path, **each)) for each in described]
    return caveats([(run, run.method) for run in runs], METRICS, {})


PAIR = [{"method": method, "seed": seed} for method in ("full", "rnp") for seed in (0, 1)]


def test_nothing_is_said_where_all_is_well(tmp_path):
    assert notes(tmp_path, *PAIR) == []


def test_other_data_is_listed_run_by_run(tmp_path):
    odd = {"method": "rnp", "seed": 1, "data": {"corpus": {"shortcut": 0.5}}}
    assert notes(tmp_path, *PAIR[:3], odd) == [
        "toy: runs were not given the same data: data.corpus.shortcut is 0.5 for rnp-toy-s1; "
        "0.8 for full-toy-s0, full-toy-s1, rnp-toy-s0."
    ]


def test_data_sets_are_not_held_against_each_other(tmp_path):
    other = [{**each, "dataset": "other", "data": {"corpus": {"shortcut": 0.5}}} for each in PAIR]
    assert notes(tmp_path, *PAIR, *other) == []


def test_single_runs_and_unlike_seeds(tmp_path):
    single, unlike = notes(tmp_path, *PAIR[:3])
    assert single == "toy: there is only one run of rnp; the spread over seeds is unknown."
    assert unlike.startswith("toy: methods were run with different seeds (full: 0, 1; rnp: 0)")


def test_numbers_that_only_some_runs_have(tmp_path):
    found = notes(tmp_path, *PAIR[:3], {**PAIR[3], "test": PREDICTION})
    assert found[0] == "toy: rnp-toy-s1 has no token F1; the mean of rnp is that of its other runs."
    assert len(found) == 4


def test_methods_below_a_floor_on_average(tmp_path):
    low, high = {**TEST, "token_f1": 0.1}, {**TEST, "token_f1": 0.25}
    found = notes(tmp_path, *PAIR[:2], {**PAIR[2], "test": low}, {**PAIR[3], "test": high})
    assert len(found) == 1
    assert found[0].startswith("toy: token F1 of rnp, 0.175, is below the 0.200 of selecting everything")
