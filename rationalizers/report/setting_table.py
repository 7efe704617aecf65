"""What the methods of a comparison were set to, as far as they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rationalizers.report.result import Result
from rationalizers.report.setting import SECTIONS, differing, texts

# What is compared, beside what decides about a run what it was run with.
COMPARED = (*SECTIONS, "versions", "trust")
# Values of a key within a group that are listed.
LISTED = 4


@dataclass(frozen=True)
class SettingTable:
    """The keys in which configurations differ.

    Args:
        methods: names of the groups of runs.
        rows: each key with its value for each method; ``None`` where the method has no such key.
    """

    methods: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str | None]]]


def setting_table(groups: Mapping[str, Sequence[Result]]) -> SettingTable:
    """Every dotted key of ``config.yaml`` whose value is not the same for all groups; seeds are not among them.

    Args:
        groups: runs of one data set by method.
    """
    runs = [result for results in groups.values() for result in results]
    owners = [method for method, results in groups.items() for _ in results]
    described = texts(runs, COMPARED)
    rows = []
    for key in differing(described, [run.seed for run in runs]):
        cells = []
        for method in groups:
            own = [each for each, owner in zip(described, owners, strict=True) if owner == method]
            cells.append(_told([each[key] for each in own if key in each]))
        # A key that follows the seed in every group tells nothing of the groups.
        if len(set(cells)) > 1:
            rows.append((key, cells))
    return SettingTable(list(groups), rows)


def _told(values: Sequence[str]) -> str | None:
    """The values of a group to read: one, as a rule."""
    distinct = list(dict.fromkeys(values))
    if not distinct:
        return None
    more = len(distinct) - LISTED
    return ", ".join(distinct[:LISTED]) + (f" and {more} more" if more > 0 else "")
