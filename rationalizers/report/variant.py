"""What runs of one method differ in besides their seed, so that only equal things are averaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rationalizers.report.result import Result

SECTIONS = ("model", "featurizer", "data", "trainer")
UNSET = "unset"


def variants(results: Sequence[Result]) -> tuple[list[str], list[str]]:
    """A name for the group of each run: its method, and what sets it apart from other runs of this method on this data.

    Values that follow the seed do not set runs apart. One or two differing keys become part of the name, ``rnp (share=0.1)``;
    with more the groups are numbered, ``rnp #1``, and a note says what they differ in.

    Returns:
        the names, in the order of the results, and notes.
    """
    settings = [flatten(result, SECTIONS) for result in results]
    names, notes = [result.method for result in results], []
    for dataset, method in sorted({(result.dataset, result.method) for result in results}):
        places = [place for place, each in enumerate(results) if (each.dataset, each.method) == (dataset, method)]
        keys = differing([settings[place] for place in places], [results[place].seed for place in places])
        if not keys:
            continue
        last = [key.rpartition(".")[2] for key in keys]
        shown = last if len(set(last)) == len(keys) else keys
        distinct = sorted({tuple(settings[place].get(key, UNSET) for key in keys) for place in places})
        for place in places:
            values = tuple(settings[place].get(key, UNSET) for key in keys)
            short = ", ".join(f"{key}={value}" for key, value in zip(shown, values, strict=True))
            names[place] = f"{method} ({short})" if len(keys) <= 2 else f"{method} #{distinct.index(values) + 1}"
        for values in distinct:
            runs = [place for place in places if tuple(settings[place].get(key, UNSET) for key in keys) == values]
            listed = ", ".join(f"{key} = {value}" for key, value in zip(keys, values, strict=True))
            notes.append(f"{dataset}: {names[runs[0]]} is {', '.join(results[place].name for place in runs)}, with {listed}.")
    return names, notes


def differing(settings: Sequence[Mapping[str, str]], seeds: Sequence[int]) -> list[str]:
    """The keys whose value is neither the same everywhere nor everywhere the seed of the run, sorted."""
    found = []
    for key in sorted({key for each in settings for key in each}):
        values = [each.get(key, UNSET) for each in settings]
        if len(set(values)) > 1 and values != [str(seed) for seed in seeds]:
            found.append(key)
    return found


def flatten(result: Result, sections: Sequence[str]) -> dict[str, str]:
    """The leaves of some sections of a configuration as text, by dotted key, without the seed of the data module."""
    found = {key: str(value) for name in sections for key, value in _leaves(result.config.get(name, {}), name)}
    found.pop("data.seed", None)
    # The featurizer is both a section and a part of the data; once is enough.
    twice = "featurizer" in sections
    return {key: value for key, value in found.items() if not (twice and key.startswith("data.featurizer."))}


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, f"{key}.{name}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _leaves(item, f"{key}.{place}")
    else:
        yield key, value
