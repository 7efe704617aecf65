"""How replaceable a word is: what noise injection draws from.

Word statistics of Unsupervised Selective Rationalization with Noise Injection (Storek, Subbiah and McKeown, ACL 2023,
https://arxiv.org/abs/2305.17534), from the training split alone. A word is replaced, and drawn as a replacement, the more often
the less characteristic it is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from rationalizers.data.document import Document

Per = Literal["document", "sentence"]

# Words that differ by less than this share of the largest weight differ by rounding.
_ROUNDING = 1e-9


class WordStatistics:
    """Replacement probabilities from TF-IDF over the words of documents (never of queries).

    With N documents, df(w) of which have the word w:

        tfidf_d(w) = count_d(w) / |d| · idf(w),  idf(w) = ln(N / df(w))
        q_i = |d| · (M_d − tfidf_d(w_i)) / Σ_j (M_d − tfidf_d(w_j)),  M_d = max_j tfidf_d(w_j)
        π(w) = (M − atf(w)·idf(w)) / Σ_v (M − atf(v)·idf(v)),  atf(w) = mean_d count_d(w) / |d|,  M = max_v atf(v)·idf(v)

    ``q`` is the probability of replacing position i, up to the rate that it is later multiplied by (and clipped at 1): its mean
    over a document is 1. ``π`` is the distribution of replacements. Where all words tie, q is 0 and π is uniform.

    Args:
        per: what q is normalised over. ``document`` is the paper's formula. ``sentence`` takes M, Σ and |·| over the sentence
            of i, as the published code does for claims and questions; counts stay those of the document.
        lowercase: fold case before counting.

    Attributes:
        words: all words of the training split in alphabetical order, V of them.
        probability: π of each, ``[V]``.

    Raises:
        ValueError: an unknown ``per``.
    """

    def __init__(self, *, per: Per = "document", lowercase: bool = False) -> None:
        if per not in get_args(Per):
            raise ValueError(f"'per' must be one of {', '.join(get_args(Per))}; got {per!r}")
        self.per, self.lowercase = per, lowercase
        self.words: tuple[str, ...] = ()
        self.probability = torch.zeros(0)
        self._idf: dict[str, float] = {}

    def fit(self, documents: Sequence[Document]) -> None:
        """Count the words of the training split.

        Raises:
            ValueError: there are none.
        """
        # Examples that ask different things of the same text are counted together.
        texts = Counter(document.words for document in documents if document.words)
        if not texts:
            raise ValueError("word statistics need documents with words, got none")
        total = texts.total()
        having: Counter[str] = Counter()
        frequency: Counter[str] = Counter()
        for words, times in texts.items():
            for word, count in Counter(self._fold(words)).items():
                having[word] += times
                frequency[word] += times * count / len(words)  # type: ignore[assignment]
        self.words = tuple(sorted(having))
        self._idf = {word: math.log(total / having[word]) for word in self.words}
        weight = torch.tensor([frequency[word] / total * self._idf[word] for word in self.words], dtype=torch.double)
        gap = _below(weight, weight.max())
        self.probability = (gap / gap.sum() if bool(gap.any()) else torch.full_like(gap, 1 / gap.numel())).float()

    def replacement(self, document: Document) -> tuple[float, ...]:
        """The probability q of replacing each word of a training document, before it is multiplied by a rate and clipped.

        Raises:
            ValueError: a word that is not in the training split, or a document without the sentences asked for.
        """
        words = self._fold(document.words)
        try:
            weight = {word: count / len(words) * self._idf[word] for word, count in Counter(words).items()}
        except KeyError as error:
            raise ValueError(
                f"document {document.id!r} has the word {error}, which these statistics were not fitted on"
            ) from None
        weights = torch.tensor([weight[word] for word in words], dtype=torch.double)  # [n]
        part = self._parts(document)
        length = torch.bincount(part).double()  # [parts]
        top = torch.zeros_like(length).scatter_reduce(0, part, weights, "amax")
        gap = _below(weights, top[part])
        total = torch.zeros_like(length).index_add(0, part, gap)[part]
        q = torch.where(total > 0, length[part] * gap / total, gap)
        return tuple(q.tolist())

    def _parts(self, document: Document) -> Tensor:
        """What each word's probability is normalised with, ``[n]``."""
        if self.per == "document":
            return torch.zeros(len(document.words), dtype=torch.long)
        if "sentence" not in document.fields:
            known = ", ".join(sorted(document.fields)) or "none"
            raise ValueError(
                f"document {document.id!r} does not say where its sentences are (its fields: {known}); use per=document"
            )
        part: Tensor = torch.unique(torch.as_tensor(document.fields["sentence"]), return_inverse=True)[1]
        return part

    def _fold(self, words: Sequence[str]) -> Sequence[str]:
        return [word.lower() for word in words] if self.lowercase else words


def _below(weight: Tensor, top: Tensor) -> Tensor:
    """How far each weight lies below the largest, zero where only rounding keeps them apart."""
    gap = top - weight
    return gap.masked_fill(gap <= _ROUNDING * top, 0.0)
