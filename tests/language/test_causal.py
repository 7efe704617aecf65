import pytest
import torch

from rationalizers.language.causal import CausalModel, check_text
from tests.language.models import POSITIONS, SETTINGS, VOCABULARY, plain, text, tiny

KINDS = sorted(SETTINGS)


def subsets(size, *, count=12):
    """Random sets of places, each with the last one."""
    kept = torch.rand(count, size, generator=torch.Generator().manual_seed(size)) < torch.linspace(0, 1, count)[:, None]
    kept[:, -1] = True
    return kept


@pytest.mark.parametrize("kind", KINDS)
def test_removed_is_the_same_as_masked(kind):
    # Positions with gaps: transformers would take them for packed sequences if nothing were said of attention.
    model, tokens = tiny(kind), text(14)
    kept = subsets(14)
    expected = model.masked(tokens, kept)
    for row, each in zip(kept, expected, strict=True):
        places = row.nonzero().T
        torch.testing.assert_close(model.read(tokens[places], places)[0], each)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_kept_is_the_model_itself(kind):
    model, tokens = tiny(kind), text(14)
    expected = model.model(tokens[None]).logits[0, -1].detach()
    torch.testing.assert_close(model.masked(tokens, torch.ones(1, 14, dtype=torch.bool))[0], expected)
    torch.testing.assert_close(model.read(tokens[None], torch.arange(14)[None])[0], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_positions_matter(kind):
    model, tokens = tiny(kind), text(3)
    one, other = model.read(tokens.expand(2, 3), torch.tensor([[0, 1, 2], [0, 4, 9]]))
    assert not torch.allclose(one, other)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("before", [0, 1, 4])
def test_going_on_from_known_states_is_reading_everything(kind, before):
    model = tiny(kind)
    tokens, places = torch.stack([text(6), text(6, seed=1)]), torch.tensor([[0, 2, 3, 7, 8, 12], [1, 2, 5, 6, 20, 21]])
    _, states = model.go_on(tokens[:, :before], places[:, :before], []) if before else (None, [])
    last, states = model.go_on(tokens[:, before:], places[:, before:], states)
    torch.testing.assert_close(model.predict(last), model.read(tokens, places))
    assert {each.shape[:1] + each.shape[2:3] for layer in states for each in layer} == {(2, 6)}


def test_known_states_stay_as_they_are():
    model, tokens, places = tiny("gpt2"), text(6)[None], torch.arange(6)[None]
    _, known = model.go_on(tokens[:, :4], places[:, :4], [])
    copies = [(k.clone(), v.clone()) for k, v in known]
    model.go_on(tokens[:, 4:], places[:, 4:], known)
    for layer, copy in zip(known, copies, strict=True):
        for each, old in zip(layer, copy, strict=True):
            torch.testing.assert_close(each, old, rtol=0, atol=0)


def test_the_last_token_is_never_masked():
    kept = torch.ones(2, 5, dtype=torch.bool)
    kept[1, -1] = False
    with pytest.raises(ValueError, match="must hold the last token"):
        tiny("gpt2").masked(text(5), kept)


def test_a_model_in_training_is_set_to_evaluation():
    model = plain("gpt2").train()
    assert not CausalModel(model).model.training


def test_a_model_that_is_not_exact_is_refused():
    import transformers

    config = transformers.BloomConfig(vocab_size=VOCABULARY, hidden_size=8, n_layer=1, n_head=2)
    with pytest.raises(ValueError, match="'bloom' cannot be guaranteed"):
        CausalModel(transformers.BloomForCausalLM(config))


def test_numbers_that_are_not_finite_are_named():
    model = plain("gpt2")
    torch.nn.init.constant_(model.transformer.ln_f.weight, torch.nan)
    with pytest.raises(ValueError, match="not finite"):
        CausalModel(model).read(text(3)[None], torch.arange(3)[None])


# Opening --------------------------------------------------------------------------------------------------------------


def test_a_folder_is_opened(tmp_path):
    plain("llama").save_pretrained(tmp_path)
    model = CausalModel.load(str(tmp_path))
    tokens, places = text(5)[None], torch.tensor([[0, 2, 3, 7, 9]])
    torch.testing.assert_close(model.read(tokens, places), tiny("llama").read(tokens, places))  # in its own precision


def test_an_architecture_is_refused_before_its_weights_are_looked_at(tmp_path):
    import transformers

    transformers.BloomConfig(vocab_size=VOCABULARY).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="'bloom' cannot be guaranteed"):
        CausalModel.load(str(tmp_path))


def test_pickled_weights_are_not_opened(tmp_path):
    model = plain("gpt2")
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"pytorch_model.bin may hold pickled objects"):
        CausalModel.load(str(tmp_path))


# Texts ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "targets", "message"),
    [
        (torch.zeros(2, 3, dtype=torch.long), [1], r"token numbers \[n\], got torch.int64 \[2, 3\]"),
        (torch.zeros(3), [1], "got torch.float32"),
        (torch.zeros(POSITIONS + 1, dtype=torch.long), [1], f"33 tokens is longer than the {POSITIONS} positions"),
        (torch.zeros(3, dtype=torch.long), [2, 0], "places 1 to 2 of the text, got 0"),
        (torch.zeros(3, dtype=torch.long), [3], "places 1 to 2 of the text, got 3"),
    ],
)
def test_a_text_that_cannot_be_asked_about_is_named(tokens, targets, message):
    with pytest.raises(ValueError, match=message):
        check_text(tiny("gpt2"), tokens, targets)


def test_as_many_tokens_as_positions_are_fine():
    check_text(tiny("gpt2"), torch.zeros(POSITIONS, dtype=torch.long), [1, POSITIONS - 1])
