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
from rationalizers.metrics.areas import areas, average_precision
from rationalizers.metrics.averages import SUMS, f1, macro, macro_of_means, micro, named, ratio, sums, zeros
from rationalizers.metrics.eraser import check_parity, check_thresholds
from rationalizers.metrics.spans import best_iou, count, distinct, met
from rationalizers.rationale import Rationale
from rationalizers.segment import segment_sum

__all__ = [
    "RationaleMetric",
    "SpanF1",
    "TokenAUPRC",
    "TokenF1",
    "average_precision",
    "best_iou",
    "counted",
    "f1",
    "ratio",
    "with_evidence",
]


def with_evidence(rationale: Rationale, batch: Batch) -> tuple[Tensor, Tensor]:
    """The human mask on selectable units ``[N]`` bool, and which examples have any ``[B]`` bool."""
    truth = batch.fields["evidence"].bool() & rationale.selectable
    return truth, batch.annotated & (segment_sum(truth.long(), rationale.ptr) > 0)


def counted(rationale: Rationale, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How many units of each example are selected evidence, selected, and evidence, ``[B]`` float64 each.

    Args:
        rationale: units with mask above one half are selected.
        truth: evidence among the selectable units ``[N]`` bool.
    """
    chosen = rationale.selected & rationale.selectable
    hits, selected, gold = (segment_sum(mask.double(), rationale.ptr) for mask in (truth & chosen, chosen, truth))
    return hits, selected, gold


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
        parity: with ``eraser``, examples without evidence count where units are selected, as precision 0.

    Raises:
        ValueError: an unknown ``parity``.
    """

    higher_is_better = True
    skipped: Tensor

    def __init__(self, *, prefix: str = "token", parity: str | None = None) -> None:
        super().__init__()
        check_parity(parity)
        self.prefix, self.parity = prefix, parity
        self._sums(*SUMS, "skipped")

    def update(self, rationale: Rationale, batch: Batch) -> None:
        """Count hits, selected and gold units of every example."""
        truth, known = with_evidence(rationale, batch)
        hits, selected, gold = counted(rationale, truth)
        counts = (selected > 0) | (gold > 0) if self.parity else known
        self._add(**sums(hits, selected, hits, gold, precise=counts, recalled=counts), skipped=(~known).sum())

    def compute(self) -> dict[str, Tensor]:
        """``<prefix>_{precision,recall,f1}`` micro, the same with ``_macro``, and ``examples_without_evidence``."""
        of = {name: getattr(self, name) for name in SUMS}
        numbers = named(self.prefix, micro(of)) | named(self.prefix, macro(of), suffix="_macro")
        return numbers | {"examples_without_evidence": self.skipped}


class SpanF1(RationaleMetric):
    """F1 of whole spans: exact, and by intersection over union at thresholds τ.

    Precision is the share of predicted runs, recall the share of distinct human spans, whose best IoU with the other side is at
    least τ; averaged over examples, then combined to F1 as ERASER does. ERASER's own recall counts predicted runs instead, and
    can exceed 1 when two runs meet one span; this one cannot. Exact spans are τ = 1.

    Args:
        thresholds: τ in (0, 1].
        parity: with ``eraser``, recall as said; precision is averaged over examples with a predicted run, recall over those with
            evidence; and ``exact_f1`` is the mean of the F1 of each example with either.

    Raises:
        ValueError: a threshold outside (0, 1], or an unknown ``parity``.
    """

    needs = ("evidence", "spans")
    higher_is_better = True

    def __init__(self, thresholds: Sequence[float] = (0.1, 0.5), *, parity: str | None = None) -> None:
        super().__init__()
        check_thresholds(thresholds)
        check_parity(parity)
        self.thresholds, self.parity = (*thresholds, 1.0), parity
        for name, zero in zeros((len(self.thresholds),)).items():
            self.add_state(name, zero, dist_reduce_fx="sum")

    def update(self, rationale: Rationale, batch: Batch) -> None:
        """Match the runs of every example with its spans."""
        assert batch.spans is not None
        _, known = with_evidence(rationale, batch)
        # A span of fixed units only cannot be found.
        free = torch.nn.functional.pad(rationale.selectable.long().cumsum(0), (1, 0))
        start, end = (batch.spans[:, i] + rationale.ptr[batch.spans[:, 0]] for i in (1, 2))
        predicted, gold = rationale.spans(), distinct(batch.spans[free[end] > free[start], :3])
        limits = torch.tensor(self.thresholds, dtype=torch.float64, device=gold.device)
        hits, found = met(predicted, gold, rationale.ptr, limits)  # [B, T]
        a, b = (count(spans, len(hits))[:, None].expand_as(hits) for spans in (predicted, gold))
        precise, recalled = (a[:, 0] > 0, b[:, 0] > 0) if self.parity else (known, known)
        self._add(**sums(hits, a, hits if self.parity else found, b, precise=precise, recalled=recalled))

    def compute(self) -> dict[str, Tensor]:
        """``iou_f1@τ`` for every threshold and ``exact_f1``, macro."""
        of = {name: getattr(self, name) for name in SUMS}
        *values, exact = macro_of_means(of)[2]
        names = [f"iou_f1@{threshold:g}" for threshold in self.thresholds[:-1]]
        return dict(zip(names, values, strict=True)) | {"exact_f1": macro(of)[2][-1] if self.parity else exact}


class TokenAUPRC(RationaleMetric):
    """Average precision of the scores within each example, mean over examples that have both kinds of unit.

    AP = Σ_k (R_k − R_{k−1}) P_k over distinct scores. ERASER reports the trapezoidal area instead, which rewards ties (constant
    scores on 50 % positives get .75 there and .50 here), and counts examples with one kind of unit.

    Args:
        parity: with ``eraser``, as said there.

    Raises:
        ValueError: an unknown ``parity``.
    """

    higher_is_better = True
    area: Tensor
    examples: Tensor

    def __init__(self, *, parity: str | None = None) -> None:
        super().__init__()
        check_parity(parity)
        self.parity = parity
        self._sums("area", "examples")

    def update(self, rationale: Rationale, batch: Batch) -> None:
        """Rank the units of every example."""
        truth, known = with_evidence(rationale, batch)
        found = areas(rationale.scores, truth, rationale.ptr)
        other = segment_sum((rationale.selectable & ~truth).long(), rationale.ptr) > 0
        counts, area = (found.positive > 0) | other, found.trapezoid
        if self.parity is None:
            counts, area = known & other, found.average_precision
        self._add(area=area[counts].sum(), examples=counts.sum())

    def compute(self) -> dict[str, Tensor]:
        """``auprc``."""
        return {"auprc": ratio(self.area, self.examples)}
