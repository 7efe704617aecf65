"""Word alignments by a statistical model where no people drew any: silver, not gold.

IBM Model 1 (Brown et al., 1993, The Mathematics of Statistical Machine Translation) in both directions, as NLTK has it, learns
from all sentences, those that it aligns among them. Links of both directions are sure, those of one are possible.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rationalizers.data.alignments import Aligned, Link
from rationalizers.extras import require

ROUNDS = 5


def silver_pairs(train: Sequence[tuple[str, str]], aligned: Sequence[tuple[str, str]]) -> list[Aligned]:
    """Sentences with links between their words, which stand between spaces; case and punctuation around a word do not count.

    Args:
        train: sources and targets to learn from.
        aligned: those to align.

    Raises:
        ImportError: NLTK is not installed.
    """
    pairs = [tuple(side.split() for side in pair) for pair in (*aligned, *train)]
    keys = [tuple([_key(word) for word in side] for side in pair) for pair in pairs]
    forth = _links([(source, target) for source, target in keys], len(aligned))
    back = [{(i, j) for j, i in links} for links in _links([(target, source) for source, target in keys], len(aligned))]
    return [
        Aligned(tuple(source), tuple(target), frozenset(one & other), frozenset(one ^ other))
        for (source, target), one, other in zip(pairs, forth, back, strict=False)  # of the first alone there are links
    ]


def _links(pairs: Sequence[tuple[list[str], list[str]]], count: int) -> list[set[Link]]:
    """For each target word of the first so many pairs the source word that most probably gave it."""
    translate = require("nltk.translate", extra="align")
    corpus = [translate.AlignedSent(target, source) for source, target in pairs]
    translate.IBMModel1(corpus, ROUNDS)  # leaves its alignments in the corpus
    return [{(i, j) for j, i in sentence.alignment if i is not None} for sentence in corpus[:count]]


def _key(word: str) -> str:
    return re.sub(r"^\W+|\W+$", "", word.lower()) or word
