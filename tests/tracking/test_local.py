"""What is said of runs that W&B kept: those that were not finished, and those that differ from their folders."""

import json
import math
import shutil
import time
from pathlib import Path

import pytest
import wandb
import yaml

from rationalizers.report.result import read_result
from rationalizers.tracking.local import differences, notes_on
from rationalizers.tracking.mirror import summary
from rationalizers.tracking.offline import SUBFOLDER, read_recorded, record_of
from tests.report.run_folders import EPOCHS, TEST, write_run
from tests.tracking.kept import kept_by


def keep(folder, id, *, epochs=EPOCHS, finished=True):
    """Log a run as a mirror does."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    settings = wandb.Settings(silent=True, console="off")
    run = wandb.init(project="p", id=id, name=folder.name, mode="offline", config=config, settings=settings, reinit="create_new")
    for row in epochs:
        run.log(row, step=row["epoch"], commit=True)
    if finished:
        shutil.copytree(folder, f"{run.dir}/{SUBFOLDER}")
        run.summary.update(summary(folder))
    record = record_of(Path(run.settings.sync_dir))
    run.finish()
    # W&B's service may write the end of the file a moment later.
    until = time.monotonic() + 20
    while read_recorded(record).exit_code is None and time.monotonic() < until:
        time.sleep(0.05)


def test_nothing_is_said_where_everything_is_as_it_should_be(tracked, tmp_path):
    folder = write_run(tmp_path, test={**TEST, "roc_auc": math.nan})
    keep(folder, "killed", epochs=EPOCHS[:1], finished=False)
    keep(folder, "killed")
    assert len(kept_by(tracked)) == 2
    assert notes_on(tracked) == []
    # Run folders, and no folder of W&B's.
    assert notes_on(tmp_path / "rnp-toy-s0") == []


def test_a_run_that_was_not_finished_is_left_out_with_what_is_known_of_it(tracked, tmp_path):
    keep(write_run(tmp_path), "a", epochs=EPOCHS[:2], finished=False)
    keep(write_run(tmp_path, seed=1), "b", epochs=[], finished=False)
    (first, second) = kept_by(tracked)
    assert notes_on(tracked) == [
        f"{first.name}: rnp-toy-s0 was left out, which was not finished: 2 epochs, the last with val/loss 0.800.",
        f"{second.name}: rnp-toy-s1 was left out, which was not finished: 0 epochs.",
    ]


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("metrics.json", lambda told: told["test"].update(accuracy=0.9), "test numbers"),
        ("metrics.json", lambda told: told["val"].update(loss=0.9), "val numbers"),
        ("config.yaml", lambda told: told.update(seed=7), "configuration"),
    ],
)
def test_a_folder_that_was_changed_is_noticed(tracked, tmp_path, file, change, said):
    keep(write_run(tmp_path), "a")
    (kept,) = kept_by(tracked)
    place = kept / "files" / SUBFOLDER / file
    told = yaml.safe_load(place.read_text())
    change(told)
    place.write_text(json.dumps(told))
    assert notes_on(tracked) == [f"{kept.name}: W&B was told other {said} than the run folder that is compared here."]


def test_a_damaged_record_is_said_and_the_folder_still_counts(tracked, tmp_path):
    folder = write_run(tmp_path)
    keep(folder, "a")
    (kept,) = kept_by(tracked)
    file = record_of(kept)
    whole = file.read_bytes()
    file.write_bytes(whole[: whole.rindex(b"train/loss")])
    damaged, different = notes_on(tracked)
    assert "the file ends within a record; what was logged after that is lost" in damaged
    assert "W&B was told other" in different
    assert read_result(kept / "files" / SUBFOLDER).test == read_result(folder).test
    assert "test numbers" in [*differences(read_recorded(kept), folder)]


def test_a_record_file_that_cannot_be_read_is_a_note(tracked, tmp_path):
    keep(write_run(tmp_path), "whole")
    for number, content in enumerate((b"", b"something else")):
        kept = tracked / f"offline-run-20261128_00000{number}-broken"
        kept.mkdir()
        (kept / "run-broken.wandb").write_bytes(content)
    other, ended, unfinished = notes_on(tracked)
    assert other.startswith("offline-run-20261128_000001-broken: what W&B kept of it cannot be read: ")
    assert "the file ends before its first record" in ended
    assert "which was not finished: 0 epochs" in unfinished
