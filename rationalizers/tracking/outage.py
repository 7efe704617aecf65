"""A server of W&B that did not answer, remembered beside the runs, so that the next of them does not wait for it again."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rationalizers.run import write_json

log = logging.getLogger(__name__)

FILE = ".wandb-unreachable.json"
HONOURED = 3600.0


@dataclass(frozen=True)
class Outage:
    """A server that did not answer.

    Args:
        server: its address.
        reason: what went wrong, in one line.
        time: when, in seconds since 1970.
    """

    server: str
    reason: str
    time: float

    def said(self) -> str:
        """What the log says of it."""
        clock = time.strftime("%H:%M", time.localtime(self.time))
        return f"{self.server} did not answer at {clock} ({self.reason})"


def remember(runs: Path, server: str, reason: str) -> None:
    """Let the runs beside this one know for an hour that a server does not answer.

    Raises:
        OSError: the file cannot be written.
    """
    write_json(runs / FILE, asdict(Outage(server, " ".join(reason.split()), time.time())))


def remembered(runs: Path, server: str) -> Outage | None:
    """The outage of a server that was noticed within the last hour; ``None`` where there was none.

    A file that holds something else is said to, and counts as none.
    """
    file = runs / FILE
    if not file.is_file():
        return None
    try:
        outage = Outage(**json.loads(file.read_text("utf-8")))
        age = time.time() - outage.time
    except (OSError, ValueError, TypeError) as error:
        log.warning("%s does not tell when W&B's server did not answer (%s); asking the server", file, error)
        return None
    return outage if outage.server == server and 0 <= age < HONOURED else None


def forget(runs: Path) -> None:
    """Forget an outage, since the server answers again."""
    (runs / FILE).unlink(missing_ok=True)
