"""Which candidates can be the best, from a few words of the vocabulary: exact, by an upper bound of log p(goal).

With the words R that were probable so far, and all others by their mean (Jensen's inequality),

    log p(goal) = z_goal − log Σ_v e^{z_v} ≤ z_goal − log( Σ_{v∈R} e^{z_v} + (V − |R|) e^{mean_{v∉R} z_v} )

so that the whole vocabulary is computed for those candidates alone whose bound reaches the best that is known.

Letters: ``V`` vocabulary, ``D`` width, ``R`` rows, ``M`` words of the shortlist.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

WORDS = 1024
# Of smaller vocabularies, bounds cost more than they save.
LEAST = 8 * WORDS


class Shortlist:
    """Bounds of log p(goal) from last states.

    Args:
        weight: of the vocabulary ``[V, D]``.
        bias: of the vocabulary ``[V]``, if it has one.
        words: of the shortlist M.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, words: int = WORDS) -> None:
        self.weight, self.bias = weight, bias
        self.words = min(words, weight.shape[0] - 1)
        self.total = weight.sum(0)
        self.probable = torch.full_like(weight[:, 0], -torch.inf)
        # Two ways to the same logit may differ in their last digits: rather a candidate too many.
        self.slack = 1e4 * torch.finfo(weight.dtype).eps

    def learn(self, log_p: Tensor) -> None:
        """Take note of what was probable, ``[R, V]``."""
        if log_p.shape[0]:
            self.probable = torch.maximum(self.probable, log_p.amax(0))

    def choose(self) -> None:
        """Make the list of the words that were most probable so far."""
        some = self.probable.topk(self.words).indices
        rest = self.weight.shape[0] - len(some)
        self.rows = torch.cat([self.weight[some], ((self.total - self.weight[some].sum(0)) / rest)[None]])
        self.offset = torch.zeros_like(self.rows[:, 0])
        if self.bias is not None:
            chosen = self.bias[some]
            self.offset = torch.cat([chosen, ((self.bias.sum() - chosen.sum()) / rest)[None]])
        self.offset[-1] += math.log(rest)

    def bound(self, last: Tensor, goal: Tensor) -> Tensor:
        """What log p(goal) is at most ``[R]``.

        Args:
            last: states ``[R, D]``.
            goal: words ``[R]``.

        Raises:
            ValueError: one is not finite.
        """
        z = (last * self.weight[goal]).sum(-1)
        if self.bias is not None:
            z = z + self.bias[goal]
        listed = F.linear(last, self.rows, self.offset).logsumexp(-1)
        return finite(z - listed) + self.slack


def finite(numbers: Tensor) -> Tensor:
    """The same numbers.

    Raises:
        ValueError: one is not finite.
    """
    if not bool(numbers.isfinite().all()):
        raise ValueError("the model predicts numbers that are not finite; check its weights, or load it in another precision")
    return numbers
