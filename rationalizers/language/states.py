"""Keys and values of all layers, of rows of tokens.

Letters: ``R`` rows, ``n`` tokens of each, ``H`` heads, ``d`` their width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Keys and values [R, H, n, d] of each layer; of no token, an empty list.
States = list[tuple[Tensor, Tensor]]


def take(states: States, rows: Tensor, *, first: int | None = None) -> States:
    """Those of some rows, of their ``first`` tokens or of all."""
    return [(k[rows, :, :first], v[rows, :, :first]) for k, v in states]


def join(parts: Sequence[States]) -> States:
    """Those of all rows of all parts."""
    return [(torch.cat([k for k, _ in layer]), torch.cat([v for _, v in layer])) for layer in zip(*parts, strict=True)]


def room(states: States, rows: int) -> States:
    """Memory for so many rows like these."""
    return [(k.new_empty(rows, *k.shape[1:]), v.new_empty(rows, *v.shape[1:])) for k, v in states]


def put(states: States, rows: Tensor, new: States) -> None:
    """Write some rows."""
    for (k, v), (new_k, new_v) in zip(states, new, strict=True):
        k[rows], v[rows] = new_k, new_v


def row_bytes(states: States) -> int:
    """What one row takes."""
    return sum(each[0].numel() * each.element_size() for layer in states for each in layer)
