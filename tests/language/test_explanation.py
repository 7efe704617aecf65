import pytest
import torch

from rationalizers.language import explain_text, greedy, open_language_model
from tests.language.models import POSITIONS, saved


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    return open_language_model(saved(tmp_path_factory.mktemp("gpt2")))


def ids(opened, text):
    return torch.tensor(opened[1](text)["input_ids"])


def test_all_tokens_but_the_first_are_explained(opened):
    found = explain_text(*opened, "bad cafe <b")
    assert "".join(found.tokens) == "bad cafe <b"
    assert [each.target for each in found.rationales] == list(range(1, 11))
    assert list(found.rationales) == greedy(opened[0], [ids(opened, "bad cafe <b")])[0]
    assert found.generated == 11


def test_what_the_model_writes_is_explained_and_always_has_a_reason(opened):
    found = explain_text(*opened, "bad cafe", generate=6)
    assert len(found.tokens) == 14
    assert "".join(found.tokens[:8]) == "bad cafe"
    assert [each.target for each in found.rationales] == list(range(8, 14))
    assert all(each.reached_argmax and each.certified for each in found.rationales)
    model, tokens = opened[0].model, ids(opened, "bad cafe")[None]
    for each in found.rationales:
        assert each.goal == int(model(tokens).logits[0, -1].argmax())
        tokens = torch.cat([tokens, torch.tensor([[each.goal]])], 1)


def test_one_token_is_enough_if_the_model_goes_on(opened):
    (found,) = explain_text(*opened, "a", generate=1).rationales
    assert found.order == (0,)


def test_targets_and_sizes_are_handed_on(opened):
    found = explain_text(*opened, "bad cafe", targets=[5, 2], max_size=2)
    assert [each.target for each in found.rationales] == [5, 2]
    assert max(len(each.order) for each in found.rationales) <= 2


def test_a_table_has_a_row_for_each(opened):
    found = explain_text(*opened, "bad cafe")
    frame = found.to_frame()
    assert list(frame["target"]) == list(range(1, 8))
    assert list(frame["token"]) == list("ad cafe")
    for row, each in zip(frame.itertuples(), found.rationales, strict=True):
        assert row.because == [found.tokens[place] for place in each.order]
        assert (row.size, row.reached_argmax, row.certified) == (len(each.order), each.reached_argmax, each.certified)


def test_a_notebook_shows_it_escaped(opened):
    page = explain_text(*opened, "a <b")._repr_html_()
    assert "&lt;" in page
    assert "<b" not in page.replace("<b>", "")


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("a", {}, "at least two tokens"),
        ("", {"generate": 3}, "at least two tokens"),
        ("ab", {"generate": -1}, "'generate' must be at least 0, got -1"),
        ("ab", {"generate": POSITIONS}, f"2 tokens and {POSITIONS} more are longer than the {POSITIONS} positions"),
        ("a" * (POSITIONS + 1), {}, "33 tokens and 0 more are longer"),
        ("abc", {"targets": [3]}, "places 1 to 2 of the text, got 3"),
    ],
)
def test_what_cannot_be_explained_is_named(opened, text, settings, message):
    with pytest.raises(ValueError, match=message):
        explain_text(*opened, text, **settings)
