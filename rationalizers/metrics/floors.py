"""Floors: selections that know nothing about the example, and one that knows everything, at the size of the rationale.

A plausibility number means little without them: on ERASER Movies, annotators mark so much of the end of a review that "the last
20 %" beats published unsupervised models, and selecting everything beats all of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rationalizers.batch import Batch
from rationalizers.levels import group
from rationalizers.rationale import Rationale
from rationalizers.segment import owners, segment_sum

FLOORS = ("random", "first", "last", "all", "oracle")


def floors(rationale: Rationale, batch: Batch) -> dict[str, Rationale]:
    """Five selections for each example, all but ``all`` as large as the rationale's own, of whole words or sentences if it is.

    ``random`` draws uniformly, by a hash of the example's row and the unit's position, so that it does not depend on the batch;
    ``first`` and ``last`` take units from an end, where they have an order; ``oracle`` takes evidence first, where the batch has
    any. Each comes with the scores it ranks by. The size is the number of units with mask above one half, which is what
    plausibility counts.
    """
    if rationale.level != "unit":
        groups = group(batch, rationale.level)
        return {name: groups.spread(floor, batch) for name, floor in floors(groups.gather(rationale), groups.batch).items()}
    k = segment_sum(rationale.selected.long(), rationale.ptr)  # [B]
    position = batch.position.double()
    rankings = {
        "random": uniform_hash(batch.index[owners(rationale.ptr, position.shape[0])], batch.position),
        **({} if batch.spans is None else {"first": -position, "last": position}),
        "all": torch.zeros_like(position),
        **({"oracle": batch.fields["evidence"].double()} if "evidence" in batch.fields else {}),
    }
    found = {
        name: Rationale(scores.masked_fill(~rationale.selectable, -torch.inf), torch.zeros_like(position), rationale.ptr)
        for name, scores in rankings.items()
    }
    count = {name: rationale.selectable_size().long() if name == "all" else k for name in found}
    return {name: floor.topk(count[name]) for name, floor in found.items()}


def uniform_hash(example: Tensor, position: Tensor) -> Tensor:
    """A number in [0, 1) for every (example, position) pair, the same on every device and in every batch.

    Rounds of xor-shift and odd multiplication, the scheme of splitmix64 (Steele, Lea, Flood, 2014, Fast splittable pseudorandom
    number generators), with multipliers that fit a signed 64-bit product.
    """
    x = example * 0x1F123BB5 + position * 0x2545F491 + 0x9E3779B9
    for multiplier, shift in ((0x4F6CDD1D, 30), (0x133111EB, 27), (0x2127599B, 31)):
        x = (x ^ _shift(x, shift)) * multiplier
    return (_shift(x, 11) & ((1 << 53) - 1)).double() / float(1 << 53)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
