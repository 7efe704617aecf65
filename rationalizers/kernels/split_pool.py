"""What a soft mask keeps of each example and what it leaves, both pooled by sums in one go."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

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
        ValueError: the shapes do not fit, or ``ptr`` does not run from 0 to N.
    """
    for name, tensor in (("x", x), ("mask", mask)):
        if not tensor.is_floating_point():
            raise TypeError(f"'{name}' must be floating, got {tensor.dtype}; convert it with .to(x.dtype)")
    if ptr.dtype != torch.int64:
        raise TypeError(f"'ptr' must be int64, got {ptr.dtype}; convert it with .long()")
    if x.dim() != 2:
        raise ValueError(f"'x' must be [N, D], got {tuple(x.shape)}; flatten or add dimensions")
    if mask.shape != x.shape[:1]:
        raise ValueError(f"'mask' must be [{x.shape[0]}] like the rows of 'x', got {tuple(mask.shape)}; give one number per unit")
    if ptr.dim() != 1 or not ptr.numel():
        raise ValueError(f"'ptr' must be the offsets [B+1], got {tuple(ptr.shape)}; see rationalizers.segment.offsets")
    rationale, complement = _split_pool(x, mask, ptr)
    return rationale, complement


@torch.library.custom_op("rationalizers::split_pool", mutates_args=())
def _split_pool(x: Tensor, mask: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    if int(ptr[0]) != 0 or int(ptr[-1]) != x.shape[0]:
        raise ValueError(f"'ptr' must run from 0 to the {x.shape[0]} rows of 'x', got {int(ptr[0])} to {int(ptr[-1])}")
    wide = _wide(x, mask)
    kept = x.to(wide) * mask.to(wide)[:, None]  # [N, D]
    return segment_sum(kept, ptr).to(x.dtype), segment_sum(x.to(wide) - kept, ptr).to(x.dtype)


@_split_pool.register_fake
def _(x: Tensor, mask: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    pooled = x.new_empty(ptr.shape[0] - 1, x.shape[1])
    return pooled, torch.empty_like(pooled)


@torch.library.custom_op("rationalizers::split_pool_backward", mutates_args=())
def _split_pool_backward(rationale: Tensor, complement: Tensor, x: Tensor, mask: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    # What comes in are the gradients [B, D] of the two results.
    wide, owner = _wide(x, mask), owners(ptr, x.shape[0])
    left = complement.to(wide)[owner]  # [N, D]
    difference = (rationale.to(wide) - complement.to(wide))[owner]  # [N, D]
    grad_mask = (difference * x.to(wide)).sum(1)  # [N]
    return left.addcmul(difference, mask.to(wide)[:, None]).to(x.dtype), grad_mask.to(mask.dtype)


@_split_pool_backward.register_fake
def _(rationale: Tensor, complement: Tensor, x: Tensor, mask: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), mask.new_empty(mask.shape)


def _wide(x: Tensor, mask: Tensor) -> torch.dtype:
    """Precision of sums: at least float32."""
    return torch.promote_types(torch.promote_types(x.dtype, mask.dtype), torch.float32)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, rationale: Tensor, complement: Tensor) -> tuple[Tensor, Tensor, None]:
    grad_x, grad_mask = _split_pool_backward(rationale, complement, *ctx.saved_tensors)
    return grad_x, grad_mask, None


_split_pool.register_autograd(_backward, setup_context=_keep)
