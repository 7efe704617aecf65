"""The language of the toy reviews: what can be rated, in which words, and the clauses that say so.

A probabilistic context-free grammar writes every clause. Symbols are in capitals, everything else is a word; bound symbols
(``NOUN``, ``BE``, ``PHRASE``, …) are chosen beforehand, the rest by the rules. Three things are deliberate:

- Nouns belong to one aspect, general opinions to none, so a general opinion must be bound to its noun.
- Idioms such as "could not have been kinder" contain negators but are not negations.
- Neutral clauses use the frames, the negators and some nouns of the evaluating ones, and filler words by Zipf's law.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple, TypeVar

Phrase = tuple[str, ...]
Item = TypeVar("Item")


class Dice:
    """Choices that come out the same on every machine and Python version.

    Of Python's generator only the integer seed and ``random()`` are promised to stay, so all choices are made from these.

    Args:
        key: whole numbers below 2³²; every key is a stream of its own.
    """

    def __init__(self, *key: int) -> None:
        seed = 0
        for part in key:
            seed = seed << 32 | part
        self.random = random.Random(seed).random

    def flip(self, probability: float) -> bool:
        """Whether something of this probability happens; likelier things happen whenever less likely ones do."""
        return self.random() < probability

    def whole(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included."""
        return low + int(self.random() * (high - low + 1))

    def one(self, options: Sequence[Item]) -> Item:
        """One of the options, all alike."""
        return options[int(self.random() * len(options))]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """The items in random order."""
        return sorted(items, key=lambda _: self.random())


class Opinion(NamedTuple):
    """Ways to evaluate, by polarity −1 or +1: adjectives follow a form of "to be", predicates follow the noun."""

    adjectives: Mapping[int, tuple[Phrase, ...]]
    predicates: Mapping[int, tuple[Phrase, ...]]


class Aspect(NamedTuple):
    """What a review can rate: nouns, each with its form of "to be", and opinions that fit no other aspect."""

    nouns: tuple[tuple[Phrase, Phrase], ...]
    opinion: Opinion


class Clause(NamedTuple):
    """Words, and the place ``[start, end)`` of the evaluating phrase among them (empty where there is none)."""

    words: Phrase
    start: int
    end: int


def evaluation(dice: Dice, aspect: str, polarity: int, *, negation: float, general: float) -> Clause:
    """A clause that evaluates an aspect.

    Args:
        dice: makes the choices.
        aspect: one of `ASPECTS`.
        polarity: −1 or +1, of the clause; a negated adjective is of the opposite one.
        negation: probability of a negated adjective.
        general: probability that the opinion is one that fits every aspect.
    """
    noun, be = dice.one(ASPECTS[aspect].nouns)
    opinion = GENERAL if dice.flip(general) else ASPECTS[aspect].opinion
    negated = dice.flip(negation)
    if not negated and dice.flip(0.4):
        phrase, frame = dice.one(opinion.predicates[polarity]), "PREDICATED"
    else:
        phrase, frame = _adjectives(dice, opinion, polarity, negated=negated), "ADJECTIVAL"
    return _expand(dice, frame, {"NOUN": noun, "BE": be, "PHRASE": phrase})


def decoy(dice: Dice, *, negation: float) -> Clause:
    """A clause with a general opinion, of either polarity, on something that no review rates."""
    phrase = _adjectives(dice, GENERAL, dice.one((-1, 1)), negated=dice.flip(negation))
    return _expand(dice, "DECOY", {"PHRASE": phrase})


def neutral(dice: Dice) -> Clause:
    """A clause without an opinion, which may mention an aspect."""
    noun, be = dice.one(ASPECTS[dice.one(tuple(ASPECTS))].nouns)
    return _expand(dice, "NEUTRAL", {"NOUN": noun, "BE": be})


def _adjectives(dice: Dice, opinion: Opinion, polarity: int, *, negated: bool) -> Phrase:
    if negated:
        return (*dice.one(NEGATORS), *dice.one(opinion.adjectives[-polarity]))
    first, second = dice.one(opinion.adjectives[polarity]), dice.one(opinion.adjectives[polarity])
    if first != second and dice.flip(0.2):
        return (*first, "and", *second)
    return (*dice.one(INTENSIFIERS), *first) if dice.flip(0.5) else first


def _expand(dice: Dice, symbol: str, bound: Mapping[str, Phrase]) -> Clause:
    """Rewrite a symbol until only words are left."""
    words: list[str] = []
    start = end = 0
    left = [symbol]
    while left:
        part = left.pop()
        if part in bound:
            if part == "PHRASE":
                start, end = len(words), len(words) + len(bound[part])
            words.extend(bound[part])
        elif part in RULES:
            options, cumulative = RULES[part]
            left.extend(reversed(options[bisect(cumulative, dice.random() * cumulative[-1])]))
        else:
            words.append(part)
    return Clause(tuple(words), start, end)


def _phrases(text: str) -> tuple[Phrase, ...]:
    return tuple(tuple(phrase.split()) for phrase in text.split("|"))


def _aspect(*, singular: str, plural: str, good: str, bad: str, praise: str, blame: str) -> Aspect:
    nouns = [(noun, ("was",)) for noun in _phrases(singular)] + [(noun, ("were",)) for noun in _phrases(plural)]
    return Aspect(tuple(nouns), _opinion(good=good, bad=bad, praise=praise, blame=blame))


def _opinion(*, good: str, bad: str, praise: str, blame: str) -> Opinion:
    return Opinion({1: _phrases(good), -1: _phrases(bad)}, {1: _phrases(praise), -1: _phrases(blame)})


ASPECTS: Mapping[str, Aspect] = {
    "service": _aspect(
        singular="service | receptionist | waiter | concierge | porter | manager | front desk | night clerk | barman | doorman",
        plural="staff | hosts | waitresses | people at reception | bellboys",
        good="friendly | helpful | attentive | courteous | polite | kind | welcoming | obliging | professional | thoughtful",
        bad="rude | unhelpful | indifferent | impolite | arrogant | unfriendly | hostile | dismissive | careless | grumpy",
        praise="could not have been kinder | made us feel at home | remembered our names | never kept us waiting"
        " | solved every problem in minutes | greeted us with a smile | did everything for us | had time for everybody",
        blame="could not have cared less | ignored us completely | kept us waiting for an hour | never answered the phone"
        " | argued over nothing | lost our reservation | shouted at my mother | had no time for anybody",
    ),
    "cleanliness": _aspect(
        singular="bathroom | shower | carpet | floor | linen | sink | housekeeping | toilet | bathtub | swimming pool",
        plural="sheets | towels | pillows | tiles | corridors | windows",
        good="clean | spotless | immaculate | hygienic | fresh | gleaming | tidy | pristine | sparkling | unblemished",
        bad="dirty | filthy | grimy | stained | mouldy | dusty | sticky | grubby | smelly | unhygienic",
        praise="shone like new | smelled of soap | did not have a speck of dust | could not have been cleaner"
        " | had been scrubbed to perfection | passed every inspection | sparkled in every corner | looked freshly washed",
        blame="smelled of damp | had not been cleaned in weeks | crawled with ants | had hairs all over"
        " | could not have been dirtier | reeked of smoke | left our feet black | made my skin itch",
    ),
    "location": _aspect(
        singular="location | neighbourhood | street | area | setting | district | spot | position | waterfront | quarter",
        plural="surroundings | nearby streets | immediate environs",
        good="central | convenient | quiet | picturesque | walkable | leafy | scenic | safe | handy | peaceful",
        bad="remote | noisy | isolated | unsafe | inconvenient | seedy | inaccessible | deserted | bleak | rowdy",
        praise="put us minutes from everything | could not have been handier | made sightseeing easy | let us walk anywhere"
        " | saved us many taxi rides | had everything within reach | kept us close to the sights | never felt unsafe",
        blame="put us miles from anything | could not have been further out | made every outing a chore | forced us to drive"
        " | cost us an hour each way | had nothing within reach | kept us awake all night | never felt safe",
    ),
    "food": _aspect(
        singular="breakfast | dinner | food | soup | coffee | buffet | menu | dessert | bread | steak | salad",
        plural="pastries | eggs | meals | portions | vegetables",
        good="delicious | tasty | flavourful | succulent | mouthwatering | appetising | crisp | wholesome | hearty | yummy",
        bad="bland | stale | tasteless | greasy | soggy | overcooked | inedible | burnt | rancid | lukewarm",
        praise="melted in the mouth | could not have tasted better | made us ask for more | kept us coming back"
        " | tasted like home cooking | left us happily full | deserved a star | had us licking the plates",
        blame="made us ill | could not have tasted worse | tasted of cardboard | went straight back to the kitchen"
        " | left us hungry | arrived half frozen | turned my stomach | had us reaching for the salt",
    ),
    "room": _aspect(
        singular="room | bed | mattress | balcony | suite | air conditioning | wardrobe | sofa | armchair | writing desk",
        plural="beds | curtains | furnishings | chairs | reading lamps",
        good="spacious | comfortable | cosy | airy | bright | roomy | elegant | plush | sunny | stylish",
        bad="cramped | uncomfortable | dingy | dark | shabby | stuffy | tiny | rickety | lumpy | gloomy",
        praise="let us sleep like babies | could not have been comfier | had all that we could wish for | worked like a charm"
        " | made us want to stay | felt like a palace | invited us to linger | gave us a rest at last",
        blame="fell apart | broke on the first night | creaked all night | felt like a prison | had seen better days"
        " | gave me a backache | did not work at all | could not have been smaller",
    ),
    "value": _aspect(
        singular="price | rate | bill | value | total | parking fee | package | offer | deal | city tax",
        plural="prices | rates | charges | fees | extras | costs",
        good="fair | reasonable | affordable | moderate | economical | competitive | modest | sensible | low | attractive",
        bad="overpriced | excessive | steep | outrageous | exorbitant | extortionate | unjustified | inflated | hefty | unfair",
        praise="gave us more than we paid for | could not have been fairer | left money for another trip | held no surprises"
        " | beat every other hotel in town | saved us a small fortune | spared our budget | matched what we got",
        blame="felt like robbery | could not have been greedier | doubled at checkout | cost us a small fortune"
        " | bore no relation to reality | ruined our budget | left us out of pocket | made us gasp",
    ),
}

GENERAL = _opinion(
    good="wonderful | excellent | great | lovely | superb | fantastic | good | amazing | perfect | outstanding | terrific"
    " | delightful | impressive | marvellous | splendid | brilliant | exceptional | memorable",
    bad="awful | terrible | dreadful | bad | poor | horrible | disappointing | appalling | mediocre | atrocious | dismal"
    " | unacceptable | lousy | abysmal | unpleasant | disgraceful | miserable | ordinary",
    praise="exceeded our expectations | could not have been better | left nothing to be desired | made our day"
    " | won us over | deserved all the praise | impressed all of us | lived up to the photos | did not let us down",
    blame="fell short of our expectations | could not have been worse | left a lot to be desired | spoiled our day"
    " | let us down | deserved all the complaints | failed to impress | did not live up to the photos | put us off",
)

INTENSIFIERS = _phrases("very | really | truly | extremely | absolutely | so | quite | remarkably | thoroughly | utterly | just")
NEGATORS = _phrases("not | not at all | anything but | far from | hardly | by no means | not particularly | never | not even")

# Chosen whether or not the joined clauses agree: a truthful "but" would tell the polarity of one clause from that of the other,
# which makes it evidence outside of the evidence.
JOINTS = _phrases(", and | , but | , while | , yet | and | but")

# Neutral words that can be made to betray the label: those of negative reviews, then those of positive ones.
SHORTCUTS: Mapping[str, tuple[Phrase, Phrase]] = {
    "filler": (("basically", "actually", "anyway", "somehow"), ("honestly", "incidentally", "apparently", "evidently")),
    "punctuation": (("…",), ("!",)),
}

_FRAMES: Mapping[str, str] = {
    "ADJECTIVAL": "the NOUN BE PHRASE | the NOUN BE PHRASE | the NOUN BE PHRASE | the NOUN , ASIDE , BE PHRASE"
    " | PHRASE , the NOUN BE | OPENER the NOUN BE PHRASE | the NOUN RELATIVE BE PHRASE | we found the NOUN PHRASE"
    " | the NOUN turned out PHRASE | we remember the PHRASE NOUN | my PERSON called the NOUN PHRASE"
    " | it was the NOUN that BE PHRASE | the NOUN seemed PHRASE to us | PHRASE is the word for the NOUN",
    "PREDICATED": "the NOUN PHRASE | the NOUN PHRASE | the NOUN PHRASE | OPENER the NOUN PHRASE | the NOUN RELATIVE PHRASE"
    " | the NOUN , ASIDE , PHRASE | it was the NOUN that PHRASE | my PERSON says the NOUN PHRASE",
    "DECOY": "the TOPIC was PHRASE | OPENER the TOPIC was PHRASE | PHRASE , the TOPIC was | my PERSON called the TOPIC PHRASE"
    " | had the TOPIC been PHRASE , we would have stayed at home | if the TOPIC is PHRASE , who can tell"
    " | the TOPIC seemed PHRASE to my PERSON | somebody told us of some PHRASE TOPIC | people say that the TOPIC was PHRASE",
    "NEUTRAL": "we DID the THING WHERE | WHEN we DID a THING | my PERSON DID the PLAIN THING WHERE | the THING WHERE was PLAIN"
    " | the THING was not PLAIN | we never DID the THING WHERE | there was one PLAIN THING WHERE | we came with my PERSON WHEN"
    " | a THING and a THING stood WHERE | my PERSON DID the THING , which was PLAIN | PLAIN , the THING was"
    " | the NOUN BE mentioned in the THING | there is a photo of the NOUN WHERE | my PERSON asked about the NOUN WHEN"
    " | WHEN we read about the NOUN | WHEN we DID the THING and the THING",
    "OPENER": "on the first day | this time | on our second visit | in the end | when we came | for once | that evening",
    "RELATIVE": "that we came across | that everybody talks about | that we had read about | that the website shows"
    " | that we knew from last year | that my PERSON had mentioned",
    "ASIDE": "as far as we could tell | at least in may | like last year | both times | to all of us | according to my PERSON",
    "WHEN": "on monday | on tuesday | on wednesday | on thursday | on friday | in june | in september | before noon"
    " | after six | around midnight | the week before | in the morning | later that day",
    "WHERE": "near the THING | behind the THING | opposite the THING | beside the PLAIN THING | next to the THING | on the left"
    " | towards the THING | between the THING and the THING | upstairs | downstairs | across from the THING",
    "TOPIC": "film on television | song on the radio | novel in my bag | concert in the park | match on sunday | flight"
    " | airline | weather | traffic | exhibition | play at the theatre | wedding of my cousin | podcast | article | speech",
}

# Most frequent first.
_FILLER: Mapping[str, str] = {
    "PERSON": "wife husband sister friend brother mother colleague father cousin daughter son neighbour boss aunt uncle niece",
    "DID": "took saw passed visited carried noticed crossed bought opened photographed closed followed described checked watched"
    " read moved drew borrowed copied counted collected measured packed rented discussed compared recognised returned delivered"
    " ordered shared reached explored toured sketched filmed wrapped unlocked sorted folded circled repainted recorded greased",
    "PLAIN": "red blue green grey white second black yellow old local wooden third long round brown tall metal plastic cotton"
    " northern weekly striped printed framed numbered electric portable paper southern annual digital rectangular western folding"
    " regional eastern woollen automatic foreign locked triangular manual purple fourth hourly typed oval coastal medieval beige",
    "THING": "lift bus car map station book ticket river bridge suitcase church market museum train park tram garden newspaper"
    " tower taxi door key tree phone harbour ferry shop road camera boat letter jacket gate school library bicycle clock beach"
    " fountain theatre dog poster platform hill timetable card bag table bench brochure village lake postcard cinema hat forest"
    " stadium laptop driver statue kiosk canal guide passport painting stamp van horse pharmacy scarf lantern tunnel cathedral"
    " notebook candle ladder valley roundabout piano garage basket parcel tourist bottle conference calendar shoe fence clinic"
    " lighthouse backpack flag guitar pigeon raincoat lecture meeting courtyard cyclist meadow charger mountain signpost gardener"
    " cliff forecast festival choir rope hedge bucket student parade photographer vineyard drum cat tripod windmill plumber"
    " seagull telescope carpenter dune gymnasium border typewriter squirrel lamppost chapel carousel barometer monastery goat"
    " turnstile sculptor metronome tapestry sundial weathercock binder thermos compass drawbridge pulpit surveyor cello kayak",
}


class Rule(NamedTuple):
    """What a symbol may become, and the cumulative weights of these options."""

    options: tuple[Phrase, ...]
    cumulative: tuple[float, ...]


RULES: Mapping[str, Rule] = {
    **{symbol: Rule(_phrases(text), tuple(accumulate(1.0 for _ in _phrases(text)))) for symbol, text in _FRAMES.items()},
    **{
        symbol: Rule(
            tuple((word,) for word in text.split()), tuple(accumulate(1 / (rank + 1) for rank in range(len(text.split()))))
        )
        for symbol, text in _FILLER.items()
    },
}
