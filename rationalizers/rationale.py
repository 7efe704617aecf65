"""A rationale: which units of each example a prediction rests on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from rationalizers.kernels.segment_topk import segment_topk
from rationalizers.segment import lengths, neighbours, owners, segment_runs, segment_sum, segment_transitions

Level = Literal["unit", "word", "sentence"]
LEVELS: tuple[str, ...] = get_args(Level)


def check_level(level: str) -> None:
    """Raise unless ``level`` is one of the vocabulary."""
    if level not in LEVELS:
        raise ValueError(f"'level' must be one of {', '.join(LEVELS)}; got {level!r}")


@dataclass(frozen=True)
class Rationale:
    """A selection over packed units; selectors, attributions and people all produce it.

    Units that are fixed in the batch (always visible, never selectable) carry mask 0 and score −∞.

    Args:
        scores: before thresholding ``[N]``, larger is more important.
        mask: in [0, 1], ``[N]``; soft in training, 0 or 1 in evaluation.
        ptr: offsets ``[B+1]``.
        level: what was selected as a whole: single units, words, or sentences. Floors select the same, and metrics count
            words, or single units where those were selected.

    Raises:
        ValueError: shapes that do not fit each other, or an unknown level.
    """

    scores: Tensor
    mask: Tensor
    ptr: Tensor
    level: str = "unit"

    def __post_init__(self) -> None:
        check_level(self.level)
        if self.mask.dim() != 1 or self.scores.shape != self.mask.shape:
            raise ValueError(f"'scores' and 'mask' must both be [N], got {tuple(self.scores.shape)} and {tuple(self.mask.shape)}")
        if self.ptr.dim() != 1 or self.ptr.numel() < 1:
            raise ValueError(f"'ptr' must be [B+1], got {tuple(self.ptr.shape)}")

    @property
    def selectable(self) -> Tensor:
        """Units that could have been selected, ``[N]`` bool."""
        return self.scores > -torch.inf

    @property
    def selected(self) -> Tensor:
        """Units with mask above one half, ``[N]`` bool."""
        return self.mask > 0.5

    def complement(self) -> Rationale:
        """The rest of the selectable units: mask 1 − m; applied twice it is the identity."""
        mask = torch.where(self.selectable, 1 - self.mask, self.mask)
        return replace(self, mask=mask)

    def size(self) -> Tensor:
        """Selected mass of each example, Σ_t m_t, ``[B]``."""
        return segment_sum(self.mask, self.ptr)

    def selectable_size(self) -> Tensor:
        """Selectable units of each example, ``[B]``."""
        return segment_sum(self.selectable.to(self.mask.dtype), self.ptr)

    def share(self) -> Tensor:
        """Selected mass over selectable units, ``[B]``; zero where nothing is selectable."""
        return self.size() / self.selectable_size().clamp(min=1)

    def transitions(self) -> Tensor:
        """Mean change between selectable neighbours, Σ_t |m_t − m_t−1| / pairs, ``[B]``; zero where there is no pair."""
        pair = neighbours(self.selectable, self.ptr)
        changes = segment_transitions(self.mask, self.ptr) * pair  # [N]
        return segment_sum(changes, self.ptr) / segment_sum(pair.to(changes.dtype), self.ptr).clamp(min=1)

    def spans(self) -> Tensor:
        """Maximal selected runs, ``[R, 3]`` = example, start, end, in units from the start of the example."""
        runs = segment_runs(self.selected, self.ptr)
        example = owners(self.ptr, self.mask.shape[0])[runs[:, 0]]
        return torch.cat([example[:, None], runs - self.ptr[example][:, None]], dim=1)

    def topk(self, k: Tensor) -> Rationale:
        """The k best-scored selectable units of each example, ties in order of position.

        The mask is hard and passes its gradient straight to the scores (`rationalizers.kernels.segment_topk`).

        Args:
            k: count of each example ``[B]``; where it exceeds the selectable units, all of those are taken.

        Raises:
            ValueError: ``k`` is not ``[B]``.
        """
        if k.shape != lengths(self.ptr).shape:
            raise ValueError(f"'k' must be [B={self.ptr.numel() - 1}], got {tuple(k.shape)}")
        return replace(self, mask=segment_topk(self.scores, self.ptr, k).to(self.mask.dtype))

    def detach(self) -> Rationale:
        """The same rationale without gradient."""
        return replace(self, scores=self.scores.detach(), mask=self.mask.detach())


def select_all(batch_fixed: Tensor, ptr: Tensor) -> Rationale:
    """Every selectable unit, all with the same score."""
    mask = (~batch_fixed).float()
    return Rationale(scores=mask.new_zeros(mask.shape).masked_fill(batch_fixed, -torch.inf), mask=mask, ptr=ptr)
