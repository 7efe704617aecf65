"""Raw examples and corpora refuse what does not fit."""

import dataclasses

import pytest

from rationalizers.data.document import Corpus, Document, Source

WORDS = ("a", "dull", "film")


def test_a_bare_document_has_no_evidence_query_or_fields():
    document = Document("r1", WORDS)
    assert (document.label, document.spans, document.query, dict(document.fields), document.annotated) == (None, (), (), {}, True)


@pytest.mark.parametrize("spans", [(), ((0, 3, 0),), ((0, 1, 0), (0, 1, 1), (1, 2, 0), (0, 3, 2))])
def test_spans_within_the_words_may_touch_and_overlap(spans):
    assert Document("r1", WORDS, spans=spans).spans == spans


@pytest.mark.parametrize(("start", "end"), [(-1, 1), (0, 4), (3, 4), (1, 1), (2, 1), (0, 0), (-2, -1)])
def test_a_span_outside_the_words_is_named(start, end):
    with pytest.raises(ValueError, match=rf"document 'r1': span \[{start}, {end}\) does not lie within its 3 words"):
        Document("r1", WORDS, spans=((0, 1, 0), (start, end, 0)))


def test_a_document_without_words_cannot_have_a_span():
    assert Document("r1", ()).words == ()
    with pytest.raises(ValueError, match="does not lie within its 0 words"):
        Document("r1", (), spans=((0, 1, 0),))


@pytest.mark.parametrize("values", [(), (1, 2), (1, 2, 3, 4)])
def test_a_field_needs_a_value_for_each_word(values):
    with pytest.raises(ValueError, match=f"document 'r1': field 'sentence' has {len(values)} values for 3 words"):
        Document("r1", WORDS, fields={"shortcut": (0, 0, 1), "sentence": values})


def test_a_field_may_hold_numbers_that_are_not_whole():
    assert Document("r1", WORDS, fields={"replaceable": (0.5, 0.0, 2.5)}).fields["replaceable"] == (0.5, 0.0, 2.5)


def test_pieces_come_for_all_words_or_none():
    assert Document("r1", WORDS).pieces == ()
    assert Document("r1", WORDS, pieces=((4,), (5, 6), (7,))).pieces == ((4,), (5, 6), (7,))
    with pytest.raises(ValueError, match="document 'r1': there are pieces of 2 words for 3 words; give all or none"):
        Document("r1", WORDS, pieces=((4,), (5, 6)))
    with pytest.raises(ValueError, match=r"document 'r1': word 1 \('dull'\) has no pieces; every word needs at least one"):
        Document("r1", WORDS, pieces=((4,), (), (7,)))


def test_documents_are_values():
    document = Document("r1", WORDS, label="bad")
    assert document == Document("r1", WORDS, label="bad")
    with pytest.raises(dataclasses.FrozenInstanceError):
        document.label = "good"


def test_a_corpus_knows_every_label():
    known = Document("r1", WORDS, label="bad")
    assert Corpus(("bad", "good"), {"train": [known, Document("r2", WORDS)]}).splits["train"][0] is known
    with pytest.raises(
        ValueError, match=r"document 'r3' of split 'val' has the unknown label 'ugly'; known labels are bad, good"
    ):
        Corpus(("bad", "good"), {"train": [known], "val": [Document("r3", WORDS, label="ugly")]})


def test_a_corpus_reports_nothing_unless_told():
    assert dict(Corpus(("bad", "good"), {}).report) == {}


def test_a_source_must_say_how_it_loads():
    with pytest.raises(NotImplementedError):
        Source().load()
