"""Whether runs that differ in their seed alone select the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import TYPE_CHECKING

from rationalizers.report.page import number
from rationalizers.report.reading import selects_all
from rationalizers.report.result import Result
from rationalizers.report.table import Table

if TYPE_CHECKING:
    from torch import Tensor

TITLE = "Stability over seeds: overlap of the selections of two runs (Jaccard index), mean over examples and pairs"
HEAD = ("data", "method", "pairs", "overlap", "two random selections")


def over_seeds(results: Sequence[Result]) -> tuple[int, float, float] | None:
    """How many pairs of runs there are, their mean overlap, and that of random selections of the same sizes.

    Words (nodes) of both over words of either, mean over the examples that both runs have and in which either selects; the random
    one is its exact mean (`rationalizers.metrics.leakage.expected_overlap`).

    Returns:
        ``None`` for less than two runs, and where they select everything or have no example in common.
    """
    if len(results) < 2 or selects_all(results):
        return None
    # Torch takes seconds to import, and most pages need none.
    import torch

    from rationalizers.metrics.leakage import expected_overlap, overlap
    from rationalizers.segment import offsets, segment_sum

    found = []
    runs = [{str(record["id"]): record for record in result.examples} for result in results]
    for first, second in combinations(runs, 2):
        same = [name for name in first if name in second and first[name]["words"] == second[name]["words"]]
        if not same:
            continue
        ptr = offsets(torch.tensor([len(first[name]["words"]) for name in same]))
        a, b = (_selected([run[name] for name in same], ptr) for run in (first, second))
        free = torch.tensor([sum(score is not None for score in first[name]["scores"]) for name in same])
        k_a, k_b = (segment_sum(each.long(), ptr) for each in (a, b))
        # A unit without a score may be selected all the same, where a mask is not made from scores.
        n = torch.stack([k_a, k_b, free]).amax(0)
        pairs = [each[~each.isnan()] for each in (overlap(a, b, ptr), expected_overlap(k_a, k_b, n))]
        if pairs[0].numel():
            found.append([float(each.mean()) for each in pairs])
    return (len(found), *map(fmean, zip(*found, strict=True))) if found else None  # type: ignore[return-value]


def seed_rows(groups: Mapping[str, Sequence[Result]], dataset: str) -> list[list[str]]:
    """One row of `HEAD` for each method whose runs were evaluated and can be compared."""
    rows = []
    for method, results in groups.items():
        found = over_seeds(results) if all(result.evaluation is not None for result in results) else None
        if found is not None:
            pairs, own, random = found
            rows.append([dataset, method, str(pairs), number(own), number(random)])
    return rows


def seed_table(rows: Sequence[Sequence[str]]) -> Table:
    """The rows as a table."""
    return Table(TITLE, HEAD, rows)


def _selected(records: Sequence[Mapping[str, Sequence[Sequence[int]]]], ptr: Tensor) -> Tensor:
    """Selected words of all records one after the other, ``[N]`` bool."""
    import torch

    mask = torch.zeros(int(ptr[-1]), dtype=torch.bool)
    for record, first in zip(records, ptr.tolist(), strict=False):
        for start, end in record["selected"]:
            mask[first + start : first + end] = True
    return mask
