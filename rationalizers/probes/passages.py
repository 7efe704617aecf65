"""Does a model say the last word of a passage because of what people saw it in, as annotated by Vafa et al. (2021)?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from rationalizers.data.lambada import Passage
from rationalizers.language import CausalModel, TokenRationale
from rationalizers.probes.probe import Part, Probe, Progress, chance, later, overlap
from rationalizers.probes.searches import SEARCHES, says, searched


def passages_probe(
    model: CausalModel,
    tokenizer: Any,
    passages: Sequence[Passage],
    *,
    name: str,
    searches: Sequence[str] = SEARCHES,
    max_size: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Probe:
    """Put rationales of the last words beside the annotations.

    The rationale of a word is all that the rationales of its pieces have before it. ``length`` counts its pieces; ``iou`` and
    ``f1`` compare them with the pieces of annotated words; those that end in ``_random`` are of random sets of the same size that
    have the last piece before the word. Numbers that begin with ``said_`` are of passages whose last word the model says when it
    reads all of them; where it does not, no rationale can be enough, and every search ends with everything.

    Deviation: the authors' code lets the first piece of a word of several stand in its own rationale.

    Args:
        model: the language model.
        tokenizer: its tokenizer.
        passages: annotated passages.
        name: of the model.
        searches: of `rationalizers.probes.searches.SEARCHES`.
        max_size: pieces of the rationale of a piece at most; all searches but the one for everything end there.
        seed: of what is random.
        progress: called with the number of passages that are done, of all searches, and of all.

    Raises:
        ValueError: a passage that is longer than the model knows positions.
    """
    cut = [_pieces(tokenizer, passage) for passage in passages]
    texts = [torch.tensor(ids) for ids, _, _ in cut]
    targets = [list(range(first, len(ids))) for ids, first, _ in cut]
    said = [all(says(model, text, place) for place in places) for text, places in zip(texts, targets, strict=True)]
    rows: list[tuple[str, dict[str, Part]]] = []
    for count, search in enumerate(searches):
        found = searched(
            model,
            texts,
            targets,
            search,
            max_size=max_size,
            seed=seed,
            progress=later(progress, count * len(texts), len(searches) * len(texts)),
        )
        for place, ((_, first, wanted), rationales) in enumerate(zip(cut, found, strict=True)):
            rows.append((search, dict(_numbers(rationales, first, wanted, said[place], seed=seed + place))))
    facts = {"passages": len(passages), "said": sum(said), "annotated_pieces": sum(len(wanted) for _, _, wanted in cut)}
    return Probe.of("passages", name, facts, rows)


def _pieces(tokenizer: Any, passage: Passage) -> tuple[list[int], int, set[int]]:
    """Token numbers, the first of the last word, and those of annotated words."""
    read = tokenizer(passage.text, return_offsets_mapping=True, add_special_tokens=False)
    ends = [end for _, end in read["offset_mapping"]]
    first = next(place for place, end in enumerate(ends) if end > passage.target)
    wanted = {place for place in range(first) if any(start < ends[place] <= end for start, end in passage.spans)}
    return read["input_ids"], first, wanted


def _numbers(
    rationales: Sequence[TokenRationale], first: int, wanted: set[int], said: bool, *, seed: int
) -> Iterator[tuple[str, Part]]:
    kept = {place for each in rationales for place in each.order if place < first}
    numbers: Mapping[str, Part] = {
        "length": (float(len(kept)), 1.0),
        **overlap(kept, wanted),
        **chance(len(kept), range(first), wanted, seed=seed),
    }
    for number, part in numbers.items():
        yield number, part
        yield f"said_{number}", part if said else (0.0, 0.0)
