"""Greedy and exhaustive search as they are defined, one target at a time and everything computed anew: what others must equal.

Rationales for Sequential Predictions (Vafa, Deng, Blei, Rush, 2021, https://arxiv.org/abs/2109.06387):

    S* = argmin |S|  so that  argmax_v p(v | y_S) = y_t

Greedy search begins with the last token before the target and adds, one by one, whatever raises p(y_t | y_S) most.
"""

from __future__ import annotations

import math
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
    check_size(max_size)
    check_text(model, tokens, [target])
    path = grow(
        _asking(model, tokens, target),
        target - 1,
        target,
        int(tokens[target]),
        max_size=max_size,
        rows=lambda size: max(1, max_tokens // size),
    )
    return TokenRationale(target, int(tokens[target]), *path)


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
    check_size(max_size)
    check_text(model, tokens, [target])
    goal, ask = int(tokens[target]), _asking(model, tokens, target)
    for size in range(1, min(max_size, target) + 1):
        if progress is not None:
            progress(size)
        for rows in _batches(combinations(range(target - 1), size - 1), max(1, max_tokens // size)):
            sets = [[target - 1, *row] for row in rows]
            predicted, log_p = ask(sets)
            if (enough := (predicted == goal).nonzero()).numel():
                first = int(enough[0])
                return TokenRationale(target, goal, tuple(sets[first]), (goal,), (float(log_p[first].exp()),))
    return None


def grow(
    ask: Callable[[Sequence[Sequence[int]]], tuple[Tensor, Tensor]],
    start: int,
    places: int,
    goal: int,
    *,
    max_size: int | None,
    rows: Callable[[int], int],
    enough: Callable[[Sequence[int]], bool] = lambda order: True,
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[float, ...]]:
    """Greedy search itself.

    Args:
        ask: what is said from each of some sets of one size, and log p(goal).
        start: the place that is always there.
        places: of which there are so many, ``start`` among them.
        goal: what shall be said.
        max_size: places at most; ``None`` is all.
        rows: sets of a size that are asked about together.
        enough: whether the search may end with what was added, once the goal was said.

    Returns:
        places in order of addition; what is said after each; p(goal) likewise.
    """
    order: list[int] = []
    said: list[int] = []
    path: list[float] = []
    while True:
        sets = [[*order, i] for i in range(places) if i not in order] if order else [[start]]
        best: tuple[float, int, int] | None = None
        for some in _batches(sets, rows(len(sets[0]))):
            predicted, log_p = ask(some)
            top = int(log_p.argmax())  # the first of equals
            if best is None or float(log_p[top]) > best[0]:
                best = float(log_p[top]), some[top][-1], int(predicted[top])
        assert best is not None  # there is at least one set
        order.append(best[1])
        said.append(best[2])
        path.append(math.exp(best[0]))
        if (goal in said and enough(order)) or len(order) in (places, max_size):
            return tuple(order), tuple(said), tuple(path)


def check_size(max_size: int | None) -> None:
    """Raise unless a rationale may have at least one token."""
    if max_size is not None and max_size < 1:
        raise ValueError(f"'max_size' must be at least 1, got {max_size}")


def _asking(model: CausalModel, tokens: Tensor, target: int) -> Callable[[Sequence[Sequence[int]]], tuple[Tensor, Tensor]]:
    """Ask a model about one target from sets of places of one size."""
    tokens = tokens.to(model.device)

    def ask(sets: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        places = torch.tensor([sorted(each) for each in sets], device=tokens.device)
        logits = model.read(tokens[places], places)
        return logits.argmax(-1), logits.log_softmax(-1)[:, tokens[target]]

    return ask


def _batches(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rows = iter(rows)
    while batch := list(islice(rows, size)):
        yield batch
