"""Highlighted text: layers on top of each other, apart where intervals touch, and escaped."""

import re

import pytest

from rationalizers.report.highlight import SHADES, agreement, card, explanation_html, highlight, key
from tests.report.page_check import Page
from tests.report.run_folders import record

WORDS = ["one", "two", "three", "four", "five"]
HOSTILE = "<script>alert(1)</script>"


def pieces(html):
    """(kind of element, classes, title, text) of every marked piece."""
    found = re.findall(r'<(mark|span) class="([^"]*)" title="([^"]*)">([^<]*)</\1>', html)
    return [(tag, set(classes.split()), title, text) for tag, classes, title, text in found]


def plain(html):
    return re.sub(r"<[^>]*>", "", html)


def test_the_text_reads_the_same_with_any_layers():
    assert highlight(WORDS, []) == "one two three four five"
    shown = highlight(
        WORDS, [[0, 2], [2, 5]], scores=[1, 2, 3, 4, 5], evidence=[[1, 3, 0], [2, 4, 1]], marks={"a": [[0, 5]], "b": [[4, 5]]}
    )
    assert plain(shown) == "one two three four five"


def test_layers_lie_on_top_of_each_other():
    html = highlight(WORDS, [[1, 3]], evidence=[[2, 4, 0]], marks={"shortcut": [[0, 1]]})
    assert pieces(html) == [
        ("span", {"marked", "marked-first", "marked-last"}, "shortcut", "one"),
        ("mark", {"rationale", "rationale-first"}, "model rationale", "two "),
        ("mark", {"rationale", "evidence", "rationale-last"}, "model rationale + human evidence", "three"),
        ("span", {"evidence"}, "human evidence", " four"),
    ]


def test_intervals_that_touch_stay_apart():
    assert [text for *_, text in pieces(highlight(WORDS, [[0, 2], [2, 3]]))] == ["one two", "three"]
    assert [text for *_, text in pieces(highlight(WORDS, [], evidence=[[0, 2, 0], [2, 3, 1]]))] == ["one two", "three"]


def test_overlapping_evidence_is_underlined_once():
    found = pieces(highlight(WORDS, [], evidence=[[0, 3, 0], [1, 4, 1]]))
    assert "".join(text for *_, text in found) == "one two three four"
    assert {title for _, _, title, _ in found} == {"human evidence"}


def test_shades_are_the_place_of_a_score_in_the_text():
    found = pieces(highlight(WORDS, [[0, 5]], scores=[-1.0, 0.0, 1.0, 2.0, 3.0]))
    shades = [next(name for name in classes if name.startswith("shade-")) for _, classes, _, _ in found]
    assert shades == ["shade-1", "shade-2", "shade-3", "shade-4", f"shade-{SHADES}"]
    assert [title for _, _, title, _ in found][:2] == ["model rationale (score −1.00)", "model rationale (score 0.00)"]


@pytest.mark.parametrize("scores", [None, [2.0] * 5, [None] * 5, [float("-inf")] * 5])
def test_without_a_difference_between_scores_the_background_has_one_colour(scores):
    assert "shade-" not in highlight(WORDS, [[0, 2]], scores=scores)


def test_a_word_without_a_score_keeps_the_plain_background():
    first, second = pieces(highlight(WORDS, [[0, 2]], scores=[None, 1.0, 0.0, 0.0, 0.0]))
    assert first[1:3] == ({"rationale", "rationale-first"}, "model rationale")
    assert "shade-4" in second[1]


def test_unknown_and_empty_evidence_look_alike():
    assert highlight(WORDS, [[0, 1]], evidence=None) == highlight(WORDS, [[0, 1]], evidence=[])


def test_an_empty_text():
    assert highlight([], [], scores=[], evidence=[]) == ""


def test_hostile_words_and_names_are_escaped():
    html = highlight([HOSTILE, '"&'], [[0, 1]], evidence=[[1, 2, 0]], marks={f'"{HOSTILE}': [[0, 2]]})
    assert set(Page(html).tags) == {"mark", "span"}
    assert plain(html) == "&lt;script&gt;alert(1)&lt;/script&gt; &#34;&amp;"


@pytest.mark.parametrize("interval", [[-1, 2], [2, 2], [3, 2], [4, 6]])
def test_an_interval_outside_the_text_is_refused_by_name(interval):
    with pytest.raises(ValueError, match=r"model rationale \[.*\) does not lie within the 5 words"):
        highlight(WORDS, [interval])
    with pytest.raises(ValueError, match=r"shortcut \[.*\) does not lie within the 5 words"):
        highlight(WORDS, [], marks={"shortcut": [interval]})


def test_scores_must_fit_the_words():
    with pytest.raises(ValueError, match="'scores' must have one number for each of the 5 words, got 2"):
        highlight(WORDS, [], scores=[1.0, 2.0])


def test_agreement_counts_words_once():
    counts = agreement(record(selected=[[0, 2], [3, 4]], evidence=[[1, 4, 0], [3, 5, 1]]))
    assert counts == {"words": 5, "selected": 3, "evidence": 4, "hits": 2}
    assert agreement(record(evidence=None))["evidence"] is None
    assert agreement(record(evidence=[]))["evidence"] == 0


def test_a_card_names_the_example_that_does_not_fit():
    with pytest.raises(ValueError, match=r"example 't/0': human evidence \[2, 9\)"):
        card(record(evidence=[[2, 9, 0]]))


def test_the_key_explains_only_what_is_shown():
    assert key([card(record())]) == {"drawn": False, "evidence": True, "marks": ["shortcut"], "shaded": True}
    bare = card(record(evidence=None, fields={"shortcut": []}, scores=[0.0] * 5))
    assert key([bare]) == {"drawn": False, "evidence": False, "marks": [], "shaded": False}


def test_a_notebook_gets_style_verdict_text_and_key():
    page = Page(explanation_html(record(prediction="good", probabilities={"bad": 0.25, "good": 0.75}, query=["is", "it", "?"])))
    text = " ".join(page.text.split())
    assert page.tags.count("style") == 1
    assert "wrong: predicted good 0.75 label bad 0.25 is it ? a truly awful film ." in text
    assert "2 of 5 words selected; 1 of them among the 2 words of human evidence." in text
    assert "underline human evidence dotted outline shortcut" in text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"evidence": None}, "human evidence unknown"),
        ({"evidence": []}, "people marked nothing"),
        ({"label": None}, "predicted bad 0.90"),
        ({"selected": []}, "0 of 5 words selected"),
        ({"label": "ugly"}, "label ugly –"),
    ],
)
def test_what_is_not_known_is_said(changes, told):
    assert told in " ".join(Page(explanation_html(record(**changes))).text.split())


def test_a_hostile_record_is_only_text():
    hostile = record(
        id=HOSTILE, words=[HOSTILE] * 5, query=[HOSTILE], label=HOSTILE, prediction=f"{HOSTILE}!",
        probabilities={HOSTILE: 0.1, f"{HOSTILE}!": 0.9}, fields={HOSTILE: [[0, 1]]},
    )  # fmt: skip
    page = Page(explanation_html(hostile))
    assert "script" not in page.tags
    assert page.text.count(HOSTILE) == 9
