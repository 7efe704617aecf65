"""Is a word of a translation put down to the words of the source that people aligned with it?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch

from rationalizers.data.alignments import Aligned, words_of_pieces
from rationalizers.language import PairModel
from rationalizers.metrics.alignment import alignment_error, coded_alignment_error
from rationalizers.probes.pairs import PAIR_SEARCHES, searched_pair
from rationalizers.probes.probe import Part, Probe, Progress, overlap


def alignment_probe(
    model: PairModel,
    tokenizer: Any,
    pairs: Sequence[Aligned],
    *,
    name: str,
    searches: Sequence[str] = PAIR_SEARCHES,
    seed: int = 0,
    progress: Progress | None = None,
) -> Probe:
    """Rationales of the words of given translations (Vafa et al., 2021).

    What is found for a word are the source words in the rationales of any of its pieces; the end of the source does not count.
    ``length`` is their number; ``aer`` the alignment error rate, pooled; ``aer_coded`` and ``iou`` (of sure and possible links)
    are means over words; ``f1`` is pooled over links; ``top1`` is how often the source word that is added first is linked;
    ``enough`` how often the model says a piece from its rationale. Only words with a link count. Intervals are over sentences.

    Args:
        model: the language model.
        tokenizer: its tokenizer, a fast one.
        pairs: sentences with links.
        name: of the model.
        searches: of `rationalizers.probes.pairs.PAIR_SEARCHES`.
        seed: of what is random.
        progress: called with the number of sentences that are done, of all searches, and of all.
    """
    rows: list[tuple[str, dict[str, Part]]] = []
    draw = torch.Generator().manual_seed(seed)
    for count, search in enumerate(searches):
        for place, pair in enumerate(pairs):
            rows.append((search, _numbers(model, tokenizer, pair, search, draw)))
            if progress is not None:
                progress(count * len(pairs) + place + 1, len(searches) * len(pairs))
    facts = {"sentences": len(pairs), "words": sum(len({word for _, word in pair.sure | pair.possible}) for pair in pairs)}
    return Probe.of("alignments", name, facts, rows)


def _numbers(model: PairModel, tokenizer: Any, pair: Aligned, search: str, draw: torch.Generator) -> dict[str, Part]:
    ours = tokenizer(" ".join(pair.source), return_offsets_mapping=True)
    theirs = tokenizer(text_target=" ".join(pair.target), return_offsets_mapping=True)
    source = torch.tensor(ours["input_ids"])
    tokens = torch.tensor([model.model.config.decoder_start_token_id, *theirs["input_ids"]])
    of_source = words_of_pieces(ours["offset_mapping"], pair.source)
    of_target = [None, *words_of_pieces(theirs["offset_mapping"], pair.target)]
    linked = sorted({word for _, word in pair.sure | pair.possible})
    targets = [place for place, word in enumerate(of_target) if word in linked]
    found: dict[int, set[int]] = {word: set() for word in linked}
    first: dict[int, int] = {}
    enough = 0
    for place, (each, ranked) in zip(
        targets, searched_pair(model, source, tokens, targets, search, draw=draw, sources=2), strict=True
    ):
        word = of_target[place]
        assert word is not None  # targets are places of words
        found[word] |= {of_source[i] for i in each.order if i < len(of_source)} - {None}  # type: ignore[arg-type]
        enough += each.reached_argmax
        # The first may be the end of the source, which is no word.
        first.setdefault(word, next((w for i in ranked if (w := of_source[i]) is not None), -1))
    totals: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for word in linked:
        sure, possible = ({source for source, other in links if other == word} for links in (pair.sure, pair.possible))
        gold = sure | possible
        parts = {
            "length": (float(len(found[word])), 1.0),
            "aer": alignment_error(found[word], sure, possible),
            "aer_coded": (coded_alignment_error(found[word], sure, possible), 1.0),
            **overlap(found[word], gold),
            "top1": (float(first[word] in gold), 1.0),
        }
        for number, (a, b) in parts.items():
            totals[number] += a  # type: ignore[assignment]
            sizes[number] += b  # type: ignore[assignment]
    return {**{number: (totals[number], sizes[number]) for number in sizes}, "enough": (float(enough), float(len(targets)))}
