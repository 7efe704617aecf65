"""Ways to a rationale of an encoder-decoder, by name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rationalizers.language import PairModel, TokenRationale, greedy_pair
from rationalizers.language.pair_ranking import PAIR_RANKINGS, in_order_pair, rank_pair
from rationalizers.probes.searches import EVERYTHING, RANDOM

PAIR_SEARCHES = ("greedy", *PAIR_RANKINGS, RANDOM, EVERYTHING)


def searched_pair(
    model: PairModel,
    source: Tensor,
    tokens: Tensor,
    targets: Sequence[int],
    name: str,
    *,
    draw: torch.Generator,
    sources: int = 0,
) -> list[tuple[TokenRationale, list[int]]]:
    """Rationales of tokens of a translation, and the places of source tokens from the most important one on.

    Args:
        model: the language model.
        source: token numbers ``[s]``.
        tokens: those of the translation ``[n]``.
        targets: places in it.
        name: one of `PAIR_SEARCHES`.
        draw: of the random ranking.
        sources: source tokens whose order is asked for; greedy search goes on for them.

    Raises:
        ValueError: another name, or see `rationalizers.language.greedy_pair`.
    """
    if name not in PAIR_SEARCHES:
        raise ValueError(f"expected one of the searches {', '.join(PAIR_SEARCHES)}; got {name!r}")
    source, tokens = source.to(model.device), tokens.to(model.device)
    s = source.shape[0]
    if name == "greedy":
        longer = greedy_pair(model, source, tokens, targets, sources=sources)
        return [(_until_said(each), [place for place in each.order if place < s]) for each in longer]
    found = []
    for target in targets:
        if name == EVERYTHING:
            # The order is that of the places: everything is added whatever it is.
            p = model.masked(source, tokens[:target], torch.ones(1, s + target, dtype=torch.bool, device=model.device))[
                0
            ].softmax(-1)
            goal = int(tokens[target])
            order = (s + target - 1, *range(s + target - 1))
            each = TokenRationale(target, goal, order, (int(p.argmax()),), (float(p[goal]),), source=s)
            found.append((each, list(range(s))))
            continue
        scores = torch.rand(s + target, generator=draw) if name == RANDOM else rank_pair(model, source, tokens, target, name)
        each = in_order_pair(model, source, tokens, target, scores)
        found.append((each, scores[:s].argsort(descending=True, stable=True).tolist()))
    return found


def _until_said(each: TokenRationale) -> TokenRationale:
    """The rationale without what was added after the target was said."""
    if each.goal not in each.predicted:
        return each
    size = each.predicted.index(each.goal) + 1
    kept = each.order[:size], each.predicted[:size], each.probability[:size]
    return TokenRationale(each.target, each.goal, *kept, source=each.source)
