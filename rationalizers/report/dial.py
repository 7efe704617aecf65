"""The number of the configuration that runs were made for several values of, so that they can be read as curves."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rationalizers.report.result import Result
from rationalizers.report.setting import SECTIONS, UNSET, differing, settings, texts

# Of numbers that change together, the one that stands first on the way of the data is the cause.
CAUSES = ("data", "featurizer", "model", "trainer")
# What a model is told by its data.
FACTS = ("vocabulary", "mask_id")


@dataclass(frozen=True)
class Dial:
    """A number that takes several values over the runs of a data set.

    Args:
        key: its dotted key.
        tied: other keys that change only where it does, and facts about the data.
        lines: by method and value the runs, which differ in nothing else but their seed; methods by name, values by size, runs
            by seed.
    """

    key: str
    tied: tuple[str, ...]
    lines: Mapping[str, Mapping[float, Sequence[Result]]]

    @property
    def name(self) -> str:
        """The last part of its key, with the one before it for a place in a list."""
        parts = self.key.split(".")
        return ".".join(parts[-2:] if parts[-1].isdigit() else parts[-1:])

    @property
    def values(self) -> list[float]:
        """Its values by size."""
        return sorted({value for line in self.lines.values() for value in line})

    def at(self, value: float) -> dict[str, Sequence[Result]]:
        """The runs with a value by method."""
        return {method: line[value] for method, line in self.lines.items() if value in line}

    def place(self, result: Result) -> tuple[str, float] | None:
        """Method and value of a run; ``None`` for one that is on no curve."""
        value = _number(settings(result, SECTIONS).get(self.key))
        return None if value is None or result.method not in self.lines else (result.method, value)


def label(value: float) -> str:
    """A value to read, as it stands in a configuration."""
    return f"{value:.12g}"


def find_dials(results: Sequence[Result], key: str | None) -> tuple[dict[str, Dial], list[str]]:
    """The number to draw curves over, for every data set that has one.

    It is the one number in which runs of a method differ; other numbers may change with it (a copy, the size of a vocabulary).
    Seeds are no such numbers.

    Args:
        results: the runs, each once.
        key: its dotted key; ``None`` finds it, and finds nothing where several numbers change independently.

    Returns:
        the numbers by data set, and notes about runs that are on no curve and values that change together.

    Raises:
        ValueError: runs of no method differ in ``key``; names the numbers in which they do.
    """
    groups = {
        name: [result for result in results if result.dataset == name] for name in sorted({each.dataset for each in results})
    }
    numbers = {name: _Numbers(runs) for name, runs in groups.items()}
    if key is not None and not any(key in each.keys for each in numbers.values()):
        known = ", ".join(sorted({name for each in numbers.values() for name in each.keys})) or "there is none"
        raise ValueError(f"'dial' must be a number in which runs of one method differ ({known}), got {key!r}")
    dials, notes = {}, []
    for dataset, each in numbers.items():
        chosen = each.leading() if key is None else key if key in each.keys else None
        if chosen is not None:
            dial, told = each.dial(chosen)
            notes += [f"{dataset}: {note}" for note in told]
            if dial is not None:
                dials[dataset] = dial
        elif key is None and each.keys:
            notes.append(
                f"{dataset}: runs of one method differ in several numbers, {', '.join(each.keys)}; "
                "dial=<one of them> draws curves over it, for methods whose runs agree in the rest."
            )
    return dials, notes


def follows(values: Sequence[Hashable], leading: Sequence[Hashable]) -> bool:
    """Whether ``values`` are a function of ``leading``: equal wherever those are."""
    return len(set(zip(leading, values, strict=True))) == len(set(leading))


class _Numbers:
    """What runs of one data set differ in, method by method.

    Args:
        runs: of one data set.
    """

    def __init__(self, runs: Sequence[Result]) -> None:
        self.methods: dict[str, list[Result]] = {}
        for run in sorted(runs, key=lambda each: (each.method, each.seed)):
            self.methods.setdefault(run.method, []).append(run)
        self.texts = {name: texts(each, SECTIONS) for name, each in self.methods.items()}
        seeds = {name: [run.seed for run in each] for name, each in self.methods.items()}
        self.differing = {name: differing(self.texts[name], seeds[name]) for name in self.methods}
        values = [settings(run, SECTIONS) for run in runs]
        every = sorted({key for keys in self.differing.values() for key in keys})
        self.keys = [
            key
            for key in every
            if not _is_seed(key)
            and not _is_fact(key)
            and all(_number(each[key]) is not None for each in values if key in each)
            and any(len(set(self._texts(name, key)) - {UNSET}) > 1 for name in self.methods)
        ]

    def leading(self) -> str | None:
        """The number that decides all others; of several such, as equal copies are, the likeliest cause."""
        found = [key for key in self.keys if all(self._follows(other, key) for other in self.keys)]
        return min(found, key=lambda key: (CAUSES.index(key.split(".")[0]), len(key), key), default=None)

    def dial(self, key: str) -> tuple[Dial | None, list[str]]:
        """Curves over ``key`` from the methods that have it and agree in the rest, and notes about the others."""
        lines: dict[str, dict[float, list[Result]]] = {}
        notes, tied = [], set()
        for method, runs in self.methods.items():
            known = [(value, run) for run in runs if (value := _number(settings(run, SECTIONS).get(key))) is not None]
            others = [name for name in self.differing[method] if name != key]
            apart = [name for name in others if not _is_fact(name) and not self._follows(name, key, method)]
            if len(known) < len(runs):
                notes.append(f"{method} is on no curve over {key}: {len(runs) - len(known)} of its {len(runs)} runs have none.")
            elif apart:
                notes.append(f"{method} is on no curve over {key}: its runs also differ in {', '.join(apart)}.")
            else:
                tied.update(others)
                lines[method] = {}
                for value, run in sorted(known, key=lambda each: (each[0], each[1].seed)):
                    lines[method].setdefault(value, []).append(run)
        dial = Dial(key, tuple(sorted(tied)), lines)
        if not any(len(line) > 1 for line in lines.values()):
            return None, [*notes, f"there are no curves over {key}: no method has two of its values."]
        unlike = [name for name in dial.tied if not _is_fact(name) and not self._copies(name, key, list(lines))]
        if unlike:
            listed = ", ".join(unlike)
            notes.append(f"curves over {key} also show the effect of what changes together with it: {listed}.")
        return dial, notes

    def _texts(self, method: str, key: str) -> list[str]:
        return [each.get(key, UNSET) for each in self.texts[method]]

    def _follows(self, key: str, leading: str, method: str | None = None) -> bool:
        names = list(self.methods) if method is None else [method]
        return all(follows(self._texts(name, key), self._texts(name, leading)) for name in names)

    def _copies(self, key: str, leading: str, methods: Sequence[str]) -> bool:
        return all(self._texts(name, key) == self._texts(name, leading) for name in methods if key in self.differing[name])


def _number(value: Any) -> float | None:
    """A finite number; ``None`` for anything else, truth values among it."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None


def _is_seed(key: str) -> bool:
    return key.rpartition(".")[2] == "seed" or key.endswith("_seed")


def _is_fact(key: str) -> bool:
    return key.startswith("model.") and key.rpartition(".")[2] in FACTS
