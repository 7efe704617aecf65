"""Several trainings as one: what is planned, how far it is, how long it will take, and what failed and why.

A sweep has no state of its own. What is finished is a run folder, what was begun is its ``.partial``, what failed is a file
``<folder>.failed`` with the reason, gone as soon as another try succeeds. Started again, a sweep therefore goes on.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rationalizers.run import partial_of, write_atomically

log = logging.getLogger(__name__)

FAILED = ".failed"
STATES = ("finished", "failed", "begun", "new")


@dataclass(frozen=True)
class Job:
    """One training of a sweep.

    Args:
        asked: what it was asked for, as on the command line.
        folder: of its run.
        epochs: at most.
    """

    asked: str
    folder: Path
    epochs: int

    @property
    def state(self) -> str:
        """One of `STATES`: a failed run is finished, begun or new as soon as it is tried again and gets that far."""
        if self.folder.is_dir():
            return "finished"
        if failure_of(self.folder).is_file():
            return "failed"
        return "begun" if partial_of(self.folder).is_dir() else "new"

    @property
    def done(self) -> float:
        """Share of its epochs that are done, in [0, 1]; one for what is finished, or failed and not tried again."""
        if self.state in ("finished", "failed"):
            return 1.0
        rows = partial_of(self.folder) / "metrics.jsonl"
        return min(1.0, len(rows.read_text("utf-8").splitlines()) / self.epochs) if rows.is_file() else 0.0

    @property
    def reason(self) -> str:
        """Why it failed (`reason_of`)."""
        return reason_of(self.folder)


def failure_of(folder: Path) -> Path:
    """Where the reason is kept for which the run of a folder failed."""
    return folder.with_name(folder.name + FAILED)


def reason_of(folder: Path) -> str:
    """Why the run of a folder failed: the last line of what was written about it; empty where it did not."""
    file = failure_of(folder)
    lines = file.read_text("utf-8").strip().splitlines() if file.is_file() else []
    return lines[-1] if lines else ""


def attempt(config: Mapping[str, Any]) -> bool:
    """Train what ``config`` describes; whatever goes wrong is kept beside the run's folder, and told by False.

    Args:
        config: as `rationalizers.training.train` takes it.
    """
    from rationalizers.training import train

    folder = Path(config["folder"])
    failure = failure_of(folder)
    failure.unlink(missing_ok=True)
    try:
        train(config)
    except Exception as error:
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(failure, traceback.format_exc())
        log.error("%s failed: %s: %s", folder, type(error).__name__, error)
        return False
    return True


class Sweep:
    """The trainings of a sweep.

    Args:
        jobs: in the order in which they are started.

    Raises:
        ValueError: no job, or two with one folder.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            raise ValueError("a sweep needs at least one training; name some, such as method=rnp,noise seed=0,1,2")
        by_folder: dict[Path, Job] = {}
        for job in jobs:
            if job.folder in by_folder:
                raise ValueError(
                    f"two trainings would share the folder {job.folder}: {by_folder[job.folder].asked!r} and {job.asked!r}; "
                    "put what differs into name=…, such as name='${method.name}-lr${method.model.optimizer.lr}-s${seed}'"
                )
            by_folder[job.folder] = job
        self.jobs = tuple(jobs)

    def counts(self) -> dict[str, int]:
        """How many trainings are in each of `STATES`."""
        states = [job.state for job in self.jobs]
        return {state: states.count(state) for state in STATES}

    def plan(self) -> str:
        """What is to be done, in a line."""
        counts = self.counts()
        told = {
            "finished": "finished already",
            "begun": "to be resumed",
            "failed": "to be tried again",
            "new": "to be trained",
        }
        parts = [f"{counts[state]} {words}" for state, words in told.items() if counts[state]]
        return f"{len(self.jobs)} trainings: {', '.join(parts)}"

    def summary(self) -> str:
        """What became of it: a line, and one for every training that failed or was not reached."""
        counts = self.counts()
        lines = [f"{counts['finished']} of {len(self.jobs)} trainings are finished"]
        lines += [f"failed: {job.folder.name}: {job.reason} (all of it in {failure_of(job.folder)})" for job in self.failed()]
        left = counts["begun"] + counts["new"]
        if left:
            lines.append(f"{left} were not finished; the same command goes on with them")
        return "\n".join(lines)

    def failed(self) -> list[Job]:
        """Trainings that failed when they were last tried."""
        return [job for job in self.jobs if job.state == "failed"]


class Watch:
    """Tells how far a sweep is whenever a training ends, from a thread of its own; a context.

    Args:
        sweep: that is running, here or elsewhere.
        every: seconds between two looks.
    """

    def __init__(self, sweep: Sweep, *, every: float = 2.0) -> None:
        self.sweep, self.every = sweep, every
        self._began = time.monotonic()
        # Only what is done from now on says how long the rest will take.
        self._before = self._done()
        self._known = self._ended()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._tell()

    def _look(self) -> None:
        while not self._stop.wait(self.every):
            self._tell()

    def _tell(self) -> None:
        ended = self._ended()
        for job in self.sweep.jobs:
            if job.folder in ended - self._known:
                log.info(
                    "%s %s; %d of %d trainings ended%s",
                    job.folder.name,
                    job.state,
                    len(ended),
                    len(self.sweep.jobs),
                    self._remaining(),
                )
        self._known = ended

    def _remaining(self) -> str:
        """Time that is left, if epochs go on as since the beginning; early stopping makes it less."""
        done, total = self._done(), len(self.sweep.jobs)
        if done <= self._before or done >= total:
            return ""
        seconds = (time.monotonic() - self._began) * (total - done) / (done - self._before)
        return f", about {seconds / 60:.0f} min left" if seconds >= 60 else f", about {seconds:.0f} s left"

    def _done(self) -> float:
        return sum(job.done for job in self.sweep.jobs)

    def _ended(self) -> set[Path]:
        return {job.folder for job in self.sweep.jobs if job.state in ("finished", "failed")}
