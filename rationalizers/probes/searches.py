"""Ways to a rationale of a causal language model, by name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rationalizers.language import CausalModel, TokenRationale, greedy, in_order, rank
from rationalizers.language.ranking import RANKINGS
from rationalizers.probes.probe import Progress

APPROXIMATE, RANDOM, EVERYTHING, EXHAUSTIVE = "approximate", "random", "everything", "exhaustive"
# Greedy search, the same among few candidates, the rankings, and as floors a random ranking and everything.
SEARCHES = ("greedy", APPROXIMATE, *RANKINGS, RANDOM, EVERYTHING)
CANDIDATES = 16  # of approximate search
TOGETHER = 16  # texts


def searched(
    model: CausalModel,
    texts: Sequence[Tensor],
    targets: Sequence[Sequence[int]],
    name: str,
    *,
    max_size: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[list[TokenRationale]]:
    """Rationales of some tokens of some texts.

    Args:
        model: the language model.
        texts: token numbers ``[n]`` each.
        targets: places of each.
        name: one of `SEARCHES`.
        max_size: tokens of a rationale at most; everything is more.
        seed: of the random ranking.
        progress: called with the number of texts that are done, and of all.

    Raises:
        ValueError: another name, or see `rationalizers.language.greedy`.
    """
    if name not in SEARCHES:
        raise ValueError(f"expected one of the searches {', '.join(SEARCHES)}; got {name!r}")
    found: list[list[TokenRationale]] = []
    if name in ("greedy", APPROXIMATE):
        screen = CANDIDATES if name == APPROXIMATE else None
        for start in range(0, len(texts), TOGETHER):
            some = slice(start, start + TOGETHER)
            found += greedy(model, texts[some], targets[some], approximate=screen, max_size=max_size)
            if progress is not None:
                progress(len(found), len(texts))
        return found
    draw = torch.Generator().manual_seed(seed)
    for text, places in zip(texts, targets, strict=True):
        found.append([_one(model, text, place, name, draw, max_size) for place in places])
        if progress is not None:
            progress(len(found), len(texts))
    return found


def says(model: CausalModel, text: Tensor, target: int) -> bool:
    """Whether the model says a token from everything before it."""
    places = torch.arange(target, device=model.device)[None]
    return int(model.read(text[None, :target].to(model.device), places)[0].argmax()) == int(text[target])


def _one(model: CausalModel, text: Tensor, target: int, name: str, draw: torch.Generator, max_size: int | None) -> TokenRationale:
    if name == EVERYTHING:
        places = torch.arange(target, device=model.device)[None]
        p = model.read(text[None, :target].to(model.device), places)[0].softmax(-1)
        goal = int(text[target])
        return TokenRationale(target, goal, tuple(reversed(range(target))), (int(p.argmax()),), (float(p[goal]),))
    scores = torch.rand(target, generator=draw) if name == RANDOM else rank(model, text, target, name)
    return in_order(model, text, target, scores, max_size=max_size)
