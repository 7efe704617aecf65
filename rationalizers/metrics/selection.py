"""What a selection looks like: how much, in how many pieces."""

from __future__ import annotations

import torch
from torch import Tensor

from rationalizers.batch import Batch
from rationalizers.metrics.plausibility import RationaleMetric, ratio
from rationalizers.rationale import Rationale
from rationalizers.segment import segment_runs, segment_sum


class Selection(RationaleMetric):
    """Mean over examples of the selected share and of the number of runs, and how many examples select nothing.

    Args:
        soft: also tell the mean of the mask, where it is not 0 or 1.
    """

    needs = ()
    share: Tensor
    mass: Tensor
    runs: Tensor
    ordered: Tensor
    empty: Tensor
    examples: Tensor

    def __init__(self, *, soft: bool = False) -> None:
        super().__init__()
        self.soft = soft
        self._sums("share", "mass", "runs", "ordered", "empty", "examples")

    def update(self, rationale: Rationale, batch: Batch) -> None:
        """Measure every example."""
        chosen = rationale.selected
        size = segment_sum(chosen.double(), rationale.ptr)
        self._add(
            share=(size / rationale.selectable_size().clamp(min=1)).sum(),
            mass=rationale.share().sum(),
            empty=(size == 0).sum(),
            examples=torch.tensor(float(size.numel())),
        )
        if batch.spans is not None:  # units have an order
            runs = segment_runs(chosen, rationale.ptr).shape[0]
            self._add(runs=torch.tensor(float(runs)), ordered=torch.tensor(float(size.numel())))

    def compute(self) -> dict[str, Tensor]:
        """``selected_share``, ``empty_share``, ``runs`` where units have an order, and ``mean_mask`` of soft masks."""
        return {
            "selected_share": ratio(self.share, self.examples),
            **({"runs": ratio(self.runs, self.ordered)} if bool(self.ordered > 0) else {}),
            "empty_share": ratio(self.empty, self.examples),
            **({"mean_mask": ratio(self.mass, self.examples)} if self.soft else {}),
        }
