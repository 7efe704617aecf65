"""How well scores rank evidence, whatever is selected: ROC-AUC and precision at k, of nodes and of edges.

Conventions follow the graph literature: AUC over all units of a split at once (Miao et al., 2022, GSAT,
https://arxiv.org/abs/2201.12987) and within each example; precision at 5 (Wu et al., 2022, DIR,
https://arxiv.org/abs/2201.12872) and at the number of evidence units. Units with equal scores are taken in random order: the
numbers are what that gives on average. Where a data set names several equally valid sets of evidence
(``fields["alternatives"]``), each example counts with the one that its scores agree with best (Sanchez-Lengeling et al., 2020,
https://papers.nips.cc/paper/2020/hash/417fbbf2e9d5a28a855a11894b2e795a-Abstract.html).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.utilities.data import dim_zero_cat

from rationalizers.batch import Batch
from rationalizers.metrics.areas import areas
from rationalizers.metrics.plausibility import RationaleMetric, ratio
from rationalizers.rationale import Rationale
from rationalizers.segment import offsets, owners, segment_rank, segment_sum


class Ranking(RationaleMetric):
    """ROC-AUC and precision of the scores, over examples that have both evidence and other units.

    Args:
        prefix: what the units are, for the names of the numbers.
        k: of precision at k.

    Raises:
        ValueError: ``k`` below 1.
    """

    higher_is_better = True
    area: Tensor
    at_k: Tensor
    at_evidence: Tensor
    examples: Tensor
    ranked: list[Tensor]
    hits: list[Tensor]

    def __init__(self, *, prefix: str, k: int = 5) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"'k' must be at least 1, got {k}")
        self.prefix, self.k = prefix, k
        # A process that has no example fills in what it lacks in this type.
        self.set_dtype(torch.float64)
        for name in ("ranked", "hits"):
            self.add_state(name, [], dist_reduce_fx="cat")
        self._sums("area", "at_k", "at_evidence", "examples")

    def update(self, rationale: Rationale, batch: Batch) -> None:
        """Rank the units of every example."""
        truth = batch.fields["alternatives"] if "alternatives" in batch.fields else batch.fields["evidence"][:, None]
        self.add(rationale.scores, truth.bool(), rationale.ptr, batch.annotated)

    def add(self, scores: Tensor, truth: Tensor, ptr: Tensor, annotated: Tensor) -> None:
        """Rank by scores ``[N]`` (−∞: not to be ranked) against alternative truths ``[N, A]``."""
        counts = scores > -torch.inf
        truth = truth & counts[:, None]
        start, size = ties(scores, ptr)
        positive = segment_sum(truth.double(), ptr)  # [B, A]
        area = roc_auc(scores, truth, ptr)
        owner = owners(ptr, scores.shape[0])
        best = area.nan_to_num(nan=-1.0).argmax(1)  # [B]
        rows = torch.arange(best.shape[0], device=best.device)
        known = annotated & ~area[rows, best].isnan()
        chosen = truth.gather(1, best[owner][:, None])[:, 0]
        evidence = positive[rows, best]
        for name, k in (("at_k", torch.full_like(evidence, float(self.k))), ("at_evidence", evidence)):
            limit = torch.minimum(k, segment_sum(counts.double(), ptr))
            weight = ((limit[owner] - start) / size).clamp(0, 1)
            precision = ratio(segment_sum(weight * chosen, ptr), limit)
            self._add(**{name: precision[known].sum()})
        self._add(area=area[rows, best][known].sum(), examples=known.sum())
        told = known[owner] & counts
        self.ranked.append(scores[told].detach().double())
        self.hits.append(chosen[told].double())

    def compute(self) -> dict[str, Tensor]:
        """``<prefix>_roc_auc`` (mean over examples), ``…_roc_auc_pooled``, ``…_precision@<k>`` and ``…_precision@evidence``.

        Where no example can be ranked, nothing is told.
        """
        if not bool(self.examples > 0):
            return {}
        ranked, hits = dim_zero_cat(self.ranked), dim_zero_cat(self.hits).bool()
        pooled = roc_auc(ranked, hits[:, None], torch.tensor([0, hits.shape[0]], device=hits.device))
        return {
            f"{self.prefix}_roc_auc": ratio(self.area, self.examples),
            f"{self.prefix}_roc_auc_pooled": pooled[0, 0],
            f"{self.prefix}_precision@{self.k}": ratio(self.at_k, self.examples),
            f"{self.prefix}_precision@evidence": ratio(self.at_evidence, self.examples),
        }


class EdgeRanking(Ranking):
    """The same for edges, whose score is the mean of the scores of their ends; edges at fixed nodes are not ranked."""

    needs = ("edge_evidence",)

    def __init__(self, *, k: int = 5) -> None:
        super().__init__(prefix="edge", k=k)

    def update(self, rationale: Rationale, batch: Batch) -> None:
        """Rank the edges of every graph."""
        assert batch.edge_index is not None
        assert batch.edge_evidence is not None
        ends = rationale.scores[batch.edge_index]  # [2, E]
        owner = owners(rationale.ptr, rationale.scores.shape[0])[batch.edge_index[0]]
        order = torch.argsort(owner, stable=True)
        ptr = offsets(torch.bincount(owner, minlength=rationale.ptr.numel() - 1))
        self.add(ends.mean(0)[order], batch.edge_evidence.bool()[order][:, None], ptr, batch.annotated)


def ties(scores: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    """Rank at which each unit's group of equal scores begins in its example, best first from 0, and how large it is: ``[N]``."""
    n = scores.shape[0]
    owner = owners(ptr, n)
    rank = segment_rank(scores, ptr)
    order = torch.empty_like(rank)
    order[rank + ptr[:-1][owner]] = torch.arange(n, device=rank.device)
    ranked, who = scores[order], owner[order]
    new = torch.nn.functional.pad((ranked[1:] != ranked[:-1]) | (who[1:] != who[:-1]), (1, 0), value=True)[:n]
    group = new.long().cumsum(0) - 1
    size = torch.bincount(group, minlength=1)
    first = (size.cumsum(0) - size)[group] - ptr[:-1][who]
    start, count = torch.empty_like(rank), torch.empty_like(rank)
    start[order], count[order] = first, size[group]
    return start.double(), count.double()


def roc_auc(scores: Tensor, truth: Tensor, ptr: Tensor) -> Tensor:
    """Probability that evidence is ranked above another unit of its example, ties counting half.

    Args:
        scores: ``[N]``; units with −∞ are left out.
        truth: ``[N, A]`` bool, A alternatives.
        ptr: offsets ``[B+1]``.

    Returns:
        ``[B, A]``, NaN where one kind of unit is missing.
    """
    counts = scores > -torch.inf
    ranked, inner = scores[counts], offsets(counts.long())[ptr]
    return torch.stack([areas(ranked, each, inner).roc_auc for each in truth[counts].unbind(1)], dim=1)
