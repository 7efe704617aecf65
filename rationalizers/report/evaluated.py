"""The evaluations of runs as rows of a comparison: each is a run with other numbers, named after what explained it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from rationalizers.report.result import Result

if TYPE_CHECKING:
    from rationalizers.evaluation.store import Evaluation

# Settings without which numbers cannot be compared at all; the others must agree within a group.
DECISIVE = ("absence", "fractions")
NAMED = ("split", "explained_by")


@dataclass(frozen=True)
class _Chosen:
    """An evaluation with the run that it is of."""

    run: Result
    evaluation: Evaluation

    @property
    def result(self) -> Result:
        return self.run.with_evaluation(self.evaluation)

    @property
    def group(self) -> tuple[str, str]:
        result = self.result
        return result.dataset, result.method

    @property
    def absence(self) -> str:
        return str(self.evaluation.settings["absence"])


def with_evaluations(results: Iterable[Result], pattern: str | None, split: str) -> tuple[list[Result], list[str]]:
    """Every run with its numbers, and every evaluation of it.

    The evaluation of a model's own rationale takes the place of the numbers of its training; an attribution is a row more. Where
    runs of one method were evaluated under several meanings of absence, all of them are named after it, ``full + saliency
    (remove)``; where one run has several evaluations of the same absence, after the evaluation.

    Args:
        results: the runs.
        pattern: of names of evaluations, as ``test-*-compact``; ``None`` takes all.
        split: that they are of. Runs without an evaluation of another split than ``test`` are left out.

    Returns:
        the rows, and notes about what was left out.

    Raises:
        ValueError: no evaluation matches the pattern, or no run is left.
    """
    results = list(results)
    found = {place: _chosen(result, pattern, split) for place, result in enumerate(results)}
    if pattern is not None and not any(found.values()):
        known = {f"{name} ({each.settings['split']})" for result in results for name, each in result.evaluations.items()}
        raise ValueError(
            f"'evaluation' must match the name of an evaluation of the {split} split, got {pattern!r}; "
            f"there is {', '.join(sorted(known)) or 'none: make one with python -m experiments.evaluate'}"
        )
    every = [each for chosen in found.values() for each in chosen]
    rows, notes = [], []
    for place, result in enumerate(results):
        own = any(each.evaluation.settings["attribution"] is None for each in found[place])
        if split == "test" and not own:
            rows.append(result)
        elif split != "test" and not found[place]:
            notes.append(f"{result.name} has no evaluation of the {split} split and was left out.")
        rows += [_named(each, every) for each in found[place]]
    if not rows:
        command = f"python -m experiments.evaluate split={split}"
        raise ValueError(f"there is no evaluation of the {split} split; make one with: {command}")
    return rows, notes


def unlike(groups: Mapping[str, Sequence[Result]]) -> list[str]:
    """Sentences about evaluations whose settings are not the same, within groups and, where they decide, between them."""
    notes = []
    for method, results in groups.items():
        evaluated = [result for result in results if result.evaluation is not None]
        keys = sorted({key for each in evaluated for key in _settings(each)} - {*NAMED, *DECISIVE})
        for key in keys:
            notes += _differing(key, [(_settings(each).get(key), each.name) for each in evaluated], f"runs of {method}")
    for key in DECISIVE:
        told: list[tuple[object, str]] = []
        for method, results in groups.items():
            values = [(_settings(each).get(key), each.name) for each in results if each.evaluation is not None]
            alike = len({str(value) for value, _ in values}) == 1
            # A name that says it needs no note.
            told += [(value, method if alike else name) for value, name in values if f"({value}" not in method]
        notes += _differing(key, told, "runs")
    return notes


def _chosen(result: Result, pattern: str | None, split: str) -> list[_Chosen]:
    return [
        _Chosen(result, each)
        for name, each in result.evaluations.items()
        if each.settings["split"] == split and (pattern is None or fnmatchcase(name, pattern))
    ]


def _named(chosen: _Chosen, every: Sequence[_Chosen]) -> Result:
    """The row of an evaluation, whose method says what sets it apart from others."""
    alike = [each for each in every if each.group == chosen.group]
    same = [each for each in alike if each.absence == chosen.absence]
    parts = [chosen.absence] if len({each.absence for each in alike}) > 1 else []
    if len(same) > len({each.run.folder for each in same}):
        parts.append(chosen.evaluation.name)
    result = chosen.result
    return result.renamed(f"{result.method} ({', '.join(parts)})") if parts else result


def _settings(result: Result) -> Mapping[str, object]:
    return {} if result.evaluation is None else result.evaluation.settings


def _differing(key: str, told: Sequence[tuple[object, str]], who: str) -> list[str]:
    """A sentence where a setting has several values."""
    names: dict[str, list[str]] = {}
    for value, name in told:
        names.setdefault(str(value), []).append(name)
    if len(names) < 2:
        return []
    listed = "; ".join(f"{value} for {', '.join(dict.fromkeys(having))}" for value, having in sorted(names.items()))
    return [f"{who} were not evaluated alike: {key} is {listed}."]
