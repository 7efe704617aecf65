"""The entries of a grid of predictions: which of them count, their loss, and its gradient.

Row i of a grid is a rationale with its targets, column j an environment; entry (i, j, t) is target t of their prediction. It
counts if target t of row i is known and the pair (i, j) takes part.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

CRITERIA = ("binary_cross_entropy", "squared_error", "cross_entropy")


def check_grid(
    a: Tensor, b: Tensor, targets: Tensor, *, outputs: int, criterion: str, environments: Tensor | None, others_only: bool
) -> Tensor | None:
    """Refuse rows and columns that make no grid; return the ``environments [K]`` to leave out where a row is its own, if any.

    Raises:
        TypeError: ``a`` or ``b`` is not floating, or targets or environments are of the wrong kind.
        ValueError: the shapes do not fit, an unknown criterion, or ``others_only`` without knowing where columns come from.
    """
    if criterion not in CRITERIA:
        raise ValueError(f"'criterion' must be one of {', '.join(CRITERIA)}; got {criterion!r}")
    for name, tensor in (("a", a), ("b", b)):
        if not tensor.is_floating_point():
            raise TypeError(f"'{name}' must be floating, got {tensor.dtype}; convert it with .float()")
    if a.dim() != 2 or b.dim() != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"'a' and 'b' must be [B, H] and [K, H], got {tuple(a.shape)} and {tuple(b.shape)}; fold the first layer into both"
        )
    classes = criterion == "cross_entropy"
    shape = (a.shape[0],) if classes else (a.shape[0], outputs)
    if targets.shape != shape:
        raise ValueError(f"'targets' must be {list(shape)} for {criterion}, got {list(targets.shape)}; one row per row of 'a'")
    if targets.is_floating_point() == classes or (classes and targets.dtype != torch.int64):
        kind = "int64 class indices" if classes else "floating"
        raise TypeError(f"'targets' must be {kind} for {criterion}, got {targets.dtype}; convert them")
    if environments is not None and (environments.shape != b.shape[:1] or environments.dtype != torch.int64):
        raise ValueError(
            f"'environments' must be int64 [{b.shape[0]}], the row that each row of 'b' comes from; "
            f"got {environments.dtype} {tuple(environments.shape)}"
        )
    if not others_only:
        return None
    if environments is not None:
        return environments
    if a.shape[0] != b.shape[0]:
        raise ValueError(
            f"'others_only' with {b.shape[0]} columns of {a.shape[0]} rows needs 'environments': where they come from"
        )
    return torch.arange(a.shape[0], device=a.device)


def partners(rows: int, columns: int, *, environments: Tensor | None, device: torch.device) -> Tensor:
    """Pairs that each row takes part in ``[B]``: all columns, or with ``environments [K]`` those that come from other rows.

    Raises:
        ValueError: an environment is none of the rows.
    """
    count = torch.full((rows,), columns, device=device)
    if environments is None:
        return count
    if environments.numel() and not 0 <= int(environments.min()) <= int(environments.max()) < rows:
        raise ValueError(f"'environments' must be rows from 0 to {rows - 1}, got {environments.tolist()}; count within the batch")
    return count.index_add(0, environments, torch.full_like(environments, -1))


def mean_loss(logits: Tensor, targets: Tensor, *, criterion: str, environments: Tensor | None) -> Tensor:
    """Mean loss of the entries of a whole grid that count, zero if none does: the definition that blocks are compared with.

    Args:
        logits: ``[B, K, T]``.
        targets: ``[B, T]``, NaN where unknown; ``[B]`` class indices for ``cross_entropy``.
        criterion: one of `CRITERIA`.
        environments: ``[K]`` rows that the columns come from, to leave out pairs of a row with itself, or ``None``.
    """
    rows = torch.arange(logits.shape[0], device=logits.device)[:, None, None]
    takes_part = torch.ones_like(rows, dtype=torch.bool) if environments is None else environments[:, None] != rows
    if criterion == "cross_entropy":
        every = targets[:, None].expand(logits.shape[:2])  # [B, K]
        loss = F.cross_entropy(logits.movedim(-1, 1), every, reduction="none")[..., None]
        counts = takes_part.expand_as(loss)
    else:
        labelled = ~targets.isnan()[:, None]
        every = torch.where(labelled, targets[:, None], 0).to(logits.dtype).expand_as(logits)
        counts = (takes_part & labelled).expand_as(logits)
        pointwise = F.mse_loss if criterion == "squared_error" else F.binary_cross_entropy_with_logits
        loss = pointwise(logits, every, reduction="none")
    return torch.where(counts, loss, torch.zeros_like(loss)).sum() / counts.sum().clamp(min=1)


@dataclass(frozen=True)
class GridEntries:
    """Targets of the rows and the share of an entry in the mean loss, for a grid that is never there as a whole.

    Attributes:
        criterion: one of `CRITERIA`.
        targets: ``[B, T]`` with zeros where unknown; ``[B, 1]`` class indices for ``cross_entropy``.
        share: ``[B, T]`` or ``[B, 1]``, one over the number of entries that count; zero where the target is unknown.
        environments: ``[K]`` rows that the columns come from, if pairs of a row with itself are left out, else ``None``.
    """

    criterion: str
    targets: Tensor
    share: Tensor
    environments: Tensor | None

    @classmethod
    def of(
        cls, criterion: str, targets: Tensor, *, columns: int, environments: Tensor | None, outputs: int, wide: torch.dtype
    ) -> GridEntries:
        """Count the entries of a grid with ``columns`` K and ``outputs`` T; ``wide`` is the precision of the loss.

        Raises:
            ValueError: a class index without a logit, or an environment that is none of the rows.
        """
        rows = targets.shape[0]
        if criterion == "cross_entropy":
            if rows and not 0 <= int(targets.min()) <= int(targets.max()) < outputs:
                raise ValueError(
                    f"'targets' must be classes from 0 to {outputs - 1}, got {sorted(set(targets.tolist()))}; drop others"
                )
            targets, labelled = targets[:, None], targets.new_ones(rows, 1, dtype=torch.bool)
        else:
            labelled = ~targets.isnan()
            targets = torch.where(labelled, targets, torch.zeros_like(targets)).to(wide)
        taking_part = partners(rows, columns, environments=environments, device=targets.device)
        count = (labelled.sum(1) * taking_part).sum().clamp(min=1)
        return cls(criterion, targets, labelled.to(wide) / count, environments)

    def loss(self, logits: Tensor, rows: range) -> tuple[Tensor, Tensor]:
        """What ``rows`` with ``logits [R, K, T]`` add to the mean loss, and the share of each of their entries.

        The shares are ``[R, 1, T]`` or ``[R, K, T]``, with one instead of T for ``cross_entropy``.
        """
        targets, share = self.targets[rows.start : rows.stop, None], self.share[rows.start : rows.stop, None]  # [R, 1, T]
        if self.environments is not None:
            row = torch.arange(rows.start, rows.stop, device=logits.device)
            share = share * (self.environments != row[:, None])[:, :, None]  # [R, K, T]
        if self.criterion == "cross_entropy":
            loss = logits.logsumexp(-1, keepdim=True) - logits.gather(-1, targets.expand(-1, logits.shape[1], -1))
        elif self.criterion == "binary_cross_entropy":
            loss = F.binary_cross_entropy_with_logits(logits, targets.expand_as(logits), reduction="none")
        else:
            loss = (logits - targets).square()
        return loss.mul_(share).sum(), share

    def gradient(self, logits: Tensor, share: Tensor, rows: range) -> Tensor:
        """Gradient ``[R, K, T]`` of the mean loss for the logits of ``rows``, whose entries have ``share``."""
        targets = self.targets[rows.start : rows.stop, None]  # [R, 1, T]
        if self.criterion == "cross_entropy":
            index = targets.expand(-1, logits.shape[1], -1)
            gradient = logits.softmax(-1)
            gradient.scatter_add_(-1, index, gradient.new_full((1, 1, 1), -1.0).expand(index.shape))
        elif self.criterion == "binary_cross_entropy":
            gradient = logits.sigmoid().sub_(targets)
        else:
            gradient = (logits - targets).mul_(2)
        return gradient.mul_(share)
