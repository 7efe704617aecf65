"""What runs of one method differ in besides their seed, so that only equal things are averaged."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from rationalizers.report.dial import Dial, follows
from rationalizers.report.result import Result
from rationalizers.report.setting import SECTIONS, UNSET, differing, naming_runs, texts


def variants(results: Sequence[Result], dials: Mapping[str, Dial]) -> tuple[list[str], list[str]]:
    """A name for the group of each run: its method, and what sets it apart from other runs of this method on this data.

    Values that follow the seed do not set runs apart, and neither do names of other runs that do (`texts`). One or two differing
    keys become part of the name, ``rnp (share=0.1)``; with more the groups are numbered, ``rnp #1``, and a note says what they
    differ in. Which other run a run names is left to the note where the rest tells it. Runs on a curve are named by the number
    that it is drawn over, and need no note.

    Args:
        results: the runs.
        dials: by data set, the number that curves are drawn over.

    Returns:
        the names, in the order of the results, and notes.
    """
    names, notes = [result.method for result in results], []
    for dataset, method in sorted({(result.dataset, result.method) for result in results}):
        places = [place for place, each in enumerate(results) if (each.dataset, each.method) == (dataset, method)]
        runs = [results[place] for place in places]
        described = texts(runs, SECTIONS)
        differ = differing(described, [run.seed for run in runs])
        dial = dials.get(dataset)
        if dial is not None and method in dial.lines:
            differ = [key for key in differ if key not in dial.tied]
        if not differ:
            continue
        keys = _telling(differ, described, naming_runs(runs, SECTIONS))
        last = [key.rpartition(".")[2] for key in keys]
        shown = last if len(set(last)) == len(keys) else keys
        found = [_values(each, keys) for each in described]
        distinct = sorted(set(found))
        for place, values in zip(places, found, strict=True):
            short = ", ".join(f"{key}={value}" for key, value in zip(shown, values, strict=True))
            names[place] = f"{method} ({short})" if len(keys) <= 2 else f"{method} #{distinct.index(values) + 1}"
        if dial is not None and keys == [dial.key]:
            continue
        for each in distinct:
            same = [row for row, values in enumerate(found) if values == each]
            first = zip(differ, _values(described[same[0]], differ), strict=True)
            listed = ", ".join(f"{key} = {value}" for key, value in first)
            notes.append(f"{dataset}: {names[places[same[0]]]} is {', '.join(runs[row].name for row in same)}, with {listed}.")
    return names, notes


def _telling(keys: Sequence[str], described: Sequence[Mapping[str, str]], naming: Collection[str]) -> list[str]:
    """The keys without those which name runs and have one value for every combination of the others."""
    kept = list(keys)
    for key in reversed(keys):
        others = [each for each in kept if each != key]
        own, rest = ([_values(each, some) for each in described] for some in ([key], others))
        if key in naming and follows(own, rest):
            kept = others
    return kept


def _values(described: Mapping[str, str], keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(described.get(key, UNSET) for key in keys)


def natural(name: str) -> tuple[tuple[int, float, str], ...]:
    """A key to sort names by in which numbers count as numbers: ``rnp (x=9.5)`` comes before ``rnp (x=10)``."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)", name)
    return tuple((1, float(part), part) if place % 2 else (0, 0.0, part) for place, part in enumerate(parts))
