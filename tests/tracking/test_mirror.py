"""A run of W&B says what the run folder says, whatever happened to the training; and the folder does not know of it."""

import json
import logging
import re
import shutil

import pytest
import yaml

from rationalizers import training
from rationalizers.base import Rationalizer
from rationalizers.load import load_rationalizer
from rationalizers.report import compare, find_runs
from rationalizers.run import partial_of, read_config
from rationalizers.tracking.local import differences, notes_on
from rationalizers.tracking.mirror import Mirror, summary
from rationalizers.tracking.offline import IDENTITY, SUBFOLDER, read_recorded
from rationalizers.training import train
from tests.report.run_folders import EPOCHS, mean_of, write_evaluation, write_run
from tests.tiny import ROOT, fresh_process, run_config
from tests.tracking.kept import kept_by

NUMBERS = ("metrics.json", "metrics.jsonl", "model.safetensors", "rationales.jsonl", "config.yaml", "predictions.jsonl")


def logger(**changes):
    given = yaml.safe_load((ROOT / "conf" / "logger" / "wandb.yaml").read_text("utf-8"))
    return {**given, "mode": "offline", "timeout": 4, "upload_timeout": 3, **changes}


def mirrored_config(folder, *, mirror=None, **changes):
    return {**run_config(folder, **changes), "logger": logger(**(mirror or {}))}


def identity(folder):
    return json.loads((folder / IDENTITY).read_text())


@pytest.fixture(autouse=True)
def _quick_report(monkeypatch):
    # Drawing takes longer than training here.
    monkeypatch.setattr(training, "write_report", lambda folder: (folder / "report.html").write_text("<p>short</p>"))


class Killed(Exception):
    """Stands for the end of the process."""


def train_until_killed(config, *, epoch, batch=1):
    step = Rationalizer.training_step

    def dying(self, given, place):
        if (self.current_epoch, place) == (epoch, batch):
            raise Killed
        return step(self, given, place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rationalizer, "training_step", dying)
        with pytest.raises(Killed):
            train(config)


def test_an_offline_run_says_what_its_folder_says_and_the_folder_is_what_it_would_be_without(tracked, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="rationalizers")
    plain = train(run_config(tmp_path / "plain" / "run"))
    folder = train(mirrored_config(tmp_path / "mirrored" / "run"))
    for name in NUMBERS:
        assert (folder / name).read_bytes() == (plain / name).read_bytes(), name
    assert {file.name for file in folder.iterdir()} - {file.name for file in plain.iterdir()} == {IDENTITY}
    (kept,) = kept_by(tracked)
    recorded = read_recorded(kept)
    assert [*differences(recorded, folder)] == []
    assert recorded.exit_code == 0
    assert recorded.notes == ()
    assert recorded.facts == {
        "id": identity(folder)["id"],
        "name": "rnp-tiny",
        "project": "rationalizers",
        "entity": "",
        "group": "mirrored/rnp-tiny",
        "job_type": "train",
        "tags": (),
    }
    assert len(recorded.epochs) == 3
    assert [row["_step"] for row in recorded.rows] == [0, 1, 2, 3]
    assert set(recorded.rows[3]) >= {"rationales", "report"}
    assert {name: recorded.summary[name] for name in summary(folder)} == summary(folder)
    assert recorded.summary["epochs"] == 3
    assert f"to send it: wandb sync {kept}" in caplog.text


def test_the_copy_among_the_files_is_a_run_that_can_be_compared_and_opened(tracked, tmp_path):
    folder = train(mirrored_config(tmp_path / "runs" / "run", max_epochs=1))
    (copy,) = find_runs(tracked)
    assert copy.parts[-2:] == ("files", SUBFOLDER)
    names = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert {file.relative_to(copy).as_posix() for file in copy.rglob("*") if file.is_file()} == names - {"last.ckpt"}
    text = "the film was superb ."
    assert load_rationalizer(copy, trust=["tests"])(text).record() == load_rationalizer(folder, trust=["tests"])(text).record()
    here, there = (compare(find_runs(place)).to_text() for place in (tmp_path / "runs", tracked))
    assert here == there


def test_the_table_has_rationales_and_the_page_is_the_report(tracked, tmp_path):
    folder = train(mirrored_config(tmp_path / "run", mirror={"examples": 5}, max_epochs=1))
    (kept,) = kept_by(tracked)
    (table,) = (kept / "files" / "media" / "table").glob("rationales_*.json")
    found = json.loads(table.read_text())
    assert found["columns"] == ["id", "label", "prediction", "right", "probability", "share", "rationale", "text"]
    assert len(found["data"]) == 5
    lines = {line["id"]: line for line in map(json.loads, (folder / "rationales.jsonl").read_text().splitlines())}
    for row in found["data"]:
        assert re.sub("[⟦⟧]", "", row[-1]) == " ".join(lines[row[0]]["words"])
        assert row[1] == lines[row[0]]["label"]
    (page,) = (kept / "files" / "media" / "html").glob("report_*.html")
    assert page.read_bytes() == (folder / "report.html").read_bytes()


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_killed_run_goes_on_as_the_same_run_with_all_of_its_epochs(tracked, tmp_path, epoch):
    config = mirrored_config(tmp_path / "run")
    train_until_killed(config, epoch=epoch)
    begun = identity(partial_of(tmp_path / "run"))
    # The folder is moved in between, and takes what it is known by along.
    partial_of(tmp_path / "run").rename(partial_of(tmp_path / "elsewhere"))
    folder = train({**config, "folder": str(tmp_path / "elsewhere")})
    assert identity(folder)["id"] == begun["id"]
    first, second = map(read_recorded, kept_by(tracked))
    assert (first.facts["id"], second.facts["id"]) == (begun["id"], begun["id"])
    assert first.exit_code == 1
    assert [row["epoch"] for row in first.epochs] == list(range(epoch))
    assert [*differences(second, folder)] == []
    # What the second has, the first need not be reported for.
    assert notes_on(tracked) == []


def test_runs_of_one_process_with_one_name_do_not_merge(tracked, tmp_path):
    first = train(mirrored_config(tmp_path / "a" / "run", max_epochs=1))
    train_until_killed(mirrored_config(tmp_path / "b" / "run", max_epochs=1), epoch=0)
    folders = [first, train(mirrored_config(tmp_path / "c" / "run", max_epochs=1, seed=1))]
    found = {read_recorded(kept).facts["id"]: read_recorded(kept) for kept in kept_by(tracked)}
    assert len(found) == 3
    for folder in folders:
        assert [*differences(found[identity(folder)["id"]], folder)] == []


def test_a_training_that_fails_ends_its_run(tracked, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "write_report", lambda _: (_ for _ in ()).throw(RuntimeError("no report")))
    with pytest.raises(RuntimeError, match="no report"):
        train(mirrored_config(tmp_path / "run", max_epochs=1))
    (kept,) = kept_by(tracked)
    assert read_recorded(kept).exit_code == 1
    with pytest.raises(FileNotFoundError, match="there is no run below"):
        find_runs(tracked)
    (note,) = notes_on(tracked)
    assert "rnp-tiny was left out, which was not finished: 0 epochs" in note


def test_a_full_disk_is_a_warning(tracked, tmp_path, monkeypatch, caplog):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rationalizers.tracking.mirror.shutil.copytree", full)
    folder = train(mirrored_config(tmp_path / "run", max_epochs=1))
    assert (folder / "model.safetensors").is_file()
    assert "W&B cannot log the finished run: [Errno 28] No space left on device; training goes on" in caplog.text
    # Nothing that is half there is taken for a run.
    with pytest.raises(FileNotFoundError, match="there is no run below"):
        find_runs(tracked)


def test_a_service_that_died_is_a_warning(tracked, tmp_path, monkeypatch, caplog):
    import wandb
    from wandb.sdk.mailbox import MailboxClosedError

    def died(*_, **__):
        raise MailboxClosedError

    monkeypatch.setattr(wandb.Run, "log", died)
    folder = train(mirrored_config(tmp_path / "run"))
    assert (folder / "model.safetensors").is_file()
    assert caplog.text.count("W&B cannot log epochs: MailboxClosedError; training goes on") == 1


def test_an_error_of_ours_is_not_hidden(tracked, tmp_path, monkeypatch):
    monkeypatch.setattr("rationalizers.tracking.mirror.summary", lambda folder: {}["missing"])
    with pytest.raises(KeyError, match="missing"):
        train(mirrored_config(tmp_path / "run", max_epochs=1))
    (kept,) = kept_by(tracked)
    assert read_recorded(kept).exit_code == 1


def test_a_finished_run_is_mirrored_with_what_it_was_evaluated_to_since(tracked, tmp_path):
    folder = write_run(tmp_path / "runs")
    name = write_evaluation(folder, {"accuracy": mean_of([1.0] * 8)})
    (tmp_path / "runs" / "other.partial").mkdir()
    shutil.copy(folder / "config.yaml", tmp_path / "runs" / "other.partial")
    arguments = ["-m", "experiments.mirror", f"runs={tmp_path / 'runs'}", "logger.mode=offline", "logger.tags=[again]"]
    done = fresh_process(arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{tmp_path / 'runs' / 'other.partial'} is unfinished and was left out", str(folder)]
    (kept,) = kept_by(tracked)
    recorded = read_recorded(kept)
    assert [*differences(recorded, folder)] == []
    assert recorded.facts["tags"] == ("again",)
    assert (kept / "files" / SUBFOLDER / "evaluation" / f"{name}.json").is_file()


def test_an_epoch_that_will_be_repeated_is_not_logged_yet(tracked, tmp_path):
    class Resumed:
        current_epoch = 2

    folder = write_run(tmp_path)
    mirror = Mirror(**{name: value for name, value in logger().items() if name != "_target_"})
    mirror.follow(folder, read_config(folder))
    mirror.open()
    mirror.on_train_epoch_start(Resumed(), None)
    mirror.close()
    (kept,) = kept_by(tracked)
    assert read_recorded(kept).epochs == EPOCHS[:2]


def test_only_the_first_process_opens_a_run(tracked, tmp_path):
    class Second:
        is_global_zero = False
        current_epoch = 1

    mirror = Mirror(**{name: value for name, value in logger().items() if name != "_target_"})
    mirror.follow(tmp_path, {"name": "run", "method": "rnp", "dataset": "tiny"})
    mirror.on_fit_start(Second(), None)
    mirror.on_train_epoch_start(Second(), None)
    mirror.complete()
    assert not tracked.exists()
    assert not (tmp_path / IDENTITY).exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "disabled"}, "'mode' must be one of online, offline, got 'disabled'; logger=none mirrors nothing"),
        ({"timeout": 0}, "'timeout' must be a positive number of seconds, got 0"),
        ({"upload_timeout": -1}, "'upload_timeout' must be a positive number of seconds, got -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_training(tmp_path, changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        train(mirrored_config(tmp_path / "run", mirror=changes))


def test_nothing_of_it_is_in_the_configuration(tracked, tmp_path):
    config = read_config(train(mirrored_config(tmp_path / "run", max_epochs=1)))
    assert "logger" not in config
    assert "wandb" not in json.dumps(config)


def test_training_without_it_and_opening_runs_do_not_import_wandb(tmp_path):
    code = (
        "import json, sys, rationalizers, rationalizers.report\n"
        "from rationalizers.training import train\n"
        "from rationalizers.load import load_rationalizer\n"
        "load_rationalizer(train(json.load(sys.stdin)), trust=['tests'])\n"
        "assert 'wandb' not in sys.modules\n"
    )
    done = fresh_process(["-c", code], cwd=tmp_path, stdin=json.dumps(run_config(tmp_path / "run", max_epochs=1)))
    assert done.returncode == 0, done.stderr
