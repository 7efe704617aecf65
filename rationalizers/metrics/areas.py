"""Areas under the curves of a ranking within each document: average precision, the trapezoid, and the ROC curve.

All three need to know of each evidence unit only how many units, and how many of evidence, score above it and how many at least
as much: one sort of the scores, and searches for the evidence in it. Units with equal scores are reached together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rationalizers.segment import lengths

# Numbers sorted in one call: what stays in a processor's cache.
CHUNK = 1 << 18


@dataclass(frozen=True)
class Areas:
    """Areas of every document, each ``[D]`` in double precision.

    Args:
        positive: evidence units.
        negative: other units.
        average_precision: AP = Σ_k (R_k − R_{k−1}) P_k over distinct scores k, best first; zero without evidence.
        trapezoid: Σ_k (R_k − R_{k−1}) (P_k + P_{k−1}) / 2 with P_0 = 1: the area under scikit-learn's
            ``precision_recall_curve``, one half without evidence.
        roc_auc: probability that evidence scores above another unit, ties counting half; NaN where one kind is missing.
    """

    positive: Tensor
    negative: Tensor
    average_precision: Tensor
    trapezoid: Tensor
    roc_auc: Tensor


def areas(scores: Tensor, truth: Tensor, ptr: Tensor) -> Areas:
    """Areas under the curves of every document; empty documents have those of documents without evidence.

    Args:
        scores: larger is more important ``[N]``, no NaN; −∞ ranks last.
        truth: evidence ``[N]`` bool.
        ptr: offsets ``[D+1]``.
    """
    worse = -scores.detach()
    if worse.dtype not in (torch.float32, torch.float64):
        worse = worse.double()
    evidence = torch.nonzero(truth).flatten()
    inner = torch.searchsorted(evidence, ptr)  # [D+1], offsets of the evidence
    best, length, positive = worse[evidence], lengths(ptr), lengths(inner)
    found = worse.new_zeros(length.shape[0], 3, dtype=torch.float64)
    found[:, 1] = 0.5
    for rows in _alike(length, positive):
        found[rows] = _areas(_padded(worse, ptr, rows), _padded(best, inner, rows), length[rows], positive[rows])
    found[:, 2].masked_fill_((positive == 0) | (positive == length), torch.nan)
    return Areas(positive.double(), (length - positive).double(), *found.unbind(1))


def average_precision(scores: Tensor, truth: Tensor, ptr: Tensor) -> Tensor:
    """Average precision of each example ``[B]``, tied scores merged into one step; −∞ scores come last."""
    return areas(scores, truth, ptr).average_precision


def _areas(worse: Tensor, best: Tensor, length: Tensor, positive: Tensor) -> Tensor:
    """Areas ``[R, 3]`` from negated scores ``[R, L]`` and those of the evidence alone ``[R, M]``, ∞ after the last; M > 0."""
    worse, best = _sorted(worse), _sorted(best)
    above, hits_above = (torch.searchsorted(each, best).double() for each in (worse, best))  # [R, M]
    # Padding is as bad as −∞ may be, and does not count.
    reached, hits = (
        torch.minimum(torch.searchsorted(each, best, right=True), size[:, None]).double()
        for each, size in ((worse, length), (best, positive))
    )
    precision = hits / reached
    before = torch.where(above > 0, hits_above / above.clamp(min=1), 1.0)
    others = (length - positive).clamp(min=1)[:, None]
    # Other units that score above, and half of those that score the same.
    beaten = 1 - ((above - hits_above) + (reached - hits)) / 2 / others
    each = torch.stack([precision, (precision + before) / 2, beaten], dim=2)
    real = torch.arange(best.shape[1], device=best.device) < positive[:, None]
    return torch.where(real[..., None], each, 0.0).sum(1) / positive[:, None]


def _sorted(rows: Tensor) -> Tensor:
    """Each row in rising order."""
    if rows.is_cpu:  # NumPy sorts with vector instructions, some six times as fast
        return torch.from_numpy(np.sort(rows.numpy(), axis=1))
    return rows.sort(1).values


def _padded(x: Tensor, ptr: Tensor, rows: Tensor) -> Tensor:
    """Some segments as rows, ∞ after the last value of each: ``[N] → [R, longest]``."""
    start, size = ptr[rows], ptr[rows + 1] - ptr[rows]
    place = torch.arange(int(size.max()), device=x.device)
    index = (start[:, None] + place).clamp(max=x.shape[0] - 1)
    return torch.where(place < size[:, None], x[index], torch.inf)


def _alike(length: Tensor, positive: Tensor) -> Iterator[Tensor]:
    """Documents with evidence, of similar length, together: at most a quarter of padding, or little; at most `CHUNK` numbers."""
    rows = torch.nonzero(positive > 0).flatten()
    rows = rows[torch.argsort(length[rows])]
    sizes = length[rows].cpu()
    first = 0
    while first < sizes.shape[0]:
        some = sizes[first : first + max(1, CHUNK // int(sizes[first]))]
        filled = torch.arange(1, some.shape[0] + 1) * some
        fits = (filled <= CHUNK) & (filled <= (1.25 * some.cumsum(0)).clamp(min=CHUNK // 8))
        count = max(1, int(fits.long().cumprod(0).sum()))
        yield rows[first : first + count]
        first += count
