"""An explained text: what it says about itself, as a record, a table and a page."""

import dataclasses
import json
import sys

import pytest

from rationalizers.explanation import TextExplanation

TOKENS = ("a", "dull", "film", "&", "an", "awful", "end")


def explained(**changes):
    facts = {
        "id": "r1",
        "tokens": TOKENS,
        "mask": (False, True, True, False, False, True, False),
        "scores": (-1.0, 2.5, 0.123456, -3.0, float("-inf"), 4.0, 0.0),
        "probabilities": {"bad": 0.7000001, "good": 0.2999999},
        **changes,
    }
    return TextExplanation(**facts)


def masked(*mask):
    return explained(tokens=TOKENS[: len(mask)], mask=mask, scores=(0.0,) * len(mask))


def test_prediction_is_the_most_probable_class_and_its_probability():
    assert (explained().prediction, explained().probability) == ("bad", 0.7000001)
    other = explained(probabilities={"bad": 0.1, "good": 0.3, "mixed": 0.6})
    assert (other.prediction, other.probability) == ("mixed", 0.6)


def test_a_tie_goes_to_the_first_class():
    assert explained(probabilities={"bad": 0.5, "good": 0.5}).prediction == "bad"


def test_rationale_is_the_selected_words_in_order():
    assert explained().rationale == ("dull", "film", "awful")
    assert masked(False, False).rationale == ()


@pytest.mark.parametrize(
    ("mask", "runs"),
    [
        ((), []),
        ((False,), []),
        ((True,), [(0, 1)]),
        ((True, True, True), [(0, 3)]),
        ((False, True, False), [(1, 2)]),
        ((True, False, True), [(0, 1), (2, 3)]),
        ((False, True, True, False, False, True, False), [(1, 3), (5, 6)]),
        ((True, True, False, False, True), [(0, 2), (4, 5)]),
    ],
)
def test_selected_are_maximal_half_open_runs(mask, runs):
    assert masked(*mask).selected == runs


def test_nothing_can_be_changed_afterwards():
    with pytest.raises(dataclasses.FrozenInstanceError):
        explained().label = "good"


# Record ---------------------------------------------------------------------------------------------------------------


def test_record_of_a_bare_text():
    assert explained().record() == {
        "id": "r1",
        "words": list(TOKENS),
        "query": [],
        "selected": [[1, 3], [5, 6]],
        "scores": [-1.0, 2.5, 0.1235, -3.0, None, 4.0, 0.0],
        "evidence": None,
        "label": None,
        "prediction": "bad",
        "probabilities": {"bad": 0.7, "good": 0.3},
        "fields": {},
    }


def test_record_of_an_annotated_example():
    record = explained(
        query=("good", "?"), label="bad", evidence=((1, 2, 0), (5, 7, 1)), marks={"shortcut": ((3, 4),), "other": ()}
    ).record()
    assert record["query"] == ["good", "?"]
    assert record["label"] == "bad"
    assert record["evidence"] == [[1, 2, 0], [5, 7, 1]]
    assert record["fields"] == {"shortcut": [[3, 4]], "other": []}


def test_known_to_be_without_evidence_is_not_unknown():
    assert explained(evidence=()).record()["evidence"] == []


@pytest.mark.parametrize("score", [float("inf"), float("-inf"), float("nan")])
def test_record_is_strict_json(score):
    record = explained(scores=(score,) * 7).record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["scores"] == [None] * 7


# Table ----------------------------------------------------------------------------------------------------------------


def test_to_frame_has_a_row_for_every_word():
    frame = explained().to_frame()
    assert list(frame.columns) == ["token", "selected", "score"]
    assert tuple(frame["token"]) == TOKENS
    assert frame["selected"].dtype == bool
    assert list(frame.index[frame["selected"]]) == [1, 2, 5]
    assert frame["score"][5] == 4.0


def test_to_frame_marks_evidence_where_it_is_known():
    frame = explained(evidence=((1, 3, 0), (2, 4, 1))).to_frame()
    assert list(frame["evidence"]) == [False, True, True, True, False, False, False]
    assert not explained(evidence=()).to_frame()["evidence"].any()


def test_to_frame_without_pandas_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r'pandas is not installed; it comes with: pip install "rationalizers\[report\]"'):
        explained().to_frame()


# Page -----------------------------------------------------------------------------------------------------------------


def test_a_notebook_shows_words_prediction_and_marks():
    html = explained(label="good", evidence=((1, 2, 0),), marks={"shortcut": ((4, 5),)})._repr_html_()
    assert isinstance(html, str)
    for word in ("dull", "awful", "bad", "good", "shortcut"):
        assert word in html


def test_a_notebook_shows_hostile_words_as_words():
    hostile = "<script>alert(1)</script>"
    html = explained(tokens=(hostile, *TOKENS[1:]), id=hostile, label=hostile, query=(hostile,))._repr_html_()
    assert "<script>alert" not in html
    assert "&lt;script&gt;" in html
