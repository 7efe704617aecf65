"""What the examples of evaluations say about a number: its interval, and that of a difference, by drawing them again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rationalizers.report.result import Result
from rationalizers.statistics import Estimate, Floats, Gap, difference, estimate


def interval(results: Sequence[Result], number: str) -> Estimate | None:
    """A number, averaged over runs, with its 95 % interval over examples (`rationalizers.statistics.estimate`).

    Args:
        results: runs that differ in nothing but their seed.
        number: its name.

    Returns:
        ``None`` unless every run was evaluated, on examples of the same names, and the number is a ratio of sums.
    """
    found = _stacked(results, number)
    return None if found is None else estimate(*found)


def gap(first: Sequence[Result], second: Sequence[Result], number: str, other: str | None = None) -> Gap | None:
    """A number of some runs minus that of others on the same examples (`rationalizers.statistics.difference`).

    Args:
        first: runs that differ in nothing but their seed.
        second: other such runs, or the same.
        number: its name.
        other: name of the number that is subtracted, such as a floor; ``None`` is the same.

    Returns:
        ``None`` as in `interval`.
    """
    left, right = _stacked(first, number), _stacked(second, number if other is None else other)
    same = left is not None and right is not None and first[0].ids == second[0].ids
    return difference(left, right) if same and left is not None and right is not None else None


def _stacked(results: Sequence[Result], number: str) -> tuple[Floats, Floats] | None:
    """Numerators and denominators ``[S, B]`` of the same examples in the same order."""
    if not results or any(number not in each.columns or each.ids != results[0].ids for each in results):
        return None
    pairs = np.stack([each.columns[number] for each in results])  # [S, 2, B]
    return pairs[:, 0], pairs[:, 1]
