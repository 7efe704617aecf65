"""Reading finished runs: what is there, what is missing, what is broken."""

import json

import pytest

from rationalizers.report.result import FILES, find_runs, home_of, read_result, read_results, read_runs
from rationalizers.run import FORMAT
from tests.report.run_folders import EPOCHS, TEST, mean_of, record, records, write_evaluation, write_run


def test_a_run_is_read_as_it_was_written(tmp_path):
    result = read_result(write_run(tmp_path, seed=3))
    assert (result.name, result.method, result.dataset, result.seed) == ("rnp-toy-s3", "rnp", "toy", 3)
    assert result.test == TEST
    assert result.epochs == EPOCHS
    assert result.timing["fit_seconds"] == 83.0
    assert result.examples == records()


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named_with_its_folder(tmp_path, name):
    folder = write_run(tmp_path)
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError) as caught:
        read_result(folder)
    assert str(folder) in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(("name", "facts"), [("config.yaml", ("method", "seed")), ("metrics.json", ("test",))])
def test_a_missing_fact_is_named_with_its_file(tmp_path, name, facts):
    folder = write_run(tmp_path)
    file = folder / name
    if name == "config.yaml":
        file.write_text(f"format: {FORMAT}\nname: a\ndataset: b\ndata: {{}}\n")
    else:
        file.write_text(json.dumps({"best_epoch": 1, "epochs": 1, "val": {}}))
    with pytest.raises(ValueError, match=f"missing: {', '.join(facts)}") as caught:
        read_result(folder)
    assert str(file) in str(caught.value)


def test_a_broken_line_is_named_by_file_and_number(tmp_path):
    folder = write_run(tmp_path)
    file = folder / "rationales.jsonl"
    file.write_text(json.dumps(records()[0]) + "\n{broken\n")
    with pytest.raises(ValueError, match=r"rationales\.jsonl:2: not JSON"):
        _ = read_result(folder).examples
    file.write_text("[1]\n")
    with pytest.raises(ValueError, match=r"rationales\.jsonl:1: expected a mapping, got list"):
        _ = read_result(folder).examples


def test_line_separators_inside_words_do_not_end_a_line(tmp_path):
    words = ["a\u2028b", "c\x85d", "e", "f", "g"]
    folder = write_run(tmp_path)
    (folder / "rationales.jsonl").write_text(json.dumps(record(words=words), ensure_ascii=False) + "\n", encoding="utf-8")
    assert read_result(folder).examples[0]["words"] == words


def test_runs_are_found_at_any_depth_but_not_inside_runs_or_hidden_folders(tmp_path):
    outer, inner = write_run(tmp_path, seed=1), write_run(tmp_path / "deep" / "er", seed=0)
    write_run(outer / "files", seed=5)
    write_run(tmp_path / ".hydra", seed=6)
    unfinished = write_run(tmp_path, folder="half.partial")
    assert find_runs(tmp_path) == [inner, unfinished, outer]
    assert find_runs(outer) == [outer]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        find_runs(tmp_path / "nowhere")


def test_unfinished_runs_are_left_out_with_a_note(tmp_path):
    finished, unfinished = write_run(tmp_path), write_run(tmp_path, folder="half.partial")
    results, notes = read_results([unfinished, finished])
    assert [result.folder for result in results] == [finished]
    assert len(notes) == 1
    assert notes[0].startswith("half.partial is unfinished and left out")
    with pytest.raises(ValueError, match=r"no finished run to read. half\.partial is unfinished"):
        read_results([unfinished])
    _, (note,) = read_results([finished, unfinished, write_run(tmp_path, folder="other.partial")])
    assert note == "2 runs (half.partial, other.partial) are unfinished and left out; start their sweep again, it goes on."


def test_runs_become_a_tidy_frame(tmp_path):
    folders = [write_run(tmp_path, seed=seed, test={"accuracy": 0.5 + seed / 10, "loss": 1.0}) for seed in (0, 1)]
    frame = read_runs([*folders, tmp_path / "x.partial"])
    assert list(frame.columns) == ["run", "method", "dataset", "seed", "metric", "value"]
    assert frame[frame["metric"] == "accuracy"]["value"].tolist() == [0.5, 0.6]
    assert frame["run"].tolist() == ["rnp-toy-s0"] * 2 + ["rnp-toy-s1"] * 2
    assert len(frame.attrs["notes"]) == 1


def test_a_run_with_an_evaluation_has_its_numbers_examples_and_columns(tmp_path):
    folder = write_run(tmp_path)
    run = read_result(folder)
    assert (run.evaluations, run.ids, dict(run.columns)) == ({}, (), {})
    other = [record(id=line["id"], selected=[[0, 1]]) for line in records()]
    name = write_evaluation(folder, {"accuracy": mean_of([1, None, *[0] * 6])}, explained_by="saliency", examples=other)
    run = read_result(folder)
    scored = run.with_evaluation(run.evaluations[name])
    assert (scored.method, scored.test, scored.name) == ("rnp + saliency", {"accuracy": 1 / 7}, run.name)
    assert scored.examples == other
    assert scored.ids == tuple(f"t/{place}" for place in range(8))
    assert scored.columns["accuracy"].tolist() == [[1, *[0] * 7], [1, 0, *[1] * 6]]
    own = write_evaluation(folder, {"accuracy": mean_of([1] * 8)})
    run = read_result(folder)
    assert run.with_evaluation(run.evaluations[own]).method == "rnp"
    assert run.with_test({"accuracy": 0.5}, explained_by="lime").method == "rnp + lime"
    assert run.with_test({"accuracy": 0.5}).evaluation is None


def test_among_what_wandb_keeps_only_the_run_folders_are_runs(tmp_path):
    root = tmp_path / "wandb"
    kept = [root / "run-20261127_231946-a" / "files", root / "offline-run-20261127_231947-b" / "files"]
    runs = [write_run(files, folder="rationalizer", seed=seed) for seed, files in enumerate(kept)]
    # W&B's own beside it, and a link to the latest.
    (kept[0] / "config.yaml").write_text("wandb_version: 1\n")
    (root / "latest-run").symlink_to(kept[1].parent)
    # One that was not finished, and one that was copied when the disk was full.
    (root / "run-20261127_231948-c" / "files").mkdir(parents=True)
    (root / "run-20261127_231948-c" / "files" / "config.yaml").write_text("wandb_version: 1\n")
    write_run(root / "run-20261127_231949-d" / "files", folder="rationalizer.partial", seed=3)
    assert find_runs(root)[:2] == sorted(runs)
    results, notes = read_results(find_runs(root))
    assert sorted(result.folder for result in results) == sorted(runs)
    assert len(notes) == 1


def test_runs_are_found_below_several_folders_and_patterns_each_once(tmp_path, monkeypatch):
    first, second = write_run(tmp_path / "a", method="rnp"), write_run(tmp_path / "a", method="full")
    third = write_run(tmp_path / "b" / "c", method="rnp")
    (tmp_path / "b" / "empty").mkdir()
    assert find_runs([tmp_path / "b", tmp_path / "a"]) == [third, second, first]
    assert find_runs([tmp_path / "a", first, f"{tmp_path}/./a"]) == [second, first]
    assert find_runs([first, tmp_path]) == [first, second, third]
    assert find_runs(f"{tmp_path}/*/rnp-*") == [first]
    assert find_runs(f"{tmp_path}/**") == find_runs(tmp_path) == find_runs(f"{tmp_path}/*")
    assert find_runs([f"{tmp_path}/**/rnp-*"]) == [first, third]
    monkeypatch.chdir(tmp_path)
    assert [str(each) for each in find_runs("b")] == [str(each) for each in find_runs(["b", tmp_path])[:1]] == ["b/c/rnp-toy-s0"]
    assert len(find_runs(["b", tmp_path])) == 3
    with pytest.raises(FileNotFoundError, match=r"no folder .*/x\* to look for runs in"):
        find_runs(f"{tmp_path}/x*")
    with pytest.raises(FileNotFoundError, match=r"there is no run below .*/empty; train something"):
        find_runs([tmp_path / "b" / "empty"])


def test_a_folder_whose_name_looks_like_a_pattern_is_a_folder(tmp_path):
    folder = write_run(tmp_path / "a[1]")
    assert find_runs(tmp_path / "a[1]") == [folder]


def test_folders_of_something_else_are_left_out_with_a_note(tmp_path):
    run = write_run(tmp_path)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "config.yaml").write_text("theme: !!python/name:os.system plain\n")
    results, notes = read_results(find_runs(tmp_path))
    assert [result.folder for result in results] == [run]
    assert notes == [f"{tmp_path / 'site'} is no run, its config.yaml is of something else, and was left out."]
    with pytest.raises(ValueError, match=r"no finished run to read. .*site is no run"):
        read_results([tmp_path / "site"])


def test_a_published_model_among_runs_is_left_out_with_a_note(tmp_path):
    run, published = write_run(tmp_path), write_run(tmp_path, folder="published", seed=1)
    (published / "model.safetensors").write_bytes(b"")
    (published / "metrics.jsonl").unlink()
    results, (note,) = read_results(find_runs(tmp_path))
    assert [result.folder for result in results] == [run]
    assert note == f"{published} is a model without its training, as it is published, and was left out."


def test_runs_named_from_here_and_from_the_root_have_a_common_folder(tmp_path, monkeypatch):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b")
    monkeypatch.chdir(tmp_path)
    roots = ["a", str(tmp_path / "b")]
    assert home_of(roots, find_runs(roots)) == tmp_path
