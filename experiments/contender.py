"""A contender of a benchmark in a process of its own, which waits for its turns.

Several of them can take turns, so that a drifting machine slows them alike, and yet share neither memory nor installed packages:
this module needs nothing but Python.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).absolute().parent.parent

# Runs once for each turn, and returns facts worth knowing, which JSON can hold.
Turn = Callable[[], Mapping[str, Any]]


class Contender:
    """A started process; a context that ends it.

    Args:
        prepare: ``module:function``. Called with ``settings`` it imports and reads what a turn needs; it returns a call that
            builds the rest and returns the `Turn`. Memory counts from in between.
        settings: arguments of ``prepare``, which JSON can hold.
        threads: of the process.
        python: interpreter, that of this process where not given.
    """

    def __init__(self, prepare: str, settings: Mapping[str, Any], *, threads: int, python: str | Path = sys.executable) -> None:
        self.prepare = prepare
        path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [str(python), "-m", "experiments.contender", prepare, json.dumps(dict(settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Threads that spin while they wait would slow the contender whose turn it is.
            env={
                **os.environ,
                "OMP_NUM_THREADS": str(threads),
                "OMP_WAIT_POLICY": "passive",
                "PYTHONPATH": os.pathsep.join(path),
            },
        )

    def turn(self) -> dict[str, Any]:
        """Facts of one more turn, with its ``seconds`` and the ``megabytes`` that the process has needed at most until now.

        Raises:
            RuntimeError: the process ended; why, it said on its standard error.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise RuntimeError(f"the process of {self.prepare} ended with {self._process.wait()}; see its message above")
        facts: dict[str, Any] = json.loads(answer)
        return facts

    def __enter__(self) -> Contender:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # Nobody waits for the end of a turn that was interrupted.
        self._process.terminate()
        self._process.communicate()


def _memory(field: str) -> float:
    """Megabytes that this process has (``VmRSS``) or had at most (``VmHWM``)."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def main() -> None:
    """Take a turn for every line of standard input."""
    module, _, name = sys.argv[1].partition(":")
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever libraries print is no answer
    build: Callable[[], Turn] = getattr(importlib.import_module(module), name)(**json.loads(sys.argv[2]))
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = _memory("VmRSS")
    turn = build()
    for _ in sys.stdin:
        began = time.perf_counter()
        facts = turn()
        seconds = time.perf_counter() - began
        answers.write(json.dumps({**facts, "seconds": seconds, "megabytes": _memory("VmHWM") - before}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
