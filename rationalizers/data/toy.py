"""Generated reviews whose evidence is known exactly, with a dial for a shortcut."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

from rationalizers.data.document import Corpus, Document, Source
from rationalizers.data.grammar import ASPECTS, JOINTS, SHORTCUTS, Clause, Dice, decoy, evaluation, neutral

LABELS = ("negative", "positive")
SPLITS = ("train", "val", "test")

ShortcutKind = Literal["filler", "punctuation"]
Evidence = Literal["phrase", "clause"]

# Streams of chance, by what they decide; none can disturb another.
_PAIR, _POLARITY, _NOISE, _TEXT, _SHORTCUT = range(5)


class Word(NamedTuple):
    """A word and what is known about it; ``group`` counts evaluations of the target, −1 outside of the evidence."""

    text: str
    sentence: int
    aspect: int = -1
    polarity: int = 0
    shortcut: int = 0
    decoy: int = 0
    group: int = -1


class ToyReviews(Source):
    """Reviews of hotels, labelled by their opinion on one aspect, with the truth about every word.

    A review evaluates the target in two to four clauses, all of the label's polarity, and each of ``aspects`` − 1 others in one
    or two. An opinion may fit every aspect ("dreadful"), so that only its noun ties it to one; a clause may be negated, be part
    of a mixed sentence, or stand beside neutral sentences, some of them with an opinion on something that no review rates. Half
    the reviews of a split (to within one) are positive, before ``label_noise``.

    Every word has the fields ``sentence``, ``aspect`` (that its clause evaluates, index in `ASPECTS`, −1 none), ``polarity``
    (±1 on the words of an evaluating phrase of any aspect, negators included, else 0), ``shortcut`` and ``decoy`` (0 or 1). The
    spans are the evaluations of the target; each is a group of its own, since each suffices.

    Apart from the evidence, the other aspects (through ``correlation``) and the shortcut, nothing in a review depends on its
    label: not even the choice between "and" and "but".

    The shortcut is a choice of neutral words, one choice for all in a review, that agrees with the label with probability
    ``shortcut``. It is drawn apart from the text and never lands in an evaluating clause: corpora that differ only in the three
    dials have the same reviews, word for word, except for which shortcut word stands in the same places; and a review that agrees
    at some value of the dial agrees at all larger ones. Without the shortcut words, the reviews are those of any other kind and
    number of them. The size of a split changes no other split, and a smaller split is the beginning of a larger one.

    ``Corpus.report`` holds, as ``<split>/<fact>``, what came out: ``documents``, ``positive`` (share), ``mean_words``,
    ``shortest``, ``longest``, ``evidence`` (share of all words), ``shortcut_agreement`` (where there are shortcuts) and
    ``correlation`` (where there are other aspects); and ``vocabulary`` (word types, over all splits).

    Args:
        train: reviews in this split.
        val: reviews in this split.
        test: reviews in this split.
        seed: of everything, in [0, 2³²).
        aspects: that a review evaluates, from 1 to 6; the target and others drawn for each review.
        target: aspect whose polarity is the label: service, cleanliness, location, food, room or value.
        correlation: probability that another aspect has the target's polarity; 0.5 is independence.
        shortcut: probability that the shortcut words of a training review agree with its label; 0.5 is no information.
        shortcut_val: the same for validation; ``None`` takes ``shortcut``, since validation is drawn like training in practice
            and choosing a model by it can be fooled just as well.
        shortcut_test: the same for testing.
        shortcut_kind: ``filler`` words such as "honestly" and "basically", or ``punctuation``: "!" and "…".
        shortcuts_per_review: shortcut words in a review; 0 for none.
        negation: share of evaluations and decoys that negate an adjective of the opposite polarity.
        general: share of evaluations in words that fit every aspect.
        mixed: probability that an evaluation joins the sentence of another aspect's evaluation, where one stands alone before it.
        decoys: share of the neutral sentences that have an opinion on something that is not rated.
        label_noise: probability that the label is the wrong one, in all splits; shortcuts agree with the label as given, evidence
            and polarities are unaffected.
        sentences: fewest and most neutral sentences in a review.
        evidence: the spans are the evaluating ``phrase`` alone, or its ``clause``, with the noun.

    Raises:
        ValueError: an argument is outside these bounds.
    """

    def __init__(
        self,
        *,
        train: int = 2000,
        val: int = 400,
        test: int = 400,
        seed: int = 0,
        aspects: int = 4,
        target: str = "service",
        correlation: float = 0.75,
        shortcut: float = 0.5,
        shortcut_val: float | None = None,
        shortcut_test: float = 0.5,
        shortcut_kind: ShortcutKind = "filler",
        shortcuts_per_review: int = 2,
        negation: float = 0.2,
        general: float = 0.6,
        mixed: float = 0.4,
        decoys: float = 0.4,
        label_noise: float = 0.0,
        sentences: Sequence[int] = (1, 3),
        evidence: Evidence = "phrase",
    ) -> None:
        self.sizes = {"train": _whole("train", train, 1), "val": _whole("val", val, 1), "test": _whole("test", test, 1)}
        self.seed = _whole("seed", seed, 0, 2**32 - 1)
        self.target = list(ASPECTS).index(_known("target", target, tuple(ASPECTS)))
        self.aspects = _whole("aspects", aspects, 1, len(ASPECTS))
        self.correlation = _share("correlation", correlation)
        self.shortcut = {
            "train": _share("shortcut", shortcut),
            "val": _share("shortcut", shortcut) if shortcut_val is None else _share("shortcut_val", shortcut_val),
            "test": _share("shortcut_test", shortcut_test),
        }
        self.shortcut_kind = _known("shortcut_kind", shortcut_kind, get_args(ShortcutKind))
        self.shortcuts_per_review = _whole("shortcuts_per_review", shortcuts_per_review, 0)
        self.negation, self.general = _share("negation", negation), _share("general", general)
        self.mixed, self.decoys = _share("mixed", mixed), _share("decoys", decoys)
        self.label_noise = _share("label_noise", label_noise)
        if isinstance(sentences, str) or not isinstance(sentences, Sequence) or len(sentences) != 2:
            raise ValueError(f"'sentences' must be the fewest and the most, such as (1, 3), got {sentences!r}")
        fewest = _whole("sentences[0]", sentences[0], 0)
        self.sentences = fewest, _whole("sentences[1]", sentences[1], fewest)
        self.evidence = _known("evidence", evidence, get_args(Evidence))

    def load(self) -> Corpus:
        """Generate the corpus and measure what came out."""
        splits = {split: [self._document(split, row) for row in range(size)] for split, size in self.sizes.items()}
        report: dict[str, int | float] = {}
        for split, documents in splits.items():
            report.update({f"{split}/{fact}": value for fact, value in self._facts(documents).items()})
        report["vocabulary"] = len({word for documents in splits.values() for document in documents for word in document.words})
        return Corpus(LABELS, splits, report)

    def _document(self, split: str, row: int) -> Document:
        def stream(purpose: int, number: int = row) -> Dice:
            return Dice(self.seed, SPLITS.index(split), purpose, number)

        # Two neighbouring reviews have opposite polarities, in random order: balanced without a pattern in the order.
        positive = stream(_PAIR, row // 2).flip(0.5) ^ (row % 2 == 1)
        label = positive ^ stream(_NOISE).flip(self.label_noise)
        words = self._text(self._polarities(1 if positive else -1, stream(_POLARITY)), stream(_TEXT))
        words = self._with_shortcuts(words, label, self.shortcut[split], stream(_SHORTCUT))
        text, sentence, aspect, polarity, shortcut, is_decoy, group = zip(*words, strict=True)
        return Document(
            id=f"{split}-{row}",
            words=text,
            label=LABELS[label],
            spans=tuple((group.index(g), group.index(g) + group.count(g), g) for g in range(max(group) + 1)),
            fields={"sentence": sentence, "aspect": aspect, "polarity": polarity, "shortcut": shortcut, "decoy": is_decoy},
        )

    def _polarities(self, target: int, dice: Dice) -> dict[int, int]:
        """Polarity by aspect, for all that the review evaluates."""
        others = dice.shuffled([aspect for aspect in range(len(ASPECTS)) if aspect != self.target])[: self.aspects - 1]
        return {self.target: target, **{other: target if dice.flip(self.correlation) else -target for other in others}}

    def _plan(self, polarities: Mapping[int, int], dice: Dice) -> list[list[tuple[int, Clause]]]:
        """Sentences in order, as clauses with the aspect that each evaluates."""
        counts = {aspect: dice.whole(2, 4) if aspect == self.target else dice.whole(1, 2) for aspect in polarities}
        names = tuple(ASPECTS)
        sentences: list[list[tuple[int, Clause]]] = []
        for aspect in dice.shuffled([aspect for aspect, count in counts.items() for _ in range(count)]):
            part = aspect, evaluation(dice, names[aspect], polarities[aspect], negation=self.negation, general=self.general)
            if sentences and len(sentences[-1]) == 1 and sentences[-1][0][0] != aspect and dice.flip(self.mixed):
                sentences[-1].append(part)
            else:
                sentences.append([part])
        for _ in range(dice.whole(*self.sentences)):
            sentences.append([(-1, decoy(dice, negation=self.negation) if dice.flip(self.decoys) else neutral(dice))])
        return dice.shuffled(sentences)

    def _text(self, polarities: Mapping[int, int], dice: Dice) -> list[Word]:
        """All words in order, still without shortcuts."""
        words: list[Word] = []
        group = -1
        for number, sentence in enumerate(self._plan(polarities, dice)):
            for place, (aspect, clause) in enumerate(sentence):
                if place:
                    words += [Word(text, number) for text in dice.one(JOINTS)]
                start, end, is_target = clause.start, clause.end, aspect == self.target
                group += is_target
                phrase = (polarities.get(aspect, 0), 0, int(aspect < 0), group if is_target else -1)
                frame = (0, 0, 0, group if is_target and self.evidence == "clause" else -1)
                for part, truth in ((slice(start), frame), (slice(start, end), phrase), (slice(end, None), frame)):
                    words += [Word(text, number, aspect, *truth) for text in clause.words[part]]
            words.append(Word(".", number))
        return words

    def _with_shortcuts(self, words: Sequence[Word], label: bool, agreement: float, dice: Dice) -> list[Word]:
        """Insert punctuation after full stops, or fillers where a sentence or a joined clause begins or ends."""
        # The choice of places and of the word within its family uses the same draws whichever the family is.
        family = SHORTCUTS[self.shortcut_kind][label == dice.flip(agreement)]
        if self.shortcut_kind == "punctuation":
            places = [(place + 1, word.sentence) for place, word in enumerate(words) if word.text == "."]
        else:
            neighbours = enumerate(pairwise((Word(".", 0), *words)))
            places = [
                (place, word.sentence)
                for place, (before, word) in neighbours
                if before.aspect != word.aspect or before.text == "." or word.text == "."
            ]
        order = dice.shuffled(places)
        added = [(*order[number % len(order)], dice.one(family)) for number in range(self.shortcuts_per_review)]
        result = list(words)
        for place, sentence, text in sorted(added, key=lambda item: item[0], reverse=True):
            result.insert(place, Word(text, sentence, shortcut=1))
        return result

    def _facts(self, documents: Sequence[Document]) -> dict[str, int | float]:
        """What a split holds, counted from its documents."""
        lengths = [len(document.words) for document in documents]
        facts: dict[str, int | float] = {
            "documents": len(documents),
            "positive": sum(document.label == LABELS[1] for document in documents) / len(documents),
            "mean_words": sum(lengths) / len(documents),
            "shortest": min(lengths),
            "longest": max(lengths),
            "evidence": sum(end - start for document in documents for start, end, _ in document.spans) / sum(lengths),
        }
        if self.shortcuts_per_review:
            families = dict(zip(LABELS, SHORTCUTS[self.shortcut_kind], strict=True))
            agree = [
                word in families[str(document.label)]
                for document in documents
                for word, is_shortcut in zip(document.words, document.fields["shortcut"], strict=True)
                if is_shortcut
            ]
            facts["shortcut_agreement"] = sum(agree) / len(agree)
        if self.aspects > 1:
            same = 0
            for document in documents:
                pairs = zip(document.fields["aspect"], document.fields["polarity"], strict=True)
                polarities = {aspect: polarity for aspect, polarity in pairs if polarity}
                same += sum(polarity == polarities[self.target] for polarity in polarities.values()) - 1
            facts["correlation"] = same / (len(documents) * (self.aspects - 1))
        return facts


def _whole(name: str, value: int, least: int, most: float = math.inf) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        bounds = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
        raise ValueError(f"{name!r} must be a whole number {bounds}, got {value!r}")
    return value


def _share(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name!r} must be a number from 0 to 1, got {value!r}")
    return float(value)


def _known(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"{name!r} must be one of {', '.join(known)}, got {value!r}")
    return value
