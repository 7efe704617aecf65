"""Twin of `rationalizers.kernels.perturb`: every unit is put in its place of every copy, found by counting."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from rationalizers.kernels.cuda.tiling import power
from rationalizers.kernels.twin import refuse_too_large


@triton.jit
def _forward(ranks, ptr, fixed, top, copies, index, b, UNITS: tl.constexpr):
    example, fraction = tl.program_id(0), tl.program_id(1)
    start = tl.load(ptr + example).to(tl.int32)
    end = tl.load(ptr + example + 1).to(tl.int32)
    size = tl.load(top + fraction * b + example)
    erased = tl.load(copies + 2 * fraction * b + example).to(tl.int32)
    kept = tl.load(copies + (2 * fraction + 1) * b + example).to(tl.int32)
    for first in range(start, end, UNITS):
        units = first + tl.arange(0, UNITS)
        there = units < end
        always = tl.load(fixed + units, mask=there, other=0) != 0
        chosen = tl.load(ranks + units, mask=there, other=0) < size
        to_erased = (there & (always | (chosen == 0))).to(tl.int32)
        to_kept = (there & (always | chosen)).to(tl.int32)
        tl.store(index + erased + tl.cumsum(to_erased, 0) - 1, units.to(tl.int64), mask=to_erased > 0)
        tl.store(index + kept + tl.cumsum(to_kept, 0) - 1, units.to(tl.int64), mask=to_kept > 0)
        erased += tl.sum(to_erased, 0)
        kept += tl.sum(to_kept, 0)


def perturb(ranks: Tensor, ptr: Tensor, fixed: Tensor, top: Tensor, copies: Tensor, count: int) -> Tensor:
    """Index ``[M]`` of the units of all copies, from sizes of tops ``[F, B]`` and offsets of copies."""
    refuse_too_large((count,))
    ranks, ptr, fixed, top, copies = (each.contiguous() for each in (ranks, ptr, fixed, top, copies))
    index, b = ranks.new_empty(count), ptr.shape[0] - 1
    if count:
        units = power(ranks.shape[0] // b, least=32, most=1024)
        warps = 1 if units <= 64 else 4
        _forward[(b, top.shape[0])](ranks, ptr, fixed, top, copies, index, b, UNITS=units, num_warps=warps)
    return index
