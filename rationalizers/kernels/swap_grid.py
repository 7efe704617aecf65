"""The mean loss of predicting every rationale beside every environment, without ever holding the grid of pairs.

Letters: ``B`` rationales, ``K`` environments, ``H`` hidden width, ``T`` targets, ``R`` rows of a block.

GREA (Liu et al., 2022, https://arxiv.org/abs/2206.02886) predicts from r_i + e_j for all i, j. The first layer of its predictor
is linear, so that with a = W₁r + c₁ and b = W₁e two products of B rows replace one of B² rows. What is left of the grid,
relu(a_i + b_j) and what follows it, goes through the cache in blocks of rows. As the loss is a scalar, the same pass makes its
gradients, and the backward op only scales them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rationalizers.kernels.grid_blocks import blocks, scaled
from rationalizers.kernels.grid_dropout import grid_mask, kept_share
from rationalizers.kernels.grid_entries import GridEntries, check_grid, mean_loss
from rationalizers.kernels.precision import widest
from rationalizers.kernels.twin import cuda_twin


def swap_grid(
    a: Tensor,
    b: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    *,
    criterion: str,
    environments: Tensor | None = None,
    others_only: bool = False,
    dropout: float = 0.0,
    seed: Tensor | None = None,
) -> Tensor:
    """Mean loss of the grid of predictions, in O(block) memory: what `swap_grid_dense` returns, value and gradients.

    logits_ij = W · drop(relu(a_i + b_j)) + c, and the mean of loss(logits_ijt, y_it) over the entries (i, j, t) that count; zero
    if none does. Computed in float32 or, if an argument is, in float64. It can be differentiated once.

    Args:
        a: ``[B, H]``, the rationales after the first linear layer (and its normalization).
        b: ``[K, H]``, the environments.
        weight: W ``[T, H]`` of the last layer.
        bias: c ``[T]``.
        targets: ``[B, T]``, NaN where unknown; ``[B]`` class indices for ``cross_entropy``.
        criterion: the loss, ``binary_cross_entropy``, ``squared_error`` or ``cross_entropy`` over the T classes.
        environments: ``[K]``, the row of ``a`` that each row of ``b`` belongs to; row j where not given. Only ``others_only``
            asks.
        others_only: leave out the pairs of a row with its own environment.
        dropout: probability that an element (i, j, h) is dropped; the mask is `rationalizers.kernels.grid_dropout.grid_mask`,
            on a CUDA device that of `rationalizers.kernels.cuda.swap_grid`, which is as probable.
        seed: int64 scalar that decides on it, needed with ``dropout``; on the CPU, or reading it waits for the device.

    Returns:
        Scalar.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: shapes that do not fit, an unknown criterion, ``others_only`` without knowing where columns come from, or
            dropout without a seed.
    """
    own = _check(a, b, weight, bias, targets, criterion, environments, others_only, dropout, seed)
    gradients = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (a, b, weight, bias))
    results: tuple[Tensor, ...] = _swap_grid(
        a, b, weight, bias, targets, own, seed if dropout else None, criterion, dropout, gradients
    )
    return results[0]


def swap_grid_dense(
    a: Tensor,
    b: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    *,
    criterion: str,
    environments: Tensor | None = None,
    others_only: bool = False,
    dropout: float = 0.0,
    seed: Tensor | None = None,
) -> Tensor:
    """The definition of `swap_grid`, with the same arguments: forms all B · K rows and leaves the gradients to autograd."""
    own = _check(a, b, weight, bias, targets, criterion, environments, others_only, dropout, seed)
    u = (a[:, None] + b).relu()  # [B, K, H]
    if dropout and seed is not None:
        mask = grid_mask(seed, range(a.shape[0]), columns=b.shape[0], width=a.shape[1], dropout=dropout)
        u = u * mask.to(u.device) / kept_share(dropout)
    return mean_loss(F.linear(u, weight, bias), targets, criterion=criterion, environments=own)


def _check(
    a: Tensor,
    b: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    criterion: str,
    environments: Tensor | None,
    others_only: bool,
    dropout: float,
    seed: Tensor | None,
) -> Tensor | None:
    if weight.dim() != 2 or weight.shape[1:] != a.shape[1:] or bias.shape != weight.shape[:1]:
        raise ValueError(
            f"'weight' and 'bias' must be [T, H] and [T] for 'a' of {tuple(a.shape)}, "
            f"got {tuple(weight.shape)} and {tuple(bias.shape)}; take those of the last layer"
        )
    kept_share(dropout)
    if dropout and (seed is None or seed.dtype != torch.int64 or seed.dim()):
        got = None if seed is None else (seed.dtype, tuple(seed.shape))
        raise ValueError(f"'dropout' needs 'seed', an int64 scalar, got {got}; draw one with torch.randint(2**62, ())")
    return check_grid(
        a, b, targets, outputs=weight.shape[0], criterion=criterion, environments=environments, others_only=others_only
    )


def swap_grid_blocks(
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
    """Loss, and gradients of ``a``, ``b``, ``weight`` and ``bias`` (empty where not asked for), block by block."""
    wide, keep = widest(a, b, weight, bias), kept_share(dropout)
    a, b, bias = a.to(wide), b.to(wide), bias.to(wide)
    weight = weight.to(wide) / keep
    (columns, hidden), outputs = b.shape, weight.shape[0]
    entries = GridEntries.of(criterion, targets, columns=columns, environments=environments, outputs=outputs, wide=wide)
    every = blocks(a.shape[0], numbers=columns * (hidden + outputs))
    largest = len(every[0]) if every else 0
    grid = a.new_empty(largest, columns, hidden)
    loss = a.new_zeros(())
    grads = [torch.zeros_like(tensor) if gradients else a.new_empty(0) for tensor in (a, b, weight, bias)]
    grad_a, grad_b, grad_weight, grad_bias = grads
    several = gradients and outputs > 1
    upstream = a.new_empty(largest * columns if several else 0, hidden)
    for rows in every:
        u = torch.add(a[rows.start : rows.stop, None], b, out=grid[: len(rows)]).relu_()  # [R, K, H]
        if seed is not None:
            mask = grid_mask(seed, rows, columns=columns, width=hidden, dropout=dropout)
            # As bytes: torch multiplies them four times as fast as booleans.
            u.mul_(mask.to(u.device).view(torch.uint8))
        flat = u.flatten(0, 1)  # [R·K, H]
        logits = torch.addmm(bias, flat, weight.T).view(len(rows), columns, outputs)  # [R, K, T]
        part, share = entries.loss(logits, rows)
        loss += part
        if not gradients:
            continue
        grad_logits = entries.gradient(logits, share, rows).flatten(0, 1)  # [R·K, T]
        grad_bias += grad_logits.sum(0)
        grad_weight.addmm_(grad_logits.T, flat)
        # A single row of W is a factor of all gradients below it and can wait until they are summed.
        into_u = torch.mm(grad_logits, weight, out=upstream[: flat.shape[0]]) if several else grad_logits  # [R·K, H or 1]
        # Both relu and dropout pass a gradient exactly where they left something; u is not needed any more.
        torch.ops.aten.threshold_backward(into_u.view(len(rows), columns, into_u.shape[1]), u, 0, grad_input=u)
        torch.sum(u, 1, out=grad_a[rows.start : rows.stop])
        grad_b += u.sum(0)
    if gradients:
        grad_weight /= keep
        if not several:
            grad_a *= weight
            grad_b *= weight
    return loss, grad_a, grad_b, grad_weight, grad_bias


_swap_grid = torch.library.custom_op("rationalizers::swap_grid", swap_grid_blocks, mutates_args=())


@_swap_grid.register_fake
def _(
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
    wide = widest(a, b, weight, bias)
    of_a, of_b, of_weight, of_bias = (
        tensor.new_empty(tensor.shape if gradients else 0, dtype=wide) for tensor in (a, b, weight, bias)
    )
    return a.new_empty((), dtype=wide), of_a, of_b, of_weight, of_bias


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.dtypes = [tensor.dtype for tensor in inputs[:4]]
    ctx.save_for_backward(*output[1:])


def _backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    return *scaled(grad, ctx.saved_tensors, dtypes=ctx.dtypes), *[None] * 6


_swap_grid.register_autograd(_backward, setup_context=_keep)


@cuda_twin(_swap_grid, reference=swap_grid_blocks)
def _(
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
    from rationalizers.kernels.cuda import swap_grid as twin

    return twin.swap_grid(a, b, weight, bias, targets, environments, seed, criterion, dropout, gradients)
