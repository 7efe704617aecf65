"""What a soft mask keeps of each example and what it leaves, both pooled by sums in one go."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from rationalizers.kernels.arguments import check_offsets, check_reach, check_states
from rationalizers.kernels.precision import widest
from rationalizers.kernels.twin import cuda_twin
from rationalizers.segment import owners, segment_sum


def split_pool(x: Tensor, mask: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over each example of what the mask keeps and of what it leaves.

    rationale_b = Σ_v m_v x_v and complement_b = Σ_v (1 − m_v) x_v over the units v of example b, so that both together are the
    sum over the example. Half precision is accumulated in float32; an example without units gets zeros.

    Args:
        x: ``[N, D]``, floating.
        mask: ``[N]``, floating; a hard mask is one of zeros and ones.
        ptr: offsets ``[B+1]`` of the examples, int64.

    Returns:
        ``rationale [B, D]`` and ``complement [B, D]``, in the precision of ``x``.

    Raises:
        TypeError: ``x`` or ``mask`` is not floating, or ``ptr`` not int64.
        ValueError: the shapes do not fit, or (on the CPU) ``ptr`` does not rise from 0 to N.
    """
    check_states(x, mask)
    check_offsets(ptr)
    check_reach(ptr, x.shape[0])
    rationale, complement = _split_pool(x, mask, ptr)
    return rationale, complement


def split_pool_reference(x: Tensor, mask: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    """The definition."""
    wide = widest(x, mask)
    kept = x.to(wide) * mask.to(wide)[:, None]  # [N, D]
    return segment_sum(kept, ptr).to(x.dtype), segment_sum(x.to(wide) - kept, ptr).to(x.dtype)


def split_pool_sums(x: Tensor, mask: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    """The same without the product [N, D]: two sums of weighted rows, 2 to 9 times as fast (one core, torch 2.13)."""
    wide, rows = widest(x, mask), torch.arange(x.shape[0], device=x.device)
    if not x.numel():
        return x.new_zeros(ptr.shape[0] - 1, x.shape[1]), x.new_zeros(ptr.shape[0] - 1, x.shape[1])
    values, kept = x.to(wide).contiguous(), mask.to(wide)
    rationale, complement = (
        embedding_bag(rows, values, ptr, mode="sum", include_last_offset=True, per_sample_weights=weight)
        for weight in (kept, 1 - kept)
    )
    return rationale.to(x.dtype), complement.to(x.dtype)


def split_pool_backward_reference(
    of_rationale: Tensor, of_complement: Tensor, x: Tensor, mask: Tensor, ptr: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of ``x`` and ``mask`` from those of both results, ``[B, D]``."""
    wide, owner = widest(x, mask), owners(ptr, x.shape[0])
    left = of_complement.to(wide)[owner]  # [N, D]
    difference = (of_rationale.to(wide) - of_complement.to(wide))[owner]  # [N, D]
    grad_mask = (difference * x.to(wide)).sum(1)  # [N]
    return left.addcmul(difference, mask.to(wide)[:, None]).to(x.dtype), grad_mask.to(mask.dtype)


_split_pool = torch.library.custom_op(
    "rationalizers::split_pool",
    split_pool_sums,
    mutates_args=(),
    schema="(Tensor x, Tensor mask, Tensor ptr) -> (Tensor, Tensor)",
)
_split_pool_backward = torch.library.custom_op(
    "rationalizers::split_pool_backward",
    split_pool_backward_reference,
    mutates_args=(),
    schema="(Tensor of_rationale, Tensor of_complement, Tensor x, Tensor mask, Tensor ptr) -> (Tensor, Tensor)",
)


@_split_pool.register_fake
def _(x: Tensor, mask: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    pooled = x.new_empty(ptr.shape[0] - 1, x.shape[1])
    return pooled, torch.empty_like(pooled)


@_split_pool_backward.register_fake
def _(of_rationale: Tensor, of_complement: Tensor, x: Tensor, mask: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), mask.new_empty(mask.shape)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, of_rationale: Tensor, of_complement: Tensor) -> tuple[Tensor, Tensor, None]:
    of_x, of_mask = _split_pool_backward(of_rationale, of_complement, *ctx.saved_tensors)
    return of_x, of_mask, None


_split_pool.register_autograd(_backward, setup_context=_keep)


@cuda_twin(_split_pool, reference=split_pool_sums)
def _(x: Tensor, mask: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    from rationalizers.kernels.cuda import split_pool as twin

    return twin.split_pool(x, mask, ptr)


@cuda_twin(_split_pool_backward, reference=split_pool_backward_reference)
def _(of_rationale: Tensor, of_complement: Tensor, x: Tensor, mask: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    from rationalizers.kernels.cuda import split_pool as twin

    return twin.split_pool_backward(of_rationale, of_complement, x, mask, ptr)
