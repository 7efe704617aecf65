"""Rationalizing Neural Predictions (Lei, Barzilay, Jaakkola, 2016, https://arxiv.org/abs/1606.04155), reparameterised.

A generator selects words, a predictor sees only those:

    min_{g,f}  CE(f(m ⊙ x), y) + λ₁ · mean_b |share_b − s| + λ₂ · mean_b transitions_b,   m ~ g(x)

Deviations from the paper, all of them what is called RNP today (e.g. Liu et al., 2022): the gradient of the generator comes
from a Gumbel relaxation instead of REINFORCE; the penalty on the size is its distance to a target share s instead of ‖m‖₁; the
encoders are recurrent networks with max-pooling instead of RCNNs. An optional term trains the scores on human evidence, for
examples that the data module marks as labelled. Their prediction is trained on their rationales like any other, or on their whole
text and then without penalties on the rationale, as in the supervised phase of SSR (Yue et al., 2024).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rationalizers import losses
from rationalizers.base import Output, Rationalizer
from rationalizers.batch import Batch
from rationalizers.build import build
from rationalizers.encoders import Encoder
from rationalizers.predictors import Predictor
from rationalizers.rationale import Rationale
from rationalizers.segment import owners
from rationalizers.selectors import Selector

READS = ("rationale", "text")


class RNP(Rationalizer):
    """Generator and predictor, trained together.

    Args:
        task: description of a `rationalizers.task.Task`.
        encoder: description of an `Encoder`; the predictor's, and the generator's too.
        selector: description of a `Selector` (straight-through or soft).
        weights: of the terms ``task``, ``sparsity`` (λ₁), ``continuity`` (λ₂) and ``evidence``.
        optimizer: arguments of `rationalizers.base.OptimizerConfig`.
        share: target s of the selected share, in (0, 1].
        dropout: on the predictor's pooled state.
        pooling: of the predictor (see `rationalizers.predictors.Reader`).
        absence: ``zero`` or ``mask_token`` (the mask acts on embeddings and passes a gradient).
        labelled_reads: what the prediction of a labelled example is trained on: its ``rationale``, or its whole ``text``, and
            then the penalties on the rationale are those of the other examples alone.

    Raises:
        ValueError: ``share``, ``absence`` or ``labelled_reads`` outside these.
    """

    def __init__(
        self,
        *,
        task: Mapping[str, Any],
        encoder: Mapping[str, Any],
        selector: Mapping[str, Any],
        weights: Mapping[str, float],
        optimizer: Mapping[str, Any],
        share: float,
        dropout: float = 0.2,
        pooling: str = "max",
        absence: str = "zero",
        labelled_reads: str = "rationale",
    ) -> None:
        super().__init__(task=task, weights=weights, optimizer=optimizer, absence=absence)
        if absence not in ("zero", "mask_token"):
            raise ValueError(f"'absence' of RNP must be 'zero' or 'mask_token' (others pass no gradient), got {absence!r}")
        if not 0 < share <= 1:
            raise ValueError(f"'share' must be in (0, 1], got {share}")
        if labelled_reads not in READS:
            raise ValueError(f"'labelled_reads' must be one of {', '.join(READS)}; got {labelled_reads!r}")
        self.share, self.labelled_reads = share, labelled_reads
        self.generator = build(encoder, Encoder)
        self.selector = build(selector, Selector, width=self.generator.width)
        self.predictor = Predictor(self.reader(encoder), outputs=self.task.outputs, dropout=dropout, pooling=pooling)

    def reader(self, encoder: Mapping[str, Any]) -> Encoder:
        """The predictor's encoder."""
        return build(encoder, Encoder)

    def forward(self, batch: Batch) -> Output:
        """Select, then predict from the selection; in training, labelled examples from whatever they are to be read from."""
        h = self.generator.states(batch)  # [N, D]
        selected = self.selector(h, batch)
        rationale = selected.rationale
        whole = self._read_whole(batch)  # [B]
        logits = self.logits(batch, _seen(rationale, whole))
        if batch.y is None:
            return Output(logits=logits, rationale=rationale)
        judged = (~whole).to(logits.dtype)  # [B]
        terms = {
            "task": self.task.loss(logits, batch.y),
            "sparsity": losses.sparsity(selected.share, target=self.share, weight=judged),
            "continuity": (selected.transitions * judged).mean(),
            "evidence": losses.evidence(rationale, batch),
        }
        return Output(logits=logits, rationale=rationale, terms=terms)

    def logits(self, batch: Batch, mask: Tensor, *, absence: str | None = None) -> Tensor:
        """Predict from what ``mask [N]`` leaves visible."""
        logits: Tensor = self.predictor(batch, mask, absence=absence or self.absence)
        return logits

    def _read_whole(self, batch: Batch) -> Tensor:
        """Examples that are read whole ``[B]``: none in evaluation."""
        return batch.labelled & (self.training and self.labelled_reads == "text")


def _seen(rationale: Rationale, whole: Tensor) -> Tensor:
    """What the predictor sees ``[N]``: everything of examples ``whole [B]``, of others what is selected."""
    n = rationale.mask.shape[0]
    return torch.where(whole[owners(rationale.ptr, n)], torch.ones_like(rationale.mask), rationale.mask)
