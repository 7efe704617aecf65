"""Generated reviews: what is claimed about their words is true, and only the dial moves the shortcut."""

import functools
import hashlib
import json
import math
from collections import Counter

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from rationalizers.build import build
from rationalizers.data.document import Source
from rationalizers.data.grammar import ASPECTS, GENERAL, INTENSIFIERS, JOINTS, NEGATORS, RULES, SHORTCUTS, Dice, neutral
from rationalizers.data.toy import ToyReviews

NAMES = tuple(ASPECTS)
SIGN = {"negative": -1, "positive": 1}


@functools.cache
def corpus(**arguments):
    return ToyReviews(**{"train": 200, "val": 40, "test": 40, **arguments}).load()


def documents(made):
    return [document for split in made.splits.values() for document in split]


def without_shortcuts(document):
    """Everything about a review except its shortcut words."""
    kept = [place for place, shortcut in enumerate(document.fields["shortcut"]) if not shortcut]
    fields = {name: [values[place] for place in kept] for name, values in document.fields.items()}
    spans = [[document.words[start:end], group] for start, end, group in document.spans]
    return document.id, document.label, [document.words[place] for place in kept], fields, spans


def shortcuts(document):
    return [(i, word) for i, word in enumerate(document.words) if document.fields["shortcut"][i]]


def agrees(document, kind="filler"):
    family = SHORTCUTS[kind][document.label == "positive"]
    (verdict,) = {word in family for _, word in shortcuts(document)}
    return verdict


def phrases(document):
    """Evaluating phrases of all aspects as (aspect, polarity, words)."""
    found, last = [], None
    for word, aspect, polarity, sentence in zip(
        document.words, *(document.fields[name] for name in ("aspect", "polarity", "sentence")), strict=True
    ):
        key = (aspect, polarity, sentence)
        if polarity:
            if key != last:
                found.append((aspect, polarity, []))
            found[-1][2].append(word)
        last = key if polarity else None
    return [(aspect, polarity, tuple(words)) for aspect, polarity, words in found]


def near(share, probability, n, *, deviations=4):
    return abs(share - probability) <= deviations * math.sqrt(probability * (1 - probability) / n)


# The truth about words -------------------------------------------------------------------------------------------------


@functools.cache
def readings(aspect):
    """Polarity and negation of every phrase that the lexicon allows: an oracle that never saw how a phrase was made."""
    meant = {}
    for opinion in (GENERAL, ASPECTS[NAMES[aspect]].opinion):
        for polarity in (-1, 1):
            adjectives = opinion.adjectives[polarity]
            plain = [*opinion.predicates[polarity], *adjectives]
            plain += [(*strong, *adjective) for strong in INTENSIFIERS for adjective in adjectives]
            plain += [(*first, "and", *second) for first in adjectives for second in adjectives if first != second]
            negated = [(*negator, *adjective) for negator in NEGATORS for adjective in adjectives]
            for verdict, said in (((polarity, False), plain), ((-polarity, True), negated)):
                assert not set(said) & set(meant)
                meant.update(dict.fromkeys(said, verdict))
    return meant


@pytest.mark.parametrize("negation", [0.0, 0.3, 1.0])
def test_every_phrase_means_what_its_polarity_says(negation):
    negated = []
    for document in documents(corpus(negation=negation)):
        for aspect, polarity, words in phrases(document):
            meant, is_negated = readings(aspect)[words]
            assert meant == polarity, (document.id, words)
            negated.append(is_negated)
    assert near(sum(negated) / len(negated), negation, len(negated))


@pytest.mark.parametrize("target", NAMES)
@pytest.mark.parametrize("evidence", ["phrase", "clause"])
def test_the_evidence_is_what_the_target_is_said_to_be(target, evidence):
    for document in documents(corpus(target=target, evidence=evidence, train=60)):
        aspect, polarity, sentence = (document.fields[name] for name in ("aspect", "polarity", "sentence"))
        marked = [place for start, end, _ in document.spans for place in range(start, end)]
        about = [place for place, of in enumerate(aspect) if NAMES[of] == target and of >= 0]
        assert marked == (about if evidence == "clause" else [place for place in about if polarity[place]])
        assert {polarity[place] for place in about} - {0} == {SIGN[document.label]}
        assert 2 <= len(document.spans) <= 4
        assert [group for _, _, group in document.spans] == list(range(len(document.spans)))
        for start, end, _ in document.spans:
            assert len(set(sentence[start:end])) == 1
            assert any(polarity[start:end])


def test_a_clause_holds_its_phrase_and_a_noun_of_the_target():
    nouns = {noun for noun, _ in ASPECTS["food"].nouns}
    narrow, wide = corpus(target="food"), corpus(target="food", evidence="clause")
    for phrase, clause in zip(documents(narrow), documents(wide), strict=True):
        assert phrase.words == clause.words
        for inner, outer in zip(phrase.spans, clause.spans, strict=True):
            assert outer[0] <= inner[0] < inner[1] <= outer[1]
            rest = clause.words[outer[0] : inner[0]] + clause.words[inner[1] : outer[1]]
            assert any(rest[i : i + len(noun)] == noun for noun in nouns for i in range(len(rest)))


@pytest.mark.parametrize("aspects", [1, 2, 6])
def test_a_review_evaluates_so_many_aspects_each_with_one_polarity(aspects):
    for document in documents(corpus(aspects=aspects, target="room")):
        rated = {(aspect, polarity) for aspect, polarity, _ in phrases(document)}
        assert len(rated) == len({aspect for aspect, _ in rated}) == aspects
        assert (NAMES.index("room"), SIGN[document.label]) in rated
        counts = Counter(aspect for aspect, _, _ in phrases(document))
        assert counts.pop(NAMES.index("room")) in (2, 3, 4)
        assert set(counts.values()) <= {1, 2}


def test_words_outside_of_phrases_have_no_polarity_and_decoys_no_aspect():
    met = 0
    general = {word for pool in GENERAL.adjectives.values() for adjective in pool for word in adjective}
    for document in documents(corpus(decoys=1.0, sentences=(2, 2))):
        by_sentence = {}
        for i, sentence in enumerate(document.fields["sentence"]):
            by_sentence.setdefault(sentence, []).append(i)
            if document.fields["decoy"][i]:
                assert (document.fields["aspect"][i], document.fields["polarity"][i]) == (-1, 0)
        decoys = [words for words in by_sentence.values() if any(document.fields["decoy"][i] for i in words)]
        assert len(decoys) == 2
        for places in decoys:
            assert general & {document.words[i] for i in places if document.fields["decoy"][i]}
            assert {document.fields["aspect"][i] for i in places} == {-1}
            met += 1
    assert met == 560
    assert not any(any(document.fields["decoy"]) for document in documents(corpus(decoys=0.0)))


def test_decoys_praise_and_blame_alike_whatever_the_label():
    count = Counter()
    for document in documents(corpus(decoys=1.0, negation=0.0, sentences=(2, 2))):
        said = {(word,) for i, word in enumerate(document.words) if document.fields["decoy"][i]}
        count.update(
            (document.label, polarity) for polarity, pool in GENERAL.adjectives.items() for _ in range(bool(said & set(pool)))
        )
    for label in SIGN:
        n = count[label, 1] + count[label, -1]
        assert n > 200
        assert near(count[label, 1] / n, 0.5, n)


@pytest.mark.parametrize("sentences", [(0, 0), (3, 3), [1, 4]])
def test_so_many_sentences_are_neutral(sentences):
    made = ToyReviews(train=100, val=1, test=1, sentences=sentences).load()
    counts = set()
    for document in documents(made):
        rated = {s for s, aspect in zip(document.fields["sentence"], document.fields["aspect"], strict=True) if aspect >= 0}
        counts.add(max(document.fields["sentence"]) + 1 - len(rated))
    assert counts == set(range(sentences[0], sentences[1] + 1))


@pytest.mark.parametrize("mixed", [0.0, 1.0])
def test_joined_clauses_are_of_two_aspects(mixed):
    joined = 0
    for document in documents(corpus(mixed=mixed)):
        by_sentence = {}
        for sentence, aspect in zip(document.fields["sentence"], document.fields["aspect"], strict=True):
            by_sentence.setdefault(sentence, set()).add(aspect)
        joined += sum(len(aspects - {-1}) == 2 for aspects in by_sentence.values())
        assert all(len(aspects - {-1}) <= 2 for aspects in by_sentence.values())
        assert len(phrases(document)) == sum(len(aspects - {-1}) for aspects in by_sentence.values())
    assert (joined > 280 * 2) if mixed else (joined == 0)


def test_words_are_lower_case_and_sentences_end_with_a_stop():
    for document in documents(corpus()):
        assert all(word == word.lower() and word.split() == [word] for word in document.words)
        sentence = document.fields["sentence"]
        assert list(sentence) == sorted(sentence)
        ends = [i for i in range(len(sentence)) if i + 1 == len(sentence) or sentence[i + 1] != sentence[i]]
        assert all(document.words[i] == "." for i in ends)


def test_reviews_are_of_the_promised_size():
    report = corpus(train=1000).report
    assert 75 <= report["train/mean_words"] <= 95
    assert 0.08 <= report["train/evidence"] <= 0.15
    lengths = sorted(len(document.words) for document in corpus(train=1000).splits["train"])
    assert lengths[50] >= 50
    assert lengths[900] <= 110
    assert report["vocabulary"] > 700


# Chance ---------------------------------------------------------------------------------------------------------------


def digest(made):
    rows = [
        [d.id, d.label, d.words, d.spans, [[name, list(values)] for name, values in sorted(d.fields.items())]]
        for d in documents(made)
    ]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=True).encode()).hexdigest()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "4678f747d988ff450a503877c8459733fb51307c14129f5aa06a9fd2b79bb56a"),
        (
            {"shortcut_kind": "punctuation", "label_noise": 0.1},
            "ad2368bf9bd6fc29df2c9446744b5835f563bc8f8074d00a181c33e0613def52",
        ),
    ],
)
def test_the_corpus_is_the_same_everywhere(arguments, expected):
    assert digest(ToyReviews(train=60, val=20, test=20, seed=7, shortcut=0.8, **arguments).load()) == expected


def test_a_seed_makes_its_own_corpus_and_a_split_its_own_reviews():
    made = corpus()
    assert digest(made) == digest(ToyReviews(train=200, val=40, test=40).load())
    texts = [document.words for document in (*documents(made), *documents(corpus(seed=1)))]
    assert len(set(texts)) == len(texts)


def test_the_size_of_a_split_changes_no_other_and_a_small_one_begins_a_large_one():
    small, large = corpus(), corpus(train=300, val=50)
    assert small.splits["test"] == large.splits["test"]
    assert small.splits["val"] == large.splits["val"][:40]
    assert small.splits["train"] == large.splits["train"][:200]


@pytest.mark.parametrize("size", [20, 21])
def test_labels_are_balanced_in_no_pattern(size):
    labels = [document.label for document in corpus(train=size).splits["train"]]
    assert abs(labels.count("positive") - size / 2) <= 0.5
    assert len(set(labels[::2])) == 2


def test_whole_numbers_and_options_are_drawn_alike_within_their_bounds():
    dice = Dice(1, 2, 3)
    wholes = Counter(dice.whole(2, 4) for _ in range(3000))
    assert set(wholes) == {2, 3, 4}
    assert all(near(count / 3000, 1 / 3, 3000) for count in wholes.values())
    assert sorted(dice.shuffled(range(50))) == list(range(50))
    assert not any(dice.flip(0.0) for _ in range(100))
    assert all(dice.flip(1.0) for _ in range(100))
    assert Dice(0, 1).random() != Dice(1, 0).random() != Dice(1).random()


# Correlation, shortcut and noise --------------------------------------------------------------------------------------


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.75, 1.0])
def test_other_aspects_agree_with_the_target_as_often_as_asked(correlation):
    made = corpus(correlation=correlation, train=500)
    same = [
        (target == polarity)
        for document in made.splits["train"]
        for target in [SIGN[document.label]]
        for polarity in {aspect: polarity for aspect, polarity, _ in phrases(document) if aspect}.values()
    ]
    assert len(same) == 1500
    assert made.report["train/correlation"] == sum(same) / len(same)
    assert near(sum(same) / len(same), correlation, 1500)


@pytest.mark.parametrize("kind", ["filler", "punctuation"])
@pytest.mark.parametrize(("dials", "expected"), [((0.8, None, 0.5), (0.8, 0.8, 0.5)), ((1.0, 0.0, 0.3), (1.0, 0.0, 0.3))])
def test_the_shortcut_agrees_as_often_as_asked(kind, dials, expected):
    names = ("shortcut", "shortcut_val", "shortcut_test")
    made = corpus(shortcut_kind=kind, train=300, val=300, test=300, **dict(zip(names, dials, strict=True)))
    for (split, rows), probability in zip(made.splits.items(), expected, strict=True):
        share = sum(agrees(document, kind) for document in rows) / len(rows)
        assert made.report[f"{split}/shortcut_agreement"] == share
        assert near(share, probability, len(rows))


@pytest.mark.parametrize("kind", ["filler", "punctuation"])
def test_the_dial_moves_nothing_but_the_shortcut(kind):
    made = [corpus(shortcut=rho, shortcut_test=1 - rho, shortcut_kind=kind) for rho in (0.0, 0.3, 0.7, 1.0)]
    for versions in zip(*map(documents, made), strict=True):
        assert all(without_shortcuts(version) == without_shortcuts(versions[0]) for version in versions)
        assert len({tuple(place for place, _ in shortcuts(version)) for version in versions}) == 1
        verdicts = [agrees(version, kind) for version in versions]
        assert verdicts == sorted(verdicts, reverse=versions[0].id.startswith("test"))
        assert verdicts[0] != verdicts[-1]
        ranks = {
            tuple(sum(family.index(word) for family in SHORTCUTS[kind] if word in family) for _, word in shortcuts(version))
            for version in versions
        }
        assert len(ranks) == 1


@pytest.mark.parametrize("kind", ["filler", "punctuation"])
@pytest.mark.parametrize("count", [1, 2, 40])
def test_shortcuts_are_added_to_the_same_reviews_outside_of_clauses(kind, count):
    plain = documents(corpus(shortcuts_per_review=0, evidence="clause"))
    tenths = set()
    for bare, document in zip(
        plain, documents(corpus(shortcut_kind=kind, shortcuts_per_review=count, evidence="clause")), strict=True
    ):
        assert without_shortcuts(document) == without_shortcuts(bare)
        assert not shortcuts(bare)
        assert len(shortcuts(document)) == count
        marked = {place for start, end, _ in document.spans for place in range(start, end)}
        clause = [-1 if word == "." else aspect for word, aspect in zip(document.words, document.fields["aspect"], strict=True)]
        for place, _ in shortcuts(document):
            assert place not in marked
            assert [document.fields[name][place] for name in ("aspect", "polarity", "decoy")] == [-1, 0, 0]
            tenths.add(10 * place // len(document.words))
        # A clause that a shortcut interrupted would be left, and then entered again in the same sentence.
        entered = [
            (document.fields["sentence"][i], aspect)
            for i, aspect in enumerate(clause)
            if aspect >= 0
            and (i == 0 or clause[i - 1] != aspect or document.fields["sentence"][i - 1] != document.fields["sentence"][i])
        ]
        assert len(entered) == len(set(entered))
    assert tenths == set(range(10))


def test_the_report_leaves_out_what_does_not_exist():
    report = corpus(shortcuts_per_review=0, aspects=1).report
    assert sorted(name for name in report if name.startswith("test/")) == [
        f"test/{fact}" for fact in ("documents", "evidence", "longest", "mean_words", "positive", "shortest")
    ]


def test_the_report_is_a_count_of_the_documents():
    made = corpus(label_noise=0.2)
    for split, rows in made.splits.items():
        lengths = [len(document.words) for document in rows]
        marked = sum(len({i for start, end, _ in document.spans for i in range(start, end)}) for document in rows)
        expected = {
            "documents": len(rows),
            "positive": sum(document.label == "positive" for document in rows) / len(rows),
            "mean_words": sum(lengths) / len(rows),
            "shortest": min(lengths),
            "longest": max(lengths),
            "evidence": marked / sum(lengths),
        }
        assert {fact: made.report[f"{split}/{fact}"] for fact in expected} == expected
    assert made.report["vocabulary"] == len(set().union(*(document.words for document in documents(made))))


@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_noise_changes_labels_and_the_shortcuts_that_agree_with_them(noise):
    clean, noisy = documents(corpus(train=600, shortcut=0.8)), documents(corpus(train=600, shortcut=0.8, label_noise=noise))
    flipped = 0
    for before, after in zip(clean, noisy, strict=True):
        assert without_shortcuts(before)[2:] == without_shortcuts(after)[2:]
        assert agrees(before) == agrees(after)
        flipped += before.label != after.label
        assert {polarity for aspect, polarity, _ in phrases(after) if aspect == 0} == {SIGN[before.label]}
    assert near(flipped / len(clean), noise, len(clean))


def test_joints_do_not_tell_whether_the_joined_clauses_agree():
    count = Counter()
    joints = {" ".join(joint): joint for joint in JOINTS}
    for document in documents(corpus(mixed=1.0, shortcuts_per_review=0, correlation=0.5, train=600)):
        aspect, sentence = document.fields["aspect"], document.fields["sentence"]
        said = {a: p for a, p, _ in phrases(document)}
        for i in range(1, len(aspect) - 1):
            if aspect[i] == -1 != aspect[i - 1] and sentence[i - 1] == sentence[i] and document.words[i] != ".":
                after = next(j for j in range(i, len(aspect)) if aspect[j] >= 0)
                assert " ".join(document.words[i:after]) in joints
                count["but" in document.words[i:after], said[aspect[i - 1]] == said[aspect[after]]] += 1
    for agree in (True, False):
        n = count[True, agree] + count[False, agree]
        assert n > 300
        assert near(count[True, agree] / n, 1 / 3, n)


# What a bag of words learns -------------------------------------------------------------------------------------------


def accuracy(made, text, *, longest=1, strength=1.0):
    """Accuracy by split of a linear model on n-grams up to ``longest`` words."""
    model = make_pipeline(
        CountVectorizer(ngram_range=(1, longest), token_pattern=r"\S+"), LogisticRegression(C=strength, solver="liblinear")
    )
    model.fit([text(d) for d in made.splits["train"]], [d.label for d in made.splits["train"]])
    return {split: model.score([text(d) for d in rows], [d.label for d in rows]) for split, rows in made.splits.items()}


def whole(document):
    return " ".join(document.words)


def only_shortcuts(document):
    return " ".join(word for _, word in shortcuts(document))


def only_evidence(document):
    return " | ".join(" ".join(document.words[start:end]) for start, end, _ in document.spans)


def all_but_evidence(document):
    marked = {place for start, end, _ in document.spans for place in range(start, end)}
    return " ".join(word for place, word in enumerate(document.words) if place not in marked)


@functools.cache
def full_size(**arguments):
    return ToyReviews(**{"train": 1200, "val": 50, **arguments}).load()


@pytest.mark.parametrize("kind", ["filler", "punctuation"])
def test_a_certain_shortcut_teaches_training_and_nothing_else(kind):
    made = full_size(shortcut=1.0, shortcut_kind=kind)
    scores = accuracy(made, only_shortcuts)
    assert scores["train"] == scores["val"] == 1.0
    assert near(scores["test"], 0.5, 400)
    assert accuracy(made, whole)["test"] < 0.7


def test_an_uninformative_shortcut_teaches_nothing():
    scores = accuracy(full_size(), only_shortcuts)
    assert near(scores["test"], 0.5, 400)
    assert scores["train"] < 0.55


def test_the_evidence_alone_predicts_the_label():
    assert accuracy(full_size(), only_evidence, longest=3)["test"] > 0.92


def test_a_bag_of_words_cannot_tell_whose_opinion_it_read():
    correlated = accuracy(full_size(), whole, strength=0.1)["test"]
    independent = accuracy(full_size(correlation=0.5), whole, strength=0.1)["test"]
    assert 0.8 < correlated < 0.93
    assert 0.65 < independent < 0.85


def test_without_evidence_independent_aspects_tell_nothing():
    assert near(accuracy(full_size(correlation=0.5), all_but_evidence, longest=2)["test"], 0.5, 400)
    assert accuracy(full_size(), all_but_evidence)["test"] > 0.6


# The language ---------------------------------------------------------------------------------------------------------


def evaluating_words():
    pools = [opinion.adjectives for opinion in (GENERAL, *(aspect.opinion for aspect in ASPECTS.values()))]
    return Counter(phrase for pool in pools for polarity in (-1, 1) for phrase in pool[polarity])


def test_the_lexicon_is_rich_and_unambiguous():
    nouns = Counter(noun for aspect in ASPECTS.values() for noun, _ in aspect.nouns)
    assert set(nouns.values()) == {1}
    assert set(evaluating_words().values()) == {1}
    for aspect in ASPECTS.values():
        assert len(aspect.nouns) >= 12
        for polarity in (-1, 1):
            assert len(aspect.opinion.adjectives[polarity]) >= 10
            assert len(aspect.opinion.predicates[polarity]) >= 8
    praise = Counter(p for aspect in ASPECTS.values() for pool in aspect.opinion.predicates.values() for p in pool)
    praise.update(phrase for pool in GENERAL.predicates.values() for phrase in pool)
    assert set(praise.values()) == {1}


def test_neutral_words_and_shortcuts_evaluate_nothing():
    adjectives = {word for phrase in evaluating_words() for word in phrase}
    rules = {word for options, _ in RULES.values() for option in options for word in option if not word.isupper()}
    families = [set(family) for kind in SHORTCUTS.values() for family in kind]
    everything = adjectives | rules | {word for phrase in (*JOINTS, *NEGATORS, *INTENSIFIERS) for word in phrase}
    for aspect in ASPECTS.values():
        everything |= {word for noun, _ in aspect.nouns for word in noun}
        everything |= {word for pool in aspect.opinion.predicates.values() for phrase in pool for word in phrase}
    assert not adjectives & rules
    assert sum(len(family) for family in families) == len(set().union(*families))
    assert not set().union(*families) & everything
    assert all(word == word.lower() for word in everything)
    for kind in SHORTCUTS.values():
        assert len(kind[0]) == len(kind[1])


def test_filler_words_follow_zipf():
    things, dice = [word for (word,) in RULES["THING"].options], Dice(0)
    assert len(set(things)) == len(things) > 140
    count = Counter(word for _ in range(15_000) for word in neutral(dice).words)
    total, harmonic = sum(count[thing] for thing in things), sum(1 / rank for rank in range(1, len(things) + 1))
    assert total > 10_000
    for rank, thing in enumerate(things[:40], start=1):
        assert near(count[thing] / total, 1 / (rank * harmonic), total, deviations=5)


# Use ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": 0}, "'train' must be a whole number of at least 1, got 0"),
        ({"val": 1.5}, "'val' must be a whole number of at least 1, got 1.5"),
        ({"test": True}, "'test' must be a whole number of at least 1, got True"),
        ({"seed": -1}, "'seed' must be a whole number from 0 to 4294967295, got -1"),
        ({"seed": 2**32}, "'seed' must be a whole number from 0 to 4294967295"),
        ({"aspects": 0}, "'aspects' must be a whole number from 1 to 6, got 0"),
        ({"aspects": 7}, "'aspects' must be a whole number from 1 to 6, got 7"),
        ({"target": "pool"}, "'target' must be one of service, cleanliness, location, food, room, value, got 'pool'"),
        ({"correlation": 1.1}, "'correlation' must be a number from 0 to 1, got 1.1"),
        ({"shortcut": -0.1}, "'shortcut' must be a number from 0 to 1, got -0.1"),
        ({"shortcut": None}, "'shortcut' must be a number from 0 to 1, got None"),
        ({"shortcut_val": 2}, "'shortcut_val' must be a number from 0 to 1, got 2"),
        ({"shortcut_test": float("nan")}, "'shortcut_test' must be a number from 0 to 1, got nan"),
        ({"shortcut_kind": "emoji"}, "'shortcut_kind' must be one of filler, punctuation, got 'emoji'"),
        ({"shortcuts_per_review": -1}, "'shortcuts_per_review' must be a whole number of at least 0, got -1"),
        ({"negation": "0.2"}, "'negation' must be a number from 0 to 1, got '0.2'"),
        ({"general": 3}, "'general' must be a number from 0 to 1, got 3"),
        ({"mixed": True}, "'mixed' must be a number from 0 to 1, got True"),
        ({"decoys": -1}, "'decoys' must be a number from 0 to 1, got -1"),
        ({"label_noise": 1.01}, "'label_noise' must be a number from 0 to 1, got 1.01"),
        ({"sentences": (1, 2, 3)}, r"'sentences' must be the fewest and the most, such as \(1, 3\), got \(1, 2, 3\)"),
        ({"sentences": 3}, "'sentences' must be the fewest and the most"),
        ({"sentences": "13"}, "'sentences' must be the fewest and the most"),
        ({"sentences": (-1, 3)}, r"'sentences\[0\]' must be a whole number of at least 0, got -1"),
        ({"sentences": (3, 2)}, r"'sentences\[1\]' must be a whole number of at least 3, got 2"),
        ({"evidence": "noun"}, "'evidence' must be one of phrase, clause, got 'noun'"),
    ],
)
def test_arguments_out_of_bounds_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ToyReviews(**arguments)


def test_it_is_built_from_a_description():
    source = build(
        {"_target_": "rationalizers.data.toy.ToyReviews", "train": 2, "val": 1, "test": 1, "sentences": [0, 2]}, Source
    )
    made = source.load()
    assert made.labels == ("negative", "positive")
    assert [len(made.splits[split]) for split in ("train", "val", "test")] == [2, 1, 1]
