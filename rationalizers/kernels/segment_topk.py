"""The best units of every example, chosen hard and trained straight through."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rationalizers.kernels.arguments import check_floating, check_offsets, check_reach, check_whole
from rationalizers.kernels.twin import cuda_twin
from rationalizers.segment import owners, segment_rank


def segment_topk(scores: Tensor, ptr: Tensor, k: Tensor) -> Tensor:
    """Mask of the k best-scored units of each example; ties go to the first.

    The gradient passes straight through: (hard − scores).detach() + scores for units that can be chosen. Those with −∞ (or NaN)
    are never chosen and get none; where k exceeds the others, all of them are chosen.

    Args:
        scores: ``[N]``, floating.
        ptr: offsets ``[B+1]``, int64.
        k: how many of each example, ``[B]``, int64.

    Returns:
        ``[N]`` of zeros and ones, in the precision of ``scores``.

    Raises:
        TypeError: ``scores`` is not floating, or ``ptr`` or ``k`` not int64.
        ValueError: the shapes do not fit, or (on the CPU) ``ptr`` does not rise from 0 to N.
    """
    check_floating(scores=scores)
    check_offsets(ptr)
    check_whole(k=k)
    if scores.dim() != 1:
        raise ValueError(f"'scores' must be [N], got {tuple(scores.shape)}; give one number per unit")
    if k.shape != (ptr.shape[0] - 1,):
        raise ValueError(f"'k' must be [B={ptr.shape[0] - 1}], got {tuple(k.shape)}; give one count per example")
    check_reach(ptr, scores.shape[0])
    mask: Tensor = _segment_topk(scores, ptr, k)
    return mask


def segment_topk_reference(scores: Tensor, ptr: Tensor, k: Tensor) -> Tensor:
    """The definition: sorted by score, then by example."""
    candidate = scores > -torch.inf
    rank = segment_rank(scores.masked_fill(~candidate, -torch.inf), ptr)  # [N]
    return ((rank < k[owners(ptr, scores.shape[0])]) & candidate).to(scores.dtype)


def segment_topk_backward_reference(grad: Tensor, scores: Tensor) -> Tensor:
    """The gradient of units that could be chosen: one pass in torch already, hence without a twin."""
    return torch.where(scores > -torch.inf, grad, torch.zeros_like(grad))


_segment_topk = torch.library.custom_op(
    "rationalizers::segment_topk",
    segment_topk_reference,
    mutates_args=(),
    schema="(Tensor scores, Tensor ptr, Tensor k) -> Tensor",
)
_segment_topk_backward = torch.library.custom_op(
    "rationalizers::segment_topk_backward",
    segment_topk_backward_reference,
    mutates_args=(),
    schema="(Tensor grad, Tensor scores) -> Tensor",
)


@_segment_topk.register_fake
def _(scores: Tensor, ptr: Tensor, k: Tensor) -> Tensor:
    return scores.new_empty(scores.shape)


@_segment_topk_backward.register_fake
def _(grad: Tensor, scores: Tensor) -> Tensor:
    return grad.new_empty(grad.shape)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    (scores,) = ctx.saved_tensors
    return _segment_topk_backward(grad, scores), None, None


_segment_topk.register_autograd(_backward, setup_context=_keep)


@cuda_twin(_segment_topk, reference=segment_topk_reference)
def _(scores: Tensor, ptr: Tensor, k: Tensor) -> Tensor:
    from rationalizers.kernels.cuda import segment_topk as twin

    return twin.segment_topk(scores, ptr, k)
