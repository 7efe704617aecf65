"""One run from configuration to folder, and that killing it anywhere changes nothing in the end."""

import functools
import json
import logging
import signal
from pathlib import Path

import pytest
import torch
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from rationalizers import fitting, training
from rationalizers.base import Rationalizer
from rationalizers.build import build, trusting
from rationalizers.data.module import RationaleData
from rationalizers.encoders import GRUEncoder
from rationalizers.load import load_rationalizer
from rationalizers.metrics.scores import Scores
from rationalizers.run import read_config
from rationalizers.training import describe, fill, train
from tests.tiny import SIZES, TinyCorpus, fresh_process, run_config

METHODS = ("full", "rnp", "noise")
REPRODUCED = ("metrics.json", "metrics.jsonl", "model.safetensors", "rationales.jsonl", "assets/vocabulary.json", "config.yaml")


class Killed(Exception):
    """Stands for the end of the process."""


def read(folder):
    return {name: (folder / name).read_bytes() for name in REPRODUCED}


def lines(file):
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def numbers(folder):
    return json.loads((folder / "metrics.json").read_text("utf-8"))


def partial_of(folder):
    return folder.with_name(folder.name + ".partial")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished, never interrupted run of each method."""
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("runs")
    found = {method: train(run_config(place / method, method=method)) for method in METHODS}
    torch.use_deterministic_algorithms(False)
    return found


@pytest.fixture(autouse=True)
def _quick_report(monkeypatch):
    # Drawing takes longer than training here; the runs above have real ones.
    monkeypatch.setattr(training, "write_report", lambda folder: (folder / "report.html").write_text("short"))


@pytest.fixture
def count_steps(monkeypatch):
    """Epoch and batch of every training step from here on."""
    steps = []
    step = Rationalizer.training_step

    @functools.wraps(step)
    def counting(self, batch, batch_idx):
        steps.append((self.current_epoch, batch_idx))
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Rationalizer, "training_step", counting)
    return steps


def raise_at(monkeypatch, owner, name, when, error=Killed):
    """Make ``owner.name`` raise when ``when(*arguments)`` is true."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def dying(*arguments, **named):
        if when(*arguments):
            raise error
        return original(*arguments, **named)

    monkeypatch.setattr(owner, name, dying)


def train_until_killed(config, owner, name, when=lambda *_: True):
    with pytest.MonkeyPatch.context() as patch:
        raise_at(patch, owner, name, when)
        with pytest.raises(Killed):
            train(config)
    assert not Path(config["folder"]).exists()
    assert partial_of(Path(config["folder"])).is_dir()


def at(epoch, batch):
    return lambda model, _, batch_idx: (model.current_epoch, batch_idx) == (epoch, batch)


# What a finished run is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_run_folder_holds_what_it_promises_and_nothing_else(runs, method):
    folder = runs[method]
    assert {file.name for file in folder.iterdir()} == {
        "config.yaml",
        "model.safetensors",
        "assets",
        "last.ckpt",
        "metrics.jsonl",
        "metrics.json",
        "timing.json",
        "rationales.jsonl",
        "predictions.jsonl",
        "report.html",
    }
    assert [file.name for file in (folder / "assets").iterdir()] == ["vocabulary.json"]
    assert not partial_of(folder).exists()
    assert all(file.stat().st_size > 0 for file in folder.rglob("*") if file.is_file())


def test_the_configuration_is_complete_and_plain(runs):
    config = read_config(runs["rnp"])
    text = (runs["rnp"] / "config.yaml").read_text("utf-8")
    assert "???" not in text
    assert "!!" not in text
    assert (config["format"], config["name"], config["method"], config["dataset"]) == (2, "rnp-tiny", "rnp", "tiny")
    assert (config["seed"], config["trust"]) == (0, ["tests"])
    assert config["model"]["task"] == {"_target_": "rationalizers.task.Classification", "labels": ["bad", "good"]}
    assert config["model"]["encoder"]["mask_id"] == 1
    assert config["model"]["encoder"]["vocabulary"] == len(json.loads((runs["rnp"] / "assets" / "vocabulary.json").read_text()))
    assert config["featurizer"] == config["data"]["featurizer"]
    assert set(config["versions"]) == {"python", "torch", "lightning", "rationalizers"}


def test_the_configuration_that_was_given_is_left_alone(tmp_path):
    config = run_config(tmp_path / "run", max_epochs=1)
    before = json.dumps(config)
    train(config)
    assert json.dumps(config) == before


def test_metrics_have_a_row_for_every_epoch(runs):
    rows = lines(runs["rnp"] / "metrics.jsonl")
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    terms = {f"train/{name}" for name in ("loss", "task", "sparsity", "continuity", "evidence")}
    promised = {"val/loss", "val/accuracy", "val/macro_f1", "val/selected_share", "val/token_f1", "val/auprc"}
    for row in rows:
        assert terms | promised <= set(row)
        assert not any(name.startswith(("floor/", "test/")) for name in row)
    weights = read_config(runs["rnp"])["model"]["weights"]
    for row in rows:
        assert row["train/loss"] == pytest.approx(
            sum(weight * row[f"train/{name}"] for name, weight in weights.items()), abs=1e-5
        )


@pytest.mark.parametrize("method", METHODS)
def test_the_summary_repeats_the_epoch_with_the_lowest_validation_loss(runs, method):
    rows, summary = lines(runs[method] / "metrics.jsonl"), numbers(runs[method])
    best = min(rows, key=lambda row: row["val/loss"])
    assert (summary["best_epoch"], summary["epochs"]) == (best["epoch"], 3)
    assert summary["val"] == {name[len("val/") :]: value for name, value in best.items() if name.startswith("val/")}


def test_floors_stand_beside_the_numbers_of_the_test_split_only(runs):
    summary = numbers(runs["rnp"])
    for floor in ("random", "first", "last", "all", "oracle"):
        assert f"floor/{floor}/token_f1" in summary["test"]
    assert not any(name.startswith("floor/") for name in summary["val"])
    assert {name for name in summary["test"] if not name.startswith(("floor/", "whole_input/"))} == set(summary["val"])


@pytest.mark.parametrize("method", METHODS)
def test_the_test_split_also_tells_what_is_predicted_from_whole_inputs(runs, method):
    summary = numbers(runs[method])
    assert {name for name in summary["test"] if name.startswith("whole_input/")} == {
        "whole_input/accuracy",
        "whole_input/macro_f1",
    }
    assert not any(name.startswith("whole_input/") for name in summary["val"])
    if method == "full":
        assert summary["test"]["whole_input/accuracy"] == summary["test"]["accuracy"]
        assert summary["test"]["whole_input/macro_f1"] == summary["test"]["macro_f1"]


def test_times_are_kept_apart_from_what_is_reproducible(runs):
    timing = json.loads((runs["rnp"] / "timing.json").read_text())
    assert set(timing) == {"fit_seconds", "seconds_per_epoch"}
    assert timing["fit_seconds"] > 0
    assert timing["seconds_per_epoch"] == pytest.approx(timing["fit_seconds"] / 3)
    assert "seconds" not in (runs["rnp"] / "metrics.jsonl").read_text()


def test_training_learns_something(runs):
    # Cue words give the label away and most of the evidence is trained on: guessing would score a half and .2.
    summary = numbers(runs["rnp"])["test"]
    assert summary["token_f1"] > 0.8
    assert summary["token_f1"] > summary["floor/random/token_f1"]
    assert 0 < summary["selected_share"] < 0.5


def test_the_last_checkpoint_opens_without_unpickling_objects(runs):
    checkpoint = torch.load(runs["rnp"] / "last.ckpt", weights_only=True)
    assert (checkpoint["epoch"], checkpoint["global_step"]) == (2, 18)
    assert checkpoint["optimizer_states"]


def test_every_epoch_is_told_in_one_line(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="rationalizers"):
        train(run_config(tmp_path / "run", max_epochs=2))
    told = [record.getMessage() for record in caplog.records if record.name.startswith("rationalizers")]
    assert [line for line in told if line.startswith("tiny: train/generated = 36")]
    epochs = [line for line in told if line.startswith("epoch ")]
    assert [line[: len("epoch 1 of 2")] for line in epochs] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert all("val/loss" in line and "val/token_f1" in line for line in epochs)


# Rationales and the numbers agree -------------------------------------------------------------------------------------


def test_rationales_are_the_test_split_in_order(runs):
    rows, documents = lines(runs["rnp"] / "rationales.jsonl"), TinyCorpus().load().splits["test"]
    assert len(rows) == SIZES["test"]
    for row, document in zip(rows, documents, strict=True):
        assert row["id"] == document.id
        assert row["words"] == list(document.words)
        assert row["label"] == document.label
        assert row["evidence"] == ([list(span) for span in document.spans] if document.annotated else None)
        assert len(row["scores"]) == len(document.words)


@pytest.mark.parametrize("method", METHODS)
def test_rationales_agree_with_the_numbers(runs, method):
    rows, test = lines(runs[method] / "rationales.jsonl"), numbers(runs[method])["test"]
    selected = [{i for start, end in row["selected"] for i in range(start, end)} for row in rows]
    share = [len(chosen) / len(row["words"]) for chosen, row in zip(selected, rows, strict=True)]
    known = [(chosen, row) for chosen, row in zip(selected, rows, strict=True) if row["evidence"]]
    gold = [{i for start, end, _ in row["evidence"] for i in range(start, end)} for _, row in known]
    hits = sum(len(chosen & truth) for (chosen, _), truth in zip(known, gold, strict=True))
    chosen, truth = sum(len(each) for each, _ in known), sum(map(len, gold))
    assert test["accuracy"] == pytest.approx(sum(row["prediction"] == row["label"] for row in rows) / len(rows))
    assert test["selected_share"] == pytest.approx(sum(share) / len(share))
    assert test["runs"] == pytest.approx(sum(len(row["selected"]) for row in rows) / len(rows))
    assert test["token_f1"] == pytest.approx(2 * hits / (chosen + truth))
    assert test["examples_without_evidence"] == len(rows) - len(known)


def test_selected_words_are_those_with_a_positive_score(runs):
    # In evaluation a selector draws nothing.
    for row in lines(runs["rnp"] / "rationales.jsonl"):
        selected = {i for start, end in row["selected"] for i in range(start, end)}
        assert selected == {i for i, score in enumerate(row["scores"]) if score > 0}


@pytest.mark.parametrize("method", METHODS)
def test_a_loaded_model_says_the_same_about_the_test_split(runs, method):
    rows, documents = lines(runs[method] / "rationales.jsonl"), TinyCorpus().load().splits["test"]
    for row, found in zip(rows, load_rationalizer(runs[method])(documents), strict=True):
        record = found.record()
        assert record["selected"] == row["selected"]
        assert record["prediction"] == row["prediction"]
        assert record["probabilities"] == pytest.approx(row["probabilities"], abs=2e-6)
        assert [score for score in record["scores"] if score] == pytest.approx(
            [score for score in row["scores"] if score], abs=2e-4
        )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_numbers_do_not_depend_on_the_batch_size_of_evaluation(runs, method, batch_size):
    trained = load_rationalizer(runs[method])
    with trusting(["tests"]):
        data = build({**read_config(runs[method])["data"], "batch_size": batch_size}, RationaleData)
    data.setup("test")
    model, scores = trained.model, Scores(trained.model.task, floors=True, whole=True)
    with torch.no_grad():
        for batch in data.batches("test"):
            output = model(batch)
            whole = model.task.predict(model.logits(batch, torch.ones(batch.units.shape[0])))
            scores.update(output.logits, output.rationale, batch, whole=whole)
    assert scores.compute() == pytest.approx(numbers(runs[method])["test"], abs=1e-6)


# Which epoch ----------------------------------------------------------------------------------------------------------


def script_losses(monkeypatch, losses, token_f1):
    """Make validation say these losses and F1s in turn; training and testing are left alone."""
    told = list(zip(losses, token_f1, strict=True))
    compute, begun = Scores.compute, []

    def scripted(self):
        found = compute(self)
        if not any(name.startswith("floor/") for name in found):
            found["loss"], found["token_f1"] = told[len(begun)]
            begun.append(None)
        return found

    monkeypatch.setattr(Scores, "compute", scripted)


def test_the_epoch_is_chosen_by_validation_loss_and_not_by_plausibility(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        script_losses(patch, [0.5, 0.2, 0.9], [0.1, 0.0, 1.0])
        folder = train(run_config(tmp_path / "chosen", method="full"))
    with pytest.MonkeyPatch.context() as patch:
        script_losses(patch, [0.5, 0.2], [0.1, 0.0])
        shorter = train(run_config(tmp_path / "shorter", method="full", max_epochs=2))
    summary = numbers(folder)
    assert (summary["best_epoch"], summary["epochs"]) == (1, 3)
    assert summary["val"]["loss"] == pytest.approx(0.2)
    # The second epoch is the same in both runs, and the third one has left no trace.
    assert (folder / "model.safetensors").read_bytes() == (shorter / "model.safetensors").read_bytes()
    assert summary["test"] == numbers(shorter)["test"]


def test_equal_losses_choose_the_first(tmp_path, monkeypatch):
    script_losses(monkeypatch, [0.5, 0.2, 0.2], [0.0, 0.0, 1.0])
    assert numbers(train(run_config(tmp_path / "run", method="full")))["best_epoch"] == 1


# Same again -----------------------------------------------------------------------------------------------------------


def test_a_finished_run_is_returned_untouched(runs, count_steps):
    def state(folder):
        return {file: (file.stat().st_mtime_ns, file.stat().st_ino, file.stat().st_size) for file in folder.parent.rglob("*")}

    folder = runs["rnp"]
    before = state(folder)
    assert train(run_config(folder, method="rnp")) == folder
    assert state(folder) == before
    assert count_steps == []


def test_the_same_run_elsewhere_is_the_same_to_the_byte(runs, tmp_path):
    torch.rand(3)
    assert read(train(run_config(tmp_path / "again"))) == read(runs["rnp"])


def test_another_seed_is_another_run(runs, tmp_path):
    other = read(train(run_config(tmp_path / "other", seed=1)))
    for name in ("model.safetensors", "metrics.json", "metrics.jsonl"):
        assert other[name] != read(runs["rnp"])[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed is 1 now and 0 there"),
        ({"max_epochs": 4}, "trainer.max_epochs is 4 now and 3 there"),
        ({"model": {"share": 0.3}}, "model.share is 0.3 now and 0.2 there"),
        ({"method": "full"}, "name is 'full-tiny' now and 'rnp-tiny' there"),
    ],
)
def test_another_configuration_in_the_same_folder_is_refused(runs, change, message):
    with pytest.raises(FileExistsError, match=f"{runs['rnp']} holds another run: {message}"):
        train(run_config(runs["rnp"], **change))


def test_another_configuration_beside_an_unfinished_run_is_refused(tmp_path):
    folder = tmp_path / "run"
    train_until_killed(run_config(folder), Rationalizer, "training_step", at(0, 1))
    with pytest.raises(FileExistsError, match=r"run\.partial holds another run: seed is 1 now and 0 there"):
        train(run_config(folder, seed=1))


# Left to the data -----------------------------------------------------------------------------------------------------


def test_what_the_data_do_not_know_is_named(tmp_path):
    model = {"encoder": {"_target_": "rationalizers.encoders.GRUEncoder", "vocabulary": "???", "mask_id": "???", "layers": "???"}}
    with pytest.raises(
        ValueError,
        match=r"'layers' is left to the data \(\?\?\?\), which knows only mask_id, separator_id, task, vocabulary; set it",
    ):
        train(run_config(tmp_path / "run", model=model))
    assert not (tmp_path / "run").exists()


def test_fill_replaces_by_name_at_any_depth_and_changes_nothing_in_place():
    config = {"task": "???", "parts": [{"vocabulary": "???"}, "kept"], "encoder": {"vocabulary": "???", "text": "?"}}
    before = json.dumps(config)
    facts = {"task": {"labels": ["a"]}, "vocabulary": 7, "unused": 1}
    assert fill(config, facts) == {
        "task": {"labels": ["a"]},
        "parts": [{"vocabulary": 7}, "kept"],
        "encoder": {"vocabulary": 7, "text": "?"},
    }
    assert json.dumps(config) == before


def test_describe_says_what_makes_the_run(tmp_path):
    config = run_config(tmp_path / "run")
    described = describe(config)
    assert described["model"] == config["method"]["model"]
    assert described["data"] == config["data"]["module"]
    assert "folder" not in described  # a run may be moved


def test_a_source_outside_is_refused_by_name(tmp_path):
    config = {**run_config(tmp_path / "run"), "trust": []}
    with pytest.raises(ValueError, match=r"'tests\.tiny\.TinyCorpus' lies outside the packages rationalizers, graph"):
        train(config)
    assert not (tmp_path / "run").exists()


# Killed and started again ---------------------------------------------------------------------------------------------

KILL = """
import json, os, signal, sys
import torch
from rationalizers.base import Rationalizer
from rationalizers.training import train

torch.set_num_threads(1)
step = Rationalizer.training_step
def dying(self, batch, batch_idx):
    if (self.current_epoch, batch_idx) == (1, 3):
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, batch_idx)
Rationalizer.training_step = dying
train(json.load(sys.stdin))
"""


@pytest.mark.slow
def test_a_process_that_was_killed_leaves_a_run_that_ends_the_same(runs, tmp_path, count_steps):
    folder = tmp_path / "run"
    config = run_config(folder, method="rnp")
    done = fresh_process(["-c", KILL], cwd=tmp_path, stdin=json.dumps(config))
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not folder.exists()
    assert len(lines(partial_of(folder) / "metrics.jsonl")) == 1
    train(config)
    assert count_steps == [(epoch, batch) for epoch in (1, 2) for batch in range(6)]
    assert read(folder) == read(runs["rnp"])


@pytest.mark.parametrize(
    ("method", "epoch", "batch"), [("full", 1, 3), ("noise", 1, 2), ("rnp", 0, 4), ("rnp", 1, 0), ("rnp", 2, 5)]
)
def test_a_run_killed_within_an_epoch_ends_the_same(runs, tmp_path, count_steps, method, epoch, batch):
    config = run_config(tmp_path / "run", method=method)
    train_until_killed(config, Rationalizer, "training_step", at(epoch, batch))
    count_steps.clear()
    folder = train(config)
    assert count_steps == [(e, b) for e in range(epoch, 3) for b in range(6)]  # no epoch is lost, none is repeated
    assert read(folder) == read(runs[method])


@pytest.mark.parametrize(
    ("owner", "name", "when", "left"),
    [
        pytest.param(Rationalizer, "validation_step", lambda model, *_: model.current_epoch == 1, 2, id="validation"),
        pytest.param(
            fitting.History, "on_train_epoch_end", lambda _, trainer, *__: trainer.current_epoch == 1, 2, id="end of an epoch"
        ),
        pytest.param(
            fitting.ModelCheckpoint,
            "on_train_epoch_end",
            lambda _, trainer, *__: trainer.current_epoch == 1,
            2,
            id="before the checkpoint",
        ),
        pytest.param(Rationalizer, "test_step", lambda *_: True, 0, id="test"),
        pytest.param(training, "write_report", lambda *_: True, 0, id="report"),
        pytest.param(training, "close_run", lambda *_: True, 0, id="the last act"),
    ],
)
def test_a_run_killed_between_ends_the_same(runs, tmp_path, count_steps, owner, name, when, left):
    config = run_config(tmp_path / "run", method="rnp")
    train_until_killed(config, owner, name, when)
    count_steps.clear()
    folder = train(config)
    assert count_steps == [(epoch, batch) for epoch in range(3 - left, 3) for batch in range(6)]
    assert read(folder) == read(runs["rnp"])
    assert {file.name for file in folder.iterdir()} == {file.name for file in runs["rnp"].iterdir()}


def test_a_run_killed_again_and_again_ends_the_same(runs, tmp_path):
    config = run_config(tmp_path / "run", method="rnp")
    for epoch, batch in ((0, 2), (0, 5), (1, 1), (1, 1), (2, 3)):
        train_until_killed(config, Rationalizer, "training_step", at(epoch, batch))
    assert read(train(config)) == read(runs["rnp"])


def test_a_run_killed_after_it_got_its_name_is_finished(runs, tmp_path, count_steps):
    config = run_config(tmp_path / "run", method="rnp")
    with pytest.MonkeyPatch.context() as patch:
        raise_at(patch, training.shutil, "rmtree", lambda folder, *_: Path(folder).name == training.CHECKPOINTS)
        with pytest.raises(Killed):
            train(config)
    count_steps.clear()
    assert read(train(config)) == read(runs["rnp"])
    assert count_steps == []
    assert not partial_of(tmp_path / "run").exists()


@pytest.fixture
def listening():
    """Lightning ignores Ctrl-C for the rest of the process once it has met it; tests after this one do not."""
    handler = signal.getsignal(signal.SIGINT)
    yield handler
    signal.signal(signal.SIGINT, handler)


def test_an_interrupted_run_says_how_to_go_on_and_ends_the_same(runs, tmp_path, listening):
    config = run_config(tmp_path / "run", method="rnp")
    with pytest.MonkeyPatch.context() as patch:
        raise_at(patch, Rationalizer, "training_step", at(1, 2), KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt, match=r"interrupted; the same command resumes .*run\.partial"):
            train(config)
    assert signal.getsignal(signal.SIGINT) is listening  # a second Ctrl-C still works
    assert not (tmp_path / "run").exists()
    assert read(train(config)) == read(runs["rnp"])


def test_an_unfinished_run_that_was_moved_ends_the_same(tmp_path):
    """The best epoch lies before the kill, so its weights must be found in the new place."""
    losses, f1 = [0.2, 0.5, 0.9], [0.0, 0.0, 0.0]
    with pytest.MonkeyPatch.context() as patch:
        script_losses(patch, losses, f1)
        whole = train(run_config(tmp_path / "whole", method="full"))
    with pytest.MonkeyPatch.context() as patch:
        script_losses(patch, losses, f1)
        train_until_killed(run_config(tmp_path / "here", method="full"), Rationalizer, "training_step", at(2, 1))
    partial_of(tmp_path / "here").rename(partial_of(tmp_path / "there"))
    with pytest.MonkeyPatch.context() as patch:
        script_losses(patch, losses[2:], f1[2:])
        moved = train(run_config(tmp_path / "there", method="full"))
    assert numbers(moved)["best_epoch"] == 0
    assert read(moved) == read(whole)


def test_pretrained_vectors_are_read_once(tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(GRUEncoder, "initialize", lambda self, vocabulary: begun.append(len(vocabulary)))
    config = run_config(tmp_path / "run", method="rnp")
    train_until_killed(config, Rationalizer, "training_step", at(1, 0))
    size = read_config(partial_of(tmp_path / "run"))["model"]["encoder"]["vocabulary"]
    assert begun == [size, size]  # generator and predictor
    train(config)
    assert begun == [size, size]


# Patience -------------------------------------------------------------------------------------------------------------


def standing_still(folder):
    """Nothing is learnt, so no epoch is better than the first one."""
    return run_config(folder, method="full", model={"optimizer": {"lr": 1e-30}}, max_epochs=9, patience=2)


@pytest.fixture(scope="module")
def impatient(tmp_path_factory):
    torch.set_num_threads(1)
    folder = train(standing_still(tmp_path_factory.mktemp("impatient") / "run"))
    torch.use_deterministic_algorithms(False)
    return folder


def test_patience_ends_a_run_that_does_not_improve(impatient):
    summary = numbers(impatient)
    assert (summary["best_epoch"], summary["epochs"]) == (0, 3)
    assert len(lines(impatient / "metrics.jsonl")) == 3


def test_patience_is_remembered(impatient, tmp_path):
    config = standing_still(tmp_path / "run")
    train_until_killed(config, Rationalizer, "training_step", at(2, 3))
    assert read(train(config)) == read(impatient)


def test_the_epoch_is_chosen_by_the_number_that_is_monitored(tmp_path):
    folder = train(run_config(tmp_path / "run", method="full", max_epochs=4, monitor="val/accuracy", mode="max"))
    accuracies = [row["val/accuracy"] for row in lines(folder / "metrics.jsonl")]
    chosen = numbers(folder)
    assert chosen["best_epoch"] == accuracies.index(max(accuracies))
    assert chosen["val"]["accuracy"] == max(accuracies)


def test_a_number_that_nobody_measures_cannot_choose(tmp_path):
    with pytest.raises((MisconfigurationException, RuntimeError), match="val/beauty"):
        train(run_config(tmp_path / "run", method="full", max_epochs=1, monitor="val/beauty"))


def test_exhausted_patience_is_remembered(impatient, tmp_path, count_steps):
    config = standing_still(tmp_path / "run")
    train_until_killed(config, training, "_finish")
    count_steps.clear()
    assert read(train(config)) == read(impatient)
    assert count_steps == []
