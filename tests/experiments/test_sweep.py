"""The command that trains several: it goes past what fails, and killed and started again it ends the same."""

import os
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
    "trainer.max_epochs=3",
)
# Ray's environment is one of its own, where `make test-ray` runs this.
LAUNCHERS = ("joblib", "submitit", "ray")
KEPT = ("metrics.json", "metrics.jsonl", "model.safetensors", "rationales.jsonl")


def started(place, *overrides):
    command = [sys.executable, "-m", "experiments.sweep", *SMALL, f"runs={place}", *overrides]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if "launcher=ray" in overrides:
        pytest.importorskip("hydra_plugins.hydra_ray_launcher")
        environment["HOME"] = str(place)  # where Ray writes a key
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def swept(place, *overrides):
    """Exit status, what was said and what was logged."""
    return ended(started(place, *overrides))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    place = tmp_path_factory.mktemp("sweep")
    status, said, logged = swept(place, "method=erm,igt_node", "seed=0,1")
    assert status == 0, logged
    # Hydra's own log lies in between.
    assert said.splitlines()[0] == "4 trainings: 4 to be trained"
    assert said.splitlines()[-1] == "4 of 4 trainings are finished"
    return place


def same(place, other):
    folders = sorted(folder.name for folder in other.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    assert len(folders) == 4
    for folder in folders:
        for name in KEPT:
            assert (place / folder / name).read_bytes() == (other / folder / name).read_bytes(), (folder, name)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["one", "ray"])
def test_killed_hard_and_started_again_it_ends_the_same(uninterrupted, tmp_path, launcher):
    process = started(tmp_path, "method=erm,igt_node", "seed=0,1", f"launcher={launcher}")
    while process.poll() is None and not (tmp_path / "erm-toy_graph-s0").is_dir():
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    status, said, logged = swept(tmp_path, "method=erm,igt_node", "seed=0,1", f"launcher={launcher}")
    assert status == 0, logged
    assert " finished already" in said
    same(tmp_path, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_wherever_it_runs_it_ends_the_same(uninterrupted, tmp_path, launcher):
    status, _, logged = swept(tmp_path, "method=erm,igt_node", "seed=0,1", f"launcher={launcher}")
    assert status == 0, logged
    same(tmp_path, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["one", "ray"])
def test_one_that_fails_stops_no_other(tmp_path, launcher):
    named = "name='${method.name}-g${method.model.gamma}'"
    status, said, _ = swept(tmp_path, "method=grea", "method.model.gamma=0.0,0.4", named, f"launcher={launcher}")
    assert status == 1
    assert "1 of 2 trainings are finished" in said
    assert "failed: grea-g0.0: ValueError: 'gamma' must be in (0, 1], got 0.0" in said
    assert (tmp_path / "grea-g0.4").is_dir()
    assert failure_of(tmp_path / "grea-g0.0").is_file()


@pytest.mark.slow
def test_two_of_one_name_are_refused_before_anything_is_trained(tmp_path):
    status, _, logged = swept(tmp_path, "method=grea", "method.model.gamma=0.3,0.4")
    assert status == 1
    assert "error: two trainings would share the folder" in logged
    assert not (tmp_path / "grea-toy_graph-s0").exists()
