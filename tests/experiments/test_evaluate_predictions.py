import json

import pytest
from hydra import compose, initialize_config_module

from experiments.eraser_scores import as_overrides, score_file
from tests.data.eraser_folder import FULL, REVIEWS, make, write
from tests.tiny import fresh_process


def config(*overrides):
    with initialize_config_module("conf", version_base="1.3"):
        return compose("evaluate", overrides=as_overrides(overrides))


def on(root, *more):
    return ["data=movies", f"data.module.corpus.root={root}", *more]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--eraser-predictions", "p.jsonl", "data=movies"], ["eraser_predictions='p.jsonl'", "data=movies"]),
        (["split=val", "--eraser-predictions=a=b c.jsonl"], ["split=val", "eraser_predictions='a=b c.jsonl'"]),
        (["runs=runs", "--cfg", "job"], ["runs=runs", "--cfg", "job"]),
        (["eraser_predictions=p.jsonl"], ["eraser_predictions=p.jsonl"]),
    ],
)
def test_the_flag_becomes_an_override(given, expected):
    assert as_overrides(given) == expected


@pytest.mark.parametrize("name", ["p.jsonl", "a=b, c (1).jsonl", "it's.jsonl", "back\\slash.jsonl"])
def test_any_name_reaches_the_configuration(name):
    assert config("--eraser-predictions", name).eraser_predictions == name


@pytest.mark.parametrize("given", [["--eraser-predictions"], ["--eraser-predictions", "--cfg"]])
def test_a_flag_without_a_file_is_an_error(given):
    with pytest.raises(SystemExit, match="--eraser-predictions needs a file"):
        as_overrides(given)


def test_without_a_file_runs_are_meant():
    assert score_file(config()) is False
    with pytest.raises(SystemExit, match="a run knows its data; leave them out, or name a file"):
        score_file(config("data=movies"))


def test_the_numbers_are_shown_and_written(tmp_path, capsys):
    make(tmp_path)
    path = write(tmp_path / "p.jsonl", FULL[:2])
    assert score_file(config("--eraser-predictions", str(path), *on(tmp_path, f"json={tmp_path}/n.json")))
    held = json.loads((tmp_path / "n.json").read_text())
    assert {name: held[name] for name in held if name != "scores"} == {
        "predictions": str(path),
        "dataset": "movies",
        "split": "test",
        "parity": None,
    }
    assert held["scores"]["token_f1_macro"] == pytest.approx((1 + 6 / 7) / 2)
    shown = capsys.readouterr().out
    assert "p.jsonl: movies, test" in shown
    assert "│ token_f1_macro" in shown
    assert "annotations 3, predicted 2, missing 1, unknown 0; our definitions" in shown


def test_infinity_is_null_in_json(tmp_path):
    make(tmp_path)
    sure = {"classification_scores": {"NEG": 0.0, "POS": 1.0}, "classification": "POS"}
    rows = [{**row, **sure} for row in FULL]
    path = write(tmp_path / "p.jsonl", rows)
    score_file(config("--eraser-predictions", str(path), *on(tmp_path, f"json={tmp_path}/n.json")))
    assert json.loads((tmp_path / "n.json").read_text())["scores"]["comprehensiveness_kl"] is None


def test_parity_is_told(tmp_path, capsys):
    make(tmp_path)
    path = write(tmp_path / "p.jsonl", FULL)
    score_file(config("--eraser-predictions", str(path), *on(tmp_path, "parity=eraser")))
    assert "unknown 0; as eraser computes it." in capsys.readouterr().out


def test_examples_of_another_split_are_looked_for(tmp_path, capsys):
    folder = make(tmp_path, lines=REVIEWS[:1])
    (folder / "val.jsonl").write_text(json.dumps(REVIEWS[1]) + "\n")
    (folder / "train.jsonl").unlink()
    path = write(tmp_path / "p.jsonl", FULL)
    score_file(config("--eraser-predictions", str(path), *on(tmp_path)))
    assert "of 2 predicted examples that are not in test of movies, 1 in val, 1 nowhere (r3)" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"of 1 predicted examples .* in test of movies, 1 in val; name the split .*split="):
        score_file(config("--eraser-predictions", str(write(path, FULL[1:2])), *on(tmp_path)))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "needs the data set that the predictions are of: one of data=boolq, "),
        (["data=toy_text"], "data=toy_text is not in ERASER's format, .* choose one of data=boolq, "),
        (["data=bace"], "data=bace is not in ERASER's format"),
    ],
)
def test_data_must_be_named_and_of_eraser(overrides, message):
    with pytest.raises(SystemExit, match=message):
        score_file(config("--eraser-predictions", "p.jsonl", *overrides))


def test_what_is_wrong_with_a_file_is_said_without_a_trace(tmp_path):
    make(tmp_path)
    with pytest.raises(SystemExit, match=r"there is no prediction file none\.jsonl"):
        score_file(config("--eraser-predictions", "none.jsonl", *on(tmp_path)))
    path = write(tmp_path / "p.jsonl", [{**FULL[0], "classification": "MAYBE"}])
    with pytest.raises(SystemExit, match=r"p\.jsonl:1: 'classification' is 'MAYBE'"):
        score_file(config("--eraser-predictions", str(path), *on(tmp_path)))


@pytest.mark.slow
def test_the_command_scores_a_file_and_leaves_nothing_else(tmp_path):
    make(tmp_path / "data")
    path = write(tmp_path / "p.jsonl", FULL)
    empty = tmp_path / "empty"
    empty.mkdir()
    command = ["-m", "experiments.evaluate", "--eraser-predictions", str(path), *on(tmp_path / "data")]
    done = fresh_process(command, cwd=empty)
    assert done.returncode == 0, done.stderr
    assert "token_f1" in done.stdout
    assert list(empty.iterdir()) == []
