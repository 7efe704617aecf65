"""Does a model say the last word because of the word that it follows from, and not of what is irrelevant in between?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rationalizers.data.analogies import Agreement
from rationalizers.language import CausalModel
from rationalizers.language import exhaustive as search_all
from rationalizers.probes.probe import Part, Probe, Progress, later
from rationalizers.probes.searches import EXHAUSTIVE, SEARCHES, says, searched


def agreement_probe(
    model: CausalModel,
    tokenizer: Any,
    sentences: Sequence[Agreement],
    *,
    name: str,
    searches: Sequence[str] = SEARCHES,
    exhaustive: float = 0.33,
    max_size: int = 6,
    seed: int = 0,
    progress: Progress | None = None,
) -> Probe:
    """Rationales of the last word of each sentence (Vafa et al., 2021, their test of long-range agreement).

    Asked are sentences whose two words are single pieces and whose last word the model says with and without the distractor.
    ``length`` counts tokens; ``ratio`` is that to the smallest sufficient set of at most ``max_size`` tokens, where there is
    one, of a share of the sentences; ``antecedent`` is how often the word that it follows from is part of a rationale,
    ``no_distractor`` how often no token of the distractor is, ``enough`` how often the model says the word from it.

    Args:
        model: the language model.
        tokenizer: its tokenizer.
        sentences: of the test.
        name: of the model.
        searches: of `rationalizers.probes.searches.SEARCHES`.
        exhaustive: share of the sentences that are searched exhaustively.
        max_size: of those sets.
        seed: of that share and of what is random.
        progress: called with the number of sentences that are done, of all searches, and of all.
    """
    asked = [cut for sentence in sentences if (cut := _asked(model, tokenizer, sentence)) is not None]
    texts, targets = [text for text, _, _ in asked], [[text.shape[0] - 1] for text, _, _ in asked]
    draw = torch.Generator().manual_seed(seed)
    least: list[int | None] = []
    total = (len(searches) + 1) * len(asked)
    for count, (text, (target,)) in enumerate(zip(texts, targets, strict=True)):
        drawn = float(torch.rand((), generator=draw)) < exhaustive
        found = search_all(model, text, target, max_size=max_size, max_tokens=16384) if drawn else None
        least.append(None if found is None else len(found.order))
        if progress is not None:
            progress(count + 1, total)
    rows: list[tuple[str, dict[str, Part]]] = [
        (EXHAUSTIVE, {"length": (float(size or 0), float(size is not None))}) for size in least
    ]
    for count, search in enumerate(searches, start=1):
        results = searched(model, texts, targets, search, seed=seed, progress=later(progress, count * len(asked), total))
        for (_, antecedent, distractor), (each,), size in zip(asked, results, least, strict=True):
            kept = set(each.order)
            rows.append(
                (
                    search,
                    {
                        "length": (float(len(kept)), 1.0),
                        "ratio": (len(kept) / size, 1.0) if size else (0.0, 0.0),
                        "antecedent": (float(antecedent in kept), 1.0),
                        "no_distractor": (float(not kept & distractor), 1.0),
                        "enough": (float(each.reached_argmax), 1.0),
                    },
                )
            )
    found_sizes = [size for size in least if size is not None]
    facts = {"sentences": len(sentences), "asked": len(asked), "exhaustive": len(found_sizes)}
    return Probe.of("agreement", name, facts, rows)


def _asked(model: CausalModel, tokenizer: Any, sentence: Agreement) -> tuple[Tensor, int, set[int]] | None:
    """Token numbers, the place of the antecedent and those of the distractor; ``None`` where the sentence is not asked."""
    read = tokenizer(sentence.text, return_offsets_mapping=True, add_special_tokens=False)
    text, offsets = torch.tensor(read["input_ids"]), read["offset_mapping"]
    (start, end), (left, right) = sentence.antecedent, sentence.distractor
    antecedent = [place for place, (_, stop) in enumerate(offsets) if start < stop <= end]
    last = [place for place, (_, stop) in enumerate(offsets) if stop > sentence.target]
    if len(antecedent) != 1 or len(last) != 1:
        return None
    short = torch.tensor(tokenizer(sentence.short, add_special_tokens=False)["input_ids"])
    if not all(says(model, each, each.shape[0] - 1) for each in (text, short)):
        return None
    return text, antecedent[0], {place for place, (_, stop) in enumerate(offsets) if left < stop <= right}
