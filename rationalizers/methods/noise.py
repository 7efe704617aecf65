"""Unsupervised Selective Rationalization with Noise Injection (Storek, Subbiah, McKeown, 2023).

A2R whose predictor, in training, reads a corrupted selection: uninformative words are replaced by random ones, so that a
generator that signals through filler is not rewarded (https://arxiv.org/abs/2305.17534):

    min  CE(Y_a, y) + CE(Y_r, y) + λ · JSD(Y_a, Y_r),   Y_r = f_r(r(x[m]))
    r replaces the word at i with probability min(1, p · q_i) by a word drawn from π

q_i and π come from the training split (`rationalizers.data.statistics.WordStatistics`): large where tf-idf is small. Selected
units bring in their whole words. Evaluation is free of noise, and p = 0 is A2R to the bit. The released code trains on the word
before each selected piece; ``legacy=[words_before]`` reproduces that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from rationalizers import legacy as released
from rationalizers.batch import Batch, Packed
from rationalizers.levels import group
from rationalizers.methods.a2r import A2R
from rationalizers.rewriting import Replacements, replace_words, whole_words
from rationalizers.segment import segment_groups, segment_sum


class Noise(A2R):
    """A2R with noise on the rationale.

    Args:
        noise: p, the mean probability that a word of a document is replaced, in [0, 1].
        noise_seed: with the step, the only source of the noise.
        weights: those of A2R, and of ``replaced``, the share of the shown words that were replaced: measured, not minimised.
        arguments: of `A2R`.

    Raises:
        ValueError: ``noise`` outside [0, 1].
    """

    LEGACY: ClassVar[tuple[str, ...]] = (*A2R.LEGACY, "words_before")

    def __init__(
        self,
        *,
        task: Mapping[str, Any],
        generator: Mapping[str, Any],
        predictor: Mapping[str, Any],
        weights: Mapping[str, float],
        optimizer: Mapping[str, Any],
        noise: float = 0.2,
        noise_seed: int = 0,
        share: float = 0.2,
        level: str = "word",
        whole_words: bool = True,
        dropout: float = 0.1,
        pooling: str = "max",
        absence: str = "compact",
        legacy: Sequence[str] = (),
    ) -> None:
        if not 0 <= noise <= 1:
            raise ValueError(f"'noise' is a probability in [0, 1], got {noise}")
        if not whole_words:
            raise ValueError("'whole_words' of Noise must be true: it replaces words")
        super().__init__(
            task=task,
            generator=generator,
            predictor=predictor,
            weights=weights,
            optimizer=optimizer,
            share=share,
            level=level,
            whole_words=whole_words,
            dropout=dropout,
            pooling=pooling,
            absence=absence,
            legacy=legacy,
        )
        self.noise, self.noise_seed = noise, noise_seed
        self.replacements: Replacements | None = None

    def on_fit_start(self) -> None:
        """Ask the data module for the words that may be put in."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not hasattr(data, "replacements"):
            raise TypeError(f"noise needs words to put in: {type(data).__name__} has no 'replacements()'")
        self.replacements = data.replacements().to(self.device)

    def rewrite(self, batch: Batch, mask: Tensor) -> Batch:
        """The selected words, some of them replaced."""
        kept = released.words_before(mask, batch) if "words_before" in self.legacy else whole_words(mask, batch)
        if not isinstance(batch, Packed) or "replaceable" not in batch.fields or self.replacements is None:
            raise ValueError(
                "noise needs a packed training batch with fields['replaceable'] and the words of `on_fit_start`; "
                "train it with a data module such as rationalizers.data.module.TextData"
            )
        run, _ = segment_groups(batch.fields["word"], batch.ptr)
        words = torch.unique(run[kept])  # [R], global numbers
        q = torch.zeros(run.shape[0], device=run.device).index_put((run,), batch.fields["replaceable"])[words]
        draw = torch.Generator().manual_seed(self.noise_seed * 1_000_003 + self.global_step)
        hit = torch.rand(words.numel(), generator=draw).to(q.device) < self.noise * q
        count = max(1, words.numel())  # nothing cannot be drawn
        new = torch.multinomial(self.replacements.probability.cpu(), count, replacement=True, generator=draw).to(q.device)
        shown, origin = replace_words(batch, words[hit], new[: words.numel()][hit], self.replacements)
        replaced = torch.isin(run, words[hit])[origin]
        shown = dataclasses.replace(shown, fields={**shown.fields, "replaced": replaced.float()})
        return self.compact(shown, kept[origin].to(mask.dtype))

    def terms(self, own: Tensor, logits: Tensor, y: Tensor, shown: Batch) -> dict[str, Tensor]:
        """Those of A2R, and ``replaced``: mean_b (replaced words / shown words); zero in evaluation."""
        if "replaced" not in shown.fields:
            replaced = logits.new_zeros(())
        else:
            words = group(shown, "word")
            count = segment_sum((~words.batch.fixed).long(), words.batch.ptr).clamp(min=1)  # [B]
            replaced = (segment_sum(words.mean(shown.fields["replaced"], shown), words.batch.ptr) / count).mean()
        return {**super().terms(own, logits, y, shown), "replaced": replaced}
