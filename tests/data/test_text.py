"""What featurizers of text share: sentences of strings, facts of words laid on units, explanations by word."""

import math

import pytest
import torch

from rationalizers.base import Output
from rationalizers.batch import Packed
from rationalizers.data.document import Document
from rationalizers.data.text import SEPARATOR, Layout, TextFeaturizer
from rationalizers.rationale import Rationale
from rationalizers.task import Classification

TASK = Classification(labels=["bad", "good"])


class Letters(TextFeaturizer):
    """One unit per letter, `0` before and after the document, the query and a bar before it."""

    def __init__(self, *, max_letters=None, max_words=None):
        super().__init__(max_words=max_words)
        self.max_letters = max_letters

    def fit(self, documents):
        pass

    def facts(self):
        return {}

    def layout(self, document):
        lead = (*document.query, SEPARATOR) if document.query else ()
        before = [(0, -1), *((ord(sign), i) for i, word in enumerate(document.query) for sign in word)]
        before += [(ord("|"), len(lead) - 1)] if lead else []
        inside = [(ord(sign), len(lead) + i) for i, word in enumerate(document.words) for sign in word][: self.max_letters]
        units, word = zip(*before, *inside, (0, -1), strict=True)
        return Layout(torch.tensor(units), torch.tensor(word), (len(before), len(before) + len(inside)), lead)

    def units_of(self, words):
        raise NotImplementedError

    def save(self, folder):
        raise NotImplementedError

    def load(self, folder):
        raise NotImplementedError


REVIEW = Document(
    id="r1",
    words=("so", "dull", "a", "film"),
    label="bad",
    spans=((1, 2, 0), (2, 4, 1)),
    fields={"sentence": (0, 0, 1, 2), "shortcut": (0, 0, 1, 0), "replaceable": (0.5, 0.0, 1.25, 2.0)},
)
ASKED = Document(id="r2", words=("it", "is"), query=("ok", "?"), spans=((1, 2, 0),))


def spelled(packed):
    return "".join(chr(unit) if unit else "^" for unit in packed.units.tolist())


# Units and facts ------------------------------------------------------------------------------------------------------


def test_every_unit_carries_the_facts_of_its_word():
    packed = Letters().encode(REVIEW, index=3, target=1, labelled=True)
    assert spelled(packed) == "^sodullafilm^"
    assert packed.fixed.tolist() == [True] + [False] * 11 + [True]
    assert packed.fields["word"].tolist() == [-1, 0, 0, 1, 1, 1, 1, 2, 3, 3, 3, 3, -1]
    assert packed.fields["segment"].tolist() == [0] + [1] * 11 + [0]
    assert packed.fields["sentence"].tolist() == [-1, 0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2, -1]
    assert packed.fields["shortcut"].tolist() == [-1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, -1]
    assert packed.fields["replaceable"].tolist() == [0, 0.5, 0.5, 0, 0, 0, 0, 1.25, 2, 2, 2, 2, 0]
    assert packed.fields["evidence"].int().tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]
    assert packed.spans.tolist() == [[0, 3, 7, 0], [0, 7, 12, 1]]
    assert packed.fields["sentences_cut"].tolist() == [0] * 13
    assert (packed.index.tolist(), packed.y.tolist(), packed.labelled.tolist()) == ([3], [1], [True])


def test_a_field_keeps_whole_numbers_whole_and_others_not():
    fields = Letters().encode(REVIEW).fields
    assert {name: fields[name].dtype for name in ("shortcut", "replaceable", "evidence", "word")} == {
        "shortcut": torch.int64,
        "replaceable": torch.float32,
        "evidence": torch.bool,
        "word": torch.int64,
    }
    marked = Document("x", ("a",), fields={"marked": [True], "half": [0]})
    assert Letters().encode(marked).fields["marked"].tolist() == [-1, 1, -1]
    assert Letters().encode(marked).fields["half"].dtype == torch.int64


def test_a_query_is_fixed_and_shifts_what_follows():
    packed = Letters().encode(ASKED)
    assert spelled(packed) == "^ok?|itis^"
    assert packed.fields["word"].tolist() == [-1, 0, 0, 1, 2, 3, 3, 4, 4, -1]
    assert packed.words == (("ok", "?", SEPARATOR, "it", "is"),)
    assert packed.fixed.int().tolist() == [1] * 5 + [0] * 4 + [1]
    assert packed.spans.tolist() == [[0, 7, 9, 0]]


@pytest.mark.parametrize(
    ("letters", "words", "spans", "cut"),
    [
        (None, ("so", "dull", "a", "film"), [[0, 3, 7, 0], [0, 7, 12, 1]], 0),
        (9, ("so", "dull", "a", "film"), [[0, 3, 7, 0], [0, 7, 10, 1]], 0),  # within a word
        (7, ("so", "dull", "a"), [[0, 3, 7, 0], [0, 7, 8, 1]], 1),
        (6, ("so", "dull"), [[0, 3, 7, 0]], 2),
        (3, ("so", "dull"), [[0, 3, 4, 0]], 2),
        (2, ("so",), [], 2),
        (1, ("so",), [], 2),
    ],
)
def test_what_units_are_cut_off_takes_words_evidence_and_sentences_along(letters, words, spans, cut):
    packed = Letters(max_letters=letters).encode(REVIEW)
    assert packed.words == (words,)
    assert packed.spans.tolist() == spans
    marked = torch.zeros_like(packed.fixed)
    for _, start, end, _ in spans:
        marked[start:end] = True
    assert packed.fields["evidence"].equal(marked)
    assert set(packed.fields["sentences_cut"].tolist()) == {cut}
    assert packed.fields["sentences_cut"].shape == packed.units.shape


@pytest.mark.parametrize(("kept", "cut"), [(1, 2), (2, 2), (3, 1), (4, 0), (9, 0), (None, 0)])
def test_words_that_are_cut_off_count_too(kept, cut):
    packed = Letters(max_words=kept).encode(REVIEW)
    assert packed.words == (REVIEW.words[:kept],)
    assert set(packed.fields["sentences_cut"].tolist()) == {cut}


def test_without_sentences_nobody_counts_them():
    assert "sentences_cut" not in Letters().encode(ASKED).fields


def test_a_document_without_words_is_named():
    with pytest.raises(ValueError, match="document 'hollow' has no words"):
        Letters().encode(Document("hollow", ()))


@pytest.mark.parametrize("count", [0, -1])
def test_counts_below_one_are_refused(count):
    with pytest.raises(ValueError, match=f"'max_words' must be at least 1, got {count}"):
        Letters(max_words=count)


# Strings --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One two", [0, 0]),
        ("One. Two", [0, 0, 1]),
        ("One. Two.", [0, 0, 1, 1]),
        ("Why?! No… yes", [0, 0, 0, 1, 1, 2]),
        ("Wait... so", [0, 0, 0, 0, 1]),
        (". a", [0, 1]),
        ("!", [0]),
    ],
)
def test_a_string_is_split_into_sentences(text, sentences):
    packed = Letters().batch([text])
    word = packed.fields["word"]
    assert [int(packed.fields["sentence"][word == i][0]) for i in range(len(packed.words[0]))] == sentences


def test_strings_have_sentences_and_documents_their_own():
    packed = Letters().batch(["One. Two", REVIEW])
    assert set(packed.fields) == {"evidence", "segment", "word", "sentence", "sentences_cut"}
    assert "sentence" not in Letters().batch(["One. Two", ASKED]).fields
    assert "sentence" not in Letters().batch([ASKED]).fields


# Explanations ---------------------------------------------------------------------------------------------------------


def output_for(packed, chosen):
    n = packed.units.shape[0]
    scores = torch.arange(n, dtype=torch.float32).masked_fill(packed.fixed, -torch.inf)
    mask = torch.zeros(n)
    mask[chosen] = 1.0
    return Output(logits=torch.zeros(len(packed), 2), rationale=Rationale(scores, mask, packed.ptr))


def test_units_are_explained_as_words():
    packed = Packed.collate([Letters().encode(each, target=0) for each in (REVIEW,)])
    (found,) = Letters().explain(packed, output_for(packed, [4, 7]), TASK)
    assert found.tokens == REVIEW.words
    assert found.mask == (False, True, True, False)  # one letter of the second word, the third
    assert found.scores == (2.0, 6.0, 7.0, 11.0)  # of the last letter
    assert found.evidence == ((1, 2, 0), (2, 4, 1))
    assert found.marks == {"shortcut": ((2, 3),)}
    assert (found.query, found.label) == ((), "bad")


def test_explanations_keep_query_and_company_apart():
    packed = Letters().batch([ASKED, "dull it"])
    first, second = Letters().explain(packed, output_for(packed, [8, 11]), TASK)
    assert (first.query, first.tokens, first.rationale) == (("ok", "?"), ("it", "is"), ("is",))
    assert first.evidence == ((1, 2, 0),)
    assert (second.query, second.tokens, second.rationale) == ((), ("dull", "it"), ("dull",))
    assert second.evidence is None


def test_explanations_end_where_the_text_was_cut():
    letters = Letters(max_letters=4)
    packed = letters.encode(REVIEW)
    (found,) = letters.explain(packed, output_for(packed, [3]), TASK)
    assert found.tokens == ("so", "dull")
    assert found.evidence == ((1, 2, 0),)
    assert found.rationale == ("dull",)


def test_words_that_were_taken_out_are_shown_and_not_selected():
    packed = Letters().encode(REVIEW)
    kept = packed.select((packed.fields["word"] != 1), positions="fresh")
    (found,) = Letters().explain(kept, output_for(kept, [1]), TASK)
    assert found.tokens == REVIEW.words
    assert found.mask == (True, False, False, False)
    assert found.scores[1] == -math.inf
    none = packed.select(packed.fixed, positions="fresh")
    assert Letters().explain(none, output_for(none, []), TASK)[0].tokens == ()
