"""What the numbers of an evaluation say beside their floors: above, below, or within the noise of examples.

A number is held against its floor by their difference on the same examples and its 95 % interval. What the tests mean, and what
they cannot show, is told in ``docs/leakage.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from rationalizers.report.page import number, plain
from rationalizers.report.resampling import gap, interval
from rationalizers.report.result import Result
from rationalizers.report.seeds import values_of
from rationalizers.statistics import Gap

# Below this a change of a prediction is the arithmetic of 32 bits.
ARITHMETIC = 1e-4
RANDOM_UNITS = "random units of the same number"
RANDOM_MASKS = "random masks of the same sizes"


@dataclass(frozen=True)
class Reading:
    """What a number says.

    Args:
        text: to follow the name of the number.
        bad: whether it speaks against the rationale.
    """

    text: str
    bad: bool


def readings(results: Sequence[Result], numbers: Iterable[str] | None = None) -> dict[str, Reading]:
    """What each number says beside its floor, for those that can be told.

    Nothing is told of a rationale that selects everything: whatever is removed at random is all of it, too.

    Args:
        results: evaluated runs that differ in nothing but their seed.
        numbers: which; ``None`` is all of them.
    """
    if selects_all(results):
        return {}
    asked = RULES if numbers is None else [name for name in RULES if name in set(numbers)]
    found = {name: RULES[name](results) for name in asked}
    return {name: reading for name, reading in found.items() if reading is not None}


def selects_all(results: Sequence[Result]) -> bool:
    """Whether every unit of every example is selected."""
    shares = values_of(results, "selected_share")
    return bool(shares) and min(shares) > 1 - 1e-9


def side(found: Gap | None) -> str | None:
    """Where a difference lies: ``above``, ``below`` or ``within`` the noise; ``None`` where that is not known."""
    if found is None or math.isnan(found.low):
        return None
    return "above" if found.low > 0 else "below" if found.high < 0 else "within"


def _beside(results: Sequence[Result], *, name: str, floor: str, what: str, good: str) -> Reading | None:
    """A number that should lie on one side of its floor."""
    found = gap(results, results, name, floor)
    where = side(found)
    if found is None or where is None:
        return None
    level = "within the noise of" if where == "within" else where
    return Reading(f"is {level} that of {what}, {_mean(results, floor)} ({_difference(found)})", where != good)


def _signal(results: Sequence[Result], *, name: str) -> Reading | None:
    """A label can be read from masks if that succeeds more often than with random masks, and than saying the same for all."""
    told = {which: gap(results, results, name, f"floor/{which}/{name}") for which in ("random", "majority", "oracle")}
    where = {which: side(each) for which, each in told.items()}
    if told["random"] is None or where["random"] is None:
        return None
    floor = _mean(results, f"floor/random/{name}")
    if where["random"] == "above" and where["majority"] in ("above", None):
        beside = f"is above that of {RANDOM_MASKS}, {floor} ({_difference(told['random'])})"
        text = f"{beside}: the label can be read from the places alone"
        if where["oracle"] in ("within", "below"):
            text += f", as it can from masks that take human evidence first, {_mean(results, f'floor/oracle/{name}')}"
        return Reading(text, bad=True)
    if where["random"] == "above":
        most = _mean(results, f"floor/majority/{name}")
        return Reading(f"is above that of {RANDOM_MASKS}, {floor}, and not above saying the same for all, {most}", bad=False)
    return Reading(f"is not above that of {RANDOM_MASKS}, {floor} ({_difference(told['random'])})", bad=False)


def _leakage(results: Sequence[Result]) -> Reading | None:
    found = interval(results, "leakage")
    if found is None or math.isnan(found.low):
        return None
    if found.low <= ARITHMETIC:
        return Reading("is not above 0", bad=False)
    ends = f"[{plain(found.low)}, {plain(found.high)}]"
    return Reading(f"is above 0 {ends}: the prediction depends on what was not selected", bad=True)


def _shown(results: Sequence[Result], *, name: str, what: str) -> Reading | None:
    """Right under another mask, beside the own one."""
    found = gap(results, results, name, "right_on_own")
    where = side(found)
    if found is None or where is None:
        return None
    if where == "below":
        return Reading(f"is below that on its own selection ({_difference(found)}): the predictor does not read {what}", bad=True)
    level = "within the noise of" if where == "within" else where
    return Reading(f"is {level} that on its own selection ({_difference(found)})", bad=False)


def _random_shown(results: Sequence[Result]) -> Reading | None:
    found = gap(results, results, "right_on_random", "right_on_own")
    where = side(found)
    if found is None or where is None:
        return None
    if where == "below":
        return Reading(f"is below that on its own selection ({_difference(found)})", bad=False)
    return Reading(f"is not below that on its own selection ({_difference(found)}): random units do as well", bad=True)


def _full_text(results: Sequence[Result]) -> Reading | None:
    found = interval(results, "full_text_gap")
    if found is None or math.isnan(found.low):
        return None
    if found.low > 0:
        return Reading("is above 0: selecting costs accuracy", bad=True)
    if found.high < 0:
        return Reading("is below 0: the predictor is lost on inputs of another size than it knows", bad=True)
    return Reading("is within the noise of 0", bad=False)


def _flip(results: Sequence[Result]) -> Reading | None:
    found = interval(results, "edit_flip")
    if found is None or math.isnan(found.low):
        return None
    if found.low > 0:
        return Reading("is above 0: edits that change no meaning change answers", bad=True)
    return Reading("is not above 0 by more than the noise", bad=False)


def _mean(results: Sequence[Result], name: str) -> str:
    values = values_of(results, name)
    return number(sum(values) / len(values)) if values else number(None)


def _difference(found: Gap | None) -> str:
    if found is None:
        return "difference unknown"
    ends = f"[{number(found.low, sign=True)}, {number(found.high, sign=True)}]"
    return f"difference {number(found.value, sign=True)} {ends}"


def _random(name: str, good: str = "above", what: str = RANDOM_UNITS) -> Callable[[Sequence[Result]], Reading | None]:
    return partial(_beside, name=name, floor=f"floor/random/{name}", what=what, good=good)


RULES: dict[str, Callable[[Sequence[Result]], Reading | None]] = {
    **{name: _random(name) for name in ("token_f1", "node_f1", "auprc", "node_roc_auc")},
    **{name: _random(name) for name in ("comprehensiveness", "comprehensiveness_aopc")},
    **{name: _random(name, "below") for name in ("sufficiency", "sufficiency_aopc")},
    "leakage": _leakage,
    "mask_signal": partial(_signal, name="mask_signal"),
    "label_signal": partial(_signal, name="label_signal"),
    "right_on_random": _random_shown,
    "right_on_oracle": partial(_shown, name="right_on_oracle", what="human evidence"),
    "right_on_human": partial(_shown, name="right_on_human", what="human evidence"),
    "full_text_gap": _full_text,
    "edit_overlap": _random("edit_overlap", what="two random selections of these sizes"),
    "edit_flip": _flip,
}
