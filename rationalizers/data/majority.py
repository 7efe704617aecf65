"""Sequences of random bits and what most of them are: a language whose every conditional probability is known.

From Rationales for Sequential Predictions (Vafa et al., 2021, https://arxiv.org/abs/2109.06387).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from rationalizers.data.document import Corpus, Document, Source

LABELS = ("0", "1")
QUESTION = "="


class Majority(Source):
    """``bits`` fair bits, ``=``, and as the label the bit that most of them are.

    Evidence is unknown: any majority of the bits is one.

    Args:
        bits: in a sequence, an odd number.
        train: sequences in this split.
        val: sequences in this split.
        test: sequences in this split.
        seed: of everything.

    Raises:
        ValueError: an even number of bits, or a size below 1.
    """

    def __init__(self, *, bits: int = 17, train: int = 50_000, val: int = 5_000, test: int = 5_000, seed: int = 0) -> None:
        if bits < 1 or bits % 2 == 0:
            raise ValueError(f"'bits' must be odd, so that there is a majority; got {bits}")
        self.sizes = {"train": train, "val": val, "test": test}
        if wrong := [name for name, size in self.sizes.items() if size < 1]:
            raise ValueError(f"{wrong[0]!r} must be at least 1, got {self.sizes[wrong[0]]}")
        self.bits, self.seed = bits, seed

    def load(self) -> Corpus:
        """Generate it, every split from a stream of its own."""
        splits = {}
        for split, size in self.sizes.items():
            draw = random.Random(f"{self.seed} {split}")
            splits[split] = [self._document(f"{split}-{row}", draw.choices(LABELS, k=self.bits)) for row in range(size)]
        return Corpus(LABELS, splits, {f"{split}/examples": size for split, size in self.sizes.items()})

    def _document(self, name: str, bits: Sequence[str]) -> Document:
        label = LABELS[2 * bits.count("1") > self.bits]
        return Document(id=name, words=(*bits, QUESTION), label=label, query=("<s>",), annotated=False)


def perplexity_bound(bits: int) -> float:
    """The least perplexity of such a sequence with its question, its label and its end: 2^(n/(n+3))."""
    return float(2 ** (bits / (bits + 3)))


def probability_of_one(ones: int, known: int, bits: int) -> float:
    """P(majority is 1 | ``known`` bits, ``ones`` of which are 1) = P(Binomial(bits − known, ½) ≥ (bits + 1)/2 − ones)."""
    hidden, needed = bits - known, (bits + 1) // 2 - ones
    ways = sum(math.comb(hidden, k) for k in range(max(0, needed), hidden + 1))
    return ways / float(2**hidden)
