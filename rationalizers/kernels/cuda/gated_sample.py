"""Twin of `rationalizers.kernels.gated_sample`: noise, gate, mask and both statistics in one pass, gradients in another.

A program goes through the units of an example in blocks that begin at a multiple of four, since four units share a counter of
Philox. Blocks overlap by four units, so that all but the first unit of an example find the one before them in their block.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from rationalizers.kernels.cuda.tiling import parts, power, span
from rationalizers.kernels.gates import EDGE, HARDKUMA, HIGH, LOW, STRAIGHT_THROUGH
from rationalizers.kernels.precision import widest

# A kernel sees only what is a constant expression.
_HARDKUMA: tl.constexpr = tl.constexpr(HARDKUMA)
_STRAIGHT_THROUGH: tl.constexpr = tl.constexpr(STRAIGHT_THROUGH)
_EDGE: tl.constexpr = tl.constexpr(EDGE)
_LOW: tl.constexpr = tl.constexpr(LOW)
_SPAN: tl.constexpr = tl.constexpr(HIGH - LOW)
_LOG_EDGE: tl.constexpr = tl.constexpr(math.log(LOW / (LOW - HIGH)))


@triton.jit
def _expm1(x):
    """exp(x) − 1 for x ≤ 0; near 0 by its series, which is exact to float32 there."""
    series = x * (1 + x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5 * (1 + x / 6)))))
    return tl.where(x > -0.25, series, tl.exp(x) - 1)


@triton.jit
def _log1p(x):
    """log(1 + x) for −1 < x ≤ 0; near 0 by its series."""
    series = x * (1 - x * (1.0 / 2 - x * (1.0 / 3 - x * (1.0 / 4 - x * (1.0 / 5 - x * (1.0 / 6))))))
    return tl.where(x > -0.06, series, tl.log(1 + x))


@triton.jit
def _uniform(seed, at, UNITS: tl.constexpr):
    """U of the units ``at + [0, UNITS)``; ``at`` is a multiple of four."""
    counter = at // 4 + tl.arange(0, UNITS // 4)
    w0, w1, w2, w3 = tl.philox(seed, counter, counter * 0, counter * 0, counter * 0)
    words = tl.reshape(tl.join(tl.join(w0, w2), tl.join(w1, w3)), [UNITS])
    return ((words >> 9).to(tl.float32) + 0.5) * 1.1920928955078125e-07


@triton.jit
def _shown(a, b):
    """P(m ≠ 0) of HardKuma."""
    return tl.exp(b * tl.log(-_expm1(a * _LOG_EDGE)))


@triton.jit(do_not_specialize=["seed"])
def _forward(
    parameters,
    ptr,
    seed,
    fixed,
    mask,
    out,
    n,
    b,
    parts,
    temperature,
    GATE: tl.constexpr,
    FINAL: tl.constexpr,
    UNITS: tl.constexpr,
):
    example, part, start, end, lo, hi = span(ptr, parts)
    lane = tl.arange(0, UNITS)
    share = tl.zeros([UNITS], tl.float32)
    changes = tl.zeros([UNITS], tl.float32)
    units_seen = tl.zeros([UNITS], tl.int32)
    pairs_seen = tl.zeros([UNITS], tl.int32)
    base = tl.maximum(lo - 1, start) // 4 * 4
    for at in range(base, hi, UNITS - 4):
        units = at + lane
        own = (units >= lo) & (units < hi) & ((lane >= 4) | (at == base))
        there = (units >= start) & (units < end)
        free = there & (tl.load(fixed + units, mask=there, other=1) == 0)
        u = _uniform(seed, at, UNITS)
        first = tl.load(parameters + units, mask=there, other=1.0).to(tl.float32)
        if GATE == _HARDKUMA:
            second = tl.load(parameters + n + units, mask=there, other=1.0).to(tl.float32)
            v = -_expm1(tl.log(1 - (u * (1 - 2 * _EDGE) + _EDGE)) / second)
            k = tl.exp(tl.log(v) / first)
            drawn = tl.minimum(tl.maximum(k * _SPAN + _LOW, 0.0), 1.0)
            counted = tl.where(free, _shown(first, second), 0.0)
        else:
            drawn = 1 / (1 + tl.exp(-(first + tl.log(u) - tl.log(1 - u)) / temperature))
            if GATE == _STRAIGHT_THROUGH:
                drawn = tl.where(drawn > 0.5, 1.0, 0.0)
            counted = tl.where(free, drawn, 0.0)
        tl.store(mask + units, tl.where(free, drawn, 0.0).to(mask.dtype.element_ty), mask=own)
        before = tl.gather(counted, tl.maximum(lane - 1, 0), 0)
        free_before = (tl.gather(free.to(tl.int32), tl.maximum(lane - 1, 0), 0) > 0) & (lane > 0)
        pair = own & free & free_before
        change = counted + before - 2 * counted * before if GATE == _HARDKUMA else tl.abs(counted - before)
        share += tl.where(own, counted, 0.0)
        changes += tl.where(pair, change, 0.0)
        units_seen += (own & free).to(tl.int32)
        pairs_seen += pair.to(tl.int32)
    of_share, of_changes = tl.sum(share, 0), tl.sum(changes, 0)
    of_units, of_pairs = tl.sum(units_seen, 0).to(tl.float32), tl.sum(pairs_seen, 0).to(tl.float32)
    if FINAL:
        of_share /= tl.maximum(of_units, 1.0)
        of_changes /= tl.maximum(of_pairs, 1.0)
    place = part * b + example
    tl.store(out + place, of_share)
    tl.store(out + parts * b + place, of_changes)
    tl.store(out + 2 * parts * b + place, of_units)
    tl.store(out + 3 * parts * b + place, of_pairs)


@triton.jit
def _free(fixed, units, start, end):
    there = (units >= start) & (units < end)
    return there & (tl.load(fixed + units, mask=there, other=1) == 0)


@triton.jit
def _counted(parameters, mask, units, there, n, GATE: tl.constexpr):
    """What share and transitions are made of: the mask, or P(m ≠ 0)."""
    if GATE == _HARDKUMA:
        a = tl.load(parameters + units, mask=there, other=1.0).to(tl.float32)
        b = tl.load(parameters + n + units, mask=there, other=1.0).to(tl.float32)
        return tl.where(there, _shown(a, b), 0.0)
    else:
        return tl.load(mask + units, mask=there, other=0.0).to(tl.float32)


@triton.jit
def _sign(x):
    return tl.where(x > 0, 1.0, 0.0) - tl.where(x < 0, 1.0, 0.0)


@triton.jit(do_not_specialize=["seed"])
def _backward(
    of_mask,
    of_share,
    of_transitions,
    parameters,
    mask,
    counts,
    ptr,
    seed,
    fixed,
    out,
    n,
    b,
    parts,
    temperature,
    GATE: tl.constexpr,
    EXACT: tl.constexpr,
    UNITS: tl.constexpr,
):
    example, _, start, end, lo, hi = span(ptr, parts)
    per_unit = tl.load(of_share + example).to(tl.float32) / tl.maximum(tl.load(counts + example), 1.0)
    per_pair = tl.load(of_transitions + example).to(tl.float32) / tl.maximum(tl.load(counts + b + example), 1.0)
    for at in range(lo // 4 * 4, hi, UNITS):
        units = at + tl.arange(0, UNITS)
        own = (units >= lo) & (units < hi)
        free = _free(fixed, units, start, end)
        free_before = _free(fixed, units - 1, start, end)
        free_after = _free(fixed, units + 1, start, end)
        here = _counted(parameters, mask, units, free, n, GATE)
        before = _counted(parameters, mask, units - 1, free_before, n, GATE)
        after = _counted(parameters, mask, units + 1, free_after, n, GATE)
        with_before = tl.where(free & free_before, per_pair, 0.0)
        with_after = tl.where(free & free_after, per_pair, 0.0)
        g = tl.load(of_mask + units, mask=own, other=0.0).to(tl.float32)
        first = tl.load(parameters + units, mask=own, other=1.0).to(tl.float32)
        if GATE == _HARDKUMA:
            u = _uniform(seed, at, UNITS)
            second = tl.load(parameters + n + units, mask=own, other=1.0).to(tl.float32)
            log_c = tl.log(1 - (u * (1 - 2 * _EDGE) + _EDGE))
            w = tl.exp(log_c / second)
            v = -_expm1(log_c / second)
            log_v = tl.where(w < 0.5, _log1p(-w), tl.log(v))
            k = tl.exp(log_v / first)
            stretched = k * _SPAN + _LOW
            of_k = tl.where((stretched < 0) | (stretched > 1), 0.0, g * _SPAN)
            above = -_expm1(first * _LOG_EDGE)
            log_above = tl.log(above)
            q = tl.exp(second * log_above)
            of_q = per_unit + with_before * (1 - 2 * before) + with_after * (1 - 2 * after)
            below = tl.exp(first * _LOG_EDGE)
            of_a = -of_k * k * log_v / (first * first) - of_q * q * second * below * _LOG_EDGE / above
            of_b = of_k * k * w * log_c / (first * second * second * v) + of_q * q * log_above
            tl.store(out + units, tl.where(free, of_a, 0.0).to(out.dtype.element_ty), mask=own)
            tl.store(out + n + units, tl.where(free, of_b, 0.0).to(out.dtype.element_ty), mask=own)
        else:
            if GATE == _STRAIGHT_THROUGH or not EXACT:
                u = _uniform(seed, at, UNITS)
                soft = 1 / (1 + tl.exp(-(first + tl.log(u) - tl.log(1 - u)) / temperature))
            else:
                soft = here
            total = g + per_unit + with_before * _sign(here - before) - with_after * _sign(after - here)
            of_first = total * soft * (1 - soft) / temperature
            tl.store(out + units, tl.where(free, of_first, 0.0).to(out.dtype.element_ty), mask=own)


def gated_sample(
    parameters: Tensor, ptr: Tensor, seed: Tensor, fixed: Tensor, gate: int, temperature: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mask, share, transitions, and how many units and pairs are selectable."""
    parameters, ptr, fixed = parameters.contiguous(), ptr.contiguous(), fixed.contiguous()
    n, b = parameters.shape[1], ptr.shape[0] - 1
    units, cut, warps = _shape(n, b)
    mask = parameters.new_empty(n)
    out = parameters.new_empty(4, cut, b, dtype=widest(parameters))
    if b:
        _forward[(b * cut,)](
            parameters,
            ptr,
            int(seed),
            fixed,
            mask,
            out,
            n,
            b,
            cut,
            temperature,
            GATE=gate,
            FINAL=cut == 1,
            UNITS=units,
            num_warps=warps,
        )
    if cut == 1:
        share, transitions, counts = out[0, 0].clone(), out[1, 0].clone(), out[2:, 0].contiguous()
    else:
        total = out.sum(1)
        counts = total[2:].contiguous()
        share, transitions = total[:2] / counts.clamp(min=1)
    return mask, share.to(parameters.dtype), transitions.to(parameters.dtype), counts


def gated_sample_backward(
    of_mask: Tensor,
    of_share: Tensor,
    of_transitions: Tensor,
    parameters: Tensor,
    mask: Tensor,
    counts: Tensor,
    ptr: Tensor,
    seed: Tensor,
    fixed: Tensor,
    gate: int,
    temperature: float,
) -> Tensor:
    """Gradient of the parameters."""
    n, b = parameters.shape[1], ptr.shape[0] - 1
    units, cut, warps = _shape(n, b)
    out = torch.empty_like(parameters, memory_format=torch.contiguous_format)
    if b:
        _backward[(b * cut,)](
            of_mask.contiguous(),
            of_share.contiguous(),
            of_transitions.contiguous(),
            parameters.contiguous(),
            mask.contiguous(),
            counts.contiguous(),
            ptr.contiguous(),
            int(seed),
            fixed.contiguous(),
            out,
            n,
            b,
            cut,
            temperature,
            GATE=gate,
            EXACT=mask.dtype == torch.float32,  # else the mask is rounded, and what it was is drawn again
            UNITS=units,
            num_warps=warps,
        )
    return out


def _shape(n: int, b: int) -> tuple[int, int, int]:
    """Units of a block, parts of an example, and warps of a program, with four units for each of its threads.

    A short example is one block, with up to three units of alignment and four of overlap; a long one some four, of which the last
    is mostly empty.
    """
    mean = n // max(1, b)
    units = power(mean + 7 if mean <= 121 else mean // 4, least=32, most=1024)
    return units, parts(n, b, programs=b, least=units), max(1, units // 128)
