"""Greedy search for many rationales in lockstep, nothing computed twice.

A state depends on the visible tokens before it and on nothing else. So, of a candidate S + {i},

=============== ======================================================================================================
prefix          states of S before i are those of S: only i and what follows it are computed, and the winner's states
                are the next S's
table           a token with nothing before it has the same states for every question: once per text
branches        when j was added, states of S + {i}, i < j, before j are those of the last step: only j and what follows
                it are computed, as long as they fit into memory
bounds          of a large vocabulary, all words are computed for those candidates only that may be the best
                (`rationalizers.language.vocabulary`)
=============== ======================================================================================================

Candidates that are read in one pass know equally many tokens; where a pass would be short, some read again what is known, so that
there are fewer passes.

Letters: ``Q`` texts, ``P`` places of the longest, ``A`` questions that are still searched for, ``m`` tokens of their rationales,
``C`` candidates, ``p`` tokens whose states are known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from rationalizers.language.states import States, join, put, room, row_bytes, take
from rationalizers.language.vocabulary import LEAST, Shortlist

PASS_TOKENS = {"cpu": 4, "cuda": 1024}
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
class Path:
    """How one rationale grew.

    Args:
        added: places beyond those that it began with.
        predicted: what is said at the beginning and after each addition.
        probability: p(goal) likewise.
    """

    added: tuple[int, ...]
    predicted: tuple[int, ...]
    probability: tuple[float, ...]


@dataclass(frozen=True)
class _Best:
    """What was added to each question, ``[A]`` each: log p(goal), its place, what is said then, and which candidate it was."""

    score: Tensor
    place: Tensor
    predicted: Tensor
    candidate: Tensor


@dataclass(frozen=True)
class _Candidates:
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


class Lockstep:
    """All questions together: the rationales of those that are still searched for have the same size.

    Args:
        model: that is asked.
        tokens: the texts ``[Q, P]``, padded with anything.
        row: text of each question ``[A]``.
        length: tokens before its target ``[A]``.
        start: places that its rationale begins with ``[A, m]``, increasing.
        goal: what shall be said ``[A]``.
        max_tokens: that are read in one pass.
        cache: bytes for branches, at most.
        positions: of the tokens ``[Q, P]``; ``None`` is their places.
    """

    def __init__(
        self,
        model: Decoder,
        tokens: Tensor,
        *,
        row: Tensor,
        length: Tensor,
        start: Tensor,
        goal: Tensor,
        max_tokens: int,
        cache: float,
        positions: Tensor | None = None,
    ) -> None:
        self.model, self.tokens, self.max_tokens, self.cache = model, tokens, max_tokens, cache
        self.positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens) if positions is None else positions
        self.question = torch.arange(len(row), device=tokens.device)  # [A], which of those asked
        self.row, self.length, self.goal, self.kept = row, length, goal, start
        self.states: States = []  # of `kept`
        self.table: States = []  # of each token alone, [Q·P, H, 1, d]
        self.branches: States = []  # of the candidates of the last step, [C, H, m, d]
        self.branch = torch.zeros(len(row), tokens.shape[1], dtype=torch.long, device=tokens.device)  # which a place is, [A, P]
        self.added = start[:, -1]  # the last addition, [A]
        head = model.vocabulary()
        self.shortlist = Shortlist(*head) if head is not None and head[0].shape[0] >= LEAST else None
        # Tokens that take as long to read as a pass takes in any case.
        self.pass_tokens = PASS_TOKENS[tokens.device.type]

    def run(self, max_size: int | None, progress: Callable[[int, int], None] | None = None) -> list[Path]:
        """Search until every rationale is enough, everything, or of ``max_size`` tokens."""
        steps: list[list[tuple[int, int, float]]] = [[] for _ in self.question]
        best = self._begin()
        while True:
            told = (self.question, best.place, best.predicted, best.score.double().exp())
            for question, *step in zip(*(each.tolist() for each in told), strict=True):
                steps[question].append(tuple(step))
            size = self.kept.shape[1]
            on = (best.predicted != self.goal) & (self.length > size)
            self._keep(on & (max_size is None or size < max_size))
            if progress is not None:
                progress(len(steps) - len(self.question), len(steps))
            if not len(self.question):
                break
            best = self._step()
        paths = [tuple(zip(*each, strict=True)) for each in steps]
        return [Path(added[1:], predicted, probability) for added, predicted, probability in paths]

    def _keep(self, on: Tensor) -> None:
        """Forget questions that are answered."""
        if bool(on.all()):
            return
        for name in ("question", "row", "length", "goal", "kept", "added", "branch"):
            setattr(self, name, getattr(self, name)[on])
        self.states = take(self.states, on)

    def _begin(self) -> _Best:
        """Every token alone, at its place: the table; and what is said from where each rationale begins."""
        tokens, positions = self.tokens.reshape(-1, 1), self.positions.reshape(-1, 1)
        alone = [
            self.model.go_on(tokens[start : start + self.max_tokens], positions[start : start + self.max_tokens], [])
            for start in range(0, len(tokens), self.max_tokens)
        ]
        self.table = join([states for _, states in alone])
        if self.kept.shape[1] == 1:
            flat = self.row * self.tokens.shape[1] + self.kept[:, 0]
            last, self.states = torch.cat([each for each, _ in alone])[flat], take(self.table, flat)
        else:
            rows = self.row[:, None]
            last, self.states = self.model.go_on(self.tokens[rows, self.kept], self.positions[rows, self.kept], [])
        score, predicted = self._scores(last, self.goal)
        return _Best(score, self.kept[:, -1], predicted, self.question)

    def _step(self) -> _Best:
        """Add the best candidate of every question."""
        candidates = self._candidates()
        count, size = candidates.tokens.shape
        # As many of the next step will stand beside these.
        fits = 2 * count * row_bytes(self.states) * size // (size - 1) <= self.cache
        last, stored = self._read(candidates, torch.arange(count, device=self.tokens.device), keep=fits)
        best = self._judge(candidates, last)
        self.states = take(stored, best.candidate) if fits else self._read(candidates, best.candidate, keep=True)[1]
        self.branches, self.added = stored, best.place
        self.branch = torch.zeros(len(self.row), self.tokens.shape[1], dtype=torch.long, device=self.tokens.device)
        self.branch[candidates.owner, candidates.place] = torch.arange(count, device=self.tokens.device)
        self.kept = torch.cat([self.kept, best.place[:, None]], 1).sort(1).values
        return best

    def _candidates(self) -> _Candidates:
        free = torch.arange(self.tokens.shape[1], device=self.tokens.device) < self.length[:, None]  # [A, P]
        owner, place = free.scatter(1, self.kept, False).nonzero().unbind(1)  # [C]
        whole = torch.cat([self.kept[owner], place[:, None]], 1).sort(1).values  # [C, m + 1]
        tokens, positions = (each[self.row[owner, None], whole] for each in (self.tokens, self.positions))
        gap = (self.kept[owner] < place[:, None]).sum(1)  # members of S before i
        alone = gap == 0
        source, p = alone.long(), gap.clamp(min=1)
        at = torch.where(alone, self.row[owner] * self.tokens.shape[1] + place, owner)
        if self.branches:
            rank = (self.kept < self.added[:, None]).sum(1)  # members of S before j, [A]
            same = place < self.added[owner]
            source, p = torch.where(same, 2, source), torch.where(same, rank[owner] + 1, p)
            at = torch.where(same, self.branch[owner, place], at)
        return _Candidates(owner, place, tokens, positions, source, p, at)

    def _read(self, candidates: _Candidates, rows: Tensor, *, keep: bool) -> tuple[Tensor, States]:
        """Read some candidates: their last states ``[R, D]`` and, to ``keep``, those of all layers and tokens."""
        size = candidates.tokens.shape[1]
        p = shared(candidates.p[rows], size, self.pass_tokens)
        source, at = candidates.source[rows], candidates.at[rows]
        last: Tensor | None = None
        stored: States = []
        for prefix in sorted(set(p.tolist())):
            every = (p == prefix).nonzero().squeeze(1)
            for some in every.split(max(1, self.max_tokens // (size - prefix))):
                kinds = [some[source[some] == kind] for kind in range(3)]
                known = [
                    take(states, at[each], first=prefix)
                    for states, each in zip((self.states, self.table, self.branches), kinds, strict=True)
                    if len(each)
                ]
                here = torch.cat(kinds)
                tokens, positions = (each[rows[here], prefix:] for each in (candidates.tokens, candidates.positions))
                read, states = self.model.go_on(tokens, positions, known[0] if len(known) == 1 else join(known))
                last = read.new_empty(len(rows), read.shape[1]) if last is None else last
                last[here] = read
                if keep:
                    stored = stored or room(states, len(rows))
                    put(stored, here, states)
        assert last is not None  # a question that is still searched for has candidates
        return last, stored

    def _judge(self, candidates: _Candidates, last: Tensor) -> _Best:
        """The best candidate of each question, the first of equals; those that cannot be it are judged by a bound alone."""
        goal, owner = self.goal[candidates.owner], candidates.owner
        score = torch.full_like(last[:, 0], -torch.inf)  # [C]
        predicted = torch.zeros_like(owner)
        best = torch.full((len(self.row),), -torch.inf, dtype=score.dtype, device=score.device)
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
        equal = (score == best[owner]).nonzero().squeeze(1)
        # Candidates of a question stand in the order of their places.
        none = torch.full_like(self.row, len(owner))
        first = none.scatter_reduce(0, owner[equal], equal, "amin")
        return _Best(score[first], candidates.place[first], predicted[first], first)

    def _scores(self, last: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        """Scores log p(goal) and what is said, ``[R]`` each, from last states."""
        logits = self.model.predict(last)
        log_p = logits.log_softmax(-1)
        if self.shortlist is not None:
            self.shortlist.learn(log_p)
        return log_p.gather(1, goal[:, None]).squeeze(1), logits.argmax(-1)


def shared(p: Tensor, size: int, pass_tokens: int) -> Tensor:
    """How many known tokens each candidate uses, so that passes are few: not more than it has ``p [C]``.

    Those that know most join the next lower number as long as what they read again is less than a pass takes in any case.

    Args:
        p: known tokens of each candidate.
        size: tokens of a candidate.
        pass_tokens: tokens that take as long to read as a pass takes in any case.
    """
    counts = torch.bincount(p, minlength=size).tolist()
    target = list(range(size))
    numbers = [number for number in range(size - 1, -1, -1) if counts[number]]
    for number, lower in pairwise(numbers):
        if counts[number] * (number - lower) < pass_tokens:
            counts[lower] += counts[number]
            target[number] = lower
    for number in reversed(numbers):  # from the lowest on: those above may have joined several times
        target[number] = target[target[number]]
    return torch.tensor(target, device=p.device)[p]
