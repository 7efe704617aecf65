"""Sums of rows along a sparse pattern: the one operation that passing messages, pooling and looking up rows have in common.

Letters: ``S`` rows summed from, ``T`` rows summed into, ``K`` entries of the pattern, ``D`` width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rationalizers.segment import offsets

ENTRIES = 1024


@dataclass(frozen=True)
class Incidence:
    """Which rows are summed into which: a sparse matrix ``[T, S]`` of ones, held by target and by source.

    Make one with `incidence`, once per batch; what it costs is sorting K numbers.

    Args:
        source: row summed from, by target, ``[K]``.
        source_ptr: offsets into it, ``[T+1]``.
        target: row summed into, by source, ``[K]``.
        target_ptr: offsets into it, ``[S+1]``.
        order: place of each entry of ``source`` among the entries as they were given, ``[K]``.
        turn: place in ``source`` of each entry of ``target``, ``[K]``.
        turn_back: place in ``target`` of each entry of ``source``, ``[K]``.
    """

    source: Tensor
    source_ptr: Tensor
    target: Tensor
    target_ptr: Tensor
    order: Tensor
    turn: Tensor
    turn_back: Tensor


def incidence(source: Tensor, target: Tensor, *, sources: int, targets: int) -> Incidence:
    """The pattern with one entry per pair ``(source[k], target[k])``; equal pairs count as often as they are there.

    Args:
        source: row summed from ``[K]``, in [0, S).
        target: row summed into ``[K]``, in [0, T).
        sources: S.
        targets: T.

    Raises:
        ValueError: the two are not vectors of one length, or name a row that does not exist.
    """
    if source.dim() != 1 or source.shape != target.shape:
        raise ValueError(f"'source' and 'target' must be vectors of one length, got {tuple(source.shape)}, {tuple(target.shape)}")
    # Looking at values elsewhere would wait for the device.
    if source.is_cpu and source.numel():
        for name, rows, count in (("source", source, sources), ("target", target, targets)):
            low, high = (int(bound) for bound in rows.aminmax())
            if low < 0 or high >= count:
                raise ValueError(f"'{name}' must name rows in [0, {count}), got {low} to {high}")
    order = torch.argsort(target, stable=True)
    by_target = source[order]
    turn = torch.argsort(by_target, stable=True)
    return Incidence(
        source=by_target,
        source_ptr=offsets(torch.bincount(target, minlength=targets)),
        target=target[order][turn],
        target_ptr=offsets(torch.bincount(source, minlength=sources)),
        order=order,
        turn=turn,
        turn_back=torch.empty_like(turn).index_put((turn,), torch.arange(turn.numel(), device=turn.device)),
    )


def sum_rows(x: Tensor, pattern: Incidence, *, weight: Tensor | None = None) -> Tensor:
    """Sum rows into rows: ``out_t = Σ_{k: target_k = t} w_k x_{source_k}``.

    A row without entries is zero. Forward and backward read whole rows in order of what they are summed into; next to
    ``index_add`` on ``[9466, 300]`` from 20,826 rows this took 1.2 instead of 7.0 ms (one core, torch 2.13).

    Args:
        x: ``[S, D]``.
        pattern: with K entries from S into T rows.
        weight: of each entry, in the order in which `incidence` was given them, ``[K]``; ones where not given.

    Returns:
        ``[T, D]``.

    Raises:
        ValueError: ``x`` has not S rows, or ``weight`` not K entries.
    """
    sources = pattern.target_ptr.numel() - 1
    if x.dim() != 2 or x.shape[0] != sources:
        raise ValueError(f"'x' must be [S={sources}, D], got {tuple(x.shape)}")
    if weight is not None:
        if weight.shape != pattern.order.shape:
            raise ValueError(f"'weight' must be [K={pattern.order.numel()}], got {tuple(weight.shape)}")
        weight = weight.to(x.dtype)[pattern.order]
    out: Tensor = _sum_rows(
        x,
        weight,
        pattern.source,
        pattern.source_ptr,
        pattern.target,
        pattern.target_ptr,
        pattern.turn,
        pattern.turn_back,
    )
    return out


@torch.library.custom_op("rationalizers::sum_rows", mutates_args=())
def _sum_rows(
    x: Tensor,
    weight: Tensor | None,
    source: Tensor,
    source_ptr: Tensor,
    target: Tensor,
    target_ptr: Tensor,
    turn: Tensor,
    turn_back: Tensor,
) -> Tensor:
    if source.numel() == 0:
        return x.new_zeros(source_ptr.numel() - 1, x.shape[1])
    return torch.nn.functional.embedding_bag(
        source, x.detach().contiguous(), source_ptr, mode="sum", include_last_offset=True, per_sample_weights=weight
    )


@_sum_rows.register_fake
def _(
    x: Tensor,
    weight: Tensor | None,
    source: Tensor,
    source_ptr: Tensor,
    target: Tensor,
    target_ptr: Tensor,
    turn: Tensor,
    turn_back: Tensor,
) -> Tensor:
    return x.new_empty(source_ptr.shape[0] - 1, x.shape[1])


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, *pattern = inputs
    # The rows themselves are needed for the gradient of the weights only.
    ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight, *pattern)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, source, source_ptr, target, target_ptr, turn, turn_back = ctx.saved_tensors
    of_x = of_weight = None
    if ctx.needs_input_grad[0]:
        # The transposed pattern: what was summed from is summed into.
        turned = None if weight is None else weight[turn]
        of_x = _sum_rows(grad, turned, target, target_ptr, source, source_ptr, turn_back, turn)
    if ctx.needs_input_grad[1]:
        # In parts, so that the rows of both sides are still in the cache when they are multiplied.
        parts = zip(target[turn_back].split(ENTRIES), source.split(ENTRIES), strict=True)
        of_weight = torch.cat([(grad[into] * x[of]).sum(1) for into, of in parts])
    return of_x, of_weight, None, None, None, None, None, None


_sum_rows.register_autograd(_backward, setup_context=_save)
