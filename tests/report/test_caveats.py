"""What is said before the numbers."""

import math

import pytest

from rationalizers.report.caveats import LISTED, beside_floors, caveats, within_noise
from rationalizers.report.result import read_result
from rationalizers.report.seeds import METRICS, Difference
from tests.report.run_folders import PREDICTION, TEST, mean_of, write_evaluation, write_run


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


def test_one_run_for_all_seeds_is_no_other_data(tmp_path):
    assert notes(tmp_path, *({**each, "data": {"shortcuts": "runs/fr-s0"}} for each in PAIR)) == []


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


def test_floors_that_are_not_reached_are_told_in_one_sentence(tmp_path):
    found = notes(tmp_path, *PAIR[:3], {**PAIR[3], "test": {**TEST, "token_f1": -0.5}})
    assert found == [
        "toy: token F1 of rnp, 0.023, is below the 0.120 of random words of the same number, the 0.200 of selecting everything; "
        "by this number its rationales do not show where the evidence is."
    ]


def pair(metric, seeds, examples=(math.nan, math.nan), method="b"):
    return Difference(method, "a", metric, 3, 0.1, *seeds, 0.1, *examples, 0.1)


WIDE, CLEAR, NONE = (-0.1, 0.3), (0.05, 0.15), (math.nan, math.nan)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([pair("accuracy", CLEAR), pair("token_f1", NONE, CLEAR)], []),
        ([pair("accuracy", WIDE)], ["b − a is within the noise: accuracy (over seeds)."]),
        ([pair("accuracy", CLEAR, WIDE)], ["b − a is within the noise: accuracy (over examples)."]),
        (
            [pair("accuracy", WIDE, WIDE), pair("token_f1", NONE, WIDE), pair("token_f1", WIDE, method="c")],
            [
                "b − a is within the noise: accuracy (over seeds and examples), token F1 (over examples).",
                "c − a is within the noise: token F1 (over seeds).",
            ],
        ),
        ([pair("selected_share", WIDE)], []),  # nobody chooses a method by it
        ([pair("accuracy", NONE)], []),
    ],
)
def test_differences_within_the_noise_are_told_in_one_sentence_for_each_pair(found, told):
    assert within_noise(found, METRICS) == told


def test_of_many_pairs_only_their_number_is_told():
    many = [pair("accuracy", WIDE if place else CLEAR, method=str(place)) for place in range(LISTED + 2)]
    (told,) = within_noise([*many, pair("token_f1", CLEAR)], METRICS)
    assert f"within the noise are {LISTED + 1} of {LISTED + 2} in accuracy; name one" in told
    assert len(within_noise(many[:-1], METRICS)) == LISTED


def evaluated(tmp_path, **columns):
    folder = write_run(tmp_path)
    write_evaluation(folder, {name.replace("__", "/"): mean_of(values) for name, values in columns.items()})
    run = read_result(folder)
    return {"rnp": [run.with_evaluation(*run.evaluations.values())]}


def test_numbers_that_do_not_beat_a_floor_are_told(tmp_path):
    good = {"comprehensiveness": [0.4, 0.5] * 4, "floor__random__comprehensiveness": [0.1] * 8, "leakage": [0] * 8}
    assert beside_floors(evaluated(tmp_path / "a", **good), METRICS) == []
    bad = {"sufficiency": [0.5] * 8, "floor__random__sufficiency": [0.2] * 8, "leakage": [0.25] * 8, "edit_flip": [1] * 8}
    assert beside_floors(evaluated(tmp_path / "b", **good | bad), {"sufficiency": "SUFF"}) == [
        "of rnp, SUFF, 0.500, is above that of random units of the same number, 0.200 (difference +0.300 [+0.300, +0.300]); "
        "leakage, 0.250, is above 0 [0.25, 0.25]: the prediction depends on what was not selected."
    ]
    assert beside_floors(evaluated(tmp_path / "c", **good, selected_share=[1] * 8), METRICS) == [
        "rnp selects everything, so that its faithfulness and leakage say nothing."
    ]
    assert beside_floors({"rnp": [read_result(write_run(tmp_path / "d"))]}, METRICS) == []


def test_a_token_f1_below_its_floor_is_told_once(tmp_path):
    low = {"token_f1": [0.1] * 8, "floor__random__token_f1": [0.3] * 8}
    groups = evaluated(tmp_path / "a", **low)
    assert beside_floors(groups, METRICS) == []
    assert len([note for note in caveats([(*groups["rnp"], "rnp")], METRICS, {}) if "token F1" in note]) == 1
    noisy = {"token_f1": [0.9, 0.1, 0.1, 0.0] * 2, "floor__random__token_f1": [0.3] * 8}
    assert beside_floors(evaluated(tmp_path / "noisy", **noisy), METRICS) == []
    near = {"token_f1": [0.9, 0.1, 0.3, 0.4] * 2, "floor__random__token_f1": [0.3] * 8}
    (told,) = beside_floors(evaluated(tmp_path / "b", **near), METRICS)
    assert told.startswith("of rnp, token F1, 0.425, is within the noise of that of random units of the same number, 0.300")
