"""Where each unit is read by an encoder that reads a limited number of units at a time.

Letters: ``B`` examples, ``N`` packed units, ``R`` windows, ``M`` places that are read, ``M ≥ N``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rationalizers.batch import Batch
from rationalizers.segment import leading, lengths, offsets, owners, segment_sum


@dataclass(frozen=True)
class Windows:
    """What is read where.

    Args:
        row: window of each place ``[M]``.
        column: its column in that window ``[M]``, without gaps.
        unit: the unit that is read there ``[M]``.
        place: its position in the window ``[M]``, with the gaps that removed units have left.
        size: places of each window ``[R]``.
        source: the place whose state is the state of each unit ``[N]``.
    """

    row: Tensor
    column: Tensor
    unit: Tensor
    place: Tensor
    size: Tensor
    source: Tensor


def windows(batch: Batch, *, max_length: int) -> Windows:
    """Cut every example that does not fit into windows that all begin and end with its fixed units.

    The fixed units that an example begins with (``[CLS]``, a question) are its lead, those that it ends with (``[SEP]``) its
    tail. A unit between them, at position p, is read in window ⌊(p − lead) / room⌋ with room = max_length − lead − tail, at
    lead + (p − lead) mod room. Both follow from positions alone: where units are removed and positions kept, no other unit
    moves. Lead and tail are read in every window of their example; their states are those of the first.

    Args:
        batch: with N units in the order of their positions.
        max_length: places of a window.

    Raises:
        ValueError: lead and tail of an example leave no room.
    """
    n, device, ptr = batch.units.shape[0], batch.units.device, batch.ptr
    owner = owners(ptr, n)  # [N]
    rank = torch.arange(n, device=device) - ptr[:-1][owner]  # [N]
    # Without gaps: removing what is between them makes fixed units touch, but their positions still tell them apart.
    leads = leading(batch.fixed & (batch.position == rank), ptr)  # [N]
    last = batch.position[(ptr[1:] - 1).clamp(min=0)] if n else ptr[1:]  # [B]
    ends = batch.fixed & ~leads & (last[owner] - batch.position == lengths(ptr)[owner] - 1 - rank)
    tails = leading(ends.flip(0), (n - ptr).flip(0)).flip(0)  # [N]
    content = ~(leads | tails)
    lead, tail = (segment_sum(kind.long(), ptr) for kind in (leads, tails))  # [B]
    held = segment_sum(content.long(), ptr)  # [B]
    room = max_length - lead - tail  # [B]
    if bool((room - (held > 0).long() < 0).any()):
        raise ValueError(
            f"an example has {int((lead + tail).max())} fixed units (question, [CLS], [SEP]), which leaves no room in "
            f"{max_length} places for anything else; use a shorter question or a larger 'max_length'"
        )
    room = room.clamp(min=1)
    offset = batch.position - lead[owner]  # [N]
    within = offset % room[owner]  # [N]

    # Windows are numbered in order of (example, number); an example of fixed units alone has one too.
    number = torch.where(content, offset // room[owner], 0)
    most = number.max() + 1 if n else 1
    key = owner * most + number  # [N]
    hollow = (held == 0) & (lengths(ptr) > 0)  # [B]
    keys = torch.unique(torch.cat([key[content], torch.nonzero(hollow).flatten() * most]))  # [R], ascending
    example = keys // most  # [R]

    # The places: content once, lead and tail once per window.
    lead_row, lead_rank = _repeat(lead[example])
    tail_row, tail_rank = _repeat(tail[example])
    first_tail = ptr[1:] - tail  # [B], the first unit of each tail
    total = torch.zeros_like(lead)  # [B], positions between lead and tail
    ended = tail > 0
    total[ended] = batch.position[first_tail[ended]] - lead[ended]
    filled = torch.minimum(room[example], (total[example] - (keys % most) * room[example]).clamp(min=0))  # [R]
    row = torch.cat([lead_row, torch.searchsorted(keys, key[content]), tail_row])  # [M]
    unit = torch.cat(
        [ptr[:-1][example][lead_row] + lead_rank, torch.nonzero(content).flatten(), first_tail[example][tail_row] + tail_rank]
    )
    place = torch.cat([lead_rank, (lead[owner] + within)[content], (lead[example] + filled)[tail_row] + tail_rank])
    order = torch.argsort(row, stable=True)
    row, unit, place = row[order], unit[order], place[order]
    size = torch.zeros_like(keys).index_add(0, row, torch.ones_like(row))  # [R]
    column = torch.arange(row.numel(), device=device) - offsets(size)[row]
    source = torch.full((n,), row.numel(), device=device).scatter_reduce(
        0, unit, torch.arange(row.numel(), device=device), reduce="amin"
    )
    return Windows(row=row, column=column, unit=unit, place=place, size=size, source=source)


def _repeat(count: Tensor) -> tuple[Tensor, Tensor]:
    """Each window as often as ``count [R]`` says ``[K]``, and which of the times it is ``[K]``."""
    row = torch.repeat_interleave(torch.arange(count.numel(), device=count.device), count)
    return row, torch.arange(row.numel(), device=count.device) - offsets(count)[row]
