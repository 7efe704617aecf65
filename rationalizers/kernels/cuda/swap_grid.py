"""Twin of `rationalizers.kernels.swap_grid`: logits of all pairs, then both sides' gradients, each straight from a and b.

Letters: ``B`` rationales, ``K`` environments, ``H`` hidden width, ``T`` targets, ``R`` rows of a block. Nothing of size R·K·H is
ever stored; the logits ``[R, K, T]`` and their gradients are, and their loss is that of the reference's entries.

Dropout has a mask of its own, a hash of (seed, i, j, h) by the finalizer of MurmurHash3 (Appleby, 2011), which each kernel
computes again in place; what it keeps is as probable as on the CPU, but not the same elements.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from rationalizers.kernels.grid_blocks import blocks
from rationalizers.kernels.grid_dropout import LEVELS, kept_share
from rationalizers.kernels.grid_entries import GridEntries

# Triton makes a constant of what happens to be 1, which has no bits to take, and compiles anew; a seed gains nothing by either.
_DRAWN = ["first", "low", "high"]
_GOLDEN: tl.constexpr = tl.constexpr(0x9E3779B9)


@triton.jit
def _mix(x):
    x = x ^ (x >> 16)
    x = x * 0x85EBCA6B
    x = x ^ (x >> 13)
    x = x * 0xC2B2AE35
    return x ^ (x >> 16)


@triton.jit
def _pair(i, j, low, high):
    """A hash of row i and column j; ``low`` and ``high`` are the halves of the seed."""
    of_row = _mix(i.to(tl.uint32) ^ low.to(tl.uint32, bitcast=True))
    return _mix(of_row ^ _mix(j.to(tl.uint32) ^ high.to(tl.uint32, bitcast=True) ^ _GOLDEN))


@triton.jit
def _kept(pair, h, dropped):
    """Whether element h of a pair is kept: sixteen bits of its hash are at least ``dropped``."""
    return (_mix(pair ^ (h.to(tl.uint32) * _GOLDEN)) >> 16).to(tl.int32) >= dropped


@triton.jit(do_not_specialize=_DRAWN)
def _logits(
    a_by_hidden,
    b_by_hidden,
    weight,
    bias,
    out,
    first,
    rows,
    columns,
    outputs,
    low,
    high,
    dropped,
    hidden,
    DROPOUT: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    j = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    t = tl.program_id(2)
    of_row, of_column = i < rows, j < columns
    if DROPOUT:
        pair = _pair((first + i)[:, None], j[None, :], low, high)
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    for h in range(hidden):
        a = tl.load(a_by_hidden + h * rows + i, mask=of_row, other=0.0)
        b = tl.load(b_by_hidden + h * columns + j, mask=of_column, other=0.0)
        u = tl.maximum(a[:, None] + b[None, :], 0.0)
        if DROPOUT:
            u = tl.where(_kept(pair, tl.full([1, 1], 0, tl.int32) + h, dropped), u, 0.0)
        total += u * tl.load(weight + t * hidden + h)
    place = (i[:, None] * columns + j[None, :]) * outputs + t
    tl.store(out + place, total + tl.load(bias + t), mask=of_row[:, None] & of_column[None, :])


@triton.jit(do_not_specialize=_DRAWN)
def _gradients(
    own,
    other,
    grad,
    weight,
    of_own,
    of_weight,
    first,
    many,
    others,
    outputs,
    low,
    high,
    dropped,
    hidden,
    DROPOUT: tl.constexpr,
    COLUMN_SIDE: tl.constexpr,
    MANY: tl.constexpr,
    HIDDEN: tl.constexpr,
):
    """Gradient of one side of the grid, summed over the other; and of the weight, from the rows' side.

    ``grad [T, others, many]`` is that of the logits.
    """
    i = tl.program_id(0) * MANY + tl.arange(0, MANY)
    h = tl.program_id(1) * HIDDEN + tl.arange(0, HIDDEN)
    here, wanted = i < many, h < hidden
    inside = here[:, None] & wanted[None, :]
    mine = tl.load(own + i[:, None] * hidden + h[None, :], mask=inside, other=0.0)
    total = tl.zeros([MANY, HIDDEN], tl.float32)
    for t in range(outputs):
        open_to = tl.zeros([MANY, HIDDEN], tl.float32)
        through = tl.zeros([MANY, HIDDEN], tl.float32)
        for j in range(others):
            u = mine + tl.load(other + j * hidden + h, mask=wanted, other=0.0)[None, :]
            g = tl.load(grad + (t * others + j) * many + i, mask=here, other=0.0)[:, None]
            on = u > 0
            if DROPOUT:
                partner = tl.full([1], 0, tl.int32) + j
                pair = _pair(first + partner, i, low, high) if COLUMN_SIDE else _pair(first + i, partner, low, high)
                on = on & _kept(pair[:, None], h[None, :], dropped)
            open_to += tl.where(on, g, 0.0)
            if not COLUMN_SIDE:
                through += tl.where(on, g * u, 0.0)
        total += open_to * tl.load(weight + t * hidden + h, mask=wanted, other=0.0)[None, :]
        if not COLUMN_SIDE:
            place = (tl.program_id(0) * outputs + t) * hidden + h
            tl.store(of_weight + place, tl.sum(through, 0), mask=wanted)
    tl.store(of_own + i[:, None] * hidden + h[None, :], total, mask=inside)


def swap_grid(
    a: Tensor,
    b: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    environments: Tensor | None,
    seed: Tensor | None,
    criterion: str,
    dropout: float,
    gradients: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Loss, and gradients of ``a``, ``b``, ``weight`` and ``bias`` (empty where not asked for)."""
    keep = kept_share(dropout)
    a, b, bias = (each.float().contiguous() for each in (a, b, bias))
    weight = (weight.float() / keep).contiguous()
    columns, outputs = b.shape[0], weight.shape[0]
    entries = GridEntries.of(criterion, targets, columns=columns, environments=environments, outputs=outputs, wide=torch.float32)
    loss = a.new_zeros(())
    grads = [torch.zeros_like(each) if gradients else a.new_empty(0) for each in (a, b, weight, bias)]
    if not columns:
        return loss, *grads  # type: ignore[return-value]
    number = 0 if seed is None else int(seed) % 2**64
    drop = (_signed(number), _signed(number >> 32), LEVELS - round(keep * LEVELS))
    b_by_hidden = b.T.contiguous()
    for block in blocks(a.shape[0], numbers=columns * outputs):
        part = a[block.start : block.stop]  # [R, H]
        logits = _block_logits(part, b_by_hidden, weight, bias, block.start, drop, dropout=seed is not None)  # [R, K, T]
        share_of_loss, share = entries.loss(logits, block)
        loss += share_of_loss
        if gradients:
            grad = entries.gradient(logits, share, block)  # [R, K, T]
            _block_gradients(part, b, weight, grad, grads, block, drop, dropout=seed is not None)
    if gradients:
        grads[2] /= keep
    return loss, *grads  # type: ignore[return-value]


def _block_logits(
    a: Tensor, b_by_hidden: Tensor, weight: Tensor, bias: Tensor, first: int, drop: tuple[int, int, int], *, dropout: bool
) -> Tensor:
    (rows, hidden), columns, outputs = a.shape, b_by_hidden.shape[1], weight.shape[0]
    logits = a.new_empty(rows, columns, outputs)
    tile = 16 if rows * columns * outputs < 2**16 else 32
    grid = (triton.cdiv(rows, tile), triton.cdiv(columns, tile), outputs)
    _logits[grid](
        a.T.contiguous(),
        b_by_hidden,
        weight,
        bias,
        logits,
        first,
        rows,
        columns,
        outputs,
        *drop,
        hidden,
        DROPOUT=dropout,
        ROWS=tile,
        COLUMNS=tile,
        num_warps=4,
    )
    return logits


def _block_gradients(
    a: Tensor,
    b: Tensor,
    weight: Tensor,
    grad: Tensor,
    grads: list[Tensor],
    block: range,
    drop: tuple[int, int, int],
    *,
    dropout: bool,
) -> None:
    """Add what a block of rows does to the gradients of all four."""
    of_a, of_b, of_weight, of_bias = grads
    (rows, hidden), columns, outputs = a.shape, b.shape[0], weight.shape[0]
    of_bias += grad.sum((0, 1))
    many, wide = 16, 64
    strips = triton.cdiv(hidden, wide)
    programs = triton.cdiv(rows, many)
    parts = a.new_empty(programs, outputs, hidden)
    settings = {"DROPOUT": dropout, "MANY": many, "HIDDEN": wide, "num_warps": 4}
    by_row = grad.permute(2, 1, 0).contiguous()  # [T, K, R]
    sizes = (block.start, rows, columns, outputs, *drop, hidden)
    into = of_a[block.start : block.stop]
    _gradients[(programs, strips)](a, b, by_row, weight, into, parts, *sizes, COLUMN_SIDE=False, **settings)
    of_weight += parts.sum(0)
    by_column = grad.permute(2, 0, 1).contiguous()  # [T, R, K]
    sizes = (block.start, columns, rows, outputs, *drop, hidden)
    of_columns = torch.empty_like(b)
    grid = (triton.cdiv(columns, many), strips)
    _gradients[grid](b, a, by_column, weight, of_columns, parts, *sizes, COLUMN_SIDE=True, **settings)
    of_b += of_columns


def _signed(word: int) -> int:
    """The lower 32 bits as a signed number: arguments of a kernel are."""
    word &= 2**32 - 1
    return word - 2**32 if word >= 2**31 else word
