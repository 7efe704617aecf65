"""The command that searches: past failures, by a validation number, and killed and started again to the same end."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rationalizers.sweep import failure_of
from tests.tiny import ended

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = (
    "data=toy_graph",
    "data.module.source.train=24",
    "data.module.source.val=8",
    "data.module.source.test=8",
    "data.module.batch_size=8",
    "encoder.model.hidden=8",
    "trainer.max_epochs=2",
    "method=grea",
)
SPACE = ("method.model.optimizer.lr=tag(log, interval(1e-3, 1e-1))", "method.model.gamma=interval(0.2, 0.6)")
TRIALS = 3
WHOLE = (*SPACE, f"trials={TRIALS}")


def started(place, *overrides):
    command = [sys.executable, "-m", "experiments.search", *SMALL, f"runs={place}", *overrides]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def searched(place, *overrides):
    """Exit status, what was said and what was logged."""
    return ended(started(place, *overrides))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    place = tmp_path_factory.mktemp("search")
    status, said, logged = searched(place, *WHOLE)
    assert status == 0, logged
    return place, said.splitlines()


def finished(place):
    return sorted(folder.name for folder in place.iterdir() if folder.is_dir())


@pytest.mark.slow
def test_it_ends_with_the_best_in_validation_and_how_to_go_on(uninterrupted):
    place, said = uninterrupted
    assert said[0] == "3 trials: 0 ended already, 0 to be resumed, 3 to be tried"
    assert len(finished(place)) == TRIALS
    assert all(re.fullmatch(r"grea-toy_graph-s0-lr_[\d.e-]+-gamma_0\.\d+", name) for name in finished(place))
    losses = {name: json.loads((place / name / "metrics.json").read_text())["val"]["loss"] for name in finished(place)}
    best = min(losses, key=losses.__getitem__)
    assert said[1:4] == [
        f"best val/loss: {losses[best]:.4g}, of 3 trials",
        re.sub(r".*-lr_(.*)-gamma_(.*)", r"with: method.model.optimizer.lr=\1 method.model.gamma=\2", best),
        f"run: {place / best}",
    ]
    told, *command = shlex.split(said[4].removeprefix("with other seeds: "))
    assert told == "rationalize-sweep"
    assert command == [*SMALL, *said[2].removeprefix("with: ").split(), "seed=1,2,3", f"runs={place}-best"]


@pytest.mark.slow
def test_killed_hard_and_started_again_it_ends_the_same(uninterrupted, tmp_path):
    place, said = uninterrupted
    process = started(tmp_path, *WHOLE)
    # One has ended, and an epoch of the next.
    while process.poll() is None and not (list(tmp_path.glob("*.partial/metrics.jsonl")) and len(finished(tmp_path)) > 1):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert list(tmp_path.glob("*.partial"))
    status, again, logged = searched(tmp_path, *WHOLE)
    assert status == 0, logged
    assert re.fullmatch(r"3 trials: [12] ended already, 1 to be resumed, [01] to be tried", again.splitlines()[0])
    assert again.replace(str(tmp_path), str(place)).splitlines()[1:] == said[1:]
    assert finished(tmp_path) == finished(place)
    for name in finished(place):
        for file in ("metrics.json", "metrics.jsonl", "model.safetensors"):
            assert (tmp_path / name / file).read_bytes() == (place / name / file).read_bytes(), (name, file)


@pytest.mark.slow
def test_one_that_fails_stops_no_other_and_is_told(tmp_path):
    status, said, _ = searched(tmp_path, "method.model.gamma=choice(0.0,0.4)", "trials=4")
    assert status == 1
    assert "failed: grea-toy_graph-s0-gamma_0.0: ValueError: 'gamma' must be in (0, 1], got 0.0" in said
    assert "\nwith: method.model.gamma=0.4\n" in said
    assert failure_of(tmp_path / "grea-toy_graph-s0-gamma_0.0").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["method.model.gama=interval(0.1, 0.2)"], "hint: method.model.gama is unknown; did you mean method.model.gamma?"),
        (["method=grea"], "error: a search needs a range"),
        (["seed=0,1"], "error: a search cannot choose 'seed'"),
        (["method.model.gamma=0.1,0.2", "trainer.monitor=test/loss"], "error: a search is judged by a validation number"),
    ],
)
def test_what_cannot_be_searched_is_told_before_anything_is_trained(tmp_path, typed, told):
    status, _, logged = searched(tmp_path / "runs", *typed)
    assert status == 1
    assert told in logged
    assert not (tmp_path / "runs").exists()
