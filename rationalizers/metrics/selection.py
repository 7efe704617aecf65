"""What a selection looks like: how much, in how many pieces."""

from __future__ import annotations

import torch
from torch import Tensor

from rationalizers.batch import Batch
from rationalizers.metrics.plausibility import RationaleMetric, ratio
from rationalizers.rationale import Rationale
from rationalizers.segment import segment_runs, segment_sum


class Selection(RationaleMetric):
    """Mean over examples of the selected share and of the number of runs, and how many examples select nothing."""

    needs = ()
    share: Tensor
    runs: Tensor
    empty: Tensor
    examples: Tensor

    def __init__(self) -> None:
        super().__init__()
        self._sums("share", "runs", "empty", "examples")

    def update(self, rationale: Rationale, batch: Batch) -> None:
        """Measure every example."""
        chosen = rationale.selected
        size = segment_sum(chosen.double(), rationale.ptr)
        self._add(
            share=(size / rationale.selectable_size().clamp(min=1)).sum(),
            runs=torch.tensor(float(segment_runs(chosen, rationale.ptr).shape[0])),
            empty=(size == 0).sum(),
            examples=torch.tensor(float(size.numel())),
        )

    def compute(self) -> dict[str, Tensor]:
        """``selected_share``, ``runs`` and ``empty_share``."""
        return {
            "selected_share": ratio(self.share, self.examples),
            "runs": ratio(self.runs, self.examples),
            "empty_share": ratio(self.empty, self.examples),
        }
