"""Time one piece against its reference: ``make bench BENCH=gru``.

A benchmark is a function that returns contenders by name, each a call without arguments, and the ratios worth a headline. All
contenders take turns in one process, so that a drifting machine slows them alike; medians are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Benchmark:
    """What to time.

    Args:
        contenders: calls by name.
        headlines: name of a ratio → (numerator, denominator), both names of contenders.
    """

    contenders: dict[str, Callable[[], object]]
    headlines: dict[str, tuple[str, str]]


def gru(
    *,
    examples: int,
    batch_size: int,
    mean_length: float,
    spread: float,
    longest: int,
    embedding: int,
    hidden: int,
) -> Benchmark:
    """Forward and backward of `GRUEncoder` over texts of log-normal length: in length buckets, shuffled, and torch's packed GRU.

    Args:
        examples: texts, all of which one call goes through.
        batch_size: texts at a time.
        mean_length: in words.
        spread: standard deviation of the logarithm of the length.
        longest: in words.
        embedding: width of an embedding.
        hidden: width of a state.
    """
    import torch
    from torch import nn
    from torch.nn.utils.rnn import pack_sequence

    from rationalizers.batch import Packed
    from rationalizers.data.module import LengthBuckets
    from rationalizers.encoders import GRUEncoder

    torch.manual_seed(0)
    encoder = GRUEncoder(vocabulary=2, mask_id=1, embedding=embedding, hidden=hidden, dropout=0.0)
    packed_gru = nn.GRU(embedding, hidden // 2, bidirectional=True)
    log_mean = torch.tensor(mean_length).log() - spread**2 / 2
    length = (log_mean + spread * torch.randn(examples)).exp().round().clamp(1, longest).long()
    texts = [torch.randn(n, embedding) for n in length.tolist()]

    def batches(pool: int) -> list[list[Tensor]]:
        order = LengthBuckets(length, batch_size=batch_size, seed=0, epoch=0, pool=pool)
        return [[texts[row] for row in rows] for rows in order]

    def ours(rows: list[Tensor]) -> None:
        e = torch.cat(rows).requires_grad_()
        ptr = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
        encoder.encode(e, Packed(units=torch.zeros(e.shape[0], dtype=torch.long), ptr=ptr)).sum().backward()

    def theirs(rows: list[Tensor]) -> None:
        states, _ = packed_gru(pack_sequence([row.clone().requires_grad_() for row in rows], enforce_sorted=False))
        states.data.sum().backward()

    def each(step: Callable[[list[Tensor]], None], pool: int) -> Callable[[], None]:
        made = batches(pool)
        return lambda: [step(rows) for rows in made] and None

    return Benchmark(
        contenders={
            "ours, length buckets": each(ours, 16),
            "ours, shuffled": each(ours, 1),
            "torch packed sequence, length buckets": each(theirs, 16),
        },
        headlines={
            "length_buckets": ("ours, shuffled", "ours, length buckets"),
            "packed_sequence": ("torch packed sequence, length buckets", "ours, length buckets"),
        },
    )


@hydra.main(version_base="1.3", config_path="pkg://conf", config_name="benchmark")
def main(config: DictConfig) -> None:
    """Time the contenders in turn, print a table and the headlines, keep the result as JSON."""
    import statistics
    import subprocess
    import time
    from datetime import date
    from pathlib import Path

    import torch
    from hydra.core.hydra_config import HydraConfig
    from hydra.utils import instantiate
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    from rationalizers.run import versions, write_json

    torch.set_num_threads(config.threads)
    name = HydraConfig.get().runtime.choices["bench"]
    benchmark: Benchmark = instantiate(config.bench)
    seconds: dict[str, list[float]] = {contender: [] for contender in benchmark.contenders}
    for round_ in track(range(config.rounds + 1), description=name, transient=True):
        for contender, call in benchmark.contenders.items():
            began = time.perf_counter()
            call()
            # The first round warms up.
            if round_:
                seconds[contender].append(time.perf_counter() - began)
    median = {contender: statistics.median(times) for contender, times in seconds.items()}
    table = Table("contender", "median s", "fastest s", "slowest s", title=name)
    for contender, times in seconds.items():
        table.add_row(contender, *(f"{value:.3f}" for value in (median[contender], min(times), max(times))))
    Console().print(table)
    ratios = {headline: median[slow] / median[fast] for headline, (slow, fast) in benchmark.headlines.items()}
    for headline, value in ratios.items():
        print(f"RATIO {headline} {value:.2f}")  # noqa: T201
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    folder = Path(config.folder)
    folder.mkdir(exist_ok=True)
    write_json(
        folder / f"{name}.json",
        {
            "date": date.today().isoformat(),
            "device": "cpu",
            "threads": config.threads,
            "versions": versions(),
            "commit": commit or None,
            "seconds": seconds,
            "ratios": ratios,
        },
    )


if __name__ == "__main__":
    main()
