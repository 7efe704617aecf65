"""Levels of selection: units, the words that they are pieces of, or the sentences that they lie in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rationalizers.batch import Batch, Packed
from rationalizers.rationale import Rationale, check_level
from rationalizers.segment import offsets, owners, segment_groups, segment_mean


@dataclass(frozen=True)
class Groups:
    """Units that are selected together, as a batch whose units are those groups.

    Args:
        owner: the group of each unit ``[N]``, counted over the whole batch.
        batch: one unit per group; a group is evidence if any of its units is, and fixed if all are.
        level: what the groups are.
    """

    owner: Tensor
    batch: Packed
    level: str

    def gather(self, rationale: Rationale) -> Rationale:
        """The rationale over groups: each has the largest mask and score of its units."""
        count = self.batch.units.shape[0]
        return Rationale(
            scores=_largest(rationale.scores, self.owner, count),
            mask=_largest(rationale.mask, self.owner, count),
            ptr=self.batch.ptr,
        )

    def spread(self, rationale: Rationale, batch: Batch) -> Rationale:
        """The rationale over units in which each selectable unit has the mask and score of its group."""
        return Rationale(
            scores=rationale.scores[self.owner].masked_fill(batch.fixed, -torch.inf),
            mask=rationale.mask[self.owner].masked_fill(batch.fixed, 0.0),
            ptr=batch.ptr,
            level=self.level,
        )

    def mean(self, x: Tensor, batch: Batch) -> Tensor:
        """Mean of ``x [N]`` over the selectable units of each group, zero where there are none."""
        # Groups lie one after the other, so they are segments of the selectable units.
        free = ~batch.fixed
        size = torch.bincount(self.owner[free], minlength=self.batch.units.shape[0])
        return segment_mean(x[free], offsets(size))


def group(batch: Batch, level: str) -> Groups:
    """The groups of a level: runs of equal ``fields[level]``; for ``unit``, and where units are words, every unit alone.

    Raises:
        ValueError: the batch does not say where its sentences are, or the level is unknown.
    """
    check_level(level)
    if level == "sentence" and "sentence" not in batch.fields:
        raise ValueError(
            f"selecting sentences needs batch.fields['sentence']; this batch has {', '.join(sorted(batch.fields)) or 'none'}"
        )
    n = batch.position.shape[0]
    every = torch.arange(n, device=batch.ptr.device)
    owner, ptr = segment_groups(batch.fields[level], batch.ptr) if level in batch.fields else (every, batch.ptr)
    count = int(ptr[-1])
    first = torch.full((count,), n, device=owner.device).scatter_reduce(0, owner, every, "amin")
    place = first - batch.ptr[:-1][owners(ptr, count)]
    spans = batch.spans
    if spans is not None:
        base, runs = batch.ptr[spans[:, 0]], ptr[spans[:, 0]]
        start, end = owner[base + spans[:, 1]] - runs, owner[base + spans[:, 2] - 1] + 1 - runs
        spans = torch.stack([spans[:, 0], start, end, spans[:, 3]], dim=1)
    fields = {}
    if "evidence" in batch.fields:
        fields["evidence"] = _largest(batch.fields["evidence"].long(), owner, count).bool()
    grouped = Packed(
        units=first,
        ptr=ptr,
        position=place,
        fixed=~_largest((~batch.fixed).long(), owner, count).bool(),
        fields=fields,
        labelled=batch.labelled,
        annotated=batch.annotated,
        spans=spans,  # type: ignore[arg-type]
        index=batch.index,
    )
    return Groups(owner=owner, batch=grouped, level=level)


def top_share(weights: Tensor, batch: Batch, *, share: float, level: str, lost: Tensor | None = None) -> Rationale:
    """The best groups of each example, as many as a share of its selectable ones: k = max(1, round(share · n)).

    A group's weight is the mean over its selectable units; scores are its logarithm. Groups without a selectable unit (the
    query, what was cut off) neither compete nor count. Rounding is half to even. The mask is hard and passes no gradient.

    Args:
        weights: non-negative, such as attention, ``[N]``.
        batch: the examples.
        share: in (0, 1].
        level: ``unit``, ``word`` or ``sentence``.
        lost: groups of each example that count in n and take their place in k, but are not there ``[B]``; ``None`` is none.
    """
    groups = group(batch, level)
    tiny = torch.finfo(weights.dtype).tiny
    scores = groups.mean(weights.detach(), batch).clamp(min=tiny).log().masked_fill(groups.batch.fixed, -torch.inf)
    ranked = Rationale(scores=scores, mask=torch.zeros_like(scores), ptr=groups.batch.ptr)
    absent = torch.zeros_like(batch.index) if lost is None else lost
    k = (share * (ranked.selectable_size() + absent)).round().clamp(min=1).long() - absent
    return groups.spread(ranked.topk(k), batch)


def _largest(x: Tensor, owner: Tensor, count: int) -> Tensor:
    """Largest value of each group; every group has a unit."""
    return x.new_zeros(count).scatter_reduce(0, owner, x, "amax", include_self=False)
