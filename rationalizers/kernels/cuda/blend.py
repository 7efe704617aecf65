"""Twin of `rationalizers.kernels.blend`: one pass forward, one backward."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from rationalizers.kernels.cuda.tiling import PROGRAMS, power

BLOCK = 2048
TILE = 4096


@triton.jit
def _forward(x, mask, fill, out, total, WIDTH: tl.constexpr, FILLED: tl.constexpr, BLOCK: tl.constexpr):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = place < total
    m = tl.load(mask + place // WIDTH, mask=there, other=0.0).to(tl.float32)
    shown = m * tl.load(x + place, mask=there, other=0.0).to(tl.float32)
    if FILLED:
        shown += (1 - m) * tl.load(fill + place % WIDTH, mask=there, other=0.0).to(tl.float32)
    tl.store(out + place, shown.to(out.dtype.element_ty), mask=there)


@triton.jit
def _backward(
    grad,
    x,
    mask,
    fill,
    of_x,
    of_mask,
    of_fill,
    n,
    steps,
    WIDTH: tl.constexpr,
    FILLED: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    strip = tl.program_id(1)
    columns = strip * COLUMNS + tl.arange(0, COLUMNS)
    wanted = columns < WIDTH
    total = tl.zeros([COLUMNS], tl.float32)
    if FILLED:
        filled = tl.load(fill + columns, mask=wanted, other=0.0).to(tl.float32)
    for step in range(steps):
        rows = (tl.program_id(0) * steps + step) * ROWS + tl.arange(0, ROWS)
        there = rows < n
        place = rows[:, None] * WIDTH + columns[None, :]
        inside = there[:, None] & wanted[None, :]
        g = tl.load(grad + place, mask=inside, other=0.0).to(tl.float32)
        hidden = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
        m = tl.load(mask + rows, mask=there, other=0.0).to(tl.float32)[:, None]
        tl.store(of_x + place, (m * g).to(of_x.dtype.element_ty), mask=inside)
        if FILLED:
            hidden -= filled[None, :]
            total += tl.sum((1 - m) * g, 0)
        tl.store(of_mask + strip * n + rows, tl.sum(g * hidden, 1).to(of_mask.dtype.element_ty), mask=there)
    if FILLED:
        tl.store(of_fill + tl.program_id(0) * WIDTH + columns, total, mask=wanted)


def blend(x: Tensor, mask: Tensor, fill: Tensor | None) -> Tensor:
    """m⊙x + (1−m)⊗fill."""
    x, mask = x.contiguous(), mask.contiguous()
    out = torch.empty_like(x)
    if out.numel():
        fill_ = x if fill is None else fill.contiguous()
        grid = (triton.cdiv(x.numel(), BLOCK),)
        _forward[grid](x, mask, fill_, out, x.numel(), WIDTH=x.shape[1], FILLED=fill is not None, BLOCK=BLOCK, num_warps=8)
    return out


def blend_backward(grad: Tensor, x: Tensor, mask: Tensor, fill: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``x``, ``mask`` and ``fill``; rows are taken in strips, whose contributions are added at the end."""
    grad, x, mask = grad.contiguous(), x.contiguous(), mask.contiguous()
    n, width = x.shape
    if not x.numel():
        return torch.empty_like(x), torch.zeros_like(mask), x.new_empty(0) if fill is None else torch.zeros_like(fill)
    columns = power(width, least=16, most=1024)
    rows, strips = TILE // columns, triton.cdiv(width, columns)
    steps = max(1, min(16, n // (rows * PROGRAMS)))
    programs = triton.cdiv(n, rows * steps)
    of_x = torch.empty_like(x)
    of_mask = mask.new_empty(strips, n, dtype=mask.dtype if strips == 1 else torch.float32)
    of_fill = x.new_empty(0 if fill is None else programs, width, dtype=torch.float32)
    fill_ = x if fill is None else fill.contiguous()
    _backward[(programs, strips)](
        grad,
        x,
        mask,
        fill_,
        of_x,
        of_mask,
        of_fill,
        n,
        steps,
        WIDTH=width,
        FILLED=fill is not None,
        ROWS=rows,
        COLUMNS=columns,
        num_warps=8,
    )
    mask_grad = of_mask[0] if strips == 1 else of_mask.sum(0).to(mask.dtype)
    return of_x, mask_grad, x.new_empty(0) if fill is None else of_fill.sum(0).to(fill.dtype)
