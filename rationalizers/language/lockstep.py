"""Greedy search for many rationales in lockstep, nothing computed twice.

A state depends on the visible tokens before it and on nothing else. So, of a candidate S + {i},

=============== ======================================================================================================
prefix          states of S before i are those of S: only i and what follows it are computed, and the winner's states
                are the next S's
table           a token with nothing before it has the same states for every question: once per text
branches        when j was added, states of S + {i}, i < j, before j are those of the last step: only j and what follows
                it are computed, as long as they fit into memory
=============== ======================================================================================================

Letters: ``Q`` texts, ``P`` places of the longest, ``A`` questions that are still searched for, ``m`` tokens of their rationales,
``C`` candidates, ``p`` tokens whose states are known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from rationalizers.language.states import States, join, put, room, row_bytes, take


class Decoder(Protocol):
    """What is asked; see `rationalizers.language.CausalModel`."""

    def go_on(self, tokens: Tensor, positions: Tensor, states: States) -> tuple[Tensor, States]:
        """Last states ``[R, D]`` and those of all layers, from known states of what comes before."""

    def predict(self, last: Tensor) -> Tensor:
        """Logits ``[R, V]`` from last states."""


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


@dataclass
class _Best:
    """The best candidate of each question so far, ``[A]`` each; states ``[A, H, m + 1, d]``."""

    score: Tensor
    place: Tensor
    predicted: Tensor
    states: States = field(default_factory=list)

    @classmethod
    def none(cls, count: int, dtype: torch.dtype, device: torch.device) -> _Best:
        empty = torch.zeros(count, dtype=torch.long, device=device)
        return cls(torch.full((count,), -torch.inf, dtype=dtype, device=device), empty, empty.clone())

    def update(self, owner: Tensor, place: Tensor, score: Tensor, predicted: Tensor, states: States) -> None:
        """Take what is better than what was, or as good and further left; rows ``[R]``, states ``[R, H, m + 1, d]``."""
        top = torch.full_like(self.score, -torch.inf).scatter_reduce(0, owner, score, "amax")
        equal = score == top[owner]
        most = torch.iinfo(torch.long).max
        first = torch.full_like(self.place, most).scatter_reduce(0, owner[equal], place[equal], "amin")
        better = (top > self.score) | ((top == self.score) & (first < self.place))
        row = (equal & (place == first[owner]) & better[owner]).nonzero().squeeze(1)
        own = owner[row]
        self.score[own], self.place[own], self.predicted[own] = score[row], place[row], predicted[row]
        self.states = self.states or room(states, len(top))
        put(self.states, own, take(states, row))


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
        logits = self.model.predict(last)
        score = logits.log_softmax(-1).gather(1, self.goal[:, None]).squeeze(1)
        return _Best(score, self.kept[:, -1], logits.argmax(-1))

    def _step(self) -> _Best:
        """Add the best candidate of every question."""
        size, longest = self.kept.shape[1], self.tokens.shape[1]
        free = torch.arange(longest, device=self.tokens.device) < self.length[:, None]  # [A, P]
        owner, place = free.scatter(1, self.kept, False).nonzero().unbind(1)  # [C]
        whole = torch.cat([self.kept[owner], place[:, None]], 1).sort(1).values  # S + {i}, [C, m + 1]
        tokens, positions = (each[self.row[owner, None], whole] for each in (self.tokens, self.positions))
        source, p, at = self._known(owner, place)
        best = _Best.none(len(self.question), self.states[0][0].dtype, self.tokens.device)
        stored: States = []
        for group in sorted(set((source * (size + 1) + p).tolist())):
            kind, prefix = divmod(group, size + 1)
            every = ((source == kind) & (p == prefix)).nonzero().squeeze(1)
            for rows in every.split(max(1, self.max_tokens // (size + 1 - prefix))):
                known = take((self.states, self.table, self.branches)[kind], at[rows], first=prefix)
                last, states = self.model.go_on(tokens[rows, prefix:], positions[rows, prefix:], known)
                logits = self.model.predict(last)
                score = logits.log_softmax(-1).gather(1, self.goal[owner[rows], None]).squeeze(1)
                best.update(owner[rows], place[rows], score, logits.argmax(-1), states)
                # As many of the next step will stand beside these.
                if 2 * len(owner) * row_bytes(states) <= self.cache:
                    stored = stored or room(states, len(owner))
                    put(stored, rows, states)
        self.states, self.branches, self.added = best.states, stored, best.place
        self.branch = torch.zeros_like(free, dtype=torch.long)
        self.branch[owner, place] = torch.arange(len(owner), device=place.device)
        self.kept = torch.cat([self.kept, best.place[:, None]], 1).sort(1).values
        return best

    def _known(self, owner: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where each candidate's first states are known from: S (0), its token alone (1) or its last branch (2).

        Returns:
            that, of how many tokens they are, and which row of those they are; ``[C]`` each.
        """
        gap = (self.kept[owner] < place[:, None]).sum(1)  # members of S before i
        alone = gap == 0
        source, p = alone.long(), gap.clamp(min=1)
        at = torch.where(alone, self.row[owner] * self.tokens.shape[1] + place, owner)
        if self.branches:
            rank = (self.kept < self.added[:, None]).sum(1)  # members of S before j, [A]
            same = place < self.added[owner]
            source, p = torch.where(same, 2, source), torch.where(same, rank[owner] + 1, p)
            at = torch.where(same, self.branch[owner, place], at)
        return source, p, at
