"""What a predictor predicts: the kind of target, its names, its loss and its probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


class Task:
    """Single-label classification.

    Args:
        labels: class names; class index is the position.

    Raises:
        ValueError: fewer than two names, or one twice.
    """

    def __init__(self, *, labels: Sequence[str]) -> None:
        if len(labels) < 2 or len(set(labels)) != len(labels):
            raise ValueError(f"'labels' must be at least two different names, got {list(labels)}")
        self.labels = tuple(labels)

    @property
    def outputs(self) -> int:
        """Numbers that a predictor returns for an example, C."""
        return len(self.labels)

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy of each example: ``[B, C], [B] → [B]``."""
        return F.cross_entropy(logits, y, reduction="none")

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over classes: ``[B, C] → [B, C]``."""
        return logits.softmax(-1)
