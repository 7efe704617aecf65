"""Every erased and every kept copy of each example that a curve over fractions needs, as one packed gather."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rationalizers.kernels.arguments import check_bool, check_offsets, check_reach, check_units, check_whole
from rationalizers.kernels.twin import cuda_twin
from rationalizers.segment import offsets, owners, segment_sum


def perturb(
    ranks: Tensor, ptr: Tensor, fixed: Tensor, fractions: Sequence[float], *, fixed_count: int | None = None
) -> tuple[Tensor, Tensor]:
    """Where the units of every copy come from: of each fraction all erased copies, then all kept ones.

    For a fraction f and an example with n selectable units, the k = max(1, round(f · n)) of the lowest rank are its top (none
    where f or n is 0). The erased copy is the example without its top, the kept copy its top alone; both have all fixed units,
    and units stay in order. With F fractions both together have M = F · (N + N_fixed) units, whatever the ranks are.

    Source: area over the perturbation curve, in ERASER: A Benchmark to Evaluate Rationalized NLP Models (DeYoung et al., 2020,
    https://arxiv.org/abs/1911.03429).

    Args:
        ranks: place of each selectable unit among those of its example, best 0, int64 ``[N]``; of fixed units it is not read.
        ptr: offsets ``[B+1]``, int64.
        fixed: units that are in every copy, bool ``[N]``.
        fractions: in [0, 1]; rounding is half to even.
        fixed_count: N_fixed where it is known; else it is counted, which waits for the device.

    Returns:
        ``index [M]`` into the units, for any tensor ``[N, …]`` to be gathered by, and offsets ``[2·F·B + 1]`` of the copies,
        ordered by fraction, then erased before kept, then by example.

    Raises:
        TypeError: ``ranks`` or ``ptr`` is not int64, or ``fixed`` not bool.
        ValueError: shapes that do not fit, a fraction outside [0, 1], or (on the CPU) a wrong ``fixed_count``, ranks that do not
            count, or offsets that do not rise from 0 to N.
    """
    check_whole(ranks=ranks)
    check_offsets(ptr)
    check_bool(fixed=fixed)
    if ranks.dim() != 1:
        raise ValueError(f"'ranks' must be [N], got {tuple(ranks.shape)}; see rationalizers.segment.segment_rank")
    check_units(ranks.shape[0], fixed=fixed)
    if not all(0 <= fraction <= 1 for fraction in fractions):
        raise ValueError(f"'fractions' must be in [0, 1], got {list(fractions)}")
    check_reach(ptr, ranks.shape[0])
    _check_ranks(ranks, ptr, fixed)
    count = int(fixed.sum()) if fixed_count is None else fixed_count
    index, copies = _perturb(ranks, ptr, fixed, list(fractions), count)
    if index.shape[0] != len(fractions) * (ranks.shape[0] + count):
        raise ValueError(
            f"'fixed_count' must be the number of fixed units; {len(fractions)} fractions of {ranks.shape[0]} units with "
            f"{count} fixed ones gave {index.shape[0]}; leave it out"
        )
    return index, copies


def _check_ranks(ranks: Tensor, ptr: Tensor, fixed: Tensor) -> None:
    """Raise ``ValueError`` unless ``ranks`` count, which the length of the result does not tell; where `check_reach` looks."""
    if torch.compiler.is_compiling() or not ranks.is_cpu:
        return
    free = ~fixed
    before = offsets(free.long())[ptr]  # [B+1], selectable units before each example
    owner = owners(ptr, ranks.shape[0])[free]
    rank = ranks[free]
    place = before[owner] + rank
    inside = (rank >= 0) & (place < before[owner + 1])
    if not bool(inside.all()) or not bool((torch.bincount(place, minlength=place.shape[0]) == 1).all()):
        raise ValueError("'ranks' must count the selectable units of each example from 0; see rationalizers.segment.segment_rank")


def tops(ptr: Tensor, fixed: Tensor, fractions: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Size of the top of each example at each fraction ``[F, B]``, and the offsets ``[2·F·B + 1]`` of all copies."""
    kept_always = segment_sum(fixed.long(), ptr)  # [B]
    n = ptr[1:] - ptr[:-1] - kept_always
    # In float64 on every device, so that all round alike.
    share = torch.tensor(fractions, dtype=torch.float64).to(ptr.device)[:, None]  # [F, 1]
    least = ((share > 0) & (n > 0)).long()
    top = torch.maximum((share * n).round().long(), least)  # [F, B]
    size = torch.stack([n - top, top], 1) + kept_always  # [F, 2, B]
    return top, offsets(size.flatten())


def perturb_reference(
    ranks: Tensor, ptr: Tensor, fixed: Tensor, fractions: Sequence[float], fixed_count: int
) -> tuple[Tensor, Tensor]:
    """The definition: the places where a mask over all copies is true."""
    n = ranks.shape[0]
    top, copies = tops(ptr, fixed, fractions)
    size = torch.repeat_interleave(top, ptr[1:] - ptr[:-1], dim=1, output_size=n)  # [F, N]
    chosen = ranks < size
    there = torch.stack([~chosen | fixed, chosen | fixed], 1)  # [F, 2, N]
    return torch.nonzero(there.flatten()).flatten() % max(1, n), copies


_perturb = torch.library.custom_op(
    "rationalizers::perturb",
    perturb_reference,
    mutates_args=(),
    schema="(Tensor ranks, Tensor ptr, Tensor fixed, float[] fractions, SymInt fixed_count) -> (Tensor, Tensor)",
)


@_perturb.register_fake
def _(ranks: Tensor, ptr: Tensor, fixed: Tensor, fractions: Sequence[float], fixed_count: int) -> tuple[Tensor, Tensor]:
    index = ranks.new_empty(len(fractions) * (ranks.shape[0] + fixed_count))
    return index, ptr.new_empty(2 * len(fractions) * (ptr.shape[0] - 1) + 1)


@cuda_twin(_perturb, reference=perturb_reference)
def _(ranks: Tensor, ptr: Tensor, fixed: Tensor, fractions: Sequence[float], fixed_count: int) -> tuple[Tensor, Tensor]:
    from rationalizers.kernels.cuda import perturb as twin

    top, copies = tops(ptr, fixed, fractions)
    return twin.perturb(ranks, ptr, fixed, top, copies, len(fractions) * (ranks.shape[0] + fixed_count)), copies
