import pytest
import torch

from rationalizers.batch import Packed
from rationalizers.encoders import CausalEncoder

ARCHITECTURES = {
    "gpt2": {"model_type": "gpt2", "n_positions": 20, "n_embd": 16, "n_layer": 2, "n_head": 2, "initializer_range": 0.5},
    "llama": {
        "model_type": "llama",
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 20,
        "initializer_range": 0.5,
    },
    "opt": {
        "model_type": "opt",
        "hidden_size": 16,
        "ffn_dim": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 20,
        "word_embed_proj_dim": 8,
        "init_std": 0.5,
    },
}


@pytest.fixture(params=sorted(ARCHITECTURES))
def encoder(request):
    torch.manual_seed(0)
    return CausalEncoder(architecture=ARCHITECTURES[request.param], vocabulary=30, mask_id=1).eval()


def texts(*sizes):
    generator = torch.Generator().manual_seed(0)
    return Packed(units=torch.randint(0, 30, (sum(sizes),), generator=generator), ptr=torch.tensor([0, *sizes]).cumsum(0))


def test_words_are_those_of_the_model(encoder):
    packed = texts(7, 3)
    logits = encoder.words(encoder.states(packed))
    for start, end in ((0, 7), (7, 10)):
        torch.testing.assert_close(logits[start:end], encoder.model(packed.units[None, start:end]).logits[0])


def test_removing_is_the_same_as_not_seeing(encoder):
    packed = texts(7, 5)
    kept = torch.tensor([1, 0, 1, 1, 0, 0, 1, 0, 1, 0, 1, 1], dtype=torch.bool)
    seen = encoder.encode_seeing(encoder.embed(packed), packed, kept)
    part = packed.select(kept, positions="kept")
    torch.testing.assert_close(seen[kept], encoder.states(part))
    assert not torch.allclose(seen[kept], encoder.states(packed.select(kept, positions="fresh")))


def test_what_comes_later_is_not_seen(encoder):
    packed = texts(7)
    other = packed.with_units(torch.where(torch.arange(7) < 4, packed.units, (packed.units + 5) % 30))
    torch.testing.assert_close(encoder.states(packed)[:4], encoder.states(other)[:4])
    assert not torch.allclose(encoder.states(packed)[4:], encoder.states(other)[4:])


def test_texts_without_words_have_no_states(encoder):
    assert encoder.states(texts(0, 0)).shape == (0, encoder.width)
    torch.testing.assert_close(encoder.states(texts(0, 4, 0)), encoder.states(texts(4)))


def test_widths_are_those_of_what_comes_out(encoder):
    packed = texts(4)
    assert encoder.embed(packed).shape == (4, encoder.embedding_width)
    assert encoder.states(packed).shape == (4, encoder.width)
    assert encoder.mask_embedding().shape == (encoder.embedding_width,)
    torch.testing.assert_close(encoder.mask_embedding(), encoder.embed(packed.with_units(torch.ones(4, dtype=torch.long)))[0])


def test_a_position_that_it_does_not_know_is_named(encoder):
    with pytest.raises(ValueError, match="position 20 is beyond the 20 that the architecture knows"):
        encoder.states(texts(21))


def test_an_architecture_that_is_not_exact_is_refused():
    with pytest.raises(ValueError, match="'bloom' cannot be guaranteed"):
        CausalEncoder(architecture={"model_type": "bloom"}, vocabulary=30, mask_id=1)
