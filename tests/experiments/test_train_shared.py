"""Commands that train by two processes, from a folder with a space in its name: they leave one run, and tell where it is once."""

import pytest

from tests.members import LIMIT
from tests.tiny import fresh_process

SMALL = [
    "method=full",
    "trainer=ddp",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=1",
    *(f"data.module.corpus.{split}={size}" for split, size in (("train", 24), ("val", 9), ("test", 11))),
    "data.module.batch_size=8",
    "runs='my runs'",
]
START = {
    "itself": ["-m", "experiments.train"],
    "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "experiments.train"],
}


@pytest.mark.slow
@pytest.mark.parametrize("start", list(START))
def test_two_processes_leave_one_run(tmp_path, start):
    place = tmp_path / "a place"
    place.mkdir()
    done = fresh_process([*START[start], *SMALL], cwd=place, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "my runs/full-toy_text-s0\n"
    assert [path.name for path in place.iterdir()] == ["my runs"]
    assert [path.name for path in (place / "my runs").iterdir()] == ["full-toy_text-s0"]
    told = [line for line in done.stderr.splitlines() if "epoch 1 of 1" in line]
    assert len(told) == 1


@pytest.mark.slow
def test_workers_of_a_sweep_start_processes_and_one_that_fails_stops_no_other(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    asked = ["method=full", "method.model.dropout=2,0.1", "launcher=joblib", "hydra.launcher.n_jobs=2", *SMALL[1:]]
    done = fresh_process(
        ["-m", "experiments.sweep", "name=m${method.model.dropout}${method.name}", *asked], cwd=tmp_path, timeout=LIMIT
    )
    runs = {path.name for path in (tmp_path / "my runs").iterdir()}
    assert "m0.1full" in runs, done.stderr
    assert "m2full.failed" in runs
    assert "dropout probability has to be between 0 and 1" in (tmp_path / "my runs" / "m2full.failed").read_text()
    assert done.returncode != 0
