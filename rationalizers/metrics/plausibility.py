"""Plausibility: how well a rationale agrees with human evidence.

Definitions follow ERASER (DeYoung et al., 2020, https://arxiv.org/abs/1911.03429); deviations are named where they happen.
Everywhere: micro pools counts over all examples, macro averages over examples; fixed units do not count; examples whose evidence
is unknown or empty are left out (there is nothing to agree with) and counted in ``examples_without_evidence``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from rationalizers.batch import Batch
from rationalizers.rationale import Rationale
from rationalizers.segment import owners, segment_rank, segment_sum, starts


def f1(precision: Tensor, recall: Tensor) -> Tensor:
    """Harmonic mean, zero where both are zero."""
    return 2 * precision * recall / (precision + recall).clamp(min=1e-12)


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Divide, giving zero where there is no whole."""
    return part / whole.clamp(min=1e-12)


def with_evidence(rationale: Rationale, batch: Batch) -> tuple[Tensor, Tensor]:
    """The human mask on selectable units ``[N]`` bool, and which examples have any ``[B]`` bool."""
    truth = batch.fields["evidence"].bool() & rationale.selectable
    return truth, batch.annotated & (segment_sum(truth.long(), rationale.ptr) > 0)


class RationaleMetric(Metric):
    """A torchmetrics metric of rationales: ``update(rationale, batch)``, ``compute() → {name: number}``.

    Attributes:
        needs: what the batch must carry, ``evidence`` or ``spans``.
    """

    full_state_update = False
    needs: tuple[str, ...] = ("evidence",)

    def _sums(self, *names: str) -> None:
        for name in names:
            self.add_state(name, torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    def _add(self, **amounts: Tensor) -> None:
        for name, amount in amounts.items():
            setattr(self, name, getattr(self, name) + amount.to(torch.float64))


class TokenF1(RationaleMetric):
    """Precision, recall and F1 of single units, micro and macro (mean of the F1 of each example).

    Args:
        prefix: what the units are, for the names of the numbers.
    """

    higher_is_better = True
    hits: Tensor
    selected: Tensor
    gold: Tensor
    precision: Tensor
    recall: Tensor
    f1: Tensor
    examples: Tensor
    skipped: Tensor

    def __init__(self, *, prefix: str = "token") -> None:
        super().__init__()
        self.prefix = prefix
        self._sums("hits", "selected", "gold", "precision", "recall", "f1", "examples", "skipped")

    def update(self, rationale: Rationale, batch: Batch) -> None:
        """Count hits, selected and gold units of every example."""
        truth, known = with_evidence(rationale, batch)
        chosen = rationale.selected & rationale.selectable
        hits, selected, gold = (segment_sum(mask.double(), rationale.ptr)[known] for mask in (truth & chosen, chosen, truth))
        precision, recall = ratio(hits, selected), ratio(hits, gold)
        self._add(hits=hits.sum(), selected=selected.sum(), gold=gold.sum(), examples=known.sum(), skipped=(~known).sum())
        self._add(precision=precision.sum(), recall=recall.sum(), f1=f1(precision, recall).sum())

    def compute(self) -> dict[str, Tensor]:
        """``<prefix>_{precision,recall,f1}`` micro, the same with ``_macro``, and ``examples_without_evidence``."""
        precision, recall = ratio(self.hits, self.selected), ratio(self.hits, self.gold)
        return {
            f"{self.prefix}_precision": precision,
            f"{self.prefix}_recall": recall,
            f"{self.prefix}_f1": f1(precision, recall),
            f"{self.prefix}_precision_macro": ratio(self.precision, self.examples),
            f"{self.prefix}_recall_macro": ratio(self.recall, self.examples),
            f"{self.prefix}_f1_macro": ratio(self.f1, self.examples),
            "examples_without_evidence": self.skipped,
        }


class SpanF1(RationaleMetric):
    """F1 of whole spans: exact, and by intersection over union at thresholds τ.

    Precision is the share of predicted runs, recall the share of distinct human spans, whose best IoU with the other side is at
    least τ; averaged over examples, then combined to F1 as ERASER does. ERASER's own recall counts predicted runs instead, and
    can exceed 1 when two runs meet one span; this one cannot. Exact spans are τ = 1.

    Args:
        thresholds: τ in (0, 1].
    """

    needs = ("evidence", "spans")
    higher_is_better = True
    precision: Tensor
    recall: Tensor
    examples: Tensor

    def __init__(self, thresholds: Sequence[float] = (0.1, 0.5)) -> None:
        super().__init__()
        if not all(0 < threshold <= 1 for threshold in thresholds):
            raise ValueError(f"'thresholds' must lie in (0, 1], got {list(thresholds)}")
        self.thresholds = (*thresholds, 1.0)
        self._sums("examples")
        for name in ("precision", "recall"):
            self.add_state(name, torch.zeros(len(self.thresholds), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, rationale: Rationale, batch: Batch) -> None:
        """Match the runs of every example with its spans."""
        assert batch.spans is not None
        _, known = with_evidence(rationale, batch)
        # A span of fixed units only cannot be found.
        free = torch.nn.functional.pad(rationale.selectable.long().cumsum(0), (1, 0))
        start, end = (batch.spans[:, i] + rationale.ptr[batch.spans[:, 0]] for i in (1, 2))
        predicted, gold = rationale.spans(), torch.unique(batch.spans[free[end] > free[start], :3], dim=0)
        best_predicted, best_gold = best_iou(predicted, gold, rationale.ptr)
        limits = torch.tensor(self.thresholds, dtype=torch.float64, device=best_gold.device)
        count = rationale.ptr.numel() - 1
        for name, spans, best in (("precision", predicted, best_predicted), ("recall", gold, best_gold)):
            hit = (best[:, None] >= limits - 1e-12).double()  # [S, thresholds]
            passed = hit.new_zeros(count, hit.shape[1]).index_add(0, spans[:, 0], hit)
            total = torch.bincount(spans[:, 0], minlength=count).double()[:, None]
            self._add(**{name: ratio(passed, total)[known].sum(0)})
        self._add(examples=known.sum())

    def compute(self) -> dict[str, Tensor]:
        """``iou_f1@τ`` for every threshold and ``exact_f1``, macro."""
        precision, recall = ratio(self.precision, self.examples), ratio(self.recall, self.examples)
        names = [*(f"iou_f1@{threshold:g}" for threshold in self.thresholds[:-1]), "exact_f1"]
        return dict(zip(names, f1(precision, recall), strict=True))


def best_iou(predicted: Tensor, gold: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    """Best intersection over union of every interval with the other side in the same example.

    Args:
        predicted: ``[P, 3]`` = example, start, end.
        gold: ``[G, 3]`` likewise.
        ptr: offsets ``[B+1]``.

    Returns:
        best IoU of each predicted interval ``[P]`` and of each gold interval ``[G]``; zero without a partner.
    """
    # In coordinates of the whole batch, intervals of different examples cannot intersect.
    left, right = ((spans[:, 1:] + ptr[spans[:, 0]][:, None]).double() for spans in (predicted, gold))
    overlap = torch.minimum(left[:, None, 1], right[None, :, 1]) - torch.maximum(left[:, None, 0], right[None, :, 0])
    overlap = overlap.clamp(min=0)  # [P, G]
    union = (left[:, 1] - left[:, 0])[:, None] + (right[:, 1] - right[:, 0])[None] - overlap
    iou = torch.nn.functional.pad(overlap / union, (0, 1, 0, 1))  # a zero partner for those that have none
    return iou.amax(1)[:-1], iou.amax(0)[:-1]


class TokenAUPRC(RationaleMetric):
    """Average precision of the scores within each example, mean over examples that have both kinds of unit.

    AP = Σ_k (R_k − R_{k−1}) P_k over distinct scores. ERASER reports the trapezoidal area instead, which rewards ties (constant
    scores on 50 % positives get .75 there and .50 here), and counts examples with one kind of unit.
    """

    higher_is_better = True
    area: Tensor
    examples: Tensor

    def __init__(self) -> None:
        super().__init__()
        self._sums("area", "examples")

    def update(self, rationale: Rationale, batch: Batch) -> None:
        """Rank the units of every example."""
        truth, known = with_evidence(rationale, batch)
        known &= segment_sum((rationale.selectable & ~truth).long(), rationale.ptr) > 0
        area = average_precision(rationale.scores, truth, rationale.ptr)
        self._add(area=area[known].sum(), examples=known.sum())

    def compute(self) -> dict[str, Tensor]:
        """``auprc``."""
        return {"auprc": ratio(self.area, self.examples)}


def average_precision(scores: Tensor, truth: Tensor, ptr: Tensor) -> Tensor:
    """Average precision of each example ``[B]``, tied scores merged into one step; −∞ scores come last."""
    n = scores.shape[0]
    owner = owners(ptr, n)
    place = segment_rank(scores, ptr) + ptr[:-1][owner]
    order = torch.empty_like(place)
    order[place] = torch.arange(n, device=place.device)
    sorted_scores, hit = scores[order], truth[order].double()
    first = starts(ptr, n)
    before = torch.nn.functional.pad(hit.cumsum(0), (1, 0))
    found = before[1:] - before[ptr[:-1]][owner]  # hits down to this rank
    rank = torch.arange(1, n + 1, device=scores.device) - ptr[:-1][owner]
    # Units with equal scores are reached together, so all of them see the precision at the end of their tie.
    changes = torch.nn.functional.pad(sorted_scores[1:] != sorted_scores[:-1], (1, 0), value=True)[:n] | first
    tie = changes.long().cumsum(0) - 1
    last = torch.bincount(tie, minlength=1).cumsum(0) - 1 if n else tie
    precision = (found / rank)[last[tie]] if n else found
    return ratio(segment_sum(precision * hit, ptr), segment_sum(hit, ptr))
