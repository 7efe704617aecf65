"""What runs of one method differ in besides their seed, so that only equal things are averaged."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rationalizers.report.dial import Dial
from rationalizers.report.result import Result
from rationalizers.report.setting import SECTIONS, UNSET, differing, flatten


def variants(results: Sequence[Result], dials: Mapping[str, Dial]) -> tuple[list[str], list[str]]:
    """A name for the group of each run: its method, and what sets it apart from other runs of this method on this data.

    Values that follow the seed do not set runs apart. One or two differing keys become part of the name, ``rnp (share=0.1)``;
    with more the groups are numbered, ``rnp #1``, and a note says what they differ in. Runs on a curve are named by the number
    that it is drawn over, and need no note.

    Args:
        results: the runs.
        dials: by data set, the number that curves are drawn over.

    Returns:
        the names, in the order of the results, and notes.
    """
    described = [flatten(result, SECTIONS) for result in results]
    names, notes = [result.method for result in results], []
    for dataset, method in sorted({(result.dataset, result.method) for result in results}):
        places = [place for place, each in enumerate(results) if (each.dataset, each.method) == (dataset, method)]
        keys = differing([described[place] for place in places], [results[place].seed for place in places])
        dial = dials.get(dataset)
        if dial is not None and method in dial.lines:
            keys = [key for key in keys if key not in dial.tied]
        if not keys:
            continue
        last = [key.rpartition(".")[2] for key in keys]
        shown = last if len(set(last)) == len(keys) else keys
        distinct = sorted({tuple(described[place].get(key, UNSET) for key in keys) for place in places})
        for place in places:
            values = tuple(described[place].get(key, UNSET) for key in keys)
            short = ", ".join(f"{key}={value}" for key, value in zip(shown, values, strict=True))
            names[place] = f"{method} ({short})" if len(keys) <= 2 else f"{method} #{distinct.index(values) + 1}"
        if dial is not None and keys == [dial.key]:
            continue
        for values in distinct:
            runs = [place for place in places if tuple(described[place].get(key, UNSET) for key in keys) == values]
            listed = ", ".join(f"{key} = {value}" for key, value in zip(keys, values, strict=True))
            notes.append(f"{dataset}: {names[runs[0]]} is {', '.join(results[place].name for place in runs)}, with {listed}.")
    return names, notes


def natural(name: str) -> tuple[tuple[int, float, str], ...]:
    """A key to sort names by in which numbers count as numbers: ``rnp (x=9.5)`` comes before ``rnp (x=10)``."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)", name)
    return tuple((1, float(part), part) if place % 2 else (0, 0.0, part) for place, part in enumerate(parts))
