"""Twin of `rationalizers.kernels.split_pool`: both sums in one reading of x, and one pass back."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from rationalizers.kernels.cuda.tiling import parts, power, span

TILE = 4096


@triton.jit
def _forward(x, mask, ptr, kept, left, b, parts, WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    example, part, _, _, lo, hi = span(ptr, parts)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    wanted = columns < WIDTH
    of_kept = tl.zeros([ROWS, COLUMNS], tl.float32)
    of_left = tl.zeros([ROWS, COLUMNS], tl.float32)
    for first in range(lo, hi, ROWS):
        rows = first + tl.arange(0, ROWS)
        there = rows < hi
        value = tl.load(x + rows[:, None] * WIDTH + columns[None, :], mask=there[:, None] & wanted[None, :], other=0.0)
        value = value.to(tl.float32)
        m = tl.load(mask + rows, mask=there, other=0.0).to(tl.float32)[:, None]
        of_kept += m * value
        of_left += (1 - m) * value
    place = (part * b + example) * WIDTH + columns
    tl.store(kept + place, tl.sum(of_kept, 0).to(kept.dtype.element_ty), mask=wanted)
    tl.store(left + place, tl.sum(of_left, 0).to(left.dtype.element_ty), mask=wanted)


@triton.jit
def _backward(
    of_kept,
    of_left,
    x,
    mask,
    ptr,
    of_x,
    of_mask,
    n,
    b,
    parts,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    example, _, _, _, lo, hi = span(ptr, parts)
    strip = tl.program_id(1)
    columns = strip * COLUMNS + tl.arange(0, COLUMNS)
    wanted = columns < WIDTH
    left = tl.load(of_left + example * WIDTH + columns, mask=wanted, other=0.0).to(tl.float32)
    difference = tl.load(of_kept + example * WIDTH + columns, mask=wanted, other=0.0).to(tl.float32) - left
    for first in range(lo, hi, ROWS):
        rows = first + tl.arange(0, ROWS)
        there = rows < hi
        place = rows[:, None] * WIDTH + columns[None, :]
        inside = there[:, None] & wanted[None, :]
        value = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
        m = tl.load(mask + rows, mask=there, other=0.0).to(tl.float32)[:, None]
        tl.store(of_x + place, (left[None, :] + m * difference[None, :]).to(of_x.dtype.element_ty), mask=inside)
        change = tl.sum(difference[None, :] * value, 1)
        tl.store(of_mask + strip * n + rows, change.to(of_mask.dtype.element_ty), mask=there)


def split_pool(x: Tensor, mask: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    """What the mask keeps and what it leaves, summed over each example; long examples in parts, added at the end."""
    x, mask, ptr = x.contiguous(), mask.contiguous(), ptr.contiguous()
    b, width = ptr.shape[0] - 1, x.shape[1]
    columns = power(width, least=16, most=256)
    strips, rows = triton.cdiv(width, columns), TILE // columns
    cut = parts(x.shape[0], b, programs=b * strips, least=4 * rows)
    dtype = x.dtype if cut == 1 else torch.float32
    kept, left = (x.new_empty(cut, b, width, dtype=dtype) for _ in range(2))
    if b * width:
        _forward[(b * cut, strips)](x, mask, ptr, kept, left, b, cut, WIDTH=width, ROWS=rows, COLUMNS=columns, num_warps=8)
    if cut == 1:
        return kept[0], left[0]
    return kept.sum(0).to(x.dtype), left.sum(0).to(x.dtype)


def split_pool_backward(of_kept: Tensor, of_left: Tensor, x: Tensor, mask: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of ``x`` and ``mask``."""
    of_kept, of_left, x, mask, ptr = (each.contiguous() for each in (of_kept, of_left, x, mask, ptr))
    n, width = x.shape
    b = ptr.shape[0] - 1
    if not x.numel():
        return torch.empty_like(x), torch.zeros_like(mask)
    columns = power(width, least=16, most=1024)
    strips, rows = triton.cdiv(width, columns), TILE // columns
    cut = parts(n, b, programs=b * strips, least=2 * rows)
    of_x = torch.empty_like(x)
    of_mask = mask.new_empty(strips, n, dtype=mask.dtype if strips == 1 else torch.float32)
    _backward[(b * cut, strips)](
        of_kept, of_left, x, mask, ptr, of_x, of_mask, n, b, cut, WIDTH=width, ROWS=rows, COLUMNS=columns, num_warps=8
    )
    return of_x, of_mask[0] if strips == 1 else of_mask.sum(0).to(mask.dtype)
