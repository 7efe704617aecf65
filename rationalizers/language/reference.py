"""Greedy and exhaustive search as they are defined, one target at a time and everything computed anew: what others must equal.

Rationales for Sequential Predictions (Vafa, Deng, Blei, Rush, 2021, https://arxiv.org/abs/2109.06387):

    S* = argmin |S|  so that  argmax_v p(v | y_S) = y_t

Greedy search begins with the last token before the target and adds, one by one, whatever raises p(y_t | y_S) most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations, islice
from typing import Any

import torch
from torch import Tensor

from rationalizers.language.causal import CausalModel, check_text
from rationalizers.language.sequence_rationale import TokenRationale


def greedy_reference(
    model: CausalModel, tokens: Tensor, target: int, *, max_size: int | None = None, max_tokens: int = 4096
) -> TokenRationale:
    """The greedy rationale of one token.

    Args:
        model: whose prediction it is.
        tokens: the text ``[n]``.
        target: place of the token.
        max_size: tokens of a rationale at most; ``None`` is all.
        max_tokens: that are read in one pass.

    Raises:
        ValueError: see `check_text`, or ``max_size`` below 1.
    """
    _check_size(max_size)
    check_text(model, tokens, [target])
    goal = int(tokens[target])
    grow = _Growing(model, tokens, target, max_tokens=max_tokens)
    added, predicted, probability = grow.best([[target - 1]])
    order, said, path = [added], [predicted], [probability]
    while said[-1] != goal and len(order) < min(max_size or target, target):
        candidates = [i for i in range(target) if i not in order]
        place, predicted, probability = grow.best([[*order, i] for i in candidates])
        order.append(place)
        said.append(predicted)
        path.append(probability)
    return TokenRationale(target, goal, tuple(order), tuple(said), tuple(path))


def exhaustive(
    model: CausalModel,
    tokens: Tensor,
    target: int,
    *,
    max_size: int = 6,
    max_tokens: int = 4096,
    progress: Callable[[int], None] | None = None,
) -> TokenRationale | None:
    """A smallest sufficient rationale with the last token before the target in it; ``None`` where none is of so few tokens.

    Sets are visited by size, then in the order of `itertools.combinations`; the first that is enough is taken.

    Args:
        model: whose prediction it is.
        tokens: the text ``[n]``.
        target: place of the token.
        max_size: tokens of a rationale at most.
        max_tokens: that are read in one pass.
        progress: called with each size that begins.

    Raises:
        ValueError: see `check_text`, or ``max_size`` below 1.
    """
    _check_size(max_size)
    check_text(model, tokens, [target])
    goal = int(tokens[target])
    grow = _Growing(model, tokens, target, max_tokens=max_tokens)
    for size in range(1, min(max_size, target) + 1):
        if progress is not None:
            progress(size)
        for rows in _batches(combinations(range(target - 1), size - 1), max(1, max_tokens // size)):
            sets = [[target - 1, *row] for row in rows]
            predicted, log_p = grow.ask(sets)
            if (enough := (predicted == goal).nonzero()).numel():
                first = int(enough[0])
                return TokenRationale(target, goal, tuple(sets[first]), (goal,), (float(log_p[first].exp()),))
    return None


class _Growing:
    """Ask a model about one target from many sets of places."""

    def __init__(self, model: CausalModel, tokens: Tensor, target: int, *, max_tokens: int) -> None:
        self.model, self.tokens, self.target, self.max_tokens = model, tokens.to(model.device), target, max_tokens

    def ask(self, sets: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """What the model says from each of some sets of one size, and log p(goal)."""
        places = torch.tensor([sorted(each) for each in sets], device=self.tokens.device)
        logits = self.model.read(self.tokens[places], places)
        return logits.argmax(-1), logits.log_softmax(-1)[:, self.tokens[self.target]]

    def best(self, sets: Sequence[Sequence[int]]) -> tuple[int, int, float]:
        """The last member of the set that makes the goal most probable, the first of equals; what is said there; p(goal)."""
        found: tuple[float, int, int] | None = None
        for rows in _batches(sets, max(1, self.max_tokens // len(sets[0]))):
            predicted, log_p = self.ask(rows)
            top = int(log_p.argmax())
            if found is None or float(log_p[top]) > found[0]:
                found = float(log_p[top]), rows[top][-1], int(predicted[top])
        assert found is not None  # there is at least one set
        return found[1], found[2], float(torch.tensor(found[0], dtype=torch.float64).exp())


def _batches(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rows = iter(rows)
    while batch := list(islice(rows, size)):
        yield batch


def _check_size(max_size: int | None) -> None:
    if max_size is not None and max_size < 1:
        raise ValueError(f"'max_size' must be at least 1, got {max_size}")
