"""Two sentences translated one after the other: does the translation of one depend on the other?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rationalizers.language import PairModel, TokenRationale
from rationalizers.probes.pairs import PAIR_SEARCHES, searched_pair
from rationalizers.probes.probe import Part, Probe, Progress


def crossed_probe(
    model: PairModel,
    tokenizer: Any,
    sources: Sequence[str],
    *,
    name: str,
    searches: Sequence[str] = PAIR_SEARCHES,
    most: int = 64,
    seed: int = 0,
    progress: Progress | None = None,
) -> Probe:
    """Rationales of two translations in a row, which nothing connects (Vafa et al., 2021, their distractor test).

    Sentences are translated by the model alone; the first half of them is put before the second half, source before source and
    translation before translation. ``source_mean`` counts the tokens of a rationale that are of the other source,
    ``source_share`` how often there are any; ``target_mean`` and ``target_share`` likewise count those of the first translation
    in rationales of the second. The end of the source and the last token before a target, which is always in, do not count.
    Numbers are means over target tokens; intervals are over pairs of sentences.

    Args:
        model: the language model.
        tokenizer: its tokenizer.
        sources: sentences, an even number of them.
        name: of the model.
        searches: of `rationalizers.probes.pairs.PAIR_SEARCHES`.
        most: tokens of a translation, as far as two of them fit into the positions that the model knows.
        seed: of what is random.
        progress: called with the number of pairs that are done, of all searches, and of all.

    Raises:
        ValueError: an odd number of sentences.
    """
    if len(sources) % 2:
        raise ValueError(f"'sources' are paired; expected an even number, got {len(sources)}")
    half, end = len(sources) // 2, model.model.config.eos_token_id
    if model.longest is not None:
        most = min(most, (model.longest - 1) // 2)
    read = [torch.tensor(tokenizer(each)["input_ids"]) for each in sources]
    read = [each[:-1] if int(each[-1]) == end else each for each in read]
    written = [model.write(torch.cat([each, torch.tensor([end])]), most=most).cpu() for each in read]
    written = [each[1:-1] if int(each[-1]) == end else each[1:] for each in written]
    start = torch.tensor([model.model.config.decoder_start_token_id])
    rows: list[tuple[str, dict[str, Part]]] = []
    draw = torch.Generator().manual_seed(seed)
    for count, search in enumerate(searches):
        for row in range(half):
            source = torch.cat([read[row], read[half + row], torch.tensor([end])])
            tokens = torch.cat([start, written[row], written[half + row]])
            borders = len(read[row]), len(written[row])
            rows.append((search, _numbers(model, source, tokens, borders, search, draw)))
            if progress is not None:
                progress(count * half + row + 1, len(searches) * half)
    return Probe.of("crossed", name, {"pairs": half, "target_tokens": sum(map(len, written))}, rows)


def _numbers(
    model: PairModel, source: Tensor, tokens: Tensor, borders: tuple[int, int], search: str, draw: torch.Generator
) -> dict[str, Part]:
    targets = range(1, tokens.shape[0])
    counts = [
        _strange(each, source.shape[0], borders) for each, _ in searched_pair(model, source, tokens, targets, search, draw=draw)
    ]
    size, late = float(len(counts)), float(sum(target is not None for _, _, target in counts))
    theirs = [target for _, _, target in counts if target is not None]
    return {
        "length": (float(sum(length for length, _, _ in counts)), size),
        "source_mean": (float(sum(strange for _, strange, _ in counts)), size),
        "source_share": (float(sum(strange > 0 for _, strange, _ in counts)), size),
        "target_mean": (float(sum(theirs)), late),
        "target_share": (float(sum(strange > 0 for strange in theirs)), late),
    }


def _strange(each: TokenRationale, size: int, borders: tuple[int, int]) -> tuple[int, int, int | None]:
    """Tokens of a rationale, those of the other source, and those of the first translation where the target is of the second."""
    ours = [place for place in each.order if place < size - 1]  # the last is the end
    theirs = [place - size for place in each.order[1:] if place >= size]
    if each.target <= borders[1]:
        return len(each.order), sum(place >= borders[0] for place in ours), None
    return (
        len(each.order),
        sum(place < borders[0] for place in ours),
        sum(0 < place <= borders[1] for place in theirs),
    )
