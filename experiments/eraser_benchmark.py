"""Time of ERASER's plausibility numbers on data of the sizes of its test sets: ``make bench BENCH=eraser``.

Hard numbers are exact, token and IoU agreement of spans, soft ones the areas under the curves of scores. The script of the
benchmark is not run: its seconds are facts of the configuration, which says where they come from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from experiments.benchmark import Measured

if TYPE_CHECKING:
    from torch import Tensor

    from rationalizers.metrics.eraser import Hard

HARD, SOFT, LISTS = "hard", "soft", "from lists"


@dataclass(frozen=True)
class Lists:
    """Predictions and evidence of every document, as JSON has them.

    Args:
        predicted: spans ``[[start, end], …]`` of every document.
        gold: likewise.
        scores: of the tokens of every document.
    """

    predicted: list[list[list[int]]]
    gold: list[list[list[int]]]
    scores: list[list[float]]

    def arrays(self) -> tuple[Hard, Tensor, Tensor, Tensor]:
        """Spans, scores ``[N]``, truth ``[N]`` bool and offsets ``[D+1]``, which the metrics read."""
        import numpy as np
        import torch

        from rationalizers.metrics.eraser import Hard
        from rationalizers.metrics.spans import marked
        from rationalizers.segment import offsets

        def rows(spans: list[list[list[int]]]) -> Tensor:
            found = [[key, *span] for key, some in enumerate(spans) for span in some]
            return torch.from_numpy(np.array(found, dtype=np.int64).reshape(-1, 3))

        predicted, gold = rows(self.predicted), rows(self.gold)
        annotated = torch.zeros(len(self.gold), dtype=torch.bool)
        annotated[gold[:, 0]] = True
        scores = torch.from_numpy(np.concatenate([np.array(each, dtype=np.float64) for each in self.scores]))
        ptr = offsets(torch.tensor([len(each) for each in self.scores]))
        return Hard(predicted, gold, torch.ones_like(annotated), annotated), scores, marked(gold, ptr), ptr


def draw(*, documents: int, tokens: int, spans: float, share: float, spread: float, seed: int = 0) -> Lists:
    """Documents with spans of evidence at random places, as many predicted ones, of which some are right, and noisy scores.

    Args:
        documents: how many.
        tokens: of a document, on average.
        spans: of evidence in a document, on average; at least one.
        share: of the tokens that are evidence, on average and at most, since spans may overlap.
        spread: standard deviation of the logarithm of the length.
        seed: of the draw.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    length = tokens * np.exp(spread * generator.normal(size=documents) - spread**2 / 2)
    lists = Lists([], [], [])
    for n in np.maximum(1, np.round(length)).astype(int).tolist():
        many = 1 + generator.poisson(spans - 1)
        width = np.minimum(n, 1 + generator.poisson(max(0.0, share * n / many - 1), size=many))
        start = (generator.random(many) * (n - width + 1)).astype(int)
        gold = np.unique(np.stack([start, start + width], axis=1), axis=0)
        # Half of them are found, some a little beside; predicted spans do not overlap.
        moved = np.clip(gold + generator.integers(-2, 3, gold.shape) * (generator.random((len(gold), 1)) < 0.5), 0, n)
        moved[1:, 0] = np.maximum(moved[1:, 0], np.maximum.accumulate(moved[:, 1])[:-1])
        scores = generator.random(n)
        for first, last in gold.tolist():
            scores[first:last] += 0.3
        lists.predicted.append(moved[moved[:, 1] > moved[:, 0]].tolist())
        lists.gold.append(gold.tolist())
        lists.scores.append(scores.tolist())
    return lists


class EraserBenchmark:
    """Hard and soft numbers of several sets, from arrays and from lists.

    Args:
        sets: name → ``documents``, ``tokens``, ``spans`` and ``share`` (see `draw`), and ``script``: the seconds that the script
            of the benchmark took for its parts on as many documents and tokens.
        spread: standard deviation of the logarithm of the length of a document.
        thresholds: of the intersection over union.
    """

    def __init__(self, *, sets: Mapping[str, Mapping[str, Any]], spread: float, thresholds: Sequence[float]) -> None:
        self.sets, self.spread, self.thresholds = {name: dict(size) for name, size in sets.items()}, spread, list(thresholds)

    def measure(self, *, rounds: int, threads: int) -> Measured:
        """Time the parts of every set in turn; the first round warms up and does not count."""
        import torch
        from rich.progress import track
        from rich.table import Table

        torch.set_num_threads(threads)
        measured = Measured(threads=threads)
        columns = (
            "hard s",
            "soft s",
            "both s",
            "from lists s",
            "script IoU s",
            "script tokens s",
            "script soft s",
            "script / both",
        )
        table = Table("set", "documents", "tokens", *columns, title="ERASER's plausibility numbers")
        for name, size in track(self.sets.items(), description="sets", transient=True):
            script = {part: float(seconds) for part, seconds in size["script"].items()}
            lists = draw(**{key: value for key, value in size.items() if key != "script"}, spread=self.spread)
            turns = self._turns(lists, rounds=rounds)
            measured.seconds |= {f"{name}, {part}": seconds for part, seconds in turns.items()}
            hard, soft, whole = (median(turns[part]) for part in (HARD, SOFT, LISTS))
            measured.ratios[name] = sum(script.values()) / (hard + soft)
            tokens = sum(len(scores) for scores in lists.scores)
            figures = [f"{value:.3f}" for value in (hard, soft, hard + soft, whole)]
            theirs = [f"{script[part]:g}" for part in ("iou", "tokens", "soft")]
            table.add_row(name, str(size["documents"]), str(tokens), *figures, *theirs, f"{measured.ratios[name]:.0f}")
        measured.tables.append(table)
        measured.facts["script_seconds"] = {name: dict(size["script"]) for name, size in self.sets.items()}
        measured.notes.append(
            "not side by side: the seconds of the script are facts of another run, not of this machine today (see "
            "conf/bench/eraser.yaml); 'from lists' is both and turning parsed JSON into arrays; nobody's reading of files is in"
        )
        return measured

    def _turns(self, lists: Lists, *, rounds: int) -> dict[str, list[float]]:
        from rationalizers.metrics.eraser import hard_scores, soft_scores

        hard, *soft = lists.arrays()

        def from_lists() -> None:
            spans, *scores = lists.arrays()
            hard_scores(spans, thresholds=self.thresholds)
            soft_scores(*scores)

        calls: dict[str, Callable[[], object]] = {
            HARD: lambda: hard_scores(hard, thresholds=self.thresholds),
            SOFT: lambda: soft_scores(*soft),
            LISTS: from_lists,
        }
        seconds: dict[str, list[float]] = {part: [] for part in calls}
        for turn in range(rounds + 1):
            for part, call in calls.items():
                began = time.perf_counter()
                call()
                if turn:
                    seconds[part].append(time.perf_counter() - began)
        return seconds
