"""The examples that an explanation agrees with least and most, as far as people said what matters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rationalizers.report.choice import draw
from rationalizers.report.highlight import card
from rationalizers.report.result import Result

# By the first of these that is known of any example.
AGREEMENT = {"token_f1": "token F1", "node_f1": "node F1", "comprehensiveness": "comprehensiveness"}


@dataclass(frozen=True)
class Extremes:
    """Examples at both ends.

    Args:
        number: name of the number that they are ordered by.
        agreement: whether it is one with human evidence.
        worst: ``value`` and ``card`` of those with the lowest, from the lowest.
        best: of those with the highest, from the highest.
    """

    number: str
    agreement: bool
    worst: list[dict[str, Any]]
    best: list[dict[str, Any]]


def extremes(result: Result, count: int) -> Extremes:
    """The worst and the best explained examples of an evaluated run; ties are ordered by a hash of their names.

    Where people marked no evidence, by how far the prediction falls without the explanation (comprehensiveness).

    Args:
        result: an evaluated run.
        count: of each; half of the examples where there are less than twice as many.

    Returns:
        both empty where nothing is known of any example.
    """
    found = {name: _values(result, name) for name in AGREEMENT}
    name = next((name for name, values in found.items() if values), "comprehensiveness")
    values = found[name]
    half = min(count, (len(values) + 1) // 2)
    lowest = sorted(values, key=lambda one: (values[one], draw({"id": one})))[:half]
    rest = [one for one in values if one not in lowest]
    highest = sorted(rest, key=lambda one: (-values[one], draw({"id": one})))[:count]
    records = {str(record["id"]): record for record in result.examples} if values else {}
    owner = "" if result.evaluation is None else result.evaluation.name
    worst, best = (
        [{"value": values[one], "card": card(records[one], owner=owner)} for one in names] for names in (lowest, highest)
    )
    return Extremes(AGREEMENT[name], name != "comprehensiveness", worst, best)


def _values(result: Result, name: str) -> dict[str, float]:
    """A number by example, of those that count."""
    if name not in result.columns:
        return {}
    a, b = result.columns[name].tolist()
    return {one: above / below for one, above, below in zip(result.ids, a, b, strict=True) if below > 0}
