"""Reductions over packed segments: the vocabulary in which batches, losses and metrics are written.

A packed tensor holds the units of all examples one after another; ``ptr [B+1]`` holds the offsets, so that example ``b`` is
``x[ptr[b]:ptr[b+1]]``. Empty segments are allowed everywhere and reduce to zero.
"""

from __future__ import annotations

import torch
from torch import Tensor


def lengths(ptr: Tensor) -> Tensor:
    """Units of every example, ``[B]``."""
    return ptr[1:] - ptr[:-1]


def offsets(length: Tensor) -> Tensor:
    """The offsets ``[B+1]`` of segments with the given lengths ``[B]``."""
    return torch.nn.functional.pad(length.cumsum(0), (1, 0))


def owners(ptr: Tensor, units: int) -> Tensor:
    """The example that each unit belongs to, ``[N]``."""
    examples = torch.arange(ptr.numel() - 1, device=ptr.device)
    return torch.repeat_interleave(examples, lengths(ptr), output_size=units)


def segment_sum(x: Tensor, ptr: Tensor) -> Tensor:
    """Sum over the units of each example: ``[N, …] → [B, …]``."""
    out = x.new_zeros((ptr.numel() - 1, *x.shape[1:]))
    return out.index_add(0, owners(ptr, x.shape[0]), x)


def segment_mean(x: Tensor, ptr: Tensor) -> Tensor:
    """Mean over the units of each example, zero where there are none: ``[N, …] → [B, …]``."""
    count = lengths(ptr).clamp(min=1).view(-1, *[1] * (x.dim() - 1))
    return segment_sum(x, ptr) / count


def segment_max(x: Tensor, ptr: Tensor) -> Tensor:
    """Maximum over the units of each example, zero where there are none: ``[N, D] → [B, D]``."""
    index = owners(ptr, x.shape[0]).view(-1, *[1] * (x.dim() - 1)).expand_as(x)
    out = x.new_zeros((ptr.numel() - 1, *x.shape[1:]))
    return out.scatter_reduce(0, index, x, reduce="amax", include_self=False)


def segment_rank(scores: Tensor, ptr: Tensor) -> Tensor:
    """Rank of each unit within its example by descending score, ties in order of position: ``[N] → [N]``, best is 0."""
    by_score = torch.argsort(scores, descending=True, stable=True)
    owner = owners(ptr, scores.shape[0])
    order = by_score[torch.argsort(owner[by_score], stable=True)]
    rank = torch.empty_like(order)
    rank[order] = torch.arange(order.numel(), device=order.device)
    return rank - ptr[:-1][owner]


def starts(ptr: Tensor, units: int) -> Tensor:
    """True at the first unit of every non-empty example, ``[N]``."""
    first = torch.zeros(units + 1, dtype=torch.bool, device=ptr.device)
    first[ptr[:-1]] = True
    return first[:units]


def segment_transitions(x: Tensor, ptr: Tensor) -> Tensor:
    """Absolute difference of each unit to the one before it in its example, zero at the first: ``[N] → [N]``."""
    step = torch.nn.functional.pad((x[1:] - x[:-1]).abs(), (1, 0))[: x.shape[0]]
    return step.masked_fill(starts(ptr, x.shape[0]), 0.0)


def segment_runs(mask: Tensor, ptr: Tensor) -> Tensor:
    """Maximal runs of true units as global half-open intervals: ``[N] → [R, 2]``, in order."""
    on = mask.bool()
    first = starts(ptr, on.shape[0])
    before = torch.nn.functional.pad(on[:-1], (1, 0))[: on.shape[0]] & ~first
    # A unit ends a run when the next unit is off, belongs to another example, or does not exist.
    after = torch.nn.functional.pad((on & ~first)[1:], (0, 1))[: on.shape[0]]
    begin = torch.nonzero(on & ~before).flatten()
    end = torch.nonzero(on & ~after).flatten() + 1
    return torch.stack([begin, end], dim=1)
