"""Graph Rationalization with Environment-based Augmentations (Liu, Zhao, Xu, Luo, Jiang, 2022, https://arxiv.org/abs/2206.02886).

A separator gives every node a soft mask m, a second encoder its state h. The rationale of graph i is r_i = Σ_v m_v h_v, its
environment e_i = Σ_v (1 − m_v) h_v, and the predictor f is trained on the rationale alone and beside every environment of the
batch, always with the label of the rationale's graph:

    min  L(f(r_i), y_i) + α · mean_j L(f(r_i + e_j), y_i) + β · | mean_v m_v − γ |

The predictor learns from the first two terms, the separator from all three, in turn.

Deviations: γ is compared with the mean mask of each graph, as both paper and code do, but fixed nodes neither count nor are
masked; the paper leaves i = j out of the second term, the authors' code keeps it (``pairs``, default as the code). α and β are
the weights of the terms ``swap`` and ``size``, 1 in the authors' code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graph.encoders.layers import NodeScorer
from graph.predictor import GraphPredictor
from rationalizers import losses
from rationalizers.absence import encode_visible
from rationalizers.base import Output, Phase, Rationalizer
from rationalizers.batch import Batch
from rationalizers.build import build
from rationalizers.encoders import Encoder
from rationalizers.kernels.split_pool import split_pool
from rationalizers.rationale import Rationale
from rationalizers.segment import segment_sum

PAIRS = ("all", "others")


class GREA(Rationalizer):
    """Soft node masks, and environments of other graphs put beside each rationale.

    Args:
        task: description of a `rationalizers.task.Task`.
        encoder: description of an `Encoder` of graphs, the predictor's.
        separator: entries of that description that are different for the separator's encoder, such as ``layers``.
        weights: of the terms ``task``, ``swap`` (α) and ``size`` (β).
        optimizer: arguments of `rationalizers.base.OptimizerConfig`, for both players.
        gamma: share γ of the nodes that the rationale is to have, in (0, 1].
        alternate: epochs of the separator and of the predictor, in turn; ``None`` trains both together.
        pairs: ``all`` puts each rationale also beside its own environment, ``others`` does not.
        num_env: environments that all rationales of a batch are put beside, drawn at each step; ``None`` takes every graph's.
        gate_dropout: of the network that scores nodes.
        dropout: of the predictor.
        linear: predict with one linear layer.
        absence: ``state``, the method's own; evaluation may ask for another.

    Raises:
        ValueError: a setting outside these.
    """

    leaks = "node states see the whole graph before they are masked"
    soft = "nodes are weighted by their mask, at the end as in training"
    unit = "node"
    coupled = ("swap",)

    def __init__(
        self,
        *,
        task: Mapping[str, Any],
        encoder: Mapping[str, Any],
        separator: Mapping[str, Any],
        weights: Mapping[str, float],
        optimizer: Mapping[str, Any],
        gamma: float,
        alternate: Sequence[int] | None = (1, 3),
        pairs: str = "all",
        num_env: int | None = None,
        gate_dropout: float = 0.5,
        dropout: float = 0.5,
        linear: bool = False,
        absence: str = "state",
    ) -> None:
        super().__init__(task=task, weights=weights, optimizer=optimizer, absence=absence)
        if absence != "state":
            raise ValueError(f"'absence' of GREA is 'state', which passes its gradient; got {absence!r}")
        if not 0 < gamma <= 1:
            raise ValueError(f"'gamma' must be in (0, 1], got {gamma}")
        if alternate is not None and (len(alternate) != 2 or min(alternate) < 1):
            raise ValueError(f"'alternate' must be the epochs of separator and predictor, such as [1, 3]; got {alternate!r}")
        if pairs not in PAIRS:
            raise ValueError(f"'pairs' must be one of {', '.join(PAIRS)}; got {pairs!r}")
        if num_env is not None and num_env < 1:
            raise ValueError(f"'num_env' must be at least 1, got {num_env}")
        self.gamma, self.alternate, self.pairs, self.num_env = gamma, alternate, pairs, num_env
        self.separator, self.encoder = build({**encoder, **separator}, Encoder), build(encoder, Encoder)
        self.gate = NodeScorer(self.separator.width, dropout=gate_dropout)
        self.predictor = GraphPredictor(self.encoder.width, outputs=self.task.outputs, dropout=dropout, linear=linear)

    def forward(self, batch: Batch) -> Output:
        """Split every graph, predict from its rationale; with targets also from it beside the environments of the batch."""
        scores = self.gate(self.separator.states(batch)).squeeze(-1)  # [N]
        rationale = Rationale(
            scores=scores.masked_fill(batch.fixed, -torch.inf),
            mask=scores.sigmoid().masked_fill(batch.fixed, 0.0),
            ptr=batch.ptr,
        )
        shown = torch.where(batch.fixed, torch.ones_like(rationale.mask), rationale.mask)
        kept, dropped = split_pool(self.encoder.states(batch), shown, batch.ptr)  # [B, D] each
        logits = self.predictor(kept)
        if batch.y is None:
            return Output(logits=logits, rationale=rationale)
        environments = self._environments(dropped)
        terms = {
            "task": self.task.loss(logits, batch.y),
            "swap": self.predictor.swap_loss(
                kept,
                dropped if environments is None else dropped[environments],
                batch.y,
                self.task,
                environments=environments,
                others_only=self.pairs == "others",
            ),
            "size": losses.sparsity(rationale.share(), target=self.gamma),
        }
        return Output(logits=logits, rationale=rationale, terms=terms)

    def logits(self, batch: Batch, mask: Tensor, *, absence: str | None = None) -> Tensor:
        """Predict from the states that ``mask [N]`` keeps; they have seen the whole graph, unless ``absence`` hides it."""
        h, visible = encode_visible(self.encoder, batch, mask, absence=absence or self.absence)
        logits: Tensor = self.predictor(segment_sum(h, visible.ptr))
        return logits

    def parameter_groups(self) -> dict[str, Iterable[nn.Parameter]]:
        """Separator and predictor."""
        return {
            "separator": [*self.separator.parameters(), *self.gate.parameters()],
            "predictor": [*self.encoder.parameters(), *self.predictor.parameters()],
        }

    def phases(self) -> Sequence[Phase]:
        """Epochs of the separator, then of the predictor, which does not see the size; or both at once."""
        if self.alternate is None:
            return (Phase(("separator", "predictor"), self.weights),)
        without_size = {name: weight for name, weight in self.weights.items() if name != "size"}
        separating, predicting = self.alternate
        return Phase(("separator",), self.weights, separating), Phase(("predictor",), without_size, predicting)

    def _environments(self, dropped: Tensor) -> Tensor | None:
        """Rows of the batch whose environments are used; all of them in evaluation."""
        if self.num_env is None or not self.training or self.num_env >= dropped.shape[0]:
            return None
        return torch.randperm(dropped.shape[0], device=dropped.device)[: self.num_env]
