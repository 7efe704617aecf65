"""The GRU encoder against torch's own, and the vectors it begins with."""

import logging
from dataclasses import replace

import pytest
import torch
from torch import nn

from rationalizers.batch import Packed
from rationalizers.encoders import GRUEncoder
from rationalizers.segment import lengths, offsets

SIZES = (5, 1, 0, 12, 5, 0, 3)
WORDS = ["<pad>", "<mask>", "film", "good", "at home"]


def encoder(**changes):
    return GRUEncoder(**{"vocabulary": 40, "mask_id": 1, "embedding": 6, "hidden": 8, **changes}).eval()


def texts(sizes=SIZES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    units = torch.randint(2, 40, (sum(sizes),), generator=generator)
    return Packed(units=units, ptr=offsets(torch.tensor(sizes, dtype=torch.long)))


def states(model, batch):
    return model.encode(model.embed(batch), batch)


def cut(x, batch):
    return x.split(lengths(batch.ptr).tolist())


# States


@pytest.mark.parametrize("layers", [1, 2])
def test_states_are_those_of_torch_run_on_each_example(layers):
    model, batch = encoder(layers=layers), texts()
    twin = nn.GRU(6, 4, num_layers=layers, bidirectional=True, batch_first=True)
    weights = {}
    for layer, directions in enumerate(zip(model.forwards, model.backwards, strict=True)):
        for gru, suffix in zip(directions, ("", "_reverse"), strict=True):
            weights |= {name.replace("_l0", f"_l{layer}{suffix}"): value for name, value in gru.state_dict().items()}
    twin.load_state_dict(weights)
    for ours, units in zip(cut(states(model, batch), batch), cut(batch.units, batch), strict=True):
        if len(units):
            expected, _ = twin(model.table.weight[units][None])
            torch.testing.assert_close(ours, expected[0], atol=1e-6, rtol=0)
        assert ours.shape == (len(units), 8)


def test_company_and_order_change_nothing():
    model, batch = encoder(), texts()
    together = cut(states(model, batch), batch)
    for ours, units in zip(together, cut(batch.units, batch), strict=True):
        one = Packed(units=units, ptr=torch.tensor([0, len(units)]))
        torch.testing.assert_close(states(model, one), ours, atol=1e-6, rtol=0)
    order = [3, 0, 6, 2, 5, 1, 4]
    units = torch.cat([cut(batch.units, batch)[b] for b in order])
    permuted = Packed(units=units, ptr=offsets(lengths(batch.ptr)[order]))
    expected = torch.cat([together[b] for b in order])
    torch.testing.assert_close(states(model, permuted), expected, atol=1e-6, rtol=0)


def test_every_direction_sees_its_side():
    model, batch = encoder(), texts((4,))
    h = states(model, batch)
    changed = states(model, replace(batch, units=torch.cat([batch.units[:2], batch.units[2:] - 1])))
    assert h[:2, :4].equal(changed[:2, :4])  # forward states before the change
    assert not torch.allclose(h[:2, 4:], changed[:2, 4:])
    assert not torch.allclose(h[2:, :4], changed[2:, :4])


@pytest.mark.parametrize("sizes", [(0,), (0, 0, 0)])
def test_without_any_unit_there_are_no_states(sizes):
    model, batch = encoder(), texts(sizes)
    h = states(model, batch)
    assert h.shape == (0, 8)
    assert h.dtype == torch.float32
    assert model.double().encode(model.embed(batch), batch).dtype == torch.float64


def test_positions_are_invisible_to_a_gru():
    model, batch = encoder(), texts()
    moved = replace(batch, position=batch.position * 3 + 1)
    assert states(model, moved).equal(states(model, batch))


def test_embeddings_come_from_their_own_unit_alone():
    model, batch = encoder(), texts()
    e = model.embed(batch)
    assert e.shape == (sum(SIZES), model.embedding_width) == (26, 6)
    assert e.equal(model.table.weight[batch.units])
    assert model.mask_embedding().equal(model.table.weight[1])


def test_gradient_stays_within_the_example():
    model, batch = encoder(), texts()
    e = model.embed(batch).detach().requires_grad_()
    for b, (start, end) in enumerate(zip(batch.ptr[:-1].tolist(), batch.ptr[1:].tolist(), strict=True)):
        if start == end:
            continue
        (grad,) = torch.autograd.grad(cut(model.encode(e, batch), batch)[b].square().sum(), e)
        assert (grad[start:end].abs().sum(1) > 0).all()
        assert not grad[:start].any()
        assert not grad[end:].any()


def test_gradient_of_the_states_is_that_of_finite_differences():
    model, batch = encoder(embedding=3, hidden=4).double(), texts((3, 0, 1, 2))
    e = model.embed(batch).detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda e: model.encode(e, batch), e)


def test_every_weight_learns_and_stays_finite_beside_empty_examples():
    model = encoder(layers=2).train()
    states(model, texts()).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in model.parameters())


def test_dropout_acts_in_training_only():
    model, batch = encoder(dropout=0.5), texts()
    assert states(model, batch).equal(states(model, batch))
    model.train()
    assert not states(model, batch).equal(states(model, batch))
    many = texts((400, 100))
    e = model.embed(many)
    for x in (e, model.encode(e, many)):
        assert (x == 0).float().mean() == pytest.approx(0.5, abs=0.04)


def test_an_odd_width_is_named():
    with pytest.raises(ValueError, match="'hidden' is shared by two directions and must be even, got 7"):
        encoder(hidden=7)


# Pretrained vectors


def write(tmp_path, text):
    path = tmp_path / "vectors.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_initialize_copies_known_words_and_leaves_the_others(tmp_path, caplog):
    path = write(tmp_path, "film 1 2\nelsewhere 5 6\nat home 3 4\n")
    model = encoder(vocabulary=5, embedding=2, vectors=str(path))
    before = model.table.weight.detach().clone()
    assert not before[2].equal(torch.tensor([1.0, 2.0]))  # nothing is read before it is asked for
    with caplog.at_level(logging.INFO):
        model.initialize(WORDS)
    assert model.table.weight[[2, 4]].tolist() == [[1, 2], [3, 4]]
    assert model.table.weight[[0, 1, 3]].equal(before[[0, 1, 3]])
    assert "vectors for 2 of 5 words" in caplog.text
    assert model.table.weight.requires_grad


def test_a_frozen_table_is_initialized_and_does_not_learn(tmp_path):
    model = encoder(vocabulary=5, embedding=2, vectors=str(write(tmp_path, "film 1 2\n")), freeze_vectors=True)
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
