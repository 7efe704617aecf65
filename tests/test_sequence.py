import pytest
import torch

from rationalizers.language import greedy, greedy_pair
from rationalizers.sequence import explain_text, explain_translation, open_language_model
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


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return open_language_model(saved(tmp_path_factory.mktemp("marian"), "marian"))


def test_a_translation_is_written_and_explained(pair):
    found = explain_translation(*pair, "bad cafe", generate=5)
    assert "".join(found.tokens[:8]) == "bad cafe"
    assert (found.source, found.generated) == (8, 8)
    assert len(found.tokens) <= 8 + 1 + 5
    assert [each.before for each in found.rationales] == list(range(9, len(found.tokens)))
    assert all(each.reached_argmax and each.certified for each in found.rationales)
    frame = found.to_frame()
    assert list(frame["token"]) == list(found.tokens[9:])


def test_a_translation_ends_with_its_end(pair):
    model, tokenizer = pair
    end = model.model.config.eos_token_id
    written = explain_translation(model, tokenizer, "bad cafe", generate=20)
    ends = [place for place, each in enumerate(written.rationales) if each.goal == end]
    assert ends in ([], [len(written.rationales) - 1])


def test_a_given_translation_is_explained(pair):
    found = explain_translation(*pair, "bad cafe", target="face")
    start = pair[0].model.config.decoder_start_token_id
    tokens = torch.cat([torch.tensor([start]), ids(pair, "face")])
    assert list(found.rationales) == greedy_pair(pair[0], ids(pair, "bad cafe"), tokens)
    assert found.generated == len(found.tokens) == 8 + 5


def test_a_translation_has_at_least_one_token(pair):
    with pytest.raises(ValueError, match="'generate' must be at least 1, got 0"):
        explain_translation(*pair, "bad", generate=0)
