"""Sentences whose last word follows from one word far before, with something irrelevant in between.

Pairs of words are those of the analogy questions of Mikolov et al. (2013, Efficient Estimation of Word Representations in
Vector Space, https://arxiv.org/abs/1301.3781); the test for language models is that of Rationales for Sequential Predictions
(Vafa et al., 2021, https://arxiv.org/abs/2109.06387), with sentences of our own: an opening with one word of a pair, a
distractor in parentheses, a closing that ends in the other word.

    The prices in Japan surprised her. (The lamp in the hall is broken.) She counted her last yen

Deviation: the paper asks models that have read the web. A small model can learn the pairs here: of every kind there are three
openings and two closings, all combinations but one are for training, with distractors of their own, and the last for testing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from rationalizers.data.records import broken
from rationalizers.data.texts import Text, TextCorpus, located, read

QUESTIONS = "analogies/questions-words.txt"


@dataclass(frozen=True)
class Kind:
    """How sentences about one kind of pair are made.

    Args:
        given: which word of a pair the opening has, 0 or 1; the closing has the other.
        openings: sentences with ``{}`` for that word.
        closings: beginnings of a sentence that ends in the other word.
    """

    given: int
    openings: tuple[str, str, str]
    closings: tuple[str, str]


_CAPITAL = Kind(
    1,
    ("She spent the whole summer in {}.", "His new job took him to {}.", "The letter had been posted in {}."),
    ("The government of that country sits in", "Most people who go there see its capital,"),
)
KINDS = {
    "capital-common-countries": _CAPITAL,
    "capital-world": _CAPITAL,
    "currency": Kind(
        0,
        ("He went to a market in {}.", "They opened a small shop in {}.", "The prices in {} surprised her."),
        ("People there pay with the", "She counted her last"),
    ),
    "city-in-state": Kind(
        0,
        ("She was born in {}.", "The train stopped in {} for an hour.", "He plays for a team from {}."),
        ("He liked it there, as he liked all of", "That is not the only city in"),
    ),
    "family": Kind(
        0,
        ("The {} walked in first.", "Everybody waited for the {}.", "The story is about a {}."),
        ("A moment later came the", "Nobody had asked the"),
    ),
    "gram1-adjective-to-adverb": Kind(
        1,
        ("He answered {}.", "They went about it {}.", "It all ended {}."),
        ("So everybody called it", "It could hardly have been more"),
    ),
    "gram2-opposite": Kind(
        0,
        ("At first it seemed {}.", "The teacher called the answer {}.", "Her brother was sure that it was {}."),
        ("Later they found it", "She thought the opposite, that it was"),
    ),
    "gram3-comparative": Kind(
        0,
        ("This one is {}.", "The first room was {}.", "Yesterday the water looked {}."),
        ("The next one was even", "We had never seen anything"),
    ),
    "gram4-superlative": Kind(
        0,
        ("The old house is {}.", "The second picture was {}.", "Some said that the road was {}."),
        ("Of them all it was the", "It may well be the"),
    ),
    "gram5-present-participle": Kind(
        1,
        ("They were {} all day.", "She had always liked {}.", "He was tired of {}."),
        ("Tomorrow they would again", "Nobody else knew how to"),
    ),
    "gram6-nationality-adjective": Kind(
        1,
        ("The guests were {}.", "The cook was {}.", "She married a man who was {}."),
        ("All of them grew up in", "The parcel came from"),
    ),
    "gram7-past-tense": Kind(
        1,
        ("They {} until midnight.", "She {} more than anyone.", "Last year he {} too often."),
        ("Even now they are", "They have not stopped"),
    ),
    "gram8-plural": Kind(
        0,
        ("He owned one {}.", "She drew a {}.", "On the table was a {}."),
        ("Soon there were many", "The shop sells a lot of"),
    ),
    "gram9-plural-verbs": Kind(
        1,
        ("He {} every morning.", "Her father {} quite well.", "The old man {} when he can."),
        ("His friends never", "The others would rather"),
    ),
}
HELD_OUT = (2, 1)  # the opening and the closing of testing
DISTRACTORS = (
    "The lamp in the hall is broken",
    "It rained for most of the week",
    "A bus went past with all its lights on",
    "Somebody had left the gate open",
    "The clock on the wall was ten minutes late",
    "Nobody could find the key to the cellar",
    "There was not a cloud in the sky",
    "The bakery closes early on Monday",
    "Her phone rang twice and then went quiet",
    "The neighbour was mowing his lawn again",
    "A dog barked somewhere behind the house",
    "The soup had gone cold by then",
    "All the chairs had been painted green",
    "His shoes were still wet",
    "The radio played a song from long ago",
    "Two of the windows needed cleaning",
    "The post arrived later than usual",
    "A pile of old papers lay by the door",
    "The coffee was stronger than it looked",
    "Children were playing in the yard",
)
HELD_OUT_DISTRACTORS = (
    "The paint on the fence had not dried",
    "A kettle began to sing in the kitchen",
    "The last page of the book was missing",
    "Snow had fallen on the roof",
    "An old man was asleep on the bench",
    "The elevator had stopped working again",
    "Someone upstairs was practising the piano",
    "The garden looked empty without the tree",
)


@dataclass(frozen=True)
class Agreement:
    """A sentence of the test.

    Args:
        kind: of the pair.
        text: all of it; the last word is to be predicted.
        antecedent: where the word that it follows from stands, ``(start, end)`` in characters, half-open.
        distractor: where the parentheses stand, likewise.
        target: where the last word begins.
    """

    kind: str
    text: str
    antecedent: tuple[int, int]
    distractor: tuple[int, int]
    target: int

    @property
    def short(self) -> str:
        """The same without the distractor."""
        start, end = self.distractor
        return self.text[:start].rstrip() + self.text[end:]


class Analogies(TextCorpus):
    """The sentences for training, each once with and once without a distractor, and those of the test.

    Args:
        seed: of the distractors, and of which one in twenty is ``val``.
        root: folder of all data; ``None`` is the environment variable ``RATIONALIZERS_DATA``, else the user's cache.
    """

    def __init__(self, *, seed: int = 0, root: str | None = None) -> None:
        self.seed, self.root = seed, root

    def texts(self) -> dict[str, list[Text]]:
        """Sentences in a random order."""
        draw = random.Random(self.seed)
        found: list[Text] = []
        for name, pair in _pairs(self.root):
            for opening, closing in product(range(3), range(2)):
                if (opening, closing) != HELD_OUT:
                    made = _sentence(name, pair, opening, closing, draw.choice(DISTRACTORS))
                    found += [(made.text,), (made.short,)]
        draw.shuffle(found)
        held = len(found) // 20
        return {
            "train": found[held:],
            "val": found[:held],
            "test": [(each.text,) for each in agreements(root=self.root)],
        }


def agreements(*, root: str | None = None) -> list[Agreement]:
    """The sentences of the test, one for each pair.

    Raises:
        FileNotFoundError: the questions are not there.
        ValueError: a line that is none of them, or a section of another name.
    """
    draw = random.Random(0)
    return [_sentence(name, pair, *HELD_OUT, draw.choice(HELD_OUT_DISTRACTORS)) for name, pair in _pairs(root)]


def _sentence(name: str, pair: Sequence[str], opening: int, closing: int, distractor: str) -> Agreement:
    kind = KINDS[name]
    given, wanted = pair[kind.given], pair[1 - kind.given]
    before, _, after = kind.openings[opening].partition("{}")
    first = f"{before}{given}{after} "
    beginning = f"{first}({distractor}.) {kind.closings[closing]} "
    return Agreement(
        name,
        beginning + wanted,
        (len(before), len(before) + len(given)),
        (len(first), len(first) + len(distractor) + 3),
        len(beginning),
    )


def _pairs(root: str | None) -> Iterator[tuple[str, tuple[str, str]]]:
    """Every pair once, with its section, in the order of the questions."""
    file = located(QUESTIONS, root)
    section, met = "", set()
    for number, line in enumerate(read(file).splitlines(), start=1):
        if line.startswith(":"):
            section = line[1:].strip()
            if section not in KINDS:
                raise broken(f"{file}:{number}", f"expected a section of {', '.join(KINDS)}; got {section!r}")
            continue
        words = line.split()
        if len(words) != 4 or not section:
            raise broken(f"{file}:{number}", f"expected four words below a section, got {line!r}")
        for pair in ((words[0], words[1]), (words[2], words[3])):
            # Capitals of common countries are among those of the world.
            if (KINDS[section].openings, pair) not in met:
                met.add((KINDS[section].openings, pair))
                yield section, pair
