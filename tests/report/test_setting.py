"""Configurations of runs side by side."""

import pytest

from rationalizers.report.result import read_result
from rationalizers.report.setting import SECTIONS, differing, flatten, naming_runs, seedless, settings, texts
from tests.report.run_folders import write_run


def read(tmp_path, *described):
    return [read_result(write_run(tmp_path, folder=str(place), **each)) for place, each in enumerate(described)]


@pytest.mark.parametrize(
    ("values", "seeds", "expected"),
    [
        (["runs/fr-s0", "runs/fr-s1"], [0, 1], ["runs/fr", "runs/fr"]),
        (["fr-s12", "fr-s12/"], [12, 12], ["fr", "fr"]),
        (["runs/a-s1/b-s0"], [0], ["runs/a-s1/b"]),
        (["runs/fr-s0", "runs/fr-s0"], [0, 1], ["runs/fr-s0", "runs/fr-s0"]),  # one for all seeds
        (["runs/fr-s0", "runs/fr-s0", "runs/rnp-s1"], [0, 1, 1], ["runs/fr-s0", "runs/fr-s0", "runs/rnp"]),
        (["runs/fr-s1", "runs/fr-s0"], [0, 1], ["runs/fr-s1", "runs/fr-s0"]),  # of other seeds
        (["runs/fr-s10", "runs/fr-s0"], [0, 0], ["runs/fr-s10", "runs/fr-s0"]),
        (["runs/fr-s0/model", "s0", "-s0", "runs/-s0", "fr_s0", "fr-s0x", "0"], [0] * 7, None),  # no names of runs
    ],
)
def test_names_of_runs_lose_the_seed_that_they_share(values, seeds, expected):
    assert seedless(values, seeds) == (values if expected is None else expected)


def test_texts_are_compared_key_by_key(tmp_path):
    described = [{"seed": seed, "data": {"shortcuts": f"runs/fr-s{seed}", "from": "runs/fr-s0"}} for seed in (0, 1)]
    runs = read(tmp_path, *described, {"seed": 2, "data": {"from": "runs/fr-s0"}})
    found = texts(runs, ("data",))
    assert [each.get("data.shortcuts") for each in found] == ["runs/fr", "runs/fr", None]
    assert {each["data.from"] for each in found} == {"runs/fr-s0"}
    assert differing(found, [0, 1, 2]) == ["data.shortcuts"]
    assert differing(found[:2], [0, 1]) == []
    assert naming_runs(runs, ("data",)) == {"data.shortcuts", "data.from"}
    assert settings(runs[1], ("data",))["data.shortcuts"] == "runs/fr-s1"
    assert flatten(runs[1], ("data",)) == {**found[1], "data.shortcuts": "runs/fr"}


def test_whole_numbers_are_the_same_however_they_are_written(tmp_path):
    one, other = texts(read(tmp_path, {"model": {"share": 1}}, {"model": {"share": 1.0}}), SECTIONS)
    assert one == other
    assert one["model.share"] == "1"
