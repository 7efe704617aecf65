"""Runs of one method are averaged only where they differ in nothing but their seed."""

from rationalizers.report.result import read_result
from rationalizers.report.variant import variants
from tests.report.run_folders import write_run


def names(tmp_path, *described):
    results = [read_result(write_run(tmp_path, **{"folder": str(place), **each})) for place, each in enumerate(described)]
    return variants(results, {})


def test_seeds_alone_do_not_set_runs_apart(tmp_path):
    assert names(tmp_path, {"seed": 0}, {"seed": 1}, {"seed": 2, "method": "full"}) == (["rnp", "rnp", "full"], [])


def test_values_that_follow_the_seed_do_not_either(tmp_path):
    described = [{"seed": seed, "data": {"corpus": {"seed": seed}}} for seed in (0, 1)]
    assert names(tmp_path / "a", *described)[0] == ["rnp", "rnp"]
    pinned = [{"seed": seed, "data": {"seed": 0}} for seed in (0, 1)]
    assert names(tmp_path / "b", *pinned)[0] == ["rnp", "rnp"]


def test_one_or_two_differences_become_part_of_the_name(tmp_path):
    found, notes = names(tmp_path, {"model": {"share": 0.1}}, {"model": {"share": 0.2}, "seed": 1}, {"method": "full"})
    assert found == ["rnp (share=0.1)", "rnp (share=0.2)", "full"]
    assert notes[1] == "toy: rnp (share=0.2) is rnp-toy-s1, with model.share = 0.2."


def test_keys_that_end_alike_are_written_out(tmp_path):
    found, _ = names(tmp_path, {"model": {"a": {"lr": 1}, "b": {"lr": 2}}}, {"model": {"a": {"lr": 3}, "b": {"lr": 4}}})
    assert found == ["rnp (model.a.lr=1, model.b.lr=2)", "rnp (model.a.lr=3, model.b.lr=4)"]


def test_many_differences_get_a_number_and_a_note(tmp_path):
    found, notes = names(tmp_path, {"model": {"a": 1, "b": 1, "c": [1]}}, {"model": {}})
    assert found == ["rnp #1", "rnp #2"]
    assert notes[0] == "toy: rnp #1 is rnp-toy-s0, with model.a = 1, model.b = 1, model.c.0 = 1."
    assert notes[1] == "toy: rnp #2 is rnp-toy-s0, with model.a = unset, model.b = unset, model.c.0 = unset."


def test_the_featurizer_counts_once(tmp_path):
    other = {"length": 64}
    found, _ = names(tmp_path, {}, {"featurizer": other, "data": {"featurizer": other}})
    assert found == ["rnp (_target_=rationalizers.data.words.WordFeaturizer, length=128)", "rnp (_target_=unset, length=64)"]


def test_other_data_sets_are_other_groups(tmp_path):
    assert names(tmp_path, {"model": {"share": 0.1}}, {"model": {"share": 0.2}, "dataset": "other"})[0] == ["rnp", "rnp"]
