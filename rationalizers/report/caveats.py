"""What a reader should know before believing a comparison of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from rationalizers.report.dial import Dial, follows
from rationalizers.report.evaluated import unlike
from rationalizers.report.page import number
from rationalizers.report.reading import readings, selects_all
from rationalizers.report.result import Result
from rationalizers.report.seeds import Difference, values_of
from rationalizers.report.setting import UNSET, differing, texts
from rationalizers.report.variant import natural

FLOORS = {
    "random": "random words of the same number",
    "first": "the first words of the same number",
    "last": "the last words of the same number",
    "all": "selecting everything",
}
# What methods are chosen by; of other numbers nothing is said but their intervals.
MAIN = (
    "accuracy",
    "roc_auc",
    "r2",
    "rmse",
    "token_f1",
    "node_roc_auc",
    "node_f1",
    "comprehensiveness",
    "sufficiency",
)
# Numbers that are held against their floors, example by example.
FLOORED = ("token_f1", "node_f1", "comprehensiveness", "sufficiency", "leakage", "mask_signal")
# Pairs that are named one by one.
LISTED = 8


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
        found = [*_data(groups, dials.get(dataset)), *_seeds(groups), *_gaps(groups, metrics), *unlike(groups), *_floors(groups)]
        notes += [f"{dataset}: {note}" for note in found]
    return notes


def beside_floors(groups: Mapping[str, Sequence[Result]], metrics: Mapping[str, str]) -> list[str]:
    """A sentence for each method with numbers that are within the noise of a floor, or beyond it in the bad direction.

    Args:
        groups: runs of one data set by method.
        metrics: the metrics that are compared, with their names.
    """
    notes = []
    for method, results in groups.items():
        runs = [result for result in results if result.evaluation is not None]
        if runs and selects_all(runs):
            notes.append(f"{method} selects everything, so that its faithfulness and leakage say nothing.")
        told = []
        for name, reading in readings(runs, FLOORED).items():
            model, floor = (values_of(runs, key) for key in (name, f"floor/random/{name}"))
            # Of a token F1 below its floors another note says more.
            noted = name == "token_f1" and _below(fmean(model), fmean(floor))
            if reading.bad and not noted:
                told.append(f"{metrics.get(name, name)}, {number(fmean(model))}, {reading.text}")
        if told:
            notes.append(f"of {method}, {'; '.join(told)}.")
    return notes


def within_noise(found: Sequence[Difference], metrics: Mapping[str, str]) -> list[str]:
    """A sentence for each pair of methods that names the metrics in which they cannot be told apart.

    Of more than `LISTED` pairs only their number is told.

    Args:
        found: differences on one data set.
        metrics: the metrics that are compared, with their names.
    """
    told: dict[tuple[str, str], list[str]] = {}
    counts: dict[str, list[bool]] = {}
    for each in (one for one in found if one.metric in MAIN and (one.known or one.sampled)):
        over = [
            name
            for name, low, high in (("seeds", each.low, each.high), ("examples", each.example_low, each.example_high))
            if low <= 0 <= high
        ]
        counts.setdefault(each.metric, []).append(bool(over))
        if over:
            named = f"{metrics[each.metric]} (over {' and '.join(over)})"
            told.setdefault((each.method, each.reference), []).append(named)
    if len(told) > LISTED:
        shares = ", ".join(f"{sum(each)} of {len(each)} in {metrics[name]}" for name, each in counts.items() if any(each))
        return [f"of the differences between methods, within the noise are {shares}; name one as the reference to see which."]
    return [f"{method} − {reference} is within the noise: {', '.join(names)}." for (method, reference), names in told.items()]


def _data(groups: Mapping[str, Sequence[Result]], dial: Dial | None) -> list[str]:
    """Keys of the data's configuration, other than its seed, that are not the same for all runs."""
    runs = [result for results in groups.values() for result in results]
    settings = texts(runs, ("data",))
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
        missed: dict[str, list[str]] = {}
        for floor, described in FLOORS.items():
            both = [result.test for result in results if {"token_f1", f"floor/{floor}/token_f1"} <= result.test.keys()]
            if not both:
                continue
            model, reached = (fmean(test[name] for test in both) for name in ("token_f1", f"floor/{floor}/token_f1"))
            if _below(model, reached):
                missed.setdefault(number(model), []).append(f"the {number(reached)} of {described}")
        notes += [
            f"token F1 of {method}, {model}, is below {', '.join(floors)}; "
            "by this number its rationales do not show where the evidence is."
            for model, floors in missed.items()
        ]
    return notes


def _below(model: float, floor: float) -> bool:
    return model < floor - 1e-9
