"""Evaluations become rows: named after what sets them apart, and only like ones in one group."""

import pytest

from rationalizers.report.comparison import compare
from rationalizers.report.evaluated import unlike, with_evaluations
from rationalizers.report.result import read_result
from tests.report.run_folders import TEST, mean_of, write_evaluation, write_run

COLUMNS = {"accuracy": mean_of([1, 0, 1, 1, 0, 1, 1, 1]), "comprehensiveness": mean_of([0.5] * 8)}


def run_with(tmp_path, *evaluations, seed=0, method="full"):
    folder = write_run(tmp_path, method=method, seed=seed)
    for each in evaluations:
        write_evaluation(folder, COLUMNS, **each)
    return read_result(folder)


def methods(results, pattern=None, split="test"):
    return [row.method for row in with_evaluations(results, pattern, split)[0]]


def test_the_own_evaluation_takes_the_place_of_the_numbers_of_the_training(tmp_path):
    rows, notes = with_evaluations([run_with(tmp_path, {})], None, "test")
    assert [row.method for row in rows] == ["full"]
    assert rows[0].test == {"accuracy": 0.75, "comprehensiveness": 0.5}
    assert notes == []


def test_attributions_are_rows_of_their_own(tmp_path):
    assert methods([run_with(tmp_path, {"explained_by": "saliency"})]) == ["full", "full + saliency"]
    assert methods([run_with(tmp_path / "b")]) == ["full"]


def test_several_absences_are_named_in_every_run(tmp_path):
    saliency = [{"explained_by": "saliency", "absence": absence} for absence in ("compact", "remove")]
    runs = [run_with(tmp_path, *saliency), run_with(tmp_path, saliency[0], {"explained_by": "lime"}, seed=1)]
    assert methods(runs) == [
        "full", "full + saliency (compact)", "full + saliency (remove)", "full", "full + lime", "full + saliency (compact)",
    ]  # fmt: skip
    own = [run_with(tmp_path / "own", {}, {"absence": "zero"})]
    assert methods(own) == ["full (compact)", "full (zero)"]


def test_several_evaluations_of_one_absence_are_told_apart_by_their_names(tmp_path):
    runs = [run_with(tmp_path, {}, {"name": "more"}), run_with(tmp_path, {}, seed=1)]
    assert methods(runs) == ["full (more)", "full (test-own-compact)", "full (test-own-compact)"]


def test_a_pattern_chooses_by_name(tmp_path):
    runs = [run_with(tmp_path, {}, {"explained_by": "saliency"}, {"explained_by": "lime", "absence": "zero"})]
    assert methods(runs, "test-*-compact") == ["full", "full + saliency"]
    assert methods(runs, "test-lime-zero") == ["full", "full + lime"]
    with pytest.raises(
        ValueError, match=r"must match .* got 'val-\*'; there is test-lime-zero \(test\), test-own-compact \(test\)"
    ):
        with_evaluations(runs, "val-*", "test")
    with pytest.raises(ValueError, match=r"none: make one with python -m experiments\.evaluate"):
        with_evaluations([run_with(tmp_path / "b")], "x", "test")


def test_of_another_split_there_are_only_evaluations(tmp_path):
    runs = [run_with(tmp_path, {"split": "val"}, {}), run_with(tmp_path, {}, seed=1)]
    rows, notes = with_evaluations(runs, None, "val")
    assert [row.evaluation.name for row in rows] == ["val-own-compact"]
    assert notes == ["full-toy-s1 has no evaluation of the val split and was left out."]
    with pytest.raises(ValueError, match=r"no evaluation of the train split; make one with: .* split=train"):
        with_evaluations(runs, None, "train")


def test_a_comparison_shows_them_and_links_to_the_same_runs(tmp_path):
    runs = [run_with(tmp_path, {}, {"explained_by": "saliency"}, seed=seed) for seed in (0, 1)]
    found = compare([run.folder for run in runs])
    assert list(found.groups("toy")) == ["full", "full + saliency"]
    assert found.table().loc[("toy", "full + saliency", "model"), ("comprehensiveness", "mean")] == 0.5
    assert list(compare([run.folder for run in runs], evaluation="test-own-*").groups("toy")) == ["full"]
    assert compare([runs[0].folder], split="test").split == "test"


def test_a_repeated_run_is_noted_once_with_all_its_evaluations(tmp_path):
    folders = [write_run(tmp_path, folder=name) for name in ("a", "b")]
    for folder in folders:
        for explained_by in ("own", "saliency"):
            write_evaluation(folder, COLUMNS, explained_by=explained_by)
    notes = [note for note in compare(folders).notes if "repeats" in note]
    assert len(notes) == 1
    assert notes[0].startswith(str(folders[1]))


def test_unlike_settings_are_noted(tmp_path):
    def groups(*described):
        found = {}
        for seed, (method, settings) in enumerate(described):
            run = run_with(tmp_path / str(len(list(tmp_path.iterdir()))), {"resamples": 9, **settings}, seed=seed)
            found.setdefault(method, []).append(run.with_evaluation(*run.evaluations.values()))
        return found

    assert unlike(groups(("a", {}), ("a", {}), ("b", {}))) == []
    assert unlike(groups(("a", {}), ("a", {"fractions": [0.2]}))) == [
        "runs were not evaluated alike: fractions is [0.1, 0.5] for full-toy-s0; [0.2] for full-toy-s1."
    ]
    assert unlike(groups(("a", {}), ("b", {"absence": "zero"}))) == [
        "runs were not evaluated alike: absence is compact for a; zero for b."
    ]
    assert unlike(groups(("a (compact)", {}), ("a (zero)", {"absence": "zero"}))) == []
    assert unlike(groups(("a", {"resamples": 5}), ("b", {}))) == []
    assert unlike(groups(("a", {"resamples": 5}), ("a", {}))) == [
        "runs of a were not evaluated alike: resamples is 5 for full-toy-s0; 9 for full-toy-s1."
    ]
    plain = read_result(write_run(tmp_path / "plain", test=TEST))
    assert unlike({"a": [plain]}) == []
