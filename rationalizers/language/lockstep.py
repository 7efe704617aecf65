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

In half precision, candidates that it cannot tell apart are judged again by the precise model.

Candidates that are read in one pass know equally many tokens; where a pass would be short, some read again what is known, so that
there are fewer passes.

Letters: ``Q`` texts, ``P`` places of the longest, ``A`` questions that are still searched for, ``m`` tokens of their rationales,
``C`` candidates, ``p`` tokens whose states are known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from rationalizers.language.causal import CausalModel
from rationalizers.language.judging import Best, Candidates, Decoder, Judge
from rationalizers.language.states import States, join, put, room, row_bytes, take

PASS_TOKENS = {"cpu": 4, "cuda": 1024}


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
        preferred: places that are candidates before all others ``[A, P]`` bool; ``None`` is all.
        precise: the same model as ``model``, which is in half precision then, in another one.
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
        preferred: Tensor | None = None,
        precise: CausalModel | None = None,
    ) -> None:
        self.model, self.tokens, self.max_tokens, self.cache = model, tokens, max_tokens, cache
        self.positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens) if positions is None else positions
        self.question = torch.arange(len(row), device=tokens.device)  # [A], which of those asked
        self.row, self.length, self.goal, self.kept = row, length, goal, start
        self.states: States = []  # of `kept`
        self.table: States = []  # of each token alone, [Q·P, H, 1, d]
        self.branches: States = []  # of the candidates of the last step, [C, H, m, d]
        self.branch = torch.full(tokens[row].shape, -1, device=tokens.device)  # which a place is, −1 is none, [A, P]
        self.added = start[:, -1]  # the last addition, [A]
        self.judge, self.preferred = Judge(model, precise=precise, max_tokens=max_tokens), preferred
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
        if self.preferred is not None:
            self.preferred = self.preferred[on]
        self.states = take(self.states, on)

    def _begin(self) -> Best:
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
        rows = self.row[:, None]
        score, predicted = self.judge.beginning(last, self.tokens[rows, self.kept], self.positions[rows, self.kept], self.goal)
        return Best(score, self.kept[:, -1], predicted, self.question)

    def _step(self) -> Best:
        """Add the best candidate of every question."""
        candidates = self._candidates()
        count, size = candidates.tokens.shape
        # As many of the next step will stand beside these.
        fits = 2 * count * row_bytes(self.states) * size // (size - 1) <= self.cache
        last, stored = self._read(candidates, torch.arange(count, device=self.tokens.device), keep=fits)
        best = self.judge.best(candidates, last, self.goal)
        self.states = take(stored, best.candidate) if fits else self._read(candidates, best.candidate, keep=True)[1]
        self.branches, self.added = stored, best.place
        self.branch = torch.full_like(self.branch, -1)
        self.branch[candidates.owner, candidates.place] = torch.arange(count, device=self.tokens.device)
        self.kept = torch.cat([self.kept, best.place[:, None]], 1).sort(1).values
        return best

    def _candidates(self) -> Candidates:
        free = torch.arange(self.tokens.shape[1], device=self.tokens.device) < self.length[:, None]  # [A, P]
        free = free.scatter(1, self.kept, False)
        if self.preferred is not None:
            some = free & self.preferred
            free = torch.where(some.any(1, keepdim=True), some, free)
        owner, place = free.nonzero().unbind(1)  # [C]
        whole = torch.cat([self.kept[owner], place[:, None]], 1).sort(1).values  # [C, m + 1]
        tokens, positions = (each[self.row[owner, None], whole] for each in (self.tokens, self.positions))
        gap = (self.kept[owner] < place[:, None]).sum(1)  # members of S before i
        alone = gap == 0
        source, p = alone.long(), gap.clamp(min=1)
        at = torch.where(alone, self.row[owner] * self.tokens.shape[1] + place, owner)
        if self.branches:
            rank = (self.kept < self.added[:, None]).sum(1)  # members of S before j, [A]
            same = (place < self.added[owner]) & (self.branch[owner, place] >= 0)
            source, p = torch.where(same, 2, source), torch.where(same, rank[owner] + 1, p)
            at = torch.where(same, self.branch[owner, place], at)
        return Candidates(owner, place, tokens, positions, source, p, at)

    def _read(self, candidates: Candidates, rows: Tensor, *, keep: bool) -> tuple[Tensor, States]:
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
