"""Sweeps: states read off folders, what is planned and left, and failures that stop nothing."""

import json
import logging
import shutil

import pytest

from rationalizers.run import PARTIAL
from rationalizers.sweep import Job, Sweep, Watch, attempt, failure_of
from tests.tiny import run_config


def job(folder, *, epochs=4, asked="seed=0"):
    return Job(asked, folder, epochs)


def begun(folder, rows):
    partial = folder.with_name(folder.name + PARTIAL)
    partial.mkdir()
    (partial / "metrics.jsonl").write_text("".join(json.dumps({"epoch": row}) + "\n" for row in range(rows)))


def failed(folder, reason="ValueError: no"):
    failure_of(folder).write_text(f"Traceback …\n{reason}\n")


def test_what_lies_on_disk_says_how_far_a_training_is(tmp_path):
    names = ("new", "begun", "finished", "failed", "tried_again")
    jobs = {name: job(tmp_path / name, asked=name) for name in names}
    begun(jobs["begun"].folder, 3)
    jobs["finished"].folder.mkdir()
    failed(jobs["failed"].folder)
    begun(jobs["failed"].folder, 1)
    assert {name: jobs[name].state for name in names} == {
        "new": "new",
        "begun": "begun",
        "finished": "finished",
        "failed": "failed",
        "tried_again": "new",
    }
    assert [jobs[name].done for name in names] == [0, 0.75, 1, 1, 0]
    assert jobs["failed"].reason == "ValueError: no"
    assert jobs["new"].reason == ""
    sweep = Sweep(list(jobs.values()))
    assert sweep.plan() == ("5 trainings: 1 finished already, 1 to be resumed, 1 to be tried again, 2 to be trained")
    assert sweep.failed() == [jobs["failed"]]
    assert sweep.summary().splitlines() == [
        "1 of 5 trainings are finished",
        f"failed: failed: ValueError: no (all of it in {tmp_path / 'failed.failed'})",
        "3 were not finished; the same command goes on with them",
    ]


def test_two_trainings_in_one_folder_are_refused(tmp_path):
    jobs = [job(tmp_path / "a", asked="lr=1"), job(tmp_path / "a", asked="lr=2")]
    with pytest.raises(ValueError, match=r"would share the folder .*: 'lr=1' and 'lr=2'; put what differs into name="):
        Sweep(jobs)


def test_no_training_is_no_sweep():
    with pytest.raises(ValueError, match="needs at least one training"):
        Sweep([])


def test_a_watch_tells_what_ended_and_what_is_left(tmp_path, caplog):
    jobs = [job(tmp_path / name) for name in "abcd"]
    jobs[0].folder.mkdir()
    with caplog.at_level(logging.INFO, logger="rationalizers.sweep"), Watch(Sweep(jobs), every=0.01) as watch:
        watch._began -= 100  # seconds
        jobs[1].folder.mkdir()
        begun(jobs[2].folder, 4)
        jobs[2].folder.with_name("c" + PARTIAL).rename(jobs[2].folder)
        for _ in range(1000):
            if len(caplog.messages) == 2:
                break
            watch._stop.wait(0.01)
        failed(jobs[3].folder)
    # Two trainings in 100 s leave one of four, which takes 50.
    assert sorted(caplog.messages[:2]) == [
        "b finished; 3 of 4 trainings ended, about 50 s left",
        "c finished; 3 of 4 trainings ended, about 50 s left",
    ]
    assert caplog.messages[2:] == ["d failed; 4 of 4 trainings ended"]


def test_a_training_that_fails_leaves_its_reason_until_it_succeeds(tmp_path, caplog):
    folder = tmp_path / "runs" / "run"
    assert not attempt(run_config(folder, model={"share": -1.0}))
    assert "failed: ValueError" in caplog.text
    written = failure_of(folder).read_text()
    assert written.startswith("Traceback")
    assert "'share'" in job(folder).reason
    # Another try, as it should have been, in the same place.
    shutil.rmtree(folder.with_name("run.partial"), ignore_errors=True)
    assert attempt(run_config(folder, max_epochs=1))
    assert not failure_of(folder).exists()
    assert job(folder).state == "finished"
