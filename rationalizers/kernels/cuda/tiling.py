"""How work is cut up for the device: powers of two, and parts of examples where there are too few examples to fill it."""

from __future__ import annotations

import triton
import triton.language as tl

# Programs that keep a large device busy: four for each of an H100's 132 multiprocessors.
PROGRAMS = 528


def power(wanted: int, *, least: int, most: int) -> int:
    """The smallest power of two that is at least ``wanted``, within bounds that are powers of two."""
    return int(min(most, max(least, triton.next_power_of_2(max(1, wanted)))))


def parts(units: int, examples: int, *, programs: int, least: int) -> int:
    """Into how many parts each example is cut, when there is a program for each of so many ``programs`` without it.

    Only as many as keep ``least`` units in each part of an example of mean length.
    """
    mean = units // max(1, examples)
    return int(max(1, min(triton.cdiv(PROGRAMS, max(1, programs)), mean // least)))


@triton.jit
def span(ptr, parts):  # noqa: ANN201
    """Example and part of this program, where the example starts and ends, and the units ``[lo, hi)`` of the part."""
    example = tl.program_id(0) // parts
    part = tl.program_id(0) % parts
    start = tl.load(ptr + example).to(tl.int32)
    end = tl.load(ptr + example + 1).to(tl.int32)
    each = tl.cdiv(end - start, parts)
    lo = tl.minimum(start + part * each, end)
    return example, part, start, end, lo, tl.minimum(lo + each, end)
