"""Word statistics against formulas worked out by hand, and what holds for any corpus."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rationalizers.data.document import Document
from rationalizers.data.statistics import WordStatistics


def documents(*texts):
    return [Document(f"d{i}", tuple(text.split())) for i, text in enumerate(texts)]


def fitted(docs, **options):
    statistics = WordStatistics(**options)
    statistics.fit(docs)
    return statistics


# By hand: N = 3, df(a) = 3, df(b) = 2, df(c) = df(d) = 1.
CORPUS = documents("a b a c", "a b", "a a d")
LN = {"a": 0.0, "b": math.log(3 / 2), "c": math.log(3), "d": math.log(3)}


def test_probabilities_of_replacement_by_hand():
    statistics = fitted(CORPUS)
    # tf-idf of the first document: a 0, b ln(1.5)/4, c ln(3)/4, the largest.
    top, b = LN["c"] / 4, LN["b"] / 4
    total = top + (top - b) + top + 0
    assert statistics.replacement(CORPUS[0]) == pytest.approx([4 * top / total, 4 * (top - b) / total, 4 * top / total, 0])
    assert statistics.replacement(CORPUS[1]) == pytest.approx([2, 0])
    assert statistics.replacement(CORPUS[2]) == pytest.approx([1.5, 1.5, 0])


def test_the_distribution_of_replacements_by_hand():
    statistics = fitted(CORPUS)
    assert statistics.words == ("a", "b", "c", "d")
    weight = [0.0, (1 / 4 + 1 / 2) / 3 * LN["b"], 1 / 4 / 3 * LN["c"], 1 / 3 / 3 * LN["d"]]
    gap = torch.tensor([max(weight) - each for each in weight])
    assert statistics.probability.tolist() == pytest.approx((gap / gap.sum()).tolist(), abs=1e-6)
    assert float(statistics.probability[3]) == 0  # d says most
    assert float(statistics.probability.sum()) == pytest.approx(1, abs=1e-6)


def test_sentences_are_normalised_apart_with_counts_of_the_document():
    first = Document("x", ("a", "b", "a", "c"), fields={"sentence": (0, 0, 1, 1)})
    lone = Document("y", ("b", "a", "a", "d"), fields={"sentence": (7, 2, 2, 2)})
    tied = Document("z", ("a", "a", "b", "d"), fields={"sentence": (0, 0, 1, 1)})
    statistics = fitted([first, lone, tied], per="sentence")
    # df: a 3, b 3, c 1, d 2; so a and b weigh nothing.
    assert statistics.replacement(first) == pytest.approx([0, 0, 2, 0])
    assert statistics.replacement(lone) == pytest.approx([0, 1.5, 1.5, 0])
    assert statistics.replacement(tied) == pytest.approx([0, 0, 2, 0])


def test_documents_and_sentences_differ():
    one = Document("x", ("a", "b", "c", "c", "a", "b"), fields={"sentence": (0, 0, 0, 0, 1, 1)})
    others = [Document("y", ("a", "e"), fields={"sentence": (0, 0)}), Document("z", ("b", "a"), fields={"sentence": (0, 0)})]
    # df: a 3, b 2, c 1; tf-idf: a 0, b 2/6 ln 1.5, c 2/6 ln 3.
    b, c = math.log(1.5) / 3, math.log(3) / 3
    by_sentence = fitted([one, *others], per="sentence").replacement(one)
    total = c + (c - b)
    assert by_sentence == pytest.approx([4 * c / total, 4 * (c - b) / total, 0, 0, 2, 0])
    by_document = fitted([one, *others]).replacement(one)
    assert by_document == pytest.approx([6 * c / (2 * total), 6 * (c - b) / (2 * total), 0, 0, *by_document[:2]])


def test_sentences_must_be_known():
    with pytest.raises(ValueError, match=r"document 'd0' does not say where its sentences are \(its fields: none\)"):
        fitted(CORPUS, per="sentence").replacement(CORPUS[0])


@pytest.mark.parametrize("text", ["one", "a a a", "a b", "x"])
def test_where_all_words_tie_nothing_is_replaced(text):
    corpus = documents(text)
    statistics = fitted(corpus)
    assert set(statistics.replacement(corpus[0])) == {0.0}
    assert statistics.probability.tolist() == pytest.approx([1 / len(statistics.words)] * len(statistics.words))


def test_words_that_only_rounding_keeps_apart_tie():
    # N = 16, df(c) = 12, df(r) = 9: 2 · ln(4/3) = ln(16/9), but not in floating point.
    texts = ["c c r", *["c r"] * 8, *["c"] * 3, *["f"] * 4]
    assert 2 / 3 * math.log(16 / 12) != 1 / 3 * math.log(16 / 9)
    corpus = documents(*texts)
    assert fitted(corpus).replacement(corpus[0]) == (0.0, 0.0, 0.0)


def test_a_document_of_one_word_keeps_it():
    corpus = documents("a", "b c")
    assert fitted(corpus).replacement(corpus[0]) == (0.0,)


def test_the_query_does_not_count():
    asked = [Document("x", ("a", "b"), query=("b", "q")), Document("y", ("a",))]
    statistics = fitted(asked)
    assert statistics.words == ("a", "b")
    assert statistics.replacement(asked[0]) == pytest.approx([2, 0])


def test_case_is_kept_unless_told_otherwise():
    corpus = documents("The film the", "the end")
    assert fitted(corpus).words == ("The", "end", "film", "the")
    folded = fitted(corpus, lowercase=True)
    assert folded.words == ("end", "film", "the")
    assert folded.replacement(corpus[0]) == pytest.approx([1.5, 0, 1.5])


def test_examples_on_the_same_text_are_documents_each():
    twice = [*documents("a b"), *documents("a b"), *documents("a c")]
    statistics = fitted(twice)
    assert statistics.words == ("a", "b", "c")
    weight = [0, 2 / 2 / 3 * math.log(3 / 2), 1 / 2 / 3 * math.log(3)]
    gap = [max(weight) - each for each in weight]
    assert statistics.probability.tolist() == pytest.approx([each / sum(gap) for each in gap], abs=1e-6)


def test_words_from_elsewhere_are_named():
    with pytest.raises(ValueError, match="document 'x' has the word 'zebra', which these statistics were not fitted on"):
        fitted(CORPUS).replacement(Document("x", ("a", "zebra")))


@pytest.mark.parametrize("corpus", [[], [Document("x", ())]])
def test_nothing_cannot_be_counted(corpus):
    with pytest.raises(ValueError, match="word statistics need documents with words, got none"):
        fitted(corpus)


def test_an_unknown_share_is_named():
    with pytest.raises(ValueError, match="'per' must be one of document, sentence; got 'word'"):
        WordStatistics(per="word")


TEXTS = st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=12), min_size=1, max_size=8)


@given(TEXTS)
@settings(max_examples=60, deadline=None)
def test_what_holds_for_any_corpus(texts):
    corpus = [Document(f"d{i}", tuple(text)) for i, text in enumerate(texts)]
    statistics = fitted(corpus)
    assert float(statistics.probability.sum()) == pytest.approx(1, abs=1e-5)
    assert (statistics.probability >= 0).all()
    df = Counter(word for text in texts for word in set(text))
    for document, text in zip(corpus, texts, strict=True):
        q = statistics.replacement(document)
        weight = {word: text.count(word) / len(text) * math.log(len(texts) / df[word]) for word in text}
        top = max(weight.values())
        assert all(each == 0 for each, word in zip(q, text, strict=True) if math.isclose(weight[word], top))
        if any(q):
            assert sum(q) / len(q) == pytest.approx(1)
            least = min(weight, key=weight.__getitem__)
            assert q[text.index(least)] == pytest.approx(max(q))
        else:
            assert max(weight.values()) - min(weight.values()) < 1e-6
