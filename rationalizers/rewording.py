"""Saying the same in other words, one word for another: how far a rationale depends on the wording.

Every substitution keeps the number of words, so that selections can be compared word by word. The table is short and plain on
purpose: contractions written out as far as their words are apart (``do n't``), British and American spellings, and a few pairs
that mean the same nearly everywhere. It is not a paraphraser, and says nothing about texts that it does not touch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from rationalizers.batch import Batch

# One way only: back again they would be wrong in some places.
_ONE_WAY = {
    "n't": "not",
    "'re": "are",
    "'m": "am",
    "'ll": "will",
    "'ve": "have",
    "although": "though",
    "whilst": "while",
    "amongst": "among",
    "programme": "program",
    "programmes": "programs",
    "%": "percent",
    "&": "and",
}
# What a verb becomes where ``n't`` follows, and would not be a word by itself.
_BEFORE_NOT = {"ca": "can", "wo": "will", "sha": "shall"}
_BOTH_WAYS = (
    ("film", "movie"),
    ("films", "movies"),
    ("filmmaker", "moviemaker"),
    ("filmmakers", "moviemakers"),
    ("everyone", "everybody"),
    ("someone", "somebody"),
    ("anyone", "anybody"),
    ("perhaps", "maybe"),
    ("towards", "toward"),
    ("afterwards", "afterward"),
    ("ok", "okay"),
    ("until", "till"),
    ("colour", "color"),
    ("colours", "colors"),
    ("colourful", "colorful"),
    ("favourite", "favorite"),
    ("favourites", "favorites"),
    ("humour", "humor"),
    ("honour", "honor"),
    ("behaviour", "behavior"),
    ("neighbour", "neighbor"),
    ("neighbours", "neighbors"),
    ("rumour", "rumor"),
    ("theatre", "theater"),
    ("theatres", "theaters"),
    ("centre", "center"),
    ("grey", "gray"),
    ("dialogue", "dialog"),
    ("realise", "realize"),
    ("realised", "realized"),
    ("realises", "realizes"),
    ("recognise", "recognize"),
    ("recognised", "recognized"),
    ("sceptical", "skeptical"),
    ("defence", "defense"),
    ("moustache", "mustache"),
    ("travelling", "traveling"),
    ("travelled", "traveled"),
)
SUBSTITUTIONS = {**_ONE_WAY, **dict(_BOTH_WAYS), **{second: first for first, second in _BOTH_WAYS}}


@dataclass(frozen=True)
class Reworded:
    """The same examples said otherwise, and what corresponds to what.

    Args:
        batch: without targets.
        source: which word of the original batch each word of ``batch`` stands for, as `rationalizers.levels.group` counts words
            over the whole batch (units, where they are not pieces of words); −1 where none, ``[G']``.
        edits: words that were substituted, or nodes that changed place, ``[B]``; 0 where nothing was.
    """

    batch: Batch
    source: Tensor
    edits: Tensor


def reword(words: Sequence[str]) -> tuple[str, ...]:
    """The same words with every substitution made that the table has; a word counts if the whole of it is there.

    Small letters, capitals and capitalised words stay so; words in mixed case are left alone.

    >>> reword(("Films", "that", "ca", "n't", "be", "grey"))
    ('Movies', 'that', 'can', 'not', 'be', 'gray')
    """
    plain = [word.replace("’", "'").lower() for word in words]
    following = [*plain[1:], ""]
    return tuple(
        _cased(
            _BEFORE_NOT[small] if small in _BEFORE_NOT and after == "n't" else SUBSTITUTIONS.get(small, word),
            like=word,
        )
        for word, small, after in zip(words, plain, following, strict=False)
    )


def _cased(word: str, *, like: str) -> str:
    """A substitute in the case of a word; that word where its case is mixed."""
    if like == like.lower():
        return word
    if like == like.upper():
        return word.upper()
    return word.capitalize() if like == like.capitalize() else like
