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


def members(rows: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    """All units of each of some examples: the place in ``rows [R]`` that each is for, and which unit, ``[J]`` both.

    Args:
        rows: examples, any of them, more than once if need be.
        ptr: offsets ``[B+1]`` of the units of all examples.
    """
    first = offsets(lengths(ptr)[rows])  # [R+1]
    place = torch.repeat_interleave(torch.arange(rows.numel(), device=rows.device), lengths(first))
    unit = torch.arange(place.numel(), device=rows.device) - first[place] + ptr[rows[place]]
    return place, unit


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


def segment_first(x: Tensor, ptr: Tensor) -> Tensor:
    """First unit of each example, zero where there is none: ``[N, D] → [B, D]``."""
    some = lengths(ptr) > 0
    return x.new_zeros(ptr.numel() - 1, *x.shape[1:]).index_put((torch.nonzero(some).flatten(),), x[ptr[:-1][some]])


def segment_last(x: Tensor, ptr: Tensor) -> Tensor:
    """Last unit of each example, zero where there is none: ``[N, D] → [B, D]``."""
    some = lengths(ptr) > 0
    return x.new_zeros(ptr.numel() - 1, *x.shape[1:]).index_put((torch.nonzero(some).flatten(),), x[ptr[1:][some] - 1])


def segment_softmax(x: Tensor, ptr: Tensor) -> Tensor:
    """Softmax over the units of each example, zero where ``x`` is −∞ (everywhere, if it is nothing else).

    Args:
        x: ``[N]``, or ``[N, D]`` for D of them side by side.
        ptr: offsets ``[B+1]``.

    Returns:
        of the shape of ``x``.
    """
    owner, counts = owners(ptr, x.shape[0]), x > -torch.inf
    top = segment_max(x.detach()[:, None], ptr)[:, 0] if x.dim() == 1 else segment_max(x.detach(), ptr)
    top = torch.where(top > -torch.inf, top, torch.zeros_like(top))[owner]  # like x
    weight = torch.where(counts, torch.where(counts, x - top, torch.zeros_like(x)).exp(), torch.zeros_like(x))
    total = segment_sum(weight, ptr)
    return weight / torch.where(total > 0, total, torch.ones_like(total))[owner]


def segment_groups(ids: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    """Runs of equal ids within an example, such as the pieces of a word: the run of each unit, and the runs of each example.

    Args:
        ids: ``[N]``; equal ids that do not touch are different runs.
        ptr: offsets ``[B+1]``.

    Returns:
        ``owner [N]`` counts runs over the whole batch from 0, ``runs [B+1]`` are the offsets of each example's runs.
    """
    n = ids.shape[0]
    new = torch.nn.functional.pad(ids[1:] != ids[:-1], (1, 0), value=True)[:n] | starts(ptr, n)
    before = offsets(new.long())
    return before[1:] - 1, before[ptr]


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


def neighbours(mask: Tensor, ptr: Tensor) -> Tensor:
    """True units whose predecessor in their example is true as well, ``[N]`` bool."""
    before = torch.nn.functional.pad(mask[:-1], (1, 0))[: mask.shape[0]]
    return mask & before & ~starts(ptr, mask.shape[0])


def leading(mask: Tensor, ptr: Tensor) -> Tensor:
    """Units of the run of true ones that each example begins with, ``[N]`` bool."""
    before = offsets((~mask).long())  # [N+1], false units so far
    return mask & (before[:-1] == before[ptr[:-1]][owners(ptr, mask.shape[0])])


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
