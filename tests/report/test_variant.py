"""Runs of one method are averaged only where they differ in nothing but their seed."""

import pytest

from rationalizers.report.comparison import compare
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


# Runs that name other runs ------------------------------------------------------------------------------------------------


def after(teacher, seed, value=0.8, **more):
    """A run that goes on from another, which it names."""
    return {"method": "ssr", "seed": seed, "data": {"corpus": {"shortcut": value, **more}, "shortcuts": teacher}}


def test_a_run_of_the_same_seed_that_is_named_does_not_set_runs_apart(tmp_path):
    assert names(tmp_path / "a", *(after(f"runs/fr-toy-s{seed}", seed) for seed in (0, 1, 12))) == (["ssr"] * 3, [])
    assert names(tmp_path / "b", *(after("runs/fr-toy-s0", seed) for seed in (0, 1))) == (["ssr"] * 2, [])
    lists = [{"seed": seed, "data": {"runs": [f"runs/fr-s{seed}", f"runs/a2r-s{seed}/"]}} for seed in (0, 1)]
    assert names(tmp_path / "c", *lists) == (["rnp"] * 2, [])


def test_other_runs_that_are_named_do(tmp_path):
    found, notes = names(tmp_path, *(after(f"runs/{name}-s{seed}", seed) for name in ("fr", "rnp") for seed in (0, 1)))
    assert found == ["ssr (shortcuts=runs/fr)"] * 2 + ["ssr (shortcuts=runs/rnp)"] * 2
    assert notes[0] == "toy: ssr (shortcuts=runs/fr) is ssr-toy-s0, ssr-toy-s1, with data.shortcuts = runs/fr."


def test_so_do_runs_of_one_seed_for_all(tmp_path):
    found, _ = names(tmp_path, *(after(f"runs/fr-s{other}", seed) for other in (0, 1) for seed in (0, 1)))
    assert found == ["ssr (shortcuts=runs/fr-s0)"] * 2 + ["ssr (shortcuts=runs/fr-s1)"] * 2
    found, _ = names(tmp_path / "none", after(None, 0), after("runs/fr-s1", 1))
    assert found == ["ssr (shortcuts=None)", "ssr (shortcuts=runs/fr)"]


@pytest.mark.parametrize("teacher", ["runs/fr-rho{value}-s{seed}", "runs/fr-rho{value}-s0"])
def test_which_run_it_was_is_left_to_the_note_where_the_rest_tells_it(tmp_path, teacher):
    grid = [(value, seed) for value in (0.5, 0.9) for seed in (0, 1)]
    found, notes = names(tmp_path, *(after(teacher.format(value=value, seed=seed), seed, value) for value, seed in grid))
    assert found == ["ssr (shortcut=0.5)"] * 2 + ["ssr (shortcut=0.9)"] * 2
    named = teacher.format(value=0.5, seed="{seed}").removesuffix("-s{seed}")
    assert notes[0] == (
        f"toy: ssr (shortcut=0.5) is ssr-toy-s0, ssr-toy-s1, with data.corpus.shortcut = 0.5, data.shortcuts = {named}."
    )


def test_it_is_part_of_the_name_where_the_rest_does_not_tell_it(tmp_path):
    grid = [(value, name, seed) for value in (0.5, 0.9) for name in ("fr", "rnp") for seed in (0, 1)]
    found, _ = names(tmp_path, *(after(f"runs/{name}-s{seed}", seed, value) for value, name, seed in grid))
    assert found[::2] == [f"ssr (shortcut={value}, shortcuts=runs/{name})" for value in (0.5, 0.9) for name in ("fr", "rnp")]
    assert found[1::2] == found[::2]


def test_of_two_names_of_runs_that_change_together_one_is_shown(tmp_path):
    grid = [(name, seed) for name in ("fr", "rnp") for seed in (0, 1)]
    found, _ = names(tmp_path, *(after(f"{name}-s{seed}", seed, begun=f"{name}-s{seed}") for name, seed in grid))
    assert found == ["ssr (begun=fr)"] * 2 + ["ssr (begun=rnp)"] * 2


@pytest.mark.parametrize("teacher", ["runs/fr-rho{value}-s{seed}", "runs/fr-rho{value}-s0"])
def test_runs_that_are_named_do_not_stop_curves(tmp_path, teacher):
    grid = [(value, seed) for value in (0.5, 0.9) for seed in (0, 1)]
    described = [after(teacher.format(value=value, seed=seed), seed, value) for value, seed in grid]
    comparison = compare(write_run(tmp_path, folder=str(place), **each) for place, each in enumerate(described))
    assert {name: len(runs) for name, runs in comparison.groups("toy").items()} == {
        "ssr (shortcut=0.5)": 2,
        "ssr (shortcut=0.9)": 2,
    }
    assert comparison.dials["toy"].tied == ("data.shortcuts",)
    assert comparison.notes == (
        "toy: curves over data.corpus.shortcut also show the effect of what changes together with it: data.shortcuts.",
    )
