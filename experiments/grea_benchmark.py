"""Time and memory of GREA's environment replacement: all rows of the grid, and `swap_grid`.

``make bench BENCH=grea_dense_term`` compares times at one batch size; ``python -m experiments.grea_benchmark`` prints seconds and
peak memory over batch sizes, each contender in a process of its own (on Linux, which says how much memory a process ever had).
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from experiments.benchmark import Benchmark


def grea_dense_term(*, batch_size: int, width: int, outputs: int, dropout: float) -> Benchmark:
    """Forward and backward of the predictor on every rationale and on every rationale beside every environment.

    Args:
        batch_size: graphs, B.
        width: of a pooled state, D; the hidden layer has 2D.
        outputs: targets of a graph, T.
        dropout: of the hidden layer in the second pair of contenders; the first has none.
    """
    import torch
    from torch import Tensor

    from graph.predictor import GraphPredictor
    from rationalizers.task import BinaryTasks

    torch.manual_seed(0)
    rationale, environment = (torch.randn(batch_size, width, requires_grad=True) for _ in range(2))
    y = (torch.rand(batch_size, outputs) > 0.5).float()
    task = BinaryTasks(targets=[str(target) for target in range(outputs)])

    def dense(predictor: GraphPredictor) -> Tensor:
        rows = (rationale[:, None] + environment).flatten(0, 1)  # [B², D]
        return task.loss(predictor(rows), y.repeat_interleave(batch_size, 0))

    def streamed(predictor: GraphPredictor) -> Tensor:
        return predictor.swap_loss(rationale, environment, y, task)

    def step(term: Callable[[GraphPredictor], Tensor], dropout: float) -> Callable[[], None]:
        predictor = GraphPredictor(width, outputs=outputs, dropout=dropout)
        learnt = [rationale, environment, *predictor.parameters()]

        def call() -> None:
            torch.autograd.grad(task.loss(predictor(rationale), y) + term(predictor), learnt)

        return call

    return Benchmark(
        contenders={
            "dense grid": step(dense, 0.0),
            "swap_grid": step(streamed, 0.0),
            "dense grid, dropout": step(dense, dropout),
            "swap_grid, dropout": step(streamed, dropout),
        },
        headlines={
            "dense_term": ("dense grid", "swap_grid"),
            "dense_term_dropout": ("dense grid, dropout", "swap_grid, dropout"),
        },
    )


def cost(contender: str, *, threads: int, repeats: int, **settings: Any) -> tuple[float, float]:
    """Median seconds of a call of one contender, and megabytes that it needs at most beyond what is there before it."""
    import torch

    torch.set_num_threads(threads)
    # What torch allocates once, whatever the size, is not part of the term.
    grea_dense_term(**{**settings, "batch_size": 2}).contenders[contender]()
    call = grea_dense_term(**settings).contenders[contender]
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = _memory("VmRSS")
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds), _memory("VmHWM") - before


def cost_in_a_fresh_process(contender: str, **settings: Any) -> tuple[float, float]:
    """`cost`, measured where nothing else has run."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(cost, contender, **settings).result()


def _memory(field: str) -> float:
    """Megabytes that this process has (``VmRSS``) or had at most (``VmHWM``)."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def main() -> None:
    """Print seconds and megabytes of every contender over batch sizes."""
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    options = parser.parse_args()
    settings: dict[str, Any] = {
        "width": 300,
        "outputs": 1,
        "dropout": 0.5,
        "threads": options.threads,
        "repeats": options.repeats,
    }
    contenders = grea_dense_term(batch_size=2, width=2, outputs=1, dropout=0.5).contenders
    table = Table("B", "contender", "median s", "peak MB", title=f"GREA's replacement term, {options.threads} thread(s)")
    for batch_size in options.batch_sizes:
        for contender in contenders:
            seconds, megabytes = cost_in_a_fresh_process(contender, batch_size=batch_size, **settings)
            table.add_row(str(batch_size), contender, f"{seconds:.4f}", f"{megabytes:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
