"""Which candidate is the best: by all words of the vocabulary where they must be known, and in doubt by a precise model.

Letters: ``A`` questions, ``C`` candidates, ``m + 1`` tokens of each, ``R`` rows, ``V`` vocabulary, ``D`` width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from rationalizers.language.causal import CausalModel
from rationalizers.language.states import States
from rationalizers.language.vocabulary import LEAST, Shortlist

HEADS = 1024  # states of which the whole vocabulary is computed at a time


class Decoder(Protocol):
    """What is asked; see `rationalizers.language.CausalModel`."""

    def go_on(self, tokens: Tensor, positions: Tensor, states: States) -> tuple[Tensor, States]:
        """Last states ``[R, D]`` and those of all layers, from known states of what comes before."""

    def predict(self, last: Tensor) -> Tensor:
        """Logits ``[R, V]`` from last states."""

    def vocabulary(self) -> tuple[Tensor, Tensor | None] | None:
        """Weight ``[V, D]`` and bias ``[V]`` that logits are made with, if that is all; ``None`` asks for all logits."""


@dataclass(frozen=True)
class Best:
    """What was added to each question, ``[A]`` each: log p(goal), its place, what is said then, and which candidate it was."""

    score: Tensor
    place: Tensor
    predicted: Tensor
    candidate: Tensor


@dataclass(frozen=True)
class Candidates:
    """S + {i} of all questions and all i, and of how many of their tokens states are known.

    Args:
        owner: question of each ``[C]``.
        place: i ``[C]``.
        tokens: of each ``[C, m + 1]``, in the order of their places.
        positions: likewise.
        source: where states of its first tokens are known from: S (0), its token alone (1) or its last branch (2); ``[C]``.
        p: of how many tokens.
        at: which row of those they are.
    """

    owner: Tensor
    place: Tensor
    tokens: Tensor
    positions: Tensor
    source: Tensor
    p: Tensor
    at: Tensor


class Judge:
    """Compares candidates.

    Args:
        model: that reads them.
        precise: the same model where ``model`` is in half precision, in another one.
        max_tokens: that are read in one pass.

    Attributes:
        judged: candidates so far.
        again: those of them that ``precise`` judged, too.
        overruled: decisions that it changed.
    """

    def __init__(self, model: Decoder, *, precise: CausalModel | None, max_tokens: int) -> None:
        self.model, self.precise, self.max_tokens = model, precise, max_tokens
        head = model.vocabulary()
        self.shortlist: Shortlist | None = None
        # In half precision nothing could be ruled out.
        if head is not None and head[0].shape[0] >= LEAST and head[0].dtype.itemsize >= 4:
            self.shortlist = Shortlist(*head)
        self.error = 0.0  # how far the two models are apart in log p(goal), with a margin
        self.judged = self.again = self.overruled = 0

    def beginning(self, last: Tensor, tokens: Tensor, positions: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        """Log p(goal) and what is said at the beginning of each question, ``[A]`` each.

        Args:
            last: states ``[A, D]``.
            tokens: that they are of ``[A, m]``.
            positions: of these.
            goal: what shall be said ``[A]``.
        """
        score, predicted = self._scores(last, goal)
        return (score, predicted) if self.precise is None else self._precisely(tokens, positions, goal, score)

    def best(self, candidates: Candidates, last: Tensor, goal: Tensor) -> Best:
        """The best candidate of each question, the first of equals; those that cannot be it are judged by a bound alone.

        Args:
            candidates: of all questions.
            last: their states ``[C, D]``.
            goal: what shall be said, of each question ``[A]``.
        """
        owner, none = candidates.owner, torch.full(goal.shape, -torch.inf, device=last.device)
        goal = goal[owner]
        # Half precision would make equals of what is not.
        dtype = torch.float32 if last.dtype.itemsize < 4 else last.dtype
        score = torch.full(owner.shape, -torch.inf, dtype=dtype, device=last.device)  # [C]
        predicted = torch.zeros_like(owner)
        best = none = none.to(dtype)
        if self.shortlist is None:
            rounds = [torch.ones_like(owner, dtype=torch.bool)]
        else:
            self.shortlist.choose()
            bound = self.shortlist.bound(last, goal)
            promising = bound == best.scatter_reduce(0, owner, bound, "amax")[owner]
            rounds = [promising, ~promising]
        for judged in rounds:
            if self.shortlist is not None:
                judged = judged & (bound >= best[owner])
            for rows in torch.split(judged.nonzero().squeeze(1), HEADS):
                score[rows], predicted[rows] = self._scores(last[rows], goal[rows])
            best = best.scatter_reduce(0, owner, score, "amax")
        self.judged += len(owner)
        if self.precise is not None:
            score, predicted = self._again(candidates, goal, score, predicted, none)
            best = none.scatter_reduce(0, owner, score, "amax")
        equal = (score == best[owner]).nonzero().squeeze(1)
        # Candidates of a question stand in the order of their places.
        beyond = torch.full_like(none, len(owner), dtype=torch.long)
        first = beyond.scatter_reduce(0, owner[equal], equal, "amin")
        return Best(score[first], candidates.place[first], predicted[first], first)

    def _scores(self, last: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        """Scores log p(goal) and what is said, ``[R]`` each, from last states."""
        logits = self.model.predict(last)
        logits = logits.float() if logits.dtype.itemsize < 4 else logits
        log_p = logits.log_softmax(-1)
        if self.shortlist is not None:
            self.shortlist.learn(log_p)
        return log_p.gather(1, goal[:, None]).squeeze(1), logits.argmax(-1)

    def _again(
        self, candidates: Candidates, goal: Tensor, score: Tensor, predicted: Tensor, none: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the precise model says of all candidates that may be the best, −∞ for the others.

        A score is off by ε at most, so that the best is among those within 2 ε of what seems best. ε is one and a half times the
        largest difference that was seen: evidence, not proof.
        """
        owner, found = candidates.owner, torch.full_like(score, -torch.inf)
        best = none.scatter_reduce(0, owner, score, "amax")
        seemed = score == best[owner]
        done = torch.zeros_like(owner, dtype=torch.bool)
        while bool((close := (score >= best[owner] - 2 * self.error) & ~done).any()):
            rows = close.nonzero().squeeze(1)
            found[rows], predicted[rows] = self._precisely(
                candidates.tokens[rows], candidates.positions[rows], goal[rows], score[rows]
            )
            done |= close
        self.again += int(done.sum())
        true = found == none.scatter_reduce(0, owner, found, "amax")[owner]
        self.overruled += int((true & ~seemed).sum())
        return found, predicted

    def _precisely(self, tokens: Tensor, positions: Tensor, goal: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """What the precise model makes of some rows ``[R, m]`` that have a score; remembers how far that was off."""
        assert self.precise is not None
        logits = torch.cat(
            [self.precise.read(tokens[rows], positions[rows]) for rows in self._parts(len(tokens), tokens.shape[1])]
        )
        exact = logits.log_softmax(-1).gather(1, goal[:, None]).squeeze(1).to(score.dtype)
        self.error = max(self.error, 1.5 * float((exact - score).abs().max()))
        return exact, logits.argmax(-1)

    def _parts(self, rows: int, size: int) -> list[slice]:
        """Rows of some size in passes."""
        step = min(HEADS, max(1, self.max_tokens // size))
        return [slice(start, start + step) for start in range(0, rows, step)]
