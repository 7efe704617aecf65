"""What audits count: how far predictions move, whether they are right, and how far two selections agree, for each example.

`rationalizers.audit` asks models for these predictions and selections; nothing here does. What the numbers mean is told in
``docs/leakage.md``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rationalizers.segment import segment_sum
from rationalizers.task import BinaryTasks, Classification, Regression, Task


def prediction_change(before: Tensor, after: Tensor, *, task: Task) -> Tensor:
    """How far predictions moved.

        ½ Σ_c | p_c − p′_c |           classes, in [0, 1]: total variation
        1/C Σ_c | p_c − p′_c |         yes-or-no answers, in [0, 1], and numbers, in the data's units

    Args:
        before: probabilities or values ``[B, C]`` (`Task.predict`).
        after: the same of what was changed.
        task: what the columns are.

    Returns:
        ``[B]``.

    Raises:
        ValueError: predictions of different shape.
    """
    _check_alike(before, after)
    moved = (before - after).abs()
    # Classes share one probability, of which half the change is counted twice.
    return moved.sum(1) / 2 if isinstance(task, Classification) else moved.mean(1)


def prediction_flip(before: Tensor, after: Tensor, *, task: Task) -> Tensor:
    """1 where the answer is another one, else 0, ``[B]``; the share of yes-or-no answers that are; NaN for numbers.

    Raises:
        ValueError: predictions of different shape.
    """
    _check_alike(before, after)
    if isinstance(task, Regression):
        return torch.full_like(before[:, 0], torch.nan)
    if isinstance(task, Classification):
        return (before.argmax(1) != after.argmax(1)).to(before.dtype)
    return ((before > 0.5) != (after > 0.5)).to(before.dtype).mean(1)


def correctness(predicted: Tensor, y: Tensor, *, task: Task) -> Tensor:
    """How right each prediction is, larger is better: 1 or 0 for classes, the share of right yes-or-no answers, −|ŷ − y|.

    Args:
        predicted: probabilities or values ``[B, C]`` (`Task.predict`).
        y: classes ``[B]``, or ``[B, C]``, NaN where unknown; an example has the mean over its known targets.
        task: what the columns are.

    Returns:
        ``[B]``; NaN where no target is known.
    """
    if isinstance(task, Classification):
        return (predicted.argmax(1) == y).to(predicted.dtype)
    known = ~y.isnan()
    target = torch.where(known, y, torch.zeros_like(y))
    binary = isinstance(task, BinaryTasks)
    each = ((predicted > 0.5) == (target > 0.5)).to(predicted.dtype) if binary else -(predicted - target).abs()
    # 0/0 is NaN, which is what an example without a known target has.
    return (each * known).sum(1) / known.sum(1)


def overlap(a: Tensor, b: Tensor, ptr: Tensor) -> Tensor:
    """Jaccard index, units of both over units of either, of two selections, ``[B]``; NaN where neither selects anything.

    Args:
        a: units ``[N]`` bool.
        b: units ``[N]`` bool.
        ptr: offsets ``[B+1]``.

    Raises:
        ValueError: a selection that is not bool ``[N]``.
    """
    if a.dtype != torch.bool or b.dtype != torch.bool or a.shape != b.shape or a.dim() != 1:
        raise ValueError(f"selections must both be bool [N], got {a.dtype} {tuple(a.shape)} and {b.dtype} {tuple(b.shape)}")
    return segment_sum((a & b).double(), ptr) / segment_sum((a | b).double(), ptr)


def expected_overlap(k_a: Tensor, k_b: Tensor, n: Tensor) -> Tensor:
    """The exact mean of `overlap` for two random selections of given sizes.

        E J = Σ_x P(x) · x / (k_a + k_b − x),   x ~ Hypergeometric(n, k_a, k_b)

    Args:
        k_a: selected by the one ``[B]``.
        k_b: selected by the other ``[B]``.
        n: selectable units ``[B]``.

    Returns:
        ``[B]`` float64; NaN where both sizes are 0.

    Raises:
        ValueError: a size outside [0, n].
    """
    a, b, n = (each.double()[:, None] for each in (k_a, k_b, n))  # [B, 1]
    if bool(((a < 0) | (b < 0) | (a > n) | (b > n)).any()):
        raise ValueError(f"sizes must lie in [0, n], got {k_a.tolist()} and {k_b.tolist()} of {n[:, 0].tolist()}")
    most = int(torch.minimum(a, b).max()) if a.numel() else 0
    x = torch.arange(most + 1, dtype=torch.float64, device=a.device).expand(a.shape[0], -1)  # [B, K+1]
    possible = (x <= torch.minimum(a, b)) & (x >= a + b - n)
    x = torch.where(possible, x, (a + b - n).clamp(min=0))  # any possible one, so that no logarithm is of nothing
    likelihood = (_log_choose(a, x) + _log_choose(n - a, b - x) - _log_choose(n, b)).exp()
    return (torch.where(possible, likelihood, torch.zeros_like(x)) * x / (a + b - x)).sum(1)


def _log_choose(n: Tensor, k: Tensor) -> Tensor:
    return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)


def _check_alike(before: Tensor, after: Tensor) -> None:
    if before.shape != after.shape or before.dim() != 2:
        raise ValueError(f"predictions must both be [B, C], got {tuple(before.shape)} and {tuple(after.shape)}")
