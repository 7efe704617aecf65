"""How well words of a translation are put down to words of its source, against links that people drew.

Alignment error rate: Och and Ney (2003, A Systematic Comparison of Various Statistical Alignment Models). Every number is a
numerator and a denominator, to be summed.

Letters: ``A`` links that were found, ``S`` sure ones, ``P`` possible ones, the sure ones among them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

Link = TypeVar("Link")


def alignment_error(found: Collection[Link], sure: Collection[Link], possible: Collection[Link]) -> tuple[float, float]:
    """AER = 1 − (|A ∩ S| + |A ∩ P|) / (|A| + |S|), as numerator and denominator.

    Args:
        found: A.
        sure: S.
        possible: further links; the sure ones are possible in any case.
    """
    ours, certain = set(found), set(sure)
    size = len(ours) + len(certain)
    return float(size - len(ours & certain) - len(ours & (certain | set(possible)))), float(size)


def coded_alignment_error(found: Collection[Link], sure: Collection[Link], possible: Collection[Link]) -> float:
    """The same as the code of Vafa et al. (2021) has it, for one word: P is only what is marked possible.

    So finding all and only sure links gives one half, not zero.
    """
    ours, certain = set(found), set(sure)
    return 1 - (len(ours & set(possible)) + len(ours & certain)) / (len(certain) + len(ours) + 1e-6)
