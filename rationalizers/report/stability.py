"""Whether runs that differ in their seed alone select the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import TYPE_CHECKING, Any

from rationalizers.report.page import number
from rationalizers.report.reading import selects_all
from rationalizers.report.result import Result
from rationalizers.report.table import Table

if TYPE_CHECKING:
    from torch import Tensor

TITLE = "Stability over seeds: overlap of the selections of two runs (Jaccard index), mean over examples and pairs"
HEAD = ("data", "method", "pairs", "overlap", "two random selections")


# The id of an example, how many words it has, and their digest.
Text = tuple[str, int, bytes]


@dataclass(frozen=True)
class Stability:
    """How much runs that differ in their seed alone select alike.

    Args:
        method: name of the group of runs.
        pairs: how many pairs of runs.
        overlap: words (nodes) of both over words of either, mean over the examples that both runs have and in which either
            selects, and over pairs.
        random: the exact mean of that of random selections of the same sizes
            (`rationalizers.metrics.leakage.expected_overlap`).
    """

    method: str
    pairs: int
    overlap: float
    random: float


def over_seeds(method: str, results: Sequence[Result]) -> Stability | None:
    """Compare the selections of every two runs; ``None`` for less than two, and where they select all or share no example."""
    if len(results) < 2 or selects_all(results):
        return None
    # Torch takes seconds to import, and most pages need none.
    import torch

    from rationalizers.metrics.leakage import expected_overlap, overlap
    from rationalizers.segment import offsets, segment_sum

    runs = [{_text(record): _Selection.of(record) for record in result.examples} for result in results]
    # Every text once, so that each run is read once and not once for each of its pairs.
    texts = list(dict.fromkeys(text for run in runs for text in run))
    ptr = offsets(torch.tensor([words for _, words, _ in texts], dtype=torch.long))
    masks = [_selected(run, texts, ptr) for run in runs]
    sizes = [segment_sum(mask.long(), ptr) for mask in masks]
    free = [torch.tensor([run[text].free if text in run else 0 for text in texts]) for run in runs]
    held = [torch.tensor([text in run for text in texts]) for run in runs]
    found = []
    for a, b in combinations(range(len(runs)), 2):
        same = held[a] & held[b]
        # A unit without a score may be selected all the same, where a mask is not made from scores.
        n = torch.stack([sizes[a], sizes[b], free[a]]).amax(0)
        own, random = overlap(masks[a], masks[b], ptr)[same], expected_overlap(sizes[a][same], sizes[b][same], n[same])
        if not own.isnan().all():
            found.append((float(own.nanmean()), float(random.nanmean())))
    return Stability(method, len(found), *map(fmean, zip(*found, strict=True))) if found else None


def seed_rows(groups: Mapping[str, Sequence[Result]]) -> list[Stability]:
    """That of each method whose runs were evaluated and can be compared."""
    evaluated = {method: runs for method, runs in groups.items() if all(run.evaluation is not None for run in runs)}
    found = [over_seeds(method, runs) for method, runs in evaluated.items()]
    return [each for each in found if each is not None]


def seed_table(found: Mapping[str, Sequence[Stability]]) -> Table:
    """Those of every data set as a table."""
    rows = [
        [dataset, each.method, str(each.pairs), number(each.overlap), number(each.random)]
        for dataset, some in found.items()
        for each in some
    ]
    return Table(TITLE, HEAD, rows, name="stability")


@dataclass(frozen=True)
class _Selection:
    """What a run selects of a text: intervals of words, and how many words can be selected."""

    intervals: Sequence[Sequence[int]]
    free: int

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> _Selection:
        return cls(record["selected"], sum(score is not None for score in record["scores"]))


def _text(record: Mapping[str, Any]) -> Text:
    words = "\0".join(record["words"]).encode("utf-8", "surrogatepass")
    return str(record["id"]), len(record["words"]), hashlib.blake2b(words, digest_size=16).digest()


def _selected(run: Mapping[Text, _Selection], texts: Sequence[Text], ptr: Tensor) -> Tensor:
    """Selected words of all texts one after the other, ``[N]`` bool; none of a text that the run does not have."""
    import torch

    mask = torch.zeros(int(ptr[-1]), dtype=torch.bool)
    for text, first in zip(texts, ptr.tolist(), strict=False):
        for start, end in run[text].intervals if text in run else ():
            mask[first + start : first + end] = True
    return mask
