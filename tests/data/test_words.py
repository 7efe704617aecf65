"""Words as units: ids, evidence and queries on the way in, and the same words on the way out."""

import json

import pytest
import torch

from rationalizers.base import Output
from rationalizers.data.document import Document
from rationalizers.data.text import SEPARATOR
from rationalizers.data.words import MASK, UNKNOWN, WordFeaturizer
from rationalizers.rationale import Rationale
from rationalizers.task import Classification

REVIEW = Document(
    id="r1",
    words=("The", "film", "is", "dull", "and", "awful", "indeed"),
    label="bad",
    spans=((3, 4, 0), (5, 7, 1)),
    fields={"shortcut": (0, 1, 1, 0, 0, 0, 1), "sentence": (0, 0, 0, 0, 1, 1, 1)},
)
ASKED = Document(id="r2", words=("It", "is", "fine"), label="good", spans=((2, 3, 0),), query=("is", "it", "good", "?"))
TASK = Classification(labels=["bad", "good"])


def fitted(*documents, **options):
    words = WordFeaturizer(**{"min_count": 1, **options})
    words.fit(documents or (REVIEW, ASKED))
    return words


def spelled(words, packed):
    return [words.vocabulary[row] for row in packed.units.tolist()]


# Vocabulary -----------------------------------------------------------------------------------------------------------


def test_vocabulary_is_ordered_by_count_and_then_alphabet():
    words = fitted(Document("a", ("b", "c", "a", "b")), Document("b", ("c", "d")))
    assert words.vocabulary == (UNKNOWN, MASK, SEPARATOR, "b", "c", "a", "d")
    assert words.facts() == {"vocabulary": 7, "mask_id": 1}


def test_words_of_queries_belong_to_it():
    words = fitted(Document("a", ("b",), query=("asked",)))
    assert set(words.vocabulary) == {UNKNOWN, MASK, SEPARATOR, "b", "asked"}


@pytest.mark.parametrize(("least", "kept"), [(1, {"a", "b", "c"}), (2, {"a", "b"}), (3, {"a"}), (4, set())])
def test_rare_words_have_no_row_of_their_own(least, kept):
    words = fitted(Document("a", ("a", "b", "c", "a", "b", "a")), min_count=least)
    assert set(words.vocabulary[3:]) == kept


def test_the_signs_of_the_featurizer_are_not_words():
    words = fitted(Document("a", (UNKNOWN, MASK, SEPARATOR, "b")))
    assert words.vocabulary == (UNKNOWN, MASK, SEPARATOR, "b")


def test_case_is_folded_unless_told_otherwise():
    folded, kept = (fitted(Document("a", ("The", "the")), lowercase=flag) for flag in (True, False))
    assert folded.vocabulary[3:] == ("the",)
    assert kept.vocabulary[3:] == ("The", "the")
    packed = folded.encode(Document("b", ("THE", "The")))
    assert packed.units.tolist() == [3, 3]
    assert packed.words == (("THE", "The"),)  # shown as they were written


@pytest.mark.parametrize("options", [{"min_count": 0}, {"min_count": -1}, {"max_words": 0}, {"max_words": -3}])
def test_counts_below_one_are_refused(options):
    with pytest.raises(ValueError, match=r"'min_count' and 'max_words' must be at least 1, got -?\d"):
        WordFeaturizer(**options)


# One document ---------------------------------------------------------------------------------------------------------


def test_a_document_becomes_a_batch_of_one():
    words = fitted()
    packed = words.encode(REVIEW, index=4, target=0, labelled=True)
    assert spelled(words, packed) == ["the", "film", "is", "dull", "and", "awful", "indeed"]
    assert packed.ptr.tolist() == [0, 7]
    assert packed.y.tolist() == [0]
    assert packed.index.tolist() == [4]
    assert packed.ids == ("r1",)
    assert packed.words == (REVIEW.words,)
    assert packed.spans.tolist() == [[0, 3, 4, 0], [0, 5, 7, 1]]
    assert packed.fields["evidence"].tolist() == [False, False, False, True, False, True, True]
    assert packed.fields["shortcut"].tolist() == [0, 1, 1, 0, 0, 0, 1]
    assert packed.fields["word"].tolist() == list(range(7))
    assert not packed.fixed.any()
    assert packed.fields["segment"].tolist() == [1] * 7
    assert packed.labelled.tolist() == packed.annotated.tolist() == [True]


def test_words_that_were_never_seen_are_unknown():
    words = fitted()
    assert spelled(words, words.encode(Document("x", ("film", "unheard", "Film")))) == ["film", UNKNOWN, "film"]


def test_a_query_comes_first_fixed_and_is_never_evidence():
    words = fitted()
    packed = words.encode(ASKED)
    assert spelled(words, packed) == ["is", "it", "good", "?", SEPARATOR, "it", "is", "fine"]
    assert packed.fixed.tolist() == [True] * 5 + [False] * 3
    assert packed.fields["segment"].tolist() == [0] * 5 + [1] * 3
    assert packed.fields["evidence"].tolist() == [False] * 7 + [True]
    assert packed.spans.tolist() == [[0, 7, 8, 0]]
    assert not (packed.fields["evidence"] & packed.fixed).any()


def test_fields_do_not_reach_into_the_query():
    document = Document("x", ("a", "b"), query=("q",), fields={"sentence": (4, 5)})
    assert fitted().encode(document).fields["sentence"].tolist() == [-1, -1, 4, 5]


@pytest.mark.parametrize(
    ("kept", "spans"),
    [
        (7, [[0, 3, 4, 0], [0, 5, 7, 1]]),
        (9, [[0, 3, 4, 0], [0, 5, 7, 1]]),
        (6, [[0, 3, 4, 0], [0, 5, 6, 1]]),  # the second span is cut
        (5, [[0, 3, 4, 0]]),  # it begins where the text now ends
        (4, [[0, 3, 4, 0]]),
        (3, []),
        (1, []),
    ],
)
def test_spans_survive_truncation_as_far_as_the_words_do(kept, spans):
    packed = fitted(max_words=kept).encode(REVIEW)
    n = min(kept, 7)
    assert packed.units.shape == (n,)
    assert packed.words == (REVIEW.words[:n],)
    assert packed.spans.tolist() == spans
    expected = torch.zeros(n, dtype=torch.bool)
    for _, start, end, _ in spans:
        expected[start:end] = True
    assert packed.fields["evidence"].equal(expected)
    assert packed.fields["shortcut"].tolist() == [0, 1, 1, 0, 0, 0, 1][:n]


def test_truncation_does_not_count_the_query():
    packed = fitted(max_words=2).encode(ASKED)
    assert packed.words == (("is", "it", "good", "?", SEPARATOR, "It", "is"),)
    assert packed.spans.tolist() == []


@pytest.mark.parametrize(
    ("annotated", "asked", "labelled"), [(True, True, True), (True, False, False), (False, True, False), (False, False, False)]
)
def test_only_known_evidence_can_be_trained_on(annotated, asked, labelled):
    packed = fitted().encode(Document("x", ("a",), annotated=annotated), labelled=asked)
    assert packed.labelled.tolist() == [labelled]
    assert packed.annotated.tolist() == [annotated]


def test_a_document_without_words_is_named():
    with pytest.raises(ValueError, match="document 'hollow' has no words"):
        fitted().encode(Document("hollow", (), query=("q",)))


def test_words_outside_any_document_are_one_unit_each():
    words = fitted()
    units, ptr = words.units_of(("Film", "unheard", "dull"))
    assert [words.vocabulary[row] for row in units.tolist()] == ["film", UNKNOWN, "dull"]
    assert ptr.tolist() == [0, 1, 2, 3]
    assert [each.tolist() for each in words.units_of(())] == [[], [0]]


def test_sentences_that_are_cut_off_are_counted():
    assert fitted(max_words=4).encode(REVIEW).fields["sentences_cut"].tolist() == [1] * 4
    assert fitted().encode(REVIEW).fields["sentences_cut"].tolist() == [0] * 7


# Batches of raw input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A dull film.", ("A", "dull", "film", ".")),
        ("don't, it’s", ("don't", ",", "it’s")),
        ("well-known (1999)!?", ("well", "-", "known", "(", "1999", ")", "!", "?")),
        ("  naïve\n\tcafé  ", ("naïve", "café")),
        ("'quoted'", ("'", "quoted", "'")),
    ],
)
def test_a_string_is_split_into_words_and_single_signs(text, words):
    assert fitted().batch([text]).words == (words,)


def test_a_batch_of_strings_knows_no_evidence_and_no_target():
    packed = fitted().batch(["the film", "dull"])
    assert packed.y is None
    assert packed.ptr.tolist() == [0, 2, 3]
    assert packed.annotated.tolist() == packed.labelled.tolist() == [False, False]
    assert packed.ids == ("text-0", "text-1")
    assert packed.index.tolist() == [0, 1]


def test_documents_and_strings_can_be_mixed_and_keep_their_order():
    packed = fitted().batch([ASKED, "the film", REVIEW])
    assert packed.ids == ("r2", "text-1", "r1")
    assert packed.annotated.tolist() == [True, False, True]
    assert packed.spans.tolist() == [[0, 7, 8, 0], [2, 3, 4, 0], [2, 5, 7, 1]]
    assert set(packed.fields) == {"evidence", "segment", "word"}  # what all three have


def test_common_fields_are_packed():
    other = Document("x", ("a",), fields={"shortcut": (1,), "aspect": (2,)})
    packed = fitted().batch([REVIEW, other])
    assert set(packed.fields) == {"evidence", "segment", "word", "shortcut"}
    assert packed.fields["shortcut"].tolist() == [0, 1, 1, 0, 0, 0, 1, 1]


def test_raw_input_and_training_example_are_the_same_units():
    words = fitted()
    assert words.batch([REVIEW]).units.equal(words.encode(REVIEW).units)
    assert words.batch(["The film is dull and awful indeed"]).units.equal(words.encode(REVIEW).units)


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (["a", ""], ValueError, r"input 1 \('text-1'\) has no words"),
        ([" \n\t"], ValueError, r"input 0 \('text-0'\) has no words"),
        (["a", Document("hollow", ())], ValueError, r"input 1 \('hollow'\) has no words"),
        (["a", 7], TypeError, "input 1 must be a string or a Document, got int"),
        ([None], TypeError, "input 0 must be a string or a Document, got NoneType"),
        ([["a", "b"]], TypeError, "input 0 must be a string or a Document, got list"),
        ([], ValueError, "at least one"),
    ],
)
def test_bad_inputs_are_named_by_their_place(inputs, error, message):
    with pytest.raises(error, match=message):
        fitted().batch(inputs)


# The way back ---------------------------------------------------------------------------------------------------------


def output_for(packed, chosen):
    """Whatever a model may say: a score for every unit, and the units in `chosen` selected."""
    n = packed.units.shape[0]
    scores = torch.arange(n, dtype=torch.float32).masked_fill(packed.fixed, -torch.inf)
    mask = torch.zeros(n)
    mask[chosen] = 1.0
    logits = torch.tensor([[0.0, float(b)] for b in range(len(packed))], requires_grad=True)
    return Output(logits=logits, rationale=Rationale(scores, mask, packed.ptr))


def test_explanations_align_with_the_words_of_each_example():
    words = fitted()
    packed = words.batch([ASKED, "the film", REVIEW])
    first, second, third = words.explain(packed, output_for(packed, [6, 9, 10, 13]), TASK)
    assert (first.id, first.query, first.tokens) == ("r2", ASKED.query, ASKED.words)
    assert first.rationale == ("is",)
    assert first.mask == (False, True, False)
    assert first.scores == (5.0, 6.0, 7.0)
    assert first.evidence == ((2, 3, 0),)
    assert (second.query, second.tokens, second.rationale, second.evidence) == ((), ("the", "film"), ("film",), None)
    assert third.tokens == REVIEW.words
    assert third.rationale == ("The", "dull")
    assert third.evidence == ((3, 4, 0), (5, 7, 1))
    assert [each.label for each in (first, second, third)] == [None] * 3
    assert [each.prediction for each in (first, second, third)] == ["bad", "good", "good"]
    assert second.probability == pytest.approx(1 / (1 + 2.718281828**-1))
    assert dict(third.probabilities) == pytest.approx({"bad": 0.11920292, "good": 0.88079708})


def test_explanations_show_what_the_model_saw():
    words = fitted(max_words=6)
    packed = words.batch([REVIEW])
    (found,) = words.explain(packed, output_for(packed, [5]), TASK)
    assert found.tokens == REVIEW.words[:6]
    assert found.evidence == ((3, 4, 0), (5, 6, 1))
    assert found.rationale == ("awful",)


def test_labels_and_shortcuts_come_along_where_they_are_known():
    words = fitted()
    packed = words.encode(REVIEW, target=1)
    (found,) = words.explain(packed, output_for(packed, []), TASK)
    assert found.label == "good"
    assert found.marks == {"shortcut": ((1, 3), (6, 7))}
    assert found.record()["fields"] == {"shortcut": [[1, 3], [6, 7]]}
    packed = words.encode(ASKED, target=1)
    assert words.explain(packed, output_for(packed, []), TASK)[0].marks == {}


def test_a_shortcut_is_counted_from_the_first_word_after_the_query():
    words = fitted()
    packed = words.encode(Document("x", ("a", "b", "c"), query=("q",), fields={"shortcut": (0, 1, 1)}))
    assert words.explain(packed, output_for(packed, []), TASK)[0].marks == {"shortcut": ((1, 3),)}


# On disk --------------------------------------------------------------------------------------------------------------


def test_a_saved_vocabulary_comes_back(tmp_path):
    words = fitted(Document("a", ("naïve", "“", "b", 'say "b"', "\\")))
    words.save(tmp_path)
    again = WordFeaturizer()
    again.load(tmp_path)
    assert again.vocabulary == words.vocabulary
    assert again.facts() == words.facts()
    assert again.encode(REVIEW).units.equal(words.encode(REVIEW).units)
    assert "naïve" in (tmp_path / "vocabulary.json").read_text("utf-8")


def test_two_equal_vocabularies_are_the_same_file(tmp_path):
    contents = []
    for name, documents in (("a", (REVIEW, ASKED)), ("b", (ASKED, REVIEW))):
        (tmp_path / name).mkdir()
        fitted(*documents).save(tmp_path / name)
        contents.append((tmp_path / name / "vocabulary.json").read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ('[\n"<unk>",\n"<mask>"\n"<sep>"\n]', ":4", "expected a JSON list of words: Expecting ',' delimiter"),
        ("", ":1", "expected a JSON list of words"),
        ('{"<unk>": 0}', "", "expected a JSON list of words, got dict"),
        ('["<unk>", "<mask>", "<sep>", 3]', "", "expected a JSON list of words"),
        ('["a", "<unk>", "<mask>"]', "", r"expected the list to begin with <unk>, <mask>, <sep>, got \['a', '<unk>', '<mask>'\]"),
        ("[]", "", r"expected the list to begin with <unk>, <mask>, <sep>, got \[\]"),
    ],
)
def test_a_file_that_is_no_vocabulary_is_named(tmp_path, text, place, message):
    (tmp_path / "vocabulary.json").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        WordFeaturizer().load(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'vocabulary.json'}{place}: ")


def test_a_missing_vocabulary_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"vocabulary\.json"):
        WordFeaturizer().load(tmp_path)


def test_a_failed_load_keeps_what_was_there(tmp_path):
    words = fitted()
    before = words.vocabulary
    (tmp_path / "vocabulary.json").write_text(json.dumps(["a"]))
    with pytest.raises(ValueError, match="begin with"):
        words.load(tmp_path)
    assert words.vocabulary == before
