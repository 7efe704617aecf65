"""What a run was set to: the leaves of its configuration by dotted key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rationalizers.report.result import Result

SECTIONS = ("model", "featurizer", "data", "trainer")
UNSET = "unset"


def differing(settings: Sequence[Mapping[str, str]], seeds: Sequence[int]) -> list[str]:
    """The keys whose value is neither the same everywhere nor everywhere the seed of the run, sorted."""
    found = []
    for key in sorted({key for each in settings for key in each}):
        values = [each.get(key, UNSET) for each in settings]
        if len(set(values)) > 1 and values != [str(seed) for seed in seeds]:
            found.append(key)
    return found


def flatten(result: Result, sections: Sequence[str]) -> dict[str, str]:
    """`settings` as text; 1 and 1.0 are the same."""
    found = settings(result, sections)
    return {key: str(int(value) if isinstance(value, float) and value.is_integer() else value) for key, value in found.items()}


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
