"""`rationalizers.kernels.swap_grid` for a predictor that is one linear layer: logits of a pair are a sum."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rationalizers.kernels.grid_blocks import blocks, scaled
from rationalizers.kernels.grid_entries import GridEntries, check_grid, mean_loss
from rationalizers.kernels.precision import widest


def swap_grid_linear(
    a: Tensor,
    b: Tensor,
    targets: Tensor,
    *,
    criterion: str,
    environments: Tensor | None = None,
    others_only: bool = False,
) -> Tensor:
    """Mean loss of the grid of predictions, in O(block) memory: what `swap_grid_linear_dense` returns, value and gradients.

    logits_ij = a_i + b_j, and the mean of loss(logits_ijt, y_it) over the entries (i, j, t) that count; zero if none does.
    Computed in float32 or, if an argument is, in float64. It can be differentiated once.

    Args:
        a: ``[B, T]``, logits of the rationales, with the bias.
        b: ``[K, T]``, logits of the environments, without it.
        targets: ``[B, T]``, NaN where unknown; ``[B]`` class indices for ``cross_entropy``.
        criterion: the loss, ``binary_cross_entropy``, ``squared_error`` or ``cross_entropy`` over the T classes.
        environments: as in `swap_grid`.
        others_only: leave out the pairs of a row with its own environment.

    Returns:
        Scalar.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: shapes that do not fit, an unknown criterion, or ``others_only`` without knowing where columns come from.
    """
    own = check_grid(a, b, targets, outputs=a.shape[-1], criterion=criterion, environments=environments, others_only=others_only)
    gradients = torch.is_grad_enabled() and (a.requires_grad or b.requires_grad)
    results: tuple[Tensor, ...] = _swap_grid_linear(a, b, targets, own, criterion, gradients)
    return results[0]


def swap_grid_linear_dense(
    a: Tensor,
    b: Tensor,
    targets: Tensor,
    *,
    criterion: str,
    environments: Tensor | None = None,
    others_only: bool = False,
) -> Tensor:
    """The definition of `swap_grid_linear`, with the same arguments: forms all B · K rows."""
    own = check_grid(a, b, targets, outputs=a.shape[-1], criterion=criterion, environments=environments, others_only=others_only)
    return mean_loss(a[:, None] + b, targets, criterion=criterion, environments=own)


@torch.library.custom_op("rationalizers::swap_grid_linear", mutates_args=())
def _swap_grid_linear(
    a: Tensor, b: Tensor, targets: Tensor, environments: Tensor | None, criterion: str, gradients: bool
) -> tuple[Tensor, Tensor, Tensor]:
    wide = widest(a, b)
    a, b = a.to(wide), b.to(wide)
    columns, outputs = b.shape
    entries = GridEntries.of(criterion, targets, columns=columns, environments=environments, outputs=outputs, wide=wide)
    loss = a.new_zeros(())
    grad_a, grad_b = (torch.zeros_like(tensor) if gradients else a.new_empty(0) for tensor in (a, b))
    for rows in blocks(a.shape[0], numbers=b.numel()):
        logits = a[rows.start : rows.stop, None] + b  # [R, K, T]
        part, share = entries.loss(logits, rows)
        loss += part
        if gradients:
            grad_logits = entries.gradient(logits, share, rows)  # [R, K, T]
            torch.sum(grad_logits, 1, out=grad_a[rows.start : rows.stop])
            grad_b += grad_logits.sum(0)
    return loss, grad_a, grad_b


@_swap_grid_linear.register_fake
def _(
    a: Tensor, b: Tensor, targets: Tensor, environments: Tensor | None, criterion: str, gradients: bool
) -> tuple[Tensor, Tensor, Tensor]:
    wide = widest(a, b)
    of_a, of_b = (tensor.new_empty(tensor.shape if gradients else 0, dtype=wide) for tensor in (a, b))
    return a.new_empty((), dtype=wide), of_a, of_b


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.dtypes = [tensor.dtype for tensor in inputs[:2]]
    ctx.save_for_backward(*output[1:])


def _backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    return *scaled(grad, ctx.saved_tensors, dtypes=ctx.dtypes), *[None] * 4


_swap_grid_linear.register_autograd(_backward, setup_context=_keep)
