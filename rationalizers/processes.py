"""Several processes that train one model together: which of them this is, who waits for whom, and how they are started.

They are one group of torch.distributed, which Lightning's strategy sets up; without a group, a process is the first and only one.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from logging.handlers import QueueHandler, QueueListener
from typing import Any

import torch
from torch import distributed
from torch.multiprocessing.spawn import ProcessExitedException, start_processes

# What the first process does before the others, such as downloading or encoding a corpus, may take longer than any exchange.
PATIENCE = timedelta(days=7)
# Seconds that the others get to notice that one has failed; in an exchange on the GPU they may wait for it forever.
GRACE = 10.0
INTERRUPTED = 128 + signal.SIGINT


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if _grouped() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return distributed.get_rank() if _grouped() else 0


@contextmanager
def first_before_others() -> Iterator[None]:
    """Let the first process go through a block, and then all others at once.

    If the first one fails in it the others wait until whoever started them ends them.
    """
    if count() == 1:
        yield
        return
    group = distributed.new_group(backend="gloo", timeout=PATIENCE)
    if rank():
        distributed.barrier(group)
    yield
    if not rank():
        distributed.barrier(group)


def anywhere(flags: Sequence[bool], *, device: torch.device) -> list[bool]:
    """Which of some flags are true in any process; all have the same number of them."""
    if count() == 1:
        return list(flags)
    found = torch.tensor(flags, dtype=torch.int32, device=device)
    distributed.all_reduce(found, op=distributed.ReduceOp.MAX)
    return [bool(each) for each in found.tolist()]


def broadcast_buffers(module: torch.nn.Module) -> None:
    """Give all processes the buffers of the first one, such as running statistics."""
    if count() > 1:
        for buffer in module.buffers():
            distributed.broadcast(buffer.data, src=0)


def launch(function: Callable[[Mapping[str, Any]], object], config: Mapping[str, Any], *, processes: int) -> None:
    """Call ``function(config)`` in new processes of this machine, in the environment that Lightning looks for a group in.

    The command is not run again, as Lightning would: it does not matter what it is and where, nor that this may be one of many
    trainings. What the first process logs, and warnings of the others, are logged here.

    Args:
        function: of a module that can be imported.
        config: what it gets.
        processes: how many.

    Raises:
        torch.multiprocessing.ProcessException: one of them failed or was killed; with its traceback. The others are ended.
        KeyboardInterrupt: interrupted, after all have ended.
    """
    records = torch.multiprocessing.get_context("spawn").Queue()
    listener = QueueListener(records, _Passing())
    listener.start()
    environment = {"NODE_RANK": "0", "WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    arguments = (function, config, environment, records, _levels())
    with _spawning():
        context = start_processes(_member, arguments, nprocs=processes, join=False)  # type: ignore[no-untyped-call]
    try:
        while not context.join(grace_period=GRACE):
            pass
    except ProcessExitedException as error:
        if error.exit_code == INTERRUPTED:
            raise KeyboardInterrupt from error
        raise
    except KeyboardInterrupt:
        for process in context.processes:
            process.join(GRACE)  # they were interrupted, too
            process.kill()
        raise
    finally:
        listener.stop()


def _member(
    place: int,
    function: Callable[[Mapping[str, Any]], object],
    config: Mapping[str, Any],
    environment: Mapping[str, str],
    records: Any,
    levels: Mapping[str, int],
) -> None:
    """One of the processes that `launch` starts."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ |= {**environment, "LOCAL_RANK": str(place)}
    os.environ.pop("SLURM_NTASKS", None)  # of the job that started it, which has one task
    logging.getLogger().addHandler(QueueHandler(records))
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    if place:
        logging.disable(logging.INFO)
    try:
        function(config)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)  # torch would take it for success


@contextmanager
def _spawning() -> Iterator[None]:
    """A new process is told the default way to start further ones; that of joblib's workers it would not know."""
    default = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("spawn", force=True)
    try:
        yield
    finally:
        multiprocessing.set_start_method(default, force=True)


def _end_with_parent() -> None:
    """Leave nothing behind that could write where the next try goes on: waiting for the others, torch hears no other signal."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # `launch` has started this one
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)


class _Passing(logging.Handler):
    """Hands records of another process to the logger that they would have gone to in this one."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger(record.name).handle(record)


def _levels() -> dict[str, int]:
    """Levels of loggers that have one of their own."""
    known = logging.Logger.manager.loggerDict
    return {name: each.level for name, each in known.items() if isinstance(each, logging.Logger) and each.level} | {
        "root": logging.getLogger().level
    }


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _grouped() -> bool:
    return distributed.is_available() and distributed.is_initialized()
