"""Defects of released code that published numbers contain: reproduced on request, each by its name, never by default.

Those of noise injection (https://github.com/adamstorek/noise_injection, 2023) that change results:

======================= ===============================================================================================
double_softmax          cross-entropy is taken of probabilities, as if they were logits (never below .3133 for two classes)
reversed_divergence     KL(M‖P) and KL(M‖Q) instead of KL(P‖M) and KL(Q‖M), summed over the batch instead of averaged
attended_separators     [SEP] gets attention and may be selected, at the expense of a word
shifted_sentences       the attention that scores a sentence is read one word too late, and one more per extra query piece
truncated_sentences     sentences that were cut off count in k and are ranked first: so many fewer are selected
words_before            with noise, the predictor is trained on the word before each selected unit
======================= ===============================================================================================

Not reproduced: attention on padding, because the result would depend on who is in the batch, and the sigmoid over probabilities
in comprehensiveness and sufficiency.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from rationalizers.batch import Batch
from rationalizers.levels import Groups, group, top_share
from rationalizers.rationale import Rationale
from rationalizers.segment import leading, owners, segment_sum, starts
from rationalizers.task import Task


def double_softmax(task: Task, logits: Tensor, y: Tensor) -> Tensor:
    """The loss with probabilities taken for logits."""
    return task.loss(task.predict(logits), y)


def reversed_divergence(first: Tensor, second: Tensor) -> Tensor:
    """Σ_b ½ (KL(M‖P) + KL(M‖Q)), M = (P + Q)/2, of logits ``[B, C]``."""
    log_p, log_q = first.log_softmax(-1), second.log_softmax(-1)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    return (log_m.exp() * (log_m - (log_p + log_q) / 2)).sum()


def separators(batch: Batch) -> Tensor:
    """Special tokens after the first unit of an example, ``[N]`` bool."""
    return batch.fixed & (batch.fields["word"] < 0) & ~starts(batch.ptr, batch.position.shape[0])


def attended_separators(attention: Tensor, batch: Batch, *, share: float, level: str) -> Rationale:
    """The selection where separators compete; what falls on them is lost."""
    opened: Any = replace(batch, fixed=batch.fixed & ~separators(batch))  # type: ignore[type-var]
    found = top_share(attention, opened, share=share, level=level)
    return replace(
        found,
        scores=found.scores.masked_fill(batch.fixed, -torch.inf),
        mask=found.mask.masked_fill(batch.fixed, 0.0),
    )


def shifted_attention(attention: Tensor, batch: Batch) -> Tensor:
    """The attention ``[N]`` that each word is credited with when the map from words to sentences is off.

    Off by one word, and by one for every word piece of the query beyond its words; at the end it wraps around.
    """
    words = group(batch, "word")
    mean, owner = words.mean(attention, batch), owners(words.batch.ptr, words.batch.units.shape[0])
    lead, count = _first_words(words)
    rank = torch.arange(owner.numel(), device=owner.device) - words.batch.ptr[:-1][owner] - lead[owner]
    shift = 1 + _extra_pieces(batch, words)
    source = (rank + shift[owner]) % count.clamp(min=1)[owner] + lead[owner] + words.batch.ptr[:-1][owner]
    moved = torch.where(words.batch.fixed, torch.zeros_like(mean), mean[source.clamp(max=max(0, owner.numel() - 1))])
    return moved[words.owner].masked_fill(batch.fixed, 0.0)


def cut_sentences(batch: Batch) -> Tensor:
    """Sentences of each example that were cut off entirely, ``[B]``."""
    cut = batch.fields["sentences_cut"]
    return cut.new_zeros(batch.ptr.numel() - 1).scatter_reduce(0, owners(batch.ptr, cut.shape[0]), cut, "amax").clamp(min=0)


def words_before(mask: Tensor, batch: Batch) -> Tensor:
    """Units of the words that are taken for the selected ones: of the unit before each, ``[N]`` bool.

    Where there is a query, the word is moved back by one for every word piece of the query beyond its words, and what lies
    before the document wraps around to its end. Where nothing is left, it is the first word.
    """
    n = mask.shape[0]
    example = owners(batch.ptr, n)
    words = group(batch, "word")
    run, runs = words.owner, words.batch.ptr
    lead, count = _first_words(words)
    first = runs[:-1] + lead  # [B], first word of the document
    has_query = segment_sum((batch.fixed & (batch.fields["word"] >= 0)).long(), batch.ptr) > 0
    chosen = torch.nonzero((mask > 0.5) & ~batch.fixed).flatten()
    chosen = chosen[~starts(batch.ptr, n)[chosen]]  # before the first unit there is none
    of = example[chosen]
    word = run[chosen - 1] - first[of]  # negative in front of the document
    word = torch.where(has_query[of], (word - _extra_pieces(batch, words)[of]) % count[of], word)
    taken = torch.zeros_like(words.batch.fixed)
    taken[(word + first[of])[word >= 0]] = True
    nothing = (segment_sum(taken.long(), runs) == 0) & (segment_sum(mask, batch.ptr) > 0)
    taken[first[nothing]] = True
    return taken[run]


def _first_words(words: Groups) -> tuple[Tensor, Tensor]:
    """How many words of each example stand before its document, and how many the document has, ``[B]`` each."""
    fixed, ptr = words.batch.fixed, words.batch.ptr
    return segment_sum(leading(fixed, ptr).long(), ptr), segment_sum((~fixed).long(), ptr)


def _extra_pieces(batch: Batch, words: Groups) -> Tensor:
    """Units beyond words in front of each document, ``[B]``."""
    lead, _ = _first_words(words)
    return segment_sum(leading(batch.fixed, batch.ptr).long(), batch.ptr) - lead
