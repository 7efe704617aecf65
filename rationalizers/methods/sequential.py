"""Rationales for Sequential Predictions (Vafa, Deng, Blei, Rush, 2021, https://arxiv.org/abs/2109.06387).

A language model f that learns to do without words, so that its predictions from parts of a text are those of one distribution
(*compatible*), and greedy search for the smallest part that is enough:

    training    with words missing, see `rationalizers.language.dropout`
    rationale   S* = argmin |S|  so that  argmax_c f(c | x_S) = argmax_c f(c | x),   greedily

A text is followed by its class, a word of the vocabulary, and a word that ends it.

Deviations: the prediction is among the classes, not the whole vocabulary; keys are masked by a boolean, not by −10⁴.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rationalizers.base import Output, Rationalizer
from rationalizers.batch import Batch, Packed
from rationalizers.build import build
from rationalizers.encoders import CausalEncoder
from rationalizers.language.causal import CausalModel
from rationalizers.language.dropout import check_law, visible
from rationalizers.language.lockstep import Lockstep
from rationalizers.language.search import greedy
from rationalizers.language.sequence_rationale import TokenRationale
from rationalizers.language.states import States
from rationalizers.predictors import Reader
from rationalizers.rationale import Rationale, select_all
from rationalizers.segment import lengths, owners, segment_max, segment_sum


class Sequential(Rationalizer):
    """A causal language model, and greedy search for what it predicts the class of a text from.

    Args:
        task: description of a `rationalizers.task.Classification` whose labels are words.
        encoder: description of a `CausalEncoder`.
        weights: of the term ``language``.
        optimizer: arguments of `rationalizers.base.OptimizerConfig`.
        answers: row of the vocabulary of each label.
        separator_id: row of the word that ends a text, after its class.
        absent: the law of S, ``uniform_length`` or ``inverse_length``.
        mixture: ρ in [0, 1]; 0 is an ordinary language model.
        max_size: units of a rationale at most; ``None`` is all.
        max_tokens: that greedy search reads in one pass.
        absence: what a forced mask takes away; the method's is ``remove``.

    Raises:
        ValueError: another law, a probability outside [0, 1], or not as many answers as labels.
    """

    def __init__(
        self,
        *,
        task: Mapping[str, Any],
        encoder: Mapping[str, Any],
        weights: Mapping[str, float],
        optimizer: Mapping[str, Any],
        answers: Sequence[int],
        separator_id: int,
        absent: str = "uniform_length",
        mixture: float = 1.0,
        max_size: int | None = None,
        max_tokens: int = 65536,
        absence: str = "remove",
    ) -> None:
        super().__init__(task=task, weights=weights, optimizer=optimizer, absence=absence)
        check_law(absent, mixture)
        if len(answers) != self.task.outputs:
            raise ValueError(f"'answers' must be a word for each of the {self.task.outputs} labels, got {list(answers)}")
        self.absent, self.mixture, self.max_size, self.max_tokens = absent, mixture, max_size, max_tokens
        self.separator_id = separator_id
        self.answers: Tensor
        self.register_buffer("answers", torch.tensor(list(answers)), persistent=False)
        self.reader = Reader(build(encoder, CausalEncoder), pooling="last")

    def forward(self, batch: Batch) -> Output:
        """Search, then predict from what was found; in training there is no search, and everything is selected."""
        rationale = select_all(batch.fixed, batch.ptr) if self.training else self.search(batch)
        logits = self.logits(batch, rationale.mask)
        terms = {} if batch.y is None else {"language": self.language(batch).mean()}
        return Output(logits=logits, rationale=rationale, terms=terms)

    def logits(self, batch: Batch, mask: Tensor, *, absence: str | None = None) -> Tensor:
        """Predict from what ``mask [N]`` leaves visible: from the last visible word, the class after it."""
        h = self.reader.pooled(batch, mask, absence=absence or self.absence)
        return self._encoder.words(h)[:, self.answers]

    @property
    def _encoder(self) -> CausalEncoder:
        encoder = self.reader.encoder
        assert isinstance(encoder, CausalEncoder)
        return encoder

    # The language model ---------------------------------------------------------------------------------------------------

    def language(self, batch: Batch) -> Tensor:
        """Mean surprise of each text's words, its class and its end, in nats, ``[B]``; in training with words missing.

        Words before the first selectable one are given, not predicted.
        """
        whole = _with_class(batch, self.answers, self.separator_id)
        n = whole.units.shape[0]
        keys = None
        if self.training:  # given words are always seen
            keys = visible(whole.ptr, n, absent=self.absent, mixture=self.mixture) | whole.fixed
        encoder = self._encoder
        h = encoder.encode_seeing(encoder.embed(whole), whole, keys)
        predicted = torch.ones(n, dtype=torch.bool, device=h.device)  # the next unit, from this one
        predicted[whole.ptr[1:] - 1] = False
        given, target = torch.roll(whole.fixed, -1), torch.roll(whole.units, -1)
        counted = (predicted & ~given).nonzero().squeeze(1)
        each = F.cross_entropy(encoder.words(h[counted]), target[counted], reduction="none")
        total, size = (segment_sum(h.new_zeros(n).index_put((counted,), of), whole.ptr) for of in (each, torch.ones_like(each)))
        return total / size.clamp(min=1)

    # Greedy search --------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def search(self, batch: Batch) -> Rationale:
        """The greedy rationale of each example for the class that is predicted from all of it.

        It begins with the fixed units and the last one. Scores are minus the place in the order of addition.
        """
        n, size = batch.units.shape[0], lengths(batch.ptr)
        owner = owners(batch.ptr, n)
        place = torch.arange(n, device=size.device) - batch.ptr[:-1][owner]
        last = place == size[owner] - 1
        goal = self.logits(batch, torch.ones(n, device=size.device)).argmax(-1)
        rank = size[owner].float()
        rank[last] = 0
        begun = last | batch.fixed
        beginnings = segment_sum(begun.long(), batch.ptr)
        asked = _Asked(self._encoder, self.answers)
        for count in sorted(set(beginnings[size > 0].tolist())):
            rows = ((beginnings == count) & (size > 0)).nonzero().squeeze(1)
            of = torch.full_like(size, -1).index_put((rows,), torch.arange(len(rows), device=size.device))  # [B]
            unit = (of[owner] >= 0).nonzero().squeeze(1)
            shape = (len(rows), int(size[rows].max()))
            at = (of[owner[unit]], place[unit])
            tokens, positions = (
                torch.zeros(shape, dtype=torch.long, device=size.device).index_put(at, each[unit])
                for each in (batch.units, batch.position)
            )
            starts = begun.nonzero().squeeze(1)
            start = place[starts[of[owner[starts]] >= 0]].view(len(rows), count)
            paths = Lockstep(
                asked,
                tokens,
                positions=positions,
                row=torch.arange(len(rows), device=size.device),
                length=size[rows],
                start=start,
                goal=goal[rows],
                max_tokens=self.max_tokens,
                cache=2**28,
            ).run(None if self.max_size is None else max(self.max_size, count))
            for row, path in zip(rows.tolist(), paths, strict=True):
                if path.added:
                    where = batch.ptr[row] + torch.tensor(path.added, device=size.device)
                    rank[where] = torch.arange(1.0, len(path.added) + 1, device=size.device)
        mask = ((rank < size[owner]) & ~batch.fixed).float()
        return Rationale(scores=(-rank).masked_fill(batch.fixed, -torch.inf), mask=mask, ptr=batch.ptr)

    @torch.no_grad()
    def targets(self, batch: Batch) -> list[tuple[TokenRationale, ...]]:
        """The greedy rationale of every unit for which something stands before it, given ones apart."""
        sizes = lengths(batch.ptr).tolist()
        texts, given = torch.split(batch.units, sizes), torch.split(batch.fixed, sizes)
        places = [[place for place in range(1, len(text)) if not fixed[place]] for text, fixed in zip(texts, given, strict=True)]
        model = CausalModel(self._encoder.model)
        return [tuple(each) for each in greedy(model, texts, places, max_size=self.max_size, max_tokens=self.max_tokens)]


class _Asked:
    """The language model as greedy search asks it: of all words, the classes."""

    def __init__(self, encoder: CausalEncoder, answers: Tensor) -> None:
        self.model, self.answers = CausalModel(encoder.model), answers

    def go_on(self, tokens: Tensor, positions: Tensor, states: States) -> tuple[Tensor, States]:
        """See `CausalModel`."""
        return self.model.go_on(tokens, positions, states)

    def predict(self, last: Tensor) -> Tensor:
        """Logits of the classes."""
        return self.model.predict(last)[:, self.answers]

    def vocabulary(self) -> None:
        """The classes are few."""


def _with_class(batch: Batch, answers: Tensor, separator: int) -> Batch:
    """Each text followed by its class and its end, as units like any other."""
    assert batch.y is not None  # there are terms only with targets
    count, n = batch.ptr.numel() - 1, batch.units.shape[0]
    ptr = batch.ptr + 2 * torch.arange(count + 1, device=batch.ptr.device)
    old, ends = torch.arange(n, device=batch.ptr.device) + 2 * owners(batch.ptr, n), ptr[1:] - 2
    after = segment_max(batch.position[:, None].float(), batch.ptr)[:, 0].long() + (lengths(batch.ptr) > 0)
    at = (torch.cat([old, ends, ends + 1]),)
    empty = batch.units.new_empty(n + 2 * count)
    units = empty.index_put(at, torch.cat([batch.units, answers[batch.y], torch.full_like(batch.y, separator)]))
    position = empty.index_put(at, torch.cat([batch.position, after, after + 1]))
    fixed = torch.zeros_like(empty, dtype=torch.bool).index_put((old,), batch.fixed)
    return Packed(units=units, ptr=ptr, position=position, fixed=fixed)
