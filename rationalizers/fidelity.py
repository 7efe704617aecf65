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
from dataclasses import dataclass

import torch
from torch import Tensor

from rationalizers.base import Rationalizer
from rationalizers.batch import Batch
from rationalizers.copies import Copies, check_asked, predict
from rationalizers.kernels.perturb import perturb
from rationalizers.rationale import Rationale
from rationalizers.segment import offsets, segment_rank
from rationalizers.task import Classification, Regression, Task

# Sizes of ERASER.
FRACTIONS = (0.01, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class Removal:
    """Predictions, as `Task.predict` has them, on whole inputs and on parts of them.

    Args:
        whole: on everything ``[B, C]``.
        without: without the selection ``[B, C]``.
        alone: on the selection alone ``[B, C]``.
        without_at: without the best-scored share of each fraction ``[F, B, C]``.
        alone_at: on that share alone ``[F, B, C]``.
    """

    whole: Tensor
    without: Tensor
    alone: Tensor
    without_at: Tensor
    alone_at: Tensor


def removal(
    model: Rationalizer,
    batch: Batch,
    rationale: Rationale,
    *,
    fractions: Sequence[float] = FRACTIONS,
    absence: str = "compact",
    units: int = 65_536,
) -> Removal:
    """What a model predicts when the rationale is taken away or left alone, at its own size and at others.

    Its own size is that of the units with mask above one half. For a fraction f of the n selectable units of an example, the top
    are the k = max(1, round(f · n)) with the largest scores, ties in order of position (`rationalizers.kernels.perturb`): single
    units, whatever the rationale was selected by. All copies of all examples go through the model together, sorted by length
    (`rationalizers.copies`).

    Args:
        model: in evaluation mode.
        batch: the examples.
        rationale: of the model, or of anything else.
        fractions: in [0, 1]; may be none.
        absence: what absent means.
        units: how many may be read in one pass.

    Raises:
        ValueError: the model is in training mode, ``absence`` is unknown, a fraction is outside [0, 1], or ``units`` is not
            positive.
    """
    check_asked(model, absence=absence, units=units)
    _check_fractions(fractions)
    selected = rationale.selected
    whole, without, alone, *at = _predictions(
        model,
        batch,
        [torch.ones_like(selected), ~selected, selected],
        rationale.scores,
        fractions=fractions,
        absence=absence,
        units=units,
    )
    sizes = torch.stack(at) if at else whole.new_zeros(0, *whole.shape)
    return Removal(whole, without, alone, sizes[0::2], sizes[1::2])


def copies_at(scores: Tensor, batch: Batch, fractions: Sequence[float]) -> Copies:
    """Of each fraction, every example without its best-scored units, then every example with those alone.

    Args:
        scores: ``[N]``; those of fixed units do not count.
        batch: the examples.
        fractions: in [0, 1].
    """
    index, ptr = perturb(_ranks(scores, batch), batch.ptr, batch.fixed, fractions)
    return Copies(index, ptr, torch.arange(ptr.numel() - 1, device=ptr.device) % max(1, batch.ptr.numel() - 1))


def fallen(task: Task, whole: Tensor, changed: Tensor, *, said: Tensor | None = None) -> Tensor:
    """How far the prediction on the whole input falls, per example.

    Args:
        task: of classes the probability of the predicted one falls; numbers change, in absolute terms; of yes-or-no questions
            the probability of the answer that was given falls. Several targets are averaged.
        whole: predictions ``[B, C]``.
        changed: predictions ``[…, B, C]``.
        said: predictions ``[B, C]`` that tell which class, or which answer, is meant, such as those of a deployed rationalizer,
            which are not always those on the whole input; ``None`` is ``whole``.

    Returns:
        ``[…, B]``.
    """
    said = whole if said is None else said
    if isinstance(task, Classification):
        predicted = said.argmax(-1, keepdim=True).expand(*changed.shape[:-1], 1)
        return (whole - changed).gather(-1, predicted)[..., 0]
    if isinstance(task, Regression):
        return (whole - changed).abs().mean(-1)
    return torch.where(said > 0.5, whole - changed, changed - whole).mean(-1)


def fidelity(model: Rationalizer, explained: Iterable[tuple[Batch, Rationale]], *, absence: str = "compact") -> dict[str, float]:
    """``fidelity_plus`` and ``fidelity_minus`` of rationales, their own or another's; units with mask above one half count.

    Args:
        model: in evaluation mode.
        explained: batches with their rationales.
        absence: what absent means.

    Returns:
        means over examples; NaN without any. With several targets, each counts and an example has their mean.

    Raises:
        ValueError: as `removal`.
    """
    check_asked(model, absence=absence, units=1)
    found = [removal(model, batch, rationale, fractions=(), absence=absence) for batch, rationale in explained]
    return {
        "fidelity_plus": _mean([fallen(model.task, each.whole, each.without) for each in found]),
        "fidelity_minus": _mean([fallen(model.task, each.whole, each.alone) for each in found]),
    }


def aopc(
    model: Rationalizer,
    explained: Iterable[tuple[Batch, Rationale]],
    *,
    fractions: Sequence[float] = FRACTIONS,
    absence: str = "compact",
    units: int = 65_536,
) -> dict[str, float]:
    """``comprehensiveness_aopc`` and ``sufficiency_aopc`` of rationales by their scores; their masks do not count.

    Args:
        model: in evaluation mode.
        explained: batches with their rationales.
        fractions: in [0, 1], at least one.
        absence: what absent means.
        units: how many may be read in one pass.

    Returns:
        means over examples and fractions; NaN without examples. With several targets, each counts and an example has their mean.

    Raises:
        ValueError: as `removal`, or there is no fraction.
    """
    check_asked(model, absence=absence, units=units)
    _check_fractions(fractions)
    if not fractions:
        raise ValueError("'fractions' must be at least one number in [0, 1], got none")
    without, alone = [], []
    for batch, rationale in explained:
        ones = torch.ones_like(batch.fixed)
        whole, *at = _predictions(model, batch, [ones], rationale.scores, fractions=fractions, absence=absence, units=units)
        fall = fallen(model.task, whole, torch.stack(at))  # [2·F, B], erased before kept
        without.append(fall[0::2].mean(0))
        alone.append(fall[1::2].mean(0))
    return {"comprehensiveness_aopc": _mean(without), "sufficiency_aopc": _mean(alone)}


def _check_fractions(fractions: Sequence[float]) -> None:
    if not all(0 <= fraction <= 1 for fraction in fractions):
        raise ValueError(f"'fractions' must be numbers in [0, 1], got {list(fractions)}")


def _predictions(
    model: Rationalizer,
    batch: Batch,
    masks: Sequence[Tensor],
    scores: Tensor,
    *,
    fractions: Sequence[float],
    absence: str,
    units: int,
) -> tuple[Tensor, ...]:
    """Predictions ``[B, C]`` under each mask, then of each fraction without its top and with its top alone."""
    copies = [Copies.of_masks(torch.stack(list(masks)), batch)]
    if fractions:
        copies.append(copies_at(scores, batch, fractions))
    found = predict(model, batch, Copies.cat(copies), absence=absence, units=units)
    return found.view(len(masks) + 2 * len(fractions), batch.ptr.numel() - 1, found.shape[1]).unbind()


def _ranks(scores: Tensor, batch: Batch) -> Tensor:
    """Place of each selectable unit among those of its example, ``[N]``; 0 where fixed."""
    free = ~batch.fixed
    ranks = torch.zeros_like(scores, dtype=torch.long)
    # Among themselves: a fixed unit may have a score, and another one −∞.
    ranks[free] = segment_rank(scores[free], offsets(free.long())[batch.ptr])
    return ranks


def _mean(per_example: Sequence[Tensor]) -> float:
    return float(torch.cat(list(per_example)).double().mean()) if per_example else float("nan")
