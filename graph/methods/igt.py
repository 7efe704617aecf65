"""Invariant Graph Transformer (Xu et al., 2023, https://arxiv.org/abs/2312.07859; since 2025 Fine-grained Graph Rationalization).

An encoder gives every token a state h, an augmenter a gate m = σ(MLP(h)). The K tokens with the largest gates are the rationale,
with states m·h, the others the environment, with states (1 − m)·h. An intervener, layers of self-attention over all tokens of
both, lets them see each other; the predictor f reads the mean of what comes out. Tokens are nodes, or r virtual nodes that pool
the nodes by attention, so that the intervener's cost does not grow with the graph. For a graph i with label y_i and the
environment of another graph j of the batch:

    task = L(f(r_i ; e_i), y_i)     swap = L(f(r_i ; e_j), y_i)     mixing = (1/t) [sᵀ P (1 − s) + (1 − s)ᵀ P s]

where s marks the t tokens of (r_i ; e_j) that are environment and P is the last layer's attention, averaged over heads. Encoder,
augmenter and predictor minimise task + α·swap + β·mixing; the intervener plays against them by one of these rules, in turn:

    attention       min  task + α·swap − β·mixing
    intervened      min  task − α·swap + β·mixing
    full            min  −(task + α·swap + β·mixing)
    none            all parts minimise the same, together

**A reconstruction.** The paper's text could not be read, and its repository (github.com/pricexu/FIG) held no code. Read in its
abstract and summaries: encoder, augmenter, intervener, predictor, attention between nodes, environments of other graphs of the
batch through the same encoder and augmenter, a min-max game, two levels. Recalled by others, not verified: top K, gates as
factors, the mass s marks, the queries of virtual nodes. Decided here, each an option: the game, K = ⌈ρ n⌉ or gates above ½, 1 − m
on the environment, the mean as readout, values without projection. Numbers of this class are not the paper's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graph.encoders.layers import NodeScorer
from graph.encoders.transformer import TransformerLayer, VirtualNodes, crossing
from graph.predictor import GraphPredictor
from rationalizers import losses
from rationalizers.absence import encode_visible
from rationalizers.base import Output, Phase, Rationalizer
from rationalizers.batch import Batch
from rationalizers.build import build
from rationalizers.encoders import Encoder
from rationalizers.kernels.blend import blend
from rationalizers.kernels.segment_topk import segment_topk
from rationalizers.rationale import Rationale
from rationalizers.segment import lengths, members, offsets, owners, segment_mean, segment_sum

GAMES = ("attention", "intervened", "full", "none")
SIZES = ("ratio", "gate")
READOUTS = ("mean", "sum")
VIEWS = ("graph", "rationale")


@dataclass(frozen=True)
class Tokens:
    """Split tokens of a batch.

    Args:
        x: weighted states ``[T, D]``.
        ptr: offsets ``[B+1]``.
        scores: logits of the gates ``[T]``, −∞ for fixed nodes.
        environment: bool ``[T]``; the others are rationale.
        attention: of virtual nodes to nodes ``[N, r]``; ``None`` where nodes are the tokens.
    """

    x: Tensor
    ptr: Tensor
    scores: Tensor
    environment: Tensor
    attention: Tensor | None


class IGT(Rationalizer):
    """Rationale and environment as tokens that attend to each other, and environments of other graphs.

    Under a forced mask, masked nodes are no tokens, and no keys for virtual nodes. `forward` predicts from both parts, as at the
    paper's inference, so that its prediction sees every node; `logits` under the rationale's mask is the one from it alone.

    Args:
        task: description of a `rationalizers.task.Task`.
        encoder: description of an `Encoder` of graphs.
        weights: of the terms ``task``, ``swap`` (α), ``mixing`` (β) and ``size``, the distance of the mean gate to ρ.
        optimizer: arguments of `rationalizers.base.OptimizerConfig`, for both players.
        virtual_nodes: r, tokens of every graph; ``None`` makes its nodes the tokens.
        ratio: ρ in (0, 1], share of the tokens, and of the nodes, that is the rationale; at least one is, and one is not, unless
            ρ = 1.
        size: ``ratio`` takes ⌈ρ n⌉ in every graph, ``gate`` those with gate above ½, so that sizes differ: they need the term
            ``size``.
        game: what the intervener does, see above.
        alternate: steps of encoder, augmenter and predictor, and of the intervener, in turn; without a game they do not count.
        num_env: environments of other graphs that each rationale meets in a step.
        weigh_environment: 1 − m on the environment; or else its states are left as they are.
        layers: of the intervener.
        heads: of its attention.
        readout: ``mean`` over tokens, or ``sum``, which grows with a foreign graph's size.
        project: virtual nodes pool H W_v instead of H.
        predicts_from: ``graph``, or ``rationale``, which trains and predicts from the rationale alone; ``swap`` remains.
        gate_dropout: of the augmenter.
        intervener_dropout: of the intervener.
        dropout: of the predictor.
        absence: ``state``, the method's own; evaluation may ask for another.

    Raises:
        ValueError: a setting outside these.
    """

    leaks = "node states see the whole graph before it is split"
    unit = "node"
    coupled = ("swap", "mixing")
    phase_unit = "step"

    def __init__(
        self,
        *,
        task: Mapping[str, Any],
        encoder: Mapping[str, Any],
        weights: Mapping[str, float],
        optimizer: Mapping[str, Any],
        virtual_nodes: int | None = None,
        ratio: float = 0.5,
        size: str = "ratio",
        game: str = "attention",
        alternate: Sequence[int] = (1, 1),
        num_env: int = 1,
        weigh_environment: bool = True,
        layers: int = 1,
        heads: int = 4,
        readout: str = "mean",
        project: bool = False,
        predicts_from: str = "graph",
        gate_dropout: float = 0.5,
        intervener_dropout: float = 0.1,
        dropout: float = 0.5,
        absence: str = "state",
    ) -> None:
        sees_rest = "rationale and environment attend to each other, and the prediction is made from both"
        super().__init__(
            task=task,
            weights=weights,
            optimizer=optimizer,
            absence=absence,
            sees_rest=sees_rest if predicts_from == "graph" else None,
        )
        if absence != "state":
            raise ValueError(f"'absence' of IGT is 'state', which passes its gradient; got {absence!r}")
        if not 0 < ratio <= 1:
            raise ValueError(f"'ratio' must be in (0, 1], got {ratio}")
        for name, value, known in (
            ("size", size, SIZES),
            ("game", game, GAMES),
            ("readout", readout, READOUTS),
            ("predicts_from", predicts_from, VIEWS),
        ):
            if value not in known:
                raise ValueError(f"{name!r} must be one of {', '.join(known)}; got {value!r}")
        if len(alternate) != 2 or min(alternate) < 1:
            raise ValueError(f"'alternate' must be the steps of both players, such as [1, 1]; got {alternate!r}")
        for name, count in (("num_env", num_env), ("layers", layers)):
            if count < 1:
                raise ValueError(f"{name!r} must be at least 1, got {count}")
        self.ratio, self.size, self.game, self.alternate = ratio, size, game, tuple(alternate)
        self.num_env, self.weigh_environment, self.readout = num_env, weigh_environment, readout
        self.encoder = build(encoder, Encoder)
        width = self.encoder.width
        self.virtual = None if virtual_nodes is None else VirtualNodes(virtual_nodes, width=width, project=project)
        self.augmenter = NodeScorer(width, dropout=gate_dropout)
        self.intervener = nn.ModuleList(
            TransformerLayer(width, heads=heads, hidden=2 * width, dropout=intervener_dropout) for _ in range(layers)
        )
        self.predictor = GraphPredictor(width, outputs=self.task.outputs, dropout=dropout)

    def forward(self, batch: Batch) -> Output:
        """Split every graph and predict; with targets also from each rationale beside environments of other graphs."""
        h = self.encoder.states(batch)  # [N, D]
        tokens = self.split(h, batch.ptr, batch.fixed)
        rationale = self._carried_back(tokens, batch)
        seen = tokens if self.sees_rest else self._visible(h, batch, rationale.mask, whole=tokens)
        if batch.y is None:
            return Output(logits=self._predict(seen.x, seen.ptr), rationale=rationale)
        graphs = batch.ptr.numel() - 1
        graph, other = self.partners(graphs, device=h.device)  # [S] each, S = B · environments
        swapped, sets = beside(tokens, graph, other)  # tokens of (r_i ; e_j) by number [T'], [S+1]
        # One pass of the intervener for both, which is packed anyway.
        marked = torch.cat([seen.environment, tokens.environment[swapped]])
        ptr = torch.cat([seen.ptr, seen.ptr[-1] + sets[1:]])
        x, paid = self.intervene(torch.cat([seen.x, tokens.x[swapped]]), ptr, marked=marked)
        assert paid is not None  # marked ones were asked for
        pooled = self._pool(x, ptr)
        # As many passes through the predictor's batch normalisation as there are kinds of sets.
        logits, swap_logits = self.predictor(pooled[:graphs]), self.predictor(pooled[graphs:])
        gates = tokens.scores.sigmoid()  # fixed nodes have none
        selectable = (tokens.scores > -torch.inf).to(gates.dtype)
        terms = {
            "task": self.task.loss(logits, batch.y),
            "swap": self.task.loss(swap_logits, batch.y[graph]),
            "mixing": crossing(paid, marked, ptr)[graphs:].mean(),
            "size": losses.sparsity(
                segment_sum(gates, tokens.ptr) / segment_sum(selectable, tokens.ptr).clamp(min=1), target=self.ratio
            ),
        }
        return Output(logits=logits, rationale=rationale, terms=terms)

    def logits(self, batch: Batch, mask: Tensor, *, absence: str | None = None) -> Tensor:
        """Predict from nodes that ``mask [N]`` keeps, with states m·h that have seen the whole graph; none where m = 0.

        As to ``state``, nodes are split as in the whole graph; virtual nodes, which pool what is left, anew. Any other
        ``absence`` hides nodes from the encoder, and what can be seen is encoded and split as a graph of its own.
        """
        absence = absence or self.absence
        if absence == "state":
            tokens = self._visible(self.encoder.states(batch), batch, mask)
        else:
            h, visible = encode_visible(self.encoder, batch, mask, absence=absence)
            tokens = self.split(h, visible.ptr, visible.fixed)
        return self._predict(tokens.x, tokens.ptr)

    def parameter_groups(self) -> dict[str, Iterable[nn.Parameter]]:
        """The rationalizer (encoder, augmenter, predictor) and the intervener."""
        parts = [self.encoder, self.augmenter, self.predictor, *([] if self.virtual is None else [self.virtual])]
        return {
            "rationalizer": [parameter for part in parts for parameter in part.parameters()],
            "intervener": list(self.intervener.parameters()),
        }

    def phases(self) -> Sequence[Phase]:
        """A step of each player in turn; or all at once without a game."""
        if self.game == "none":
            return (Phase(("rationalizer", "intervener"), self.weights),)
        negated = {"attention": {"mixing"}, "intervened": {"swap"}, "full": {"task", "swap", "mixing"}}[self.game]
        # The size of the rationale is not the intervener's.
        against = {name: -weight if name in negated else weight for name, weight in self.weights.items() if name != "size"}
        ours, theirs = self.alternate
        return Phase(("rationalizer",), self.weights, ours), Phase(("intervener",), against, theirs)

    def split(self, h: Tensor, ptr: Tensor, fixed: Tensor) -> Tokens:
        """The tokens of every graph, weighted by their gates, and which of them are environment.

        Args:
            h: states of nodes ``[N, D]``.
            ptr: offsets ``[B+1]``.
            fixed: nodes that always belong to the rationale, unweighted, bool ``[N]``.
        """
        attention = None
        if self.virtual is not None:
            h, attention = self.virtual(h, ptr)  # [B·r, D], [N, r]
            count = self.virtual.queries.shape[0]
            ptr, fixed = torch.arange(0, h.shape[0] + 1, count, device=h.device), fixed.new_zeros(h.shape[0])
        scores = self.augmenter(h).squeeze(-1).masked_fill(fixed, -torch.inf) if h.shape[0] else h.new_zeros(0)  # [T]
        environment = ~self.chosen(scores.detach(), ptr) & ~fixed
        gate = scores.sigmoid()
        weight = torch.where(environment, 1 - gate if self.weigh_environment else torch.ones_like(gate), gate)
        return Tokens(
            x=blend(h, torch.where(fixed, torch.ones_like(weight), weight)),
            ptr=ptr,
            scores=scores,
            environment=environment,
            attention=attention,
        )

    def chosen(self, scores: Tensor, ptr: Tensor) -> Tensor:
        """The best-scored tokens, or nodes, of each graph, bool ``[T]``; those with score −∞ are none of them."""
        selectable = scores > -torch.inf
        n = segment_sum(selectable.long(), ptr)  # [B]
        if self.size == "ratio":
            # What is taken off is less than any share of a node, but more than what rounding adds to a product.
            k = (self.ratio * n.double() - 1e-9).ceil().long()
            most = n if self.ratio == 1 else n - 1
        else:
            k, most = segment_sum((scores > 0).long(), ptr), n - 1
        k = torch.minimum(k.clamp(min=1), most.clamp(min=1))
        return segment_topk(scores, ptr, k) > 0

    def partners(self, graphs: int, *, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        """Every graph of a batch, once for each environment it meets, and whose environment that is, ``[S]`` each.

        In training, graphs stand in a circle in random order, and each meets those that follow it: no graph its own
        environment, none the same twice, each environment as often as any other. In evaluation the order is that of the batch.
        A graph that is alone meets its own.
        """
        order = torch.randperm(graphs, device=device) if self.training else torch.arange(graphs, device=device)
        steps = torch.arange(1, max(1, min(self.num_env, graphs - 1)) + 1, device=device)
        place = torch.empty_like(order)
        place[order] = torch.arange(graphs, device=device)
        other = order[(place[:, None] + steps) % max(1, graphs)]  # [B, environments]
        return torch.arange(graphs, device=device).repeat_interleave(steps.numel()), other.flatten()

    def intervene(self, x: Tensor, ptr: Tensor, *, marked: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Let the tokens of each set see each other; also the attention of each to marked ones, in the last layer ``[T]``."""
        *first, last = self.intervener
        for layer in first:
            x, _ = layer(x, ptr)
        out: tuple[Tensor, Tensor | None] = last(x, ptr, marked=marked)
        return out

    def _visible(self, h: Tensor, batch: Batch, mask: Tensor, *, whole: Tokens | None = None) -> Tokens:
        """Tokens made of nodes with mask above zero, their states weighted by it; ``whole`` is the split of all, where known."""
        m = torch.where(batch.fixed, torch.ones_like(mask), mask).to(h.dtype)
        there = m > 0
        ptr = offsets(there.long())[batch.ptr]
        if self.virtual is not None:
            return self.split(blend(h, m)[there], ptr, batch.fixed[there])
        if whole is None:
            whole = self.split(h, batch.ptr, batch.fixed)
        return Tokens(
            x=blend(whole.x, m)[there],
            ptr=ptr,
            scores=whole.scores[there],
            environment=whole.environment[there],
            attention=None,
        )

    def _carried_back(self, tokens: Tokens, batch: Batch) -> Rationale:
        """The rationale in nodes.

        Nodes that are tokens have their own gates. With virtual nodes k, whose rationale is the sum of m_k A_kv h_v, the share
        of node v in it is a_v = Σ_k m_k A_kv / Σ_k m_k, and its score is n·a_v − 1: positive where it has more than an even
        share of the n nodes.
        """
        if tokens.attention is None:
            mask = ~tokens.environment & (tokens.scores > -torch.inf)
            return Rationale(tokens.scores, mask.to(tokens.scores.dtype), batch.ptr)
        gate = tokens.scores.sigmoid().masked_fill(tokens.environment, 0.0).view(-1, tokens.attention.shape[1])  # [B, r]
        owner = owners(batch.ptr, batch.fixed.shape[0])
        share = (tokens.attention * (gate / gate.sum(1, keepdim=True))[owner]).sum(1)  # [N]
        scores = (lengths(batch.ptr)[owner] * share - 1).masked_fill(batch.fixed, -torch.inf)
        return Rationale(scores, self.chosen(scores.detach(), batch.ptr).to(scores.dtype), batch.ptr)

    def _predict(self, x: Tensor, ptr: Tensor) -> Tensor:
        x, _ = self.intervene(x, ptr)
        logits: Tensor = self.predictor(self._pool(x, ptr))
        return logits

    def _pool(self, x: Tensor, ptr: Tensor) -> Tensor:
        """What the predictor reads of each set, ``[T, D] → [S, D]``; zero where it is empty."""
        return segment_sum(x, ptr) if self.readout == "sum" else segment_mean(x, ptr)


def beside(tokens: Tokens, graph: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """The tokens of each set (rationale of one graph ; environment of another), by number ``[T]``, and offsets ``[S+1]``.

    Args:
        tokens: of a batch.
        graph: whose rationale, ``[S]``.
        other: whose environment, ``[S]``.
    """
    parts = []
    for rows, part in ((graph, ~tokens.environment), (other, tokens.environment)):
        place, unit = members(rows, offsets(part.long())[tokens.ptr])
        parts.append((place, part.nonzero().flatten()[unit]))
    place, token = (torch.cat(each) for each in zip(*parts, strict=True))
    order = torch.argsort(place, stable=True)
    return token[order], offsets(torch.bincount(place, minlength=graph.numel()))
