"""Greedy search, exact and fast: the same rationales as `rationalizers.language.reference`, for many targets in lockstep.

A state depends on the visible tokens before it and on nothing else. So, of a candidate S + {i},

=============== ======================================================================================================
prefix          states of S before i are those of S: only i and what follows it are computed, and the winner's states
                are the next S's
table           a token with nothing before it has the same states for every target: once per text
branches        when j was added, states of S + {i}, i < j, before j are those of the last step: only j and what follows
                it are computed, as long as they fit into memory
=============== ======================================================================================================

Vocabulary logits are computed for last tokens alone. Letters: ``A`` targets that are still searched for, ``m`` tokens of their
rationales, ``C`` candidates, ``P`` places of the longest text, ``p`` tokens whose states are known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rationalizers.language.causal import CausalModel, check_text
from rationalizers.language.sequence_rationale import TokenRationale
from rationalizers.language.states import States, join, put, room, row_bytes, take


def greedy(
    model: CausalModel,
    texts: Sequence[Tensor],
    targets: Sequence[Sequence[int]] | None = None,
    *,
    max_size: int | None = None,
    max_tokens: int = 4096,
    cache_megabytes: float = 1024,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[TokenRationale]]:
    """The greedy rationales of tokens of some texts, each with its certificate.

    Args:
        model: whose predictions they are.
        texts: token numbers, ``[n]`` each.
        targets: places in each text, 1 or more; ``None`` is all of them.
        max_size: tokens of a rationale at most; ``None`` is all.
        max_tokens: that are read in one pass.
        cache_megabytes: for branches, at most.
        progress: called with the number of targets that are done, and of all.

    Returns:
        those of each text, in the order of its targets.

    Raises:
        ValueError: see `check_text`, not as many ``targets`` as texts, or a size below 1.
    """
    if targets is None:
        targets = [range(1, text.shape[0]) for text in texts]
    if len(targets) != len(texts):
        raise ValueError(f"'targets' must have places for each of the {len(texts)} texts, got those of {len(targets)}")
    if (max_size is not None and max_size < 1) or max_tokens < 1:
        raise ValueError(f"'max_size' and 'max_tokens' must be at least 1, got {max_size} and {max_tokens}")
    for text, places in zip(texts, targets, strict=True):
        check_text(model, text, places)
    asked = [(row, target) for row, places in enumerate(targets) for target in places]
    if not asked:
        return [[] for _ in texts]
    search = _Search(model, texts, asked, max_tokens=max_tokens, cache=cache_megabytes * 2**20)
    paths = search.run(max_size, progress)
    found: list[list[TokenRationale]] = [[] for _ in texts]
    for (row, target), path in zip(asked, paths, strict=True):
        order, predicted, probability = zip(*path, strict=True)
        found[row].append(TokenRationale(target, int(texts[row][target]), order, predicted, probability))
    return [certify(model, text, each, max_tokens=max_tokens) for text, each in zip(texts, found, strict=True)]


def certify(
    model: CausalModel, text: Tensor, rationales: Sequence[TokenRationale], *, max_tokens: int = 4096
) -> list[TokenRationale]:
    """Ask again, with everything at its place and all but the rationale masked; see `CausalModel.masked`."""
    text = text.to(model.device)
    found = []
    for each in rationales:
        logits = model.masked(text[: each.target], each.kept()[None].to(model.device))
        found.append(replace(each, certified=int(logits.argmax()) == each.goal))
    return found


@dataclass
class _Best:
    """The best candidate of each target so far, ``[A]`` each; states ``[A, H, m + 1, d]``."""

    score: Tensor
    place: Tensor
    predicted: Tensor
    states: States = field(default_factory=list)

    @classmethod
    def none(cls, count: int, like: Tensor) -> _Best:
        empty = torch.zeros(count, dtype=torch.long, device=like.device)
        return cls(like.new_full((count,), -torch.inf), empty, empty.clone())

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


class _Search:
    """All targets in lockstep: the rationales of those that are still searched for have the same size."""

    def __init__(
        self, model: CausalModel, texts: Sequence[Tensor], asked: Sequence[tuple[int, int]], *, max_tokens: int, cache: float
    ) -> None:
        self.model, self.max_tokens, self.cache = model, max_tokens, cache
        self.tokens = pad_sequence([text.to(model.device) for text in texts], batch_first=True)  # [Q, P]
        rows, targets = torch.tensor(asked, device=model.device).unbind(1)
        self.target = torch.arange(len(asked), device=model.device)  # [A], which of those asked for
        self.row, self.last, self.goal = rows, targets - 1, self.tokens[rows, targets]  # [A] each
        self.kept = self.last[:, None]  # [A, m], increasing
        self.states: States = []  # of `kept`
        self.table: States = []  # of each token alone, [Q·P, H, 1, d]
        self.branches: States = []  # of the candidates of the last step, [C, H, m, d]
        self.branch = torch.zeros(len(asked), self.tokens.shape[1], dtype=torch.long)  # which of them a place is, [A, P]
        self.added = self.last  # the last addition, [A]

    def run(self, max_size: int | None, progress: Callable[[int, int], None] | None) -> list[list[tuple[int, int, float]]]:
        """For every target the places in order of addition, what is said there, and p(goal)."""
        paths: list[list[tuple[int, int, float]]] = [[] for _ in self.target]
        best = self._alone()
        while True:
            for target, *step in zip(
                *(each.tolist() for each in (self.target, best.place, best.predicted, best.score.double().exp())), strict=True
            ):
                paths[target].append(tuple(step))
            size = self.kept.shape[1]
            on = (best.predicted != self.goal) & (self.last + 1 > size)
            if size == max_size:
                on = torch.zeros_like(on)
            self._keep(on)
            if progress is not None:
                progress(len(paths) - len(self.target), len(paths))
            if not len(self.target):
                return paths
            best = self._step()

    def _keep(self, on: Tensor) -> None:
        """Forget targets that are done."""
        if bool(on.all()):
            return
        for name in ("target", "row", "last", "goal", "kept", "added", "branch"):
            setattr(self, name, getattr(self, name)[on])
        self.states = take(self.states, on)

    def _alone(self) -> _Best:
        """Every token alone, at its place: the table, and the first step of all targets."""
        texts, longest = self.tokens.shape
        place = torch.arange(longest, device=self.tokens.device).repeat(texts)[:, None]
        tokens, parts = self.tokens.reshape(-1, 1), []
        flat = self.row * longest + self.last  # [A]
        best = _Best.none(len(self.target), self._like())
        for start in range(0, len(tokens), self.max_tokens):
            end = start + self.max_tokens
            last, states = self.model.go_on(tokens[start:end], place[start:end], [])
            parts.append(states)
            own = ((flat >= start) & (flat < end)).nonzero().squeeze(1)
            logits = self.model.predict(last[flat[own] - start])
            best.score[own] = logits.log_softmax(-1).gather(1, self.goal[own, None]).squeeze(1)
            best.predicted[own] = logits.argmax(-1)
        self.table = join(parts)
        self.states = take(self.table, flat)
        best.place = self.last.clone()
        return best

    def _like(self) -> Tensor:
        return torch.empty(0, dtype=self.model.model.dtype, device=self.tokens.device)

    def _step(self) -> _Best:
        """Add the best candidate of every target."""
        size, longest = self.kept.shape[1], self.tokens.shape[1]
        free = torch.arange(longest, device=self.tokens.device) < self.last[:, None]  # [A, P]
        owner, place = free.scatter(1, self.kept, False).nonzero().unbind(1)  # [C]
        whole = torch.cat([self.kept[owner], place[:, None]], 1).sort(1).values  # S + {i}, [C, m + 1]
        tokens = self.tokens[self.row[owner, None], whole]
        source, p, at = self._known(owner, place)
        best = _Best.none(len(self.target), self._like())
        stored: States = []
        for group in sorted(set((source * (size + 1) + p).tolist())):
            kind, prefix = divmod(group, size + 1)
            every = ((source == kind) & (p == prefix)).nonzero().squeeze(1)
            for rows in every.split(max(1, self.max_tokens // (size + 1 - prefix))):
                known = take((self.states, self.table, self.branches)[kind], at[rows], first=prefix)
                last, states = self.model.go_on(tokens[rows, prefix:], whole[rows, prefix:], known)
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
