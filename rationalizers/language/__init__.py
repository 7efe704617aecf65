"""Rationales of language models: the smallest part of a text from which the next token is still predicted."""

from rationalizers.language.causal import CausalModel
from rationalizers.language.pair import PairModel, greedy_pair
from rationalizers.language.ranking import in_order, rank
from rationalizers.language.reference import exhaustive, greedy_reference
from rationalizers.language.search import certify, greedy
from rationalizers.language.sequence_rationale import TokenRationale

__all__ = [
    "CausalModel",
    "PairModel",
    "TokenRationale",
    "certify",
    "exhaustive",
    "greedy",
    "greedy_pair",
    "greedy_reference",
    "in_order",
    "rank",
]
