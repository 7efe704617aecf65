"""What processes do that tests start, two at a time and with a time limit: waiting for each other forever is a failure.

What takes long to import is imported where it is needed.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from rationalizers import processes
from rationalizers.batch import Batch
from rationalizers.kernels.gated_sample import Draw
from rationalizers.rationale import Rationale
from rationalizers.selectors import StraightThroughGumbel
from tests.tiny import fresh_process

# Seconds: several processes import everything at once, on few cores.
LIMIT = 300
LAUNCH = """
import json, sys
from rationalizers.processes import launch
from tests import members
given = json.load(sys.stdin)
launch(getattr(members, given["function"]), given["config"], processes=2)
"""


def together(function: str, config: Mapping[str, Any], *, cwd: Path) -> str:
    """Call a function of this module in two processes that a third starts; returns what they wrote to standard error."""
    given = json.dumps({"function": function, "config": config})
    done = fresh_process(["-c", LAUNCH], cwd=cwd, stdin=given, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    return done.stderr


def joined() -> int:
    """Join the other process without Lightning; returns the rank."""
    torch.set_num_threads(1)
    rank = int(os.environ["LOCAL_RANK"])
    distributed.init_process_group("gloo", rank=rank, world_size=int(os.environ["WORLD_SIZE"]))
    return rank


class Thresholded(StraightThroughGumbel):
    """Selects in training what it would select in evaluation: nothing is drawn."""

    def sample(self, logits: Tensor, batch: Batch, seed: Tensor) -> Draw:
        """A hard mask with the gradient of the soft one."""
        soft = logits.sigmoid()
        mask = ((soft > 0.5).float() + (soft - soft.detach())).masked_fill(batch.fixed, 0.0)
        rationale = Rationale(logits.masked_fill(batch.fixed, -torch.inf), mask, batch.ptr)
        return Draw(mask, rationale.share(), rationale.transitions())


# Training -------------------------------------------------------------------------------------------------------------


def train_all(config: Mapping[str, Any]) -> None:
    """Train one after the other; the second process must not write below ``root``, and the report is written once each."""
    from rationalizers import training

    torch.set_num_threads(1)
    written: list[str] = []
    reports: list[Path] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and not isinstance(arguments[0], int):
            changes = (arguments[1] and set(arguments[1]) & set("wax+")) or arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        else:
            changes = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")
        if changes and os.fspath(arguments[0]).startswith(config["root"]):
            written.append(f"{event} {arguments[0]}")

    def short(folder: Path) -> None:
        reports.append(folder)
        (folder / "report.html").write_text("short")

    second = os.environ["LOCAL_RANK"] != "0"
    if second:
        sys.addaudithook(watch)
    training.write_report = short
    for run in config["runs"]:
        training.train(run)
    assert written == []
    assert len(reports) == (0 if second else len(config["runs"]))


def die_in_training(config: Mapping[str, Any]) -> None:
    """Train; the second process is killed in the second epoch."""
    from rationalizers.base import Rationalizer
    from rationalizers.training import train

    torch.set_num_threads(1)
    step = Rationalizer.training_step

    @functools.wraps(step)
    def dying(self: Any, batch: Batch, batch_idx: int) -> Tensor:
        if os.environ["LOCAL_RANK"] == "1" and (self.current_epoch, batch_idx) == (1, 3):
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, batch, batch_idx)

    Rationalizer.training_step = dying  # type: ignore[method-assign]
    train(config)


# Numbers --------------------------------------------------------------------------------------------------------------


def score(config: Mapping[str, Any]) -> None:
    """Collect the scores of a part of some examples; each process writes all numbers to ``<folder>/<kind>-<rank>``."""
    from tests.metrics.test_shared_scores import KINDS, scored

    rank = joined()
    for kind in KINDS:
        for name, parts in config["parts"].items():
            numbers = scored(kind, parts[rank])
            (Path(config["folder"]) / f"{kind}-{name}-{rank}").write_text(json.dumps(numbers))


# Waiting --------------------------------------------------------------------------------------------------------------


def take_turns(config: Mapping[str, Any]) -> None:
    """The second process finds what the first has written, however long that takes it; flags and buffers are shared."""
    rank = joined()
    file = Path(config["file"])
    with processes.first_before_others():
        if rank == 0:
            time.sleep(0.5)
            file.write_text("written")
        assert file.read_text() == "written"
    device = torch.device("cpu")
    assert processes.anywhere([rank == 0, rank == 1, False], device=device) == [True, True, False]
    module = torch.nn.BatchNorm1d(2)
    module.running_mean.fill_(float(rank + 1))
    processes.broadcast_buffers(module)
    assert module.running_mean.tolist() == [1.0, 1.0]
    assert (processes.rank(), processes.count()) == (rank, 2)


def fail(config: Mapping[str, Any]) -> None:
    """The second process fails, the first waits for it."""
    if joined() == 1:
        raise ValueError("what went wrong")
    distributed.barrier()


def tell(config: Mapping[str, Any]) -> None:
    """Both log."""
    for level in (logging.INFO, logging.WARNING):
        logging.getLogger("rationalizers.told").log(level, "%s of %s", logging.getLevelName(level), os.environ["LOCAL_RANK"])


def wait_forever(config: Mapping[str, Any]) -> None:
    """The second process waits for the first, which does not come."""
    rank = joined()
    (Path(config["folder"]) / str(rank)).touch()
    if rank == 0:
        time.sleep(1000)
    distributed.barrier()
