"""Time one piece against its reference: ``make bench BENCH=gru``.

A benchmark is anything with a method ``measure(*, rounds, threads) -> Measured``. That of `Benchmark`, contenders by name, each a
call without arguments, lets them take turns in one process, so that a drifting machine slows them alike. Medians are compared.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from experiments.command import command

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor


@dataclass
class Measured:
    """What came out, and how to tell it.

    Args:
        threads: of every contender.
        seconds: of every turn after the warm-up, by contender.
        megabytes: that a contender needed at most beyond its imports and data; only where each has a process of its own.
        ratios: headlines by name.
        facts: what else is worth keeping.
        tables: to be printed.
        notes: to be printed, a line each.
    """

    threads: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    megabytes: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, turns: Mapping[str, Sequence[Mapping[str, Any]]], *, title: str) -> None:
        """Keep the ``seconds`` of all turns of contenders, and their ``megabytes`` where turns have them; one more table."""
        seconds = {name: [turn["seconds"] for turn in each] for name, each in turns.items()}
        megabytes = {name: each[-1]["megabytes"] for name, each in turns.items() if "megabytes" in each[-1]}
        self.seconds |= seconds
        self.megabytes |= megabytes
        self.tables.append(table(seconds, megabytes, title=title))

    def ratio(self, slow: str, fast: str) -> float:
        """Median seconds of one contender over those of another."""
        return statistics.median(self.seconds[slow]) / statistics.median(self.seconds[fast])


def table(seconds: Mapping[str, Sequence[float]], megabytes: Mapping[str, float], *, title: str) -> Table:
    """One row per contender."""
    from rich.table import Table

    rows = Table("contender", "median s", "fastest s", "slowest s", *(["extra MB"] if megabytes else []), title=title)
    for name, times in seconds.items():
        figures = [f"{value:.4f}" for value in (statistics.median(times), min(times), max(times))]
        rows.add_row(name, *figures, *([f"{megabytes[name]:.1f}"] if megabytes else []))
    return rows


@dataclass(frozen=True)
class Benchmark:
    """What to time in one process.

    Args:
        contenders: calls by name.
        headlines: name of a ratio → (numerator, denominator), both names of contenders.
        clock: seconds so far, of the wall; ``time.process_time`` counts those of this process alone.
    """

    contenders: dict[str, Callable[[], object]]
    headlines: dict[str, tuple[str, str]]
    clock: Callable[[], float] = time.perf_counter

    def measure(self, *, rounds: int, threads: int) -> Measured:
        """Let the contenders take turns; the first round warms up and does not count."""
        import torch
        from rich.progress import track

        torch.set_num_threads(threads)
        turns: dict[str, list[dict[str, float]]] = {name: [] for name in self.contenders}
        for round_ in track(range(rounds + 1), description="rounds", transient=True):
            for name, call in self.contenders.items():
                began = self.clock()
                call()
                if round_:
                    turns[name].append({"seconds": self.clock() - began})
        measured = Measured(threads=threads)
        measured.add(turns, title="time")
        measured.ratios = {headline: measured.ratio(slow, fast) for headline, (slow, fast) in self.headlines.items()}
        return measured


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
    from rationalizers.data.sampling import LengthBuckets
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


@command("benchmark")
def main(config: DictConfig) -> None:
    """Measure, print tables and headlines, keep the result as JSON."""
    import subprocess
    from datetime import date
    from pathlib import Path

    from hydra.core.hydra_config import HydraConfig
    from hydra.utils import instantiate
    from rich.console import Console

    from rationalizers.run import versions, write_json

    name = HydraConfig.get().runtime.choices["bench"]
    measured = instantiate(config.bench).measure(rounds=config.rounds, threads=config.threads)
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)  # a file or a log has room
    for each in measured.tables:
        console.print(each)
    for line in [*measured.notes, *(f"RATIO {headline} {value:.2f}" for headline, value in measured.ratios.items())]:
        print(line)  # noqa: T201
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    folder = Path(config.folder)
    folder.mkdir(exist_ok=True)
    write_json(
        folder / f"{name}.json",
        {
            "date": date.today().isoformat(),
            "device": measured.facts.pop("device", "cpu"),
            "threads": measured.threads,
            "versions": {**versions(), **measured.facts.pop("versions", {})},
            "commit": commit or None,
            "seconds": measured.seconds,
            **({"megabytes": measured.megabytes} if measured.megabytes else {}),
            "ratios": measured.ratios,
            **measured.facts,
        },
    )


if __name__ == "__main__":
    main()
