"""Greedy search, exact and fast: the same rationales as `rationalizers.language.reference`, for many targets in lockstep."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rationalizers.language.causal import CausalModel, check_text
from rationalizers.language.lockstep import Lockstep
from rationalizers.language.ranking import steepness
from rationalizers.language.sequence_rationale import TokenRationale

log = logging.getLogger(__name__)


def greedy(
    model: CausalModel,
    texts: Sequence[Tensor],
    targets: Sequence[Sequence[int]] | None = None,
    *,
    max_size: int | None = None,
    max_tokens: int = 4096,
    cache_megabytes: float = 1024,
    half: CausalModel | None = None,
    approximate: int | None = None,
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
        half: the same model in half precision (`CausalModel.halved`) judges candidates, and ``model`` those again that it cannot
            tell apart; see `rationalizers.language.judging`.
        approximate: candidates of each target, instead of all: those on which log p(target | everything before it) depends most
            by its gradient (`rationalizers.language.ranking.steepness`), and all others when these are used up. Such rationales
            are enough, too, but not the greedy ones, and often longer.
        progress: called with the number of targets that are done, and of all.

    Returns:
        those of each text, in the order of its targets.

    Raises:
        ValueError: see `check_text`, not as many ``targets`` as texts, or a number below 1.
    """
    if targets is None:
        targets = [range(1, text.shape[0]) for text in texts]
    if len(targets) != len(texts):
        raise ValueError(f"'targets' must have places for each of the {len(texts)} texts, got those of {len(targets)}")
    if (max_size is not None and max_size < 1) or max_tokens < 1:
        raise ValueError(f"'max_size' and 'max_tokens' must be at least 1, got {max_size} and {max_tokens}")
    if approximate is not None and approximate < 1:
        raise ValueError(f"'approximate' must be at least 1, got {approximate}")
    for text, places in zip(texts, targets, strict=True):
        check_text(model, text, places)
    asked = [(row, target) for row, places in enumerate(targets) for target in places]
    if not asked:
        return [[] for _ in texts]
    tokens = pad_sequence([text.to(model.device) for text in texts], batch_first=True)  # [Q, P]
    row, target = torch.tensor(asked, device=model.device).unbind(1)
    preferred = None
    if approximate is not None:
        preferred = torch.zeros(len(asked), tokens.shape[1], dtype=torch.bool, device=model.device)
        for at, (text, places) in enumerate(zip(texts, targets, strict=True)):
            if len(places):
                steep = steepness(model, text, places, max_tokens=max_tokens)  # [places, n], −∞ at the target and beyond
                best = steep.topk(min(approximate, steep.shape[1]), dim=1)
                rows = (row == at).nonzero()
                preferred[rows, best.indices] = best.values.isfinite()
    search = Lockstep(
        half or model,
        tokens,
        row=row,
        length=target,
        start=target[:, None] - 1,
        goal=tokens[row, target],
        max_tokens=max_tokens,
        cache=cache_megabytes * 2**20,
        preferred=preferred,
        precise=None if half is None else model,
    )
    found: list[list[TokenRationale]] = [[] for _ in texts]
    for (at, place), path in zip(asked, search.run(max_size, progress), strict=True):
        order = (place - 1, *path.added)
        found[at].append(TokenRationale(place, int(texts[at][place]), order, path.predicted, path.probability))
    if half is not None:
        log.info(
            "%d candidates were judged, %d of them again, %d overruled",
            search.judge.judged,
            search.judge.again,
            search.judge.overruled,
        )
    return [certify(model, text, each, max_tokens=max_tokens) for text, each in zip(texts, found, strict=True)]


def certify(
    model: CausalModel, text: Tensor, rationales: Sequence[TokenRationale], *, max_tokens: int = 4096
) -> list[TokenRationale]:
    """Ask again, with everything at its place and all but the rationale masked; see `CausalModel.masked`.

    Args:
        model: whose predictions they are.
        text: token numbers ``[n]``.
        rationales: of its tokens.
        max_tokens: that are read in one pass.
    """
    text, found = text.to(model.device), list(rationales)
    # Those that read equally much together.
    for some in _passes(sorted(range(len(found)), key=lambda place: found[place].target), found, max_tokens):
        n = found[some[-1]].target
        kept = torch.zeros(len(some), n, dtype=torch.bool)
        for row, place in enumerate(some):
            kept[row, list(found[place].order)] = True
        last = torch.tensor([found[place].target - 1 for place in some], device=model.device)
        said = model.masked(text[:n], kept.to(model.device), last).argmax(-1).tolist()
        for place, word in zip(some, said, strict=True):
            found[place] = replace(found[place], certified=word == found[place].goal)
    return found


def _passes(places: Sequence[int], found: Sequence[TokenRationale], max_tokens: int) -> Iterator[list[int]]:
    """Some rationales, the shortest text first, in passes of at most so many tokens, padded to the longest of each pass."""
    some: list[int] = []
    for place in places:
        if some and (len(some) + 1) * found[place].target > max_tokens:
            yield some
            some = []
        some.append(place)
    if some:
        yield some
