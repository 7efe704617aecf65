"""Fidelity: what a prediction loses without its rationale, and what it keeps with nothing else, by forced masks.

    fidelity₊ = mean_b d_b(x, x − r)                      high: the prediction needs the rationale
    fidelity₋ = mean_b d_b(x, r)                          low: the rationale is enough
    comprehensiveness = mean_b mean_f d_b(x, x − r_f)     the first over sizes: r_f is the best-scored share f of the units
    sufficiency       = mean_b mean_f d_b(x, r_f)         the second over sizes

with d the fall of the probability of what was predicted on the whole input (Yuan et al., 2022, Explainability in Graph Neural
Networks, https://arxiv.org/abs/2012.15445), and for numbers the absolute change, in the unit of the data. PyG's ``fidelity``
multiplies node features by the mask, which no categorical atom survives, and knows neither numbers nor single logits; here what
is absent is absent as the model has it (`rationalizers.absence`).

The lower two are the areas over the perturbation curve (AOPC) of ERASER (DeYoung et al., 2020, https://arxiv.org/abs/1911.03429):
means over the given fractions, as its released scorer has them. The formula in the paper counts the empty rationale as one size
more; put 0 among the fractions for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from rationalizers.absence import check_absence
from rationalizers.base import Rationalizer
from rationalizers.batch import Batch, Positions
from rationalizers.kernels.perturb import perturb
from rationalizers.rationale import Rationale
from rationalizers.segment import offsets, owners, segment_rank
from rationalizers.task import Classification, Regression

# Sizes of ERASER.
FRACTIONS = (0.01, 0.05, 0.1, 0.2, 0.5)
# Absences of which nothing is left, so that a part is an example of its own; with the places of its units.
REMOVING: dict[str, Positions] = {"compact": "fresh", "remove": "kept"}


@torch.no_grad()
def fidelity(model: Rationalizer, explained: Iterable[tuple[Batch, Rationale]], *, absence: str = "compact") -> dict[str, float]:
    """``fidelity_plus`` and ``fidelity_minus`` of rationales, their own or another's; units with mask above one half count.

    Args:
        model: in evaluation mode.
        explained: batches with their rationales.
        absence: what absent means.

    Returns:
        means over examples; NaN without any. With several targets, each counts and an example has their mean.

    Raises:
        ValueError: the model is in training mode, or ``absence`` is unknown.
    """
    check_absence(absence)
    if model.training:
        raise ValueError("fidelity is measured in evaluation mode; call model.eval() first")
    plus = minus = 0.0
    count = 0
    for batch, rationale in explained:
        kept = rationale.selected.float()
        whole, without, alone = (
            model.task.predict(model.logits(batch, mask, absence=absence)) for mask in (torch.ones_like(kept), 1 - kept, kept)
        )
        plus += float(_fall(model, whole, without).sum())
        minus += float(_fall(model, whole, alone).sum())
        count += whole.shape[0]
    examples = count or float("nan")
    return {"fidelity_plus": plus / examples, "fidelity_minus": minus / examples}


@torch.no_grad()
def aopc(
    model: Rationalizer,
    explained: Iterable[tuple[Batch, Rationale]],
    *,
    fractions: Sequence[float] = FRACTIONS,
    absence: str = "compact",
    units: int = 65_536,
) -> dict[str, float]:
    """``comprehensiveness_aopc`` and ``sufficiency_aopc`` of rationales by their scores; their masks do not count.

    For a fraction f of the n selectable units of an example, its top are the k = max(1, round(f · n)) with the largest scores,
    ties in order of position (`rationalizers.kernels.perturb`): single units, whatever the rationale was selected by.

    Args:
        model: in evaluation mode.
        explained: batches with their rationales.
        fractions: in [0, 1], at least one.
        absence: what absent means. Where units are removed, all parts of a batch are read in one pass; else in one for each
            fraction and side.
        units: how many may be read in one pass, else the fractions of a batch are divided, at least one at a time.

    Returns:
        means over examples and fractions; NaN without examples. With several targets, each counts and an example has their mean.

    Raises:
        ValueError: the model is in training mode, ``absence`` is unknown, there is no fraction or one outside [0, 1], or
            ``units`` is not positive.
    """
    check_absence(absence)
    if model.training:
        raise ValueError("fidelity is measured in evaluation mode; call model.eval() first")
    if not fractions or not all(0 <= fraction <= 1 for fraction in fractions):
        raise ValueError(f"'fractions' must be at least one number in [0, 1], got {list(fractions)}")
    if units < 1:
        raise ValueError(f"'units' must be positive, got {units}")
    fallen = torch.zeros(2, dtype=torch.float64)  # without the top, with the top alone
    count = 0
    for batch, rationale in explained:
        ones = torch.ones_like(rationale.mask, dtype=torch.float)
        whole = model.task.predict(model.logits(batch, ones, absence=absence))
        ranks, always = _ranks(rationale.scores, batch), int(batch.fixed.sum())
        at_once = max(1, units // max(1, ones.shape[0] + always))
        for first in range(0, len(fractions), at_once):
            some = fractions[first : first + at_once]
            index, ptr = perturb(ranks, batch.ptr, batch.fixed, some, fixed_count=always)
            parts = model.task.predict(_logits(model, batch, index, ptr, absence=absence))
            fall = _fall(model, whole.repeat(2 * len(some), 1), parts)  # [2·F·B]
            fallen += fall.view(len(some), 2, whole.shape[0]).sum((0, 2)).cpu()
        count += whole.shape[0]
    without, alone = (fallen / (len(fractions) * (count or float("nan")))).tolist()
    return {"comprehensiveness_aopc": without, "sufficiency_aopc": alone}


def _ranks(scores: Tensor, batch: Batch) -> Tensor:
    """Place of each selectable unit among those of its example, ``[N]``; 0 where fixed."""
    free = ~batch.fixed
    ranks = torch.zeros_like(scores, dtype=torch.long)
    # Among themselves: a fixed unit may have a score, and another one −∞.
    ranks[free] = segment_rank(scores[free], offsets(free.long())[batch.ptr])
    return ranks


def _logits(model: Rationalizer, batch: Batch, index: Tensor, ptr: Tensor, *, absence: str) -> Tensor:
    """Predictions ``[c·B, C]`` from c parts of each example; in one pass where absent units leave nothing behind."""
    if absence in REMOVING:
        parts = batch.gather(index, ptr, positions=REMOVING[absence])
        return model.logits(parts, torch.ones_like(index, dtype=torch.float), absence=absence)
    examples = max(1, batch.ptr.numel() - 1)
    masks = torch.zeros((ptr.numel() - 1) // examples, batch.units.shape[0], device=index.device)  # [c, N]
    masks[owners(ptr, index.shape[0]) // examples, index] = 1
    return torch.cat([model.logits(batch, mask, absence=absence) for mask in masks])


def _fall(model: Rationalizer, whole: Tensor, changed: Tensor) -> Tensor:
    """How far the prediction on the whole input falls, per example ``[B]``."""
    if isinstance(model.task, Classification):
        predicted = whole.argmax(-1, keepdim=True)
        return (whole - changed).gather(1, predicted)[:, 0]
    if isinstance(model.task, Regression):
        return (whole - changed).abs().mean(1)
    # The probability of the answer that was given, yes or no.
    return torch.where(whole > 0.5, whole - changed, changed - whole).mean(1)
