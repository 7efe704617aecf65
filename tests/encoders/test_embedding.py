"""Embeddings without context, and the vectors they begin with."""

import logging

import pytest
import torch
import yaml

from rationalizers.batch import Packed
from rationalizers.build import build
from rationalizers.encoders import ConvolutionEncoder, EmbeddingEncoder, Encoder, GRUEncoder
from tests.contract import VOCABULARY, batch
from tests.tiny import ROOT

WORDS = ["<pad>", "<mask>", "film", "good", "at home"]


def encoder(kind=EmbeddingEncoder, **changes):
    return kind(**{"vocabulary": VOCABULARY, "mask_id": 1, "embedding": 6, **changes}).eval()


def states(model, packed):
    return model.encode(model.embed(packed), packed)


# States


def test_a_state_is_the_embedding_of_its_unit():
    model, packed = encoder(), batch()
    e = model.embed(packed)
    assert (model.width, model.embedding_width) == (6, 6)
    assert e.equal(model.table.weight[packed.units])
    assert model.encode(e, packed) is e
    assert model.states(packed).equal(e)
    assert model.mask_embedding().equal(model.table.weight[1])
    nothing = Packed(units=torch.zeros(0, dtype=torch.long), ptr=torch.tensor([0, 0]))
    assert model.states(nothing).shape == (0, 6)


def test_dropout_acts_once_and_in_training_only():
    model, packed = encoder(dropout=0.5), batch((400, 100))
    assert model.states(packed).equal(model.states(packed))
    h = model.train().states(packed)
    kept = h != 0
    torch.testing.assert_close(h[kept], 2 * model.table.weight[packed.units][kept])
    assert kept.float().mean() == pytest.approx(0.5, abs=0.04)


def test_only_rows_that_are_read_learn():
    model, packed = encoder(), batch()
    model.states(packed).sum().backward()
    read = torch.zeros(VOCABULARY, dtype=torch.bool)
    read[packed.units] = True
    assert model.table.weight.grad.abs().sum(1).gt(0).equal(read)


def test_a_convolution_learns_on_top_of_it():
    """The encoder ``piece_conv``, with a vocabulary of its own."""
    described = yaml.safe_load((ROOT / "conf" / "encoder" / "piece_conv.yaml").read_text("utf-8"))["model"]
    described["inputs"] |= {"vocabulary": VOCABULARY, "mask_id": 1}
    model, packed = build(described, Encoder), batch()
    assert isinstance(model, ConvolutionEncoder)
    assert (model.width, model.embedding_width) == (64, 64)
    model.eval().states(packed).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    assert model.mask_embedding().equal(model.inputs.table.weight[1])


# Pretrained vectors


def write(tmp_path, text):
    path = tmp_path / "vectors.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", [EmbeddingEncoder, GRUEncoder])
def test_initialize_copies_known_words_and_leaves_the_others(tmp_path, caplog, kind):
    path = write(tmp_path, "film 1 2\nelsewhere 5 6\nat home 3 4\n")
    model = encoder(kind, vocabulary=5, embedding=2, vectors=str(path))
    before = model.table.weight.detach().clone()
    assert not before[2].equal(torch.tensor([1.0, 2.0]))  # nothing is read before it is asked for
    with caplog.at_level(logging.INFO):
        model.initialize(WORDS)
    assert model.table.weight[[2, 4]].tolist() == [[1, 2], [3, 4]]
    assert model.table.weight[[0, 1, 3]].equal(before[[0, 1, 3]])
    assert "vectors for 2 of 5 words" in caplog.text
    assert model.table.weight.requires_grad


def test_a_frozen_table_is_initialized_and_does_not_learn(tmp_path):
    vectors = str(write(tmp_path, "film 1 2\n"))
    model = encoder(GRUEncoder, vocabulary=5, embedding=2, vectors=vectors, freeze_vectors=True)
    model.initialize(WORDS)
    assert model.table.weight[2].tolist() == [1, 2]
    states(model, Packed(units=torch.tensor([2, 3]), ptr=torch.tensor([0, 2]))).sum().backward()
    assert model.table.weight.grad is None
    assert all(p.grad.any() for name, p in model.named_parameters() if not name.startswith("table"))


def test_without_a_file_nothing_is_initialized():
    model = encoder()
    before = model.table.weight.detach().clone()
    model.initialize(WORDS)
    assert model.table.weight.equal(before)


@pytest.mark.parametrize("text", ["other 1 2\n", "film 1 2 3\ngood 1 2 3\n"], ids=["other words", "other width"])
def test_a_file_without_any_word_is_refused(tmp_path, text):
    model = encoder(vocabulary=5, embedding=2, vectors=str(write(tmp_path, text)))
    with pytest.raises(ValueError, match=r"vectors.txt: none of the 5 words of the vocabulary has a vector here"):
        model.initialize(WORDS)
