"""Understanding Interlocking Dynamics of Cooperative Rationalization (Yu, Zhang, Chang, Jaakkola, 2021), as BERT-A2R.

A generator attends, predicts from its attention-pooled states, and passes on the units with the largest attention; a second
network reads only those, closed up as a text of their own:

    α = softmax(w·h),  Y_a = f_a(Σ_t α_t h_t),  m = top-k(α),  Y_r = f_r(x[m])
    min  CE(Y_a, y) + CE(Y_r, y) + λ · JSD(Y_a, Y_r)

The mask passes no gradient: the generator learns from its own prediction and from the agreement alone. There is no sparsity or
continuity term, since the size is fixed. This is A2R (https://arxiv.org/abs/2110.13880) in the form of Storek, Subbiah, McKeown,
2023 (https://arxiv.org/abs/2305.17534): single units instead of bigrams, and the generator's states serve its own prediction.

Deviations: fixed units ([CLS], [SEP], a query) neither compete for attention nor count in k; whole words are selected by default
instead of word pieces (``level``); the predictor pools its encoder's states, by maximum unless configured, where BERT-A2R has
BERT's pooler. What the released code computes differently from the paper is behind ``legacy`` (`rationalizers.legacy`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rationalizers import legacy as released
from rationalizers import losses
from rationalizers.base import Output, Rationalizer
from rationalizers.batch import Batch
from rationalizers.build import build
from rationalizers.encoders import Encoder
from rationalizers.kernels.split_pool import split_pool
from rationalizers.levels import top_share
from rationalizers.predictors import Predictor
from rationalizers.rationale import Rationale, check_level
from rationalizers.rewriting import whole_words
from rationalizers.segment import segment_softmax


class A2R(Rationalizer):
    """Attention to rationale: two networks that share nothing and are asked to agree.

    Args:
        task: arguments of `rationalizers.task.Task`.
        generator: description of the generator's `Encoder`; may be frozen.
        predictor: description of the predictor's `Encoder`.
        weights: of the terms ``task`` (Y_r), ``attention`` (Y_a) and ``agreement`` (λ).
        optimizer: arguments of `rationalizers.base.OptimizerConfig`; the groups are ``generator`` and ``predictor``.
        share: of the selectable words (or units, or sentences) that is selected, in (0, 1].
        level: what is selected as a whole: ``word``, ``unit`` (word pieces, as published) or ``sentence``, by mean attention.
        whole_words: in training, the predictor reads every word of which a unit is selected.
        dropout: on the states that are scored, and on both pooled states.
        pooling: of the predictor (see `rationalizers.predictors.Predictor`).
        absence: ``compact``.
        legacy: defects of the released code to reproduce, of those in ``LEGACY``.

    Raises:
        ValueError: ``share``, ``level``, ``absence`` or ``legacy`` outside these.
    """

    LEGACY: ClassVar[tuple[str, ...]] = (
        "double_softmax",
        "reversed_divergence",
        "attended_separators",
        "shifted_sentences",
        "truncated_sentences",
    )

    def __init__(
        self,
        *,
        task: Mapping[str, Any],
        generator: Mapping[str, Any],
        predictor: Mapping[str, Any],
        weights: Mapping[str, float],
        optimizer: Mapping[str, Any],
        share: float = 0.2,
        level: str = "word",
        whole_words: bool = True,
        dropout: float = 0.1,
        pooling: str = "max",
        absence: str = "compact",
        legacy: Sequence[str] = (),
    ) -> None:
        super().__init__(task=task, weights=weights, optimizer=optimizer, absence=absence)
        check_level(level)
        if absence != "compact":
            raise ValueError(
                f"'absence' of {type(self).__name__} must be 'compact', as its predictor is trained; got {absence!r}"
            )
        if not 0 < share <= 1:
            raise ValueError(f"'share' must be in (0, 1], got {share}")
        if unknown := set(legacy) - set(self.LEGACY):
            raise ValueError(f"'legacy' must be of {', '.join(self.LEGACY)}; got {', '.join(sorted(unknown))}")
        self.share, self.level, self.whole_words, self.legacy = share, level, whole_words, frozenset(legacy)
        self.generator = build(generator, Encoder)
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Linear(self.generator.width, 1)
        self.head = nn.Linear(self.generator.width, self.task.outputs)
        self.predictor = Predictor(build(predictor, Encoder), outputs=self.task.outputs, dropout=dropout, pooling=pooling)

    def parameter_groups(self) -> dict[str, Iterable[nn.Parameter]]:
        """The two networks."""
        parts = (self.generator, self.score, self.head)
        return {"generator": [p for part in parts for p in part.parameters()], "predictor": self.predictor.parameters()}

    def forward(self, batch: Batch) -> Output:
        """Attend, select, and predict from the selection."""
        h = self.generator.states(batch)  # [N, D]
        attention = self.attend(h, batch)  # [N]
        rationale = self.select(attention, batch)
        shown = self.rewrite(batch, rationale.mask) if self.training else self.compact(batch, rationale.mask)
        logits: Tensor = self.predictor(shown, torch.ones_like(shown.position, dtype=h.dtype), absence="compact")
        if batch.y is None:
            return Output(logits=logits, rationale=rationale)
        attended, _ = split_pool(h, attention, batch.ptr)  # [B, D]
        own = self.head(self.dropout(attended))  # [B, C]
        return Output(logits=logits, rationale=rationale, terms=self.terms(own, logits, batch.y, shown))

    def logits(self, batch: Batch, mask: Tensor, *, absence: str | None = None) -> Tensor:
        """Predict from what ``mask [N]`` leaves visible."""
        logits: Tensor = self.predictor(batch, mask, absence=absence or self.absence)
        return logits

    def attend(self, h: Tensor, batch: Batch) -> Tensor:
        """Attention over the selectable units, ``[N]``; sums to one in every example that has any."""
        closed = batch.fixed & ~released.separators(batch) if "attended_separators" in self.legacy else batch.fixed
        scores = self.score(self.dropout(h)).squeeze(-1)  # [N]
        return segment_softmax(scores.masked_fill(closed, -torch.inf), batch.ptr)

    def select(self, attention: Tensor, batch: Batch) -> Rationale:
        """The units with the largest attention."""
        if "attended_separators" in self.legacy:
            return released.attended_separators(attention, batch, share=self.share, level=self.level)
        if self.level == "sentence" and "shifted_sentences" in self.legacy:
            attention = released.shifted_attention(attention, batch)
        lost = released.cut_sentences(batch) if self.level == "sentence" and "truncated_sentences" in self.legacy else None
        return top_share(attention, batch, share=self.share, level=self.level, lost=lost)

    def compact(self, batch: Batch, mask: Tensor) -> Batch:
        """The selection as a text of its own, with the fixed units."""
        return batch.select((mask > 0.5) | batch.fixed, positions="fresh")

    def rewrite(self, batch: Batch, mask: Tensor) -> Batch:
        """What the predictor reads in training."""
        return self.compact(batch, whole_words(mask, batch).to(mask.dtype) if self.whole_words else mask)

    def terms(self, own: Tensor, logits: Tensor, y: Tensor, shown: Batch) -> dict[str, Tensor]:
        """Both predictions and their agreement."""
        loss = partial(released.double_softmax, self.task) if "double_softmax" in self.legacy else self.task.loss
        divergence = released.reversed_divergence if "reversed_divergence" in self.legacy else losses.agreement
        return {"task": loss(logits, y), "attention": loss(own, y), "agreement": divergence(own, logits)}
