"""What a run was set to: the leaves of its configuration by dotted key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rationalizers.report.result import Result

SECTIONS = ("model", "featurizer", "data", "trainer")
UNSET = "unset"
# How a run ends that was made for one of several seeds.
_RUN = re.compile(r"(?P<stem>.*[^/])-s(?P<seed>\d+)/?")


def differing(settings: Sequence[Mapping[str, str]], seeds: Sequence[int]) -> list[str]:
    """The keys whose value is neither the same everywhere nor everywhere the seed of the run, sorted."""
    found = []
    for key in sorted({key for each in settings for key in each}):
        values = [each.get(key, UNSET) for each in settings]
        if len(set(values)) > 1 and values != [str(seed) for seed in seeds]:
            found.append(key)
    return found


def texts(results: Sequence[Result], sections: Sequence[str]) -> list[dict[str, str]]:
    """`settings` as text, to compare these runs by; 1 and 1.0 are the same, and runs that are named are `seedless`."""
    found = [{key: _text(value) for key, value in settings(result, sections).items()} for result in results]
    for key in {key for each in found for key in each}:
        having = [place for place, each in enumerate(found) if key in each]
        values = seedless([found[place][key] for place in having], [results[place].seed for place in having])
        for place, value in zip(having, values, strict=True):
            found[place][key] = value
    return found


def flatten(result: Result, sections: Sequence[str]) -> dict[str, str]:
    """`texts` of one run."""
    return texts([result], sections)[0]


def seedless(values: Sequence[str], seeds: Sequence[int]) -> list[str]:
    """Values that name another run by its folder, ``…-s<seed>``, without that seed where it is everywhere the seed of the run.

    A name of which some run has another seed than its own, such as one for all seeds, stays as it is.

    >>> seedless(["runs/fr-s0", "runs/fr-s1", "runs/rnp-s0", "runs/rnp-s0"], seeds=[0, 1, 0, 1])
    ['runs/fr', 'runs/fr', 'runs/rnp-s0', 'runs/rnp-s0']
    """
    named = [_RUN.fullmatch(value) for value in values]
    pinned = {each["stem"] for each, seed in zip(named, seeds, strict=True) if each and each["seed"] != str(seed)}
    return [each["stem"] if each and each["stem"] not in pinned else value for each, value in zip(named, values, strict=True)]


def naming_runs(results: Sequence[Result], sections: Sequence[str]) -> set[str]:
    """The keys of which some value names another run, ``…-s<seed>``."""
    found = (each for result in results for each in settings(result, sections).items())
    return {key for key, value in found if isinstance(value, str) and _RUN.fullmatch(value)}


def settings(result: Result, sections: Sequence[str]) -> dict[str, Any]:
    """The leaves of some sections of a configuration by dotted key, without the seed of the data module."""
    found = {key: value for name in sections for key, value in _leaves(result.config.get(name, {}), name)}
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


def _text(value: Any) -> str:
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)
