"""Which examples are shown: as many of one group as of another, and by a hash of their names rather than by chance."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def share_out(grouped: Mapping[str, Sequence[T]], count: int) -> dict[str, list[T]]:
    """The first members of each group, ``count`` in all, taken in turn; a group that has too few leaves its places to others."""
    turns = [(turn, name) for name, members in grouped.items() for turn in range(len(members))]
    order = {name: place for place, name in enumerate(grouped)}
    taken = sorted(turns, key=lambda each: (each[0], order[each[1]]))[: max(0, count)]
    return {name: [members[turn] for turn, owner in taken if owner == name] for name, members in grouped.items() if members}


def draw(record: Mapping[str, Any]) -> str:
    """A fixed pseudo-random place for an example, the same in every run and on every machine."""
    return hashlib.sha256(str(record["id"]).encode()).hexdigest()
