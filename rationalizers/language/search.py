"""Greedy search, exact and fast: the same rationales as `rationalizers.language.reference`, for many targets in lockstep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rationalizers.language.causal import CausalModel, check_text
from rationalizers.language.lockstep import Lockstep
from rationalizers.language.sequence_rationale import TokenRationale


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
    tokens = pad_sequence([text.to(model.device) for text in texts], batch_first=True)  # [Q, P]
    row, target = torch.tensor(asked, device=model.device).unbind(1)
    search = Lockstep(
        model,
        tokens,
        row=row,
        length=target,
        start=target[:, None] - 1,
        goal=tokens[row, target],
        max_tokens=max_tokens,
        cache=cache_megabytes * 2**20,
    )
    found: list[list[TokenRationale]] = [[] for _ in texts]
    for (at, place), path in zip(asked, search.run(max_size, progress), strict=True):
        order = (place - 1, *path.added)
        found[at].append(TokenRationale(place, int(texts[at][place]), order, path.predicted, path.probability))
    return [certify(model, text, each) for text, each in zip(texts, found, strict=True)]


def certify(model: CausalModel, text: Tensor, rationales: Sequence[TokenRationale]) -> list[TokenRationale]:
    """Ask again, with everything at its place and all but the rationale masked; see `CausalModel.masked`."""
    text = text.to(model.device)
    found = []
    for each in rationales:
        logits = model.masked(text[: each.target], each.kept()[None].to(model.device))
        found.append(replace(each, certified=int(logits.argmax()) == each.goal))
    return found
