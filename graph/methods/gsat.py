"""Interpretable and Generalizable Graph Learning via Stochastic Attention (Miao, Liu, Li, 2022, https://arxiv.org/abs/2201.12987).

An encoder's states give every node an attention p_v; in training it is drawn, a_v ~ BinConcrete(p_v), and the same encoder runs
again with each message u → v weighted by a_u · a_v. What attention carries is bounded by its divergence from a prior r:

    min  L(f(Σ_v h_v(a)), y) + β · mean_v [ a_v log(a_v / r) + (1 − a_v) log((1 − a_v) / (1 − r)) ]

r falls from ``prior`` by 0.1 every ``decay`` epochs to ``final_prior``. In evaluation a = p.

Deviations: attention is on nodes (the authors' setting for molecules), also where they use edges; the divergence is a mean over
the nodes of each graph and then over graphs, where the authors' code pools the nodes of a batch, so that it does not depend on
who is in it. Attention stays near r: only its order means something, and a share selected above one half says little.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import InstanceNorm

from graph.predictor import GraphPredictor
from rationalizers.absence import encode_visible
from rationalizers.base import Output, Rationalizer
from rationalizers.batch import Batch
from rationalizers.build import build
from rationalizers.encoders import Encoder
from rationalizers.kernels.gated_sample import concrete_sample
from rationalizers.rationale import Rationale
from rationalizers.segment import owners, segment_sum

STEP = 0.1


class GSAT(Rationalizer):
    """Stochastic attention on nodes.

    Args:
        task: description of a `rationalizers.task.Task`.
        encoder: description of an `Encoder` of graphs, run twice.
        weights: of the terms ``task`` and ``information`` (β).
        optimizer: arguments of `rationalizers.base.OptimizerConfig`.
        prior: r at the start, in (0, 1).
        final_prior: r at the end, in (0, ``prior``].
        decay: epochs after which r falls by 0.1.
        attention_dropout: of the network that scores nodes.
        dropout: of the predictor.
        absence: ``message``, the method's own; evaluation may ask for another.

    Raises:
        ValueError: a setting outside these.
    """

    leaks = "a node that sends no messages is pooled all the same, and attention is computed from the whole graph"
    soft = "messages are weighted by attention, at the end as in training"
    unit = "node"

    def __init__(
        self,
        *,
        task: Mapping[str, Any],
        encoder: Mapping[str, Any],
        weights: Mapping[str, float],
        optimizer: Mapping[str, Any],
        prior: float = 0.9,
        final_prior: float = 0.7,
        decay: int = 10,
        attention_dropout: float = 0.5,
        dropout: float = 0.0,
        absence: str = "message",
    ) -> None:
        super().__init__(task=task, weights=weights, optimizer=optimizer, absence=absence)
        if absence != "message":
            raise ValueError(f"'absence' of GSAT is 'message', which passes its gradient; got {absence!r}")
        if not 0 < final_prior <= prior < 1:
            raise ValueError(f"'prior' must be in (0, 1) and 'final_prior' in (0, prior], got {prior} and {final_prior}")
        if decay < 1:
            raise ValueError(f"'decay' must be at least 1 epoch, got {decay}")
        self.prior, self.final_prior, self.decay = prior, final_prior, decay
        self.encoder = build(encoder, Encoder)
        self.attention = Attention(self.encoder.width, dropout=attention_dropout)
        self.predictor = GraphPredictor(self.encoder.width, outputs=self.task.outputs, dropout=dropout)

    def forward(self, batch: Batch) -> Output:
        """Attend, draw, and predict with messages weighted by what was drawn."""
        scores = self.attention(self.encoder.states(batch), batch.ptr)  # [N]
        if self.training:
            seed = torch.randint(2**62, ())
            mask = concrete_sample(scores, batch.ptr, seed, fixed=batch.fixed, temperature=1.0).mask
        else:
            mask = scores.sigmoid().masked_fill(batch.fixed, 0.0)
        rationale = Rationale(scores.masked_fill(batch.fixed, -torch.inf), mask, batch.ptr)
        logits = self.logits(batch, rationale.mask)
        if batch.y is None:
            return Output(logits=logits, rationale=rationale)
        terms = {"task": self.task.loss(logits, batch.y), "information": self.information(rationale)}
        return Output(logits=logits, rationale=rationale, terms=terms)

    def logits(self, batch: Batch, mask: Tensor, *, absence: str | None = None) -> Tensor:
        """Predict with messages u → v weighted by m_u · m_v."""
        h, visible = encode_visible(self.encoder, batch, mask, absence=absence or self.absence)
        logits: Tensor = self.predictor(segment_sum(h, visible.ptr))
        return logits

    def information(self, rationale: Rationale) -> Tensor:
        """Divergence of the attention from the prior of this epoch, mean over selectable nodes and then graphs."""
        a = rationale.mask.clamp(1e-6, 1 - 1e-6)
        r = self.prior_at(self.current_epoch)
        divergence = a * (a / r).log() + (1 - a) * ((1 - a) / (1 - r)).log()
        kept = torch.where(rationale.selectable, divergence, torch.zeros_like(divergence))
        return (segment_sum(kept, rationale.ptr) / rationale.selectable_size().clamp(min=1)).mean()

    def prior_at(self, epoch: int) -> float:
        """The prior r of an epoch, counted from 0."""
        return max(self.final_prior, self.prior - STEP * (epoch // self.decay))


class Attention(nn.Module):
    """Scores nodes by a network [D, 2D, D, 1] whose layers are normalised within each graph.

    Args:
        width: size D of a state.
        dropout: after each hidden layer.
    """

    def __init__(self, width: int, *, dropout: float) -> None:
        super().__init__()
        sizes = (width, 2 * width, width)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(InstanceNorm(size) for size in sizes[1:])
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Linear(width, 1)

    def forward(self, h: Tensor, ptr: Tensor) -> Tensor:
        """Scores ``[N]`` from states ``[N, D]``."""
        owner, graphs = owners(ptr, h.shape[0]), ptr.numel() - 1
        for layer, norm in zip(self.layers, self.norms, strict=True):
            h = self.dropout(norm(layer(h), owner, graphs).relu())
        scores: Tensor = self.score(h).squeeze(-1)
        return scores
