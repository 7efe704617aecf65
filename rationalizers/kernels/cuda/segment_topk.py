"""Twin of `rationalizers.kernels.segment_topk`: the k-th best score of an example is found bit by bit, without sorting."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from rationalizers.kernels.cuda.tiling import power

TILE = 1024


@triton.jit
def _keys(scores, start, end, block, UNITS: tl.constexpr):
    """Units of a block ``[EXAMPLES, UNITS]``: which are there, which can be chosen, and integers that order like scores."""
    units = start[:, None] + block * UNITS + tl.arange(0, UNITS)[None, :]
    there = units < end[:, None]
    score = tl.load(scores + units, mask=there, other=0.0).to(tl.float32)
    candidate = there & (score > float("-inf"))
    bits = tl.where(score == 0.0, 0.0, score).to(tl.int32, bitcast=True)  # one zero, not two
    return units, there, candidate, tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


@triton.jit
def _reaching(scores, start, end, blocks, bound, UNITS: tl.constexpr):
    """How many units of each example can be chosen and have a key of at least ``bound [EXAMPLES]``."""
    many = start * 0
    for block in range(blocks):
        _, _, candidate, key = _keys(scores, start, end, block, UNITS)
        many += tl.sum((candidate & (key >= bound[:, None])).to(tl.int32), 1)
    return many


@triton.jit
def _forward(scores, ptr, k, out, b, EXAMPLES: tl.constexpr, UNITS: tl.constexpr):
    example = tl.program_id(0) * EXAMPLES + tl.arange(0, EXAMPLES)
    here = example < b
    start = tl.load(ptr + example, mask=here, other=0).to(tl.int32)
    end = tl.load(ptr + example + 1, mask=here, other=0).to(tl.int32)
    blocks = tl.cdiv(tl.max(end - start, 0), UNITS)
    lowest = tl.full([EXAMPLES], -2147483648, tl.int32)
    many = _reaching(scores, start, end, blocks, lowest, UNITS)
    asked = tl.load(k + example, mask=here, other=0)
    wanted = tl.minimum(tl.maximum(asked, 0), many.to(tl.int64)).to(tl.int32)

    # The largest number that at least `wanted` keys reach: its sign, then its bits from the highest to the lowest.
    zero = tl.zeros([EXAMPLES], tl.int32)
    threshold = tl.where(_reaching(scores, start, end, blocks, zero, UNITS) >= wanted, zero, lowest)
    for place in range(31):
        higher = threshold | (1 << (30 - place))
        threshold = tl.where(_reaching(scores, start, end, blocks, higher, UNITS) >= wanted, higher, threshold)

    # Beyond the largest integer there is no key to be found.
    top = threshold == 2147483647
    above = tl.where(top, 0, _reaching(scores, start, end, blocks, tl.where(top, threshold, threshold + 1), UNITS))
    left = wanted - above  # of those that are equal, the first
    seen = tl.zeros([EXAMPLES], tl.int32)
    for block in range(blocks):
        units, there, candidate, key = _keys(scores, start, end, block, UNITS)
        equal = (candidate & (key == threshold[:, None])).to(tl.int32)
        order = seen[:, None] + tl.cumsum(equal, 1)
        chosen = (candidate & (key > threshold[:, None])) | ((equal > 0) & (order <= left[:, None]))
        tl.store(out + units, chosen.to(tl.float32).to(out.dtype.element_ty), mask=there)
        seen += tl.sum(equal, 1)


def segment_topk(scores: Tensor, ptr: Tensor, k: Tensor) -> Tensor:
    """The mask of the k best units of each example."""
    scores, ptr, k = scores.contiguous(), ptr.contiguous(), k.contiguous()
    b, out = ptr.shape[0] - 1, torch.empty_like(scores)
    if out.numel():
        units = power(scores.shape[0] // b, least=16, most=512)
        examples = TILE // units
        _forward[(triton.cdiv(b, examples),)](scores, ptr, k, out, b, EXAMPLES=examples, UNITS=units, num_warps=4)
    return out
