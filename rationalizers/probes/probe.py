"""What a test of language models found, per example, so that every number has an interval.

Letters: ``B`` examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rationalizers.statistics import Estimate, Floats, Gap, difference, estimate

# A number of one example: numerator and denominator, (x, 1) of a mean; denominator 0 where it does not count.
Part = tuple[float, float]
Progress = Callable[[int, int], None]
BEST, FLOOR = "greedy", "_random"


@dataclass(frozen=True)
class Probe:
    """The numbers of one model.

    Args:
        name: of the test.
        model: as it was named.
        facts: what was counted on the way.
        parts: by search and number, numerators and denominators ``[B]`` each.
    """

    name: str
    model: str
    facts: Mapping[str, float]
    parts: Mapping[str, Mapping[str, tuple[Floats, Floats]]]

    @classmethod
    def of(
        cls,
        name: str,
        model: str,
        facts: Mapping[str, float],
        rows: Iterable[tuple[str, Mapping[str, Part]]],
    ) -> Probe:
        """Put together the numbers of examples, ``rows`` of search and numbers, examples in one order for every search."""
        found: dict[str, dict[str, list[Part]]] = {}
        for search, numbers in rows:
            for number, part in numbers.items():
                found.setdefault(search, {}).setdefault(number, []).append(part)
        parts = {search: {number: _arrays(values) for number, values in numbers.items()} for search, numbers in found.items()}
        return cls(name, model, facts, parts)

    def value(self, search: str, number: str) -> Estimate:
        """A number with its interval over examples."""
        return estimate(*self.parts[search][number])

    def gap(self, search: str, number: str) -> Gap:
        """The number of a search minus that of greedy search, on the same examples."""
        return difference(self.parts[search][number], self.parts[BEST][number])

    def numbers(self) -> list[str]:
        """Names of the numbers that any search has."""
        return list(dict.fromkeys(number for numbers in self.parts.values() for number in numbers))

    def record(self) -> dict[str, Any]:
        """Everything as plain values."""
        rows = {}
        for search, numbers in self.parts.items():
            rows[search] = {number: vars(self.value(search, number)) for number in numbers}
            if search != BEST:
                for number in set(numbers) & set(self.parts.get(BEST, {})):
                    rows[search][number]["minus_greedy"] = vars(self.gap(search, number))
        return {"name": self.name, "model": self.model, "facts": dict(self.facts), "numbers": rows}


def overlap(found: Iterable[int], wanted: Iterable[int]) -> dict[str, Part]:
    """IoU = |A ∩ G| / (|A| + |G| − |A ∩ G|), averaged over examples, and F1 = 2 |A ∩ G| / (|A| + |G|), pooled over them."""
    ours, theirs = set(found), set(wanted)
    both = len(ours & theirs)
    return {
        "iou": (both / len(ours | theirs) if ours | theirs else 0.0, 1.0),
        "f1": (2.0 * both, float(len(ours) + len(theirs))),
    }


def chance(size: int, places: Sequence[int], wanted: Iterable[int], *, seed: int, draws: int = 20) -> dict[str, Part]:
    """The same of random sets of ``size`` of some places with the last of them in it: the floor, means of ``draws``."""
    draw, wanted = np.random.default_rng(seed), set(wanted)
    totals: dict[str, list[Part]] = {}
    for _ in range(draws):
        others = draw.choice(places[:-1], max(0, size - 1), replace=False).tolist()
        for name, part in overlap([*others, places[-1]], wanted).items():
            totals.setdefault(f"{name}{FLOOR}", []).append(part)
    return {name: (float(np.mean([a for a, _ in each])), float(np.mean([b for _, b in each]))) for name, each in totals.items()}


def later(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Progress of a part of the work, told as that of all."""
    return None if progress is None else lambda done, _: progress(before + done, total)


def _arrays(values: Sequence[Part]) -> tuple[Floats, Floats]:
    a, b = np.array(values, np.float64).T
    return a, b
