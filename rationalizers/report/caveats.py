"""What a reader should know before believing a comparison of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from rationalizers.report.dial import Dial, follows
from rationalizers.report.page import number
from rationalizers.report.result import Result
from rationalizers.report.setting import UNSET, differing, flatten
from rationalizers.report.variant import natural

FLOORS = {
    "random": "random words of the same number",
    "first": "the first words of the same number",
    "last": "the last words of the same number",
    "all": "selecting everything",
}


def caveats(runs: Sequence[tuple[Result, str]], metrics: Mapping[str, str], dials: Mapping[str, Dial]) -> list[str]:
    """Sentences about runs that are compared.

    Args:
        runs: each with the name of its group.
        metrics: the metrics that are compared, with their names.
        dials: by data set, the number that curves are drawn over; that runs differ in it needs no note.
    """
    notes = []
    for dataset in sorted({result.dataset for result, _ in runs}):
        groups: dict[str, list[Result]] = {}
        for result, method in sorted(runs, key=lambda each: (natural(each[1]), each[0].seed)):
            if result.dataset == dataset:
                groups.setdefault(method, []).append(result)
        found = [*_data(groups, dials.get(dataset)), *_seeds(groups), *_gaps(groups, metrics), *_floors(groups)]
        notes += [f"{dataset}: {note}" for note in found]
    return notes


def _data(groups: Mapping[str, Sequence[Result]], dial: Dial | None) -> list[str]:
    """Keys of the data's configuration, other than its seed, that are not the same for all runs."""
    runs = [result for results in groups.values() for result in results]
    settings = [flatten(result, ("data",)) for result in runs]
    notes = []
    for key in differing(settings, [result.seed for result in runs]):
        if dial is not None and all(run.method in dial.lines for run in runs) and _moved(settings, key, dial):
            continue
        names: dict[str, list[str]] = {}
        for run, each in zip(runs, settings, strict=True):
            names.setdefault(each.get(key, UNSET), []).append(run.name)
        listed = "; ".join(f"{value} for {', '.join(having)}" for value, having in sorted(names.items()))
        notes.append(f"runs were not given the same data: {key} is {listed}.")
    return notes


def _moved(settings: Sequence[Mapping[str, str]], key: str, dial: Dial) -> bool:
    """Whether a key differs between runs only because the number that curves are drawn over does."""
    moving = [each.get(dial.key, UNSET) for each in settings]
    return follows([each.get(key, UNSET) for each in settings], moving)


def _seeds(groups: Mapping[str, Sequence[Result]]) -> list[str]:
    """Groups of one run, and seeds that do not match."""
    notes = []
    single = [method for method, results in groups.items() if len(results) == 1]
    if single:
        notes.append(f"there is only one run of {', '.join(single)}; the spread over seeds is unknown.")
    seeds = {method: [result.seed for result in results] for method, results in groups.items()}
    if len({tuple(each) for each in seeds.values()}) > 1:
        listed = "; ".join(f"{method}: {', '.join(map(str, each))}" for method, each in seeds.items())
        notes.append(f"methods were run with different seeds ({listed}); differences use those in common.")
    return notes


def _gaps(groups: Mapping[str, Sequence[Result]], metrics: Mapping[str, str]) -> list[str]:
    """Numbers that only some runs of a group have."""
    notes = []
    for method, results in groups.items():
        for metric, name in metrics.items():
            without = [result.name for result in results if metric not in result.test]
            if 0 < len(without) < len(results):
                notes.append(f"{', '.join(without)} has no {name}; the mean of {method} is that of its other runs.")
    return notes


def _floors(groups: Mapping[str, Sequence[Result]]) -> list[str]:
    """Methods whose mean token F1 does not reach a floor."""
    notes = []
    for method, results in groups.items():
        for floor, described in FLOORS.items():
            both = [result.test for result in results if {"token_f1", f"floor/{floor}/token_f1"} <= result.test.keys()]
            if not both:
                continue
            model, below = (fmean(test[name] for test in both) for name in ("token_f1", f"floor/{floor}/token_f1"))
            if model < below - 1e-9:
                notes.append(
                    f"token F1 of {method}, {number(model)}, is below the {number(below)} of {described}; "
                    "by this number its rationales do not show where the evidence is."
                )
    return notes
