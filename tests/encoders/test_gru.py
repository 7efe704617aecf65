"""The GRU encoder against torch's own."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from rationalizers.batch import Packed
from rationalizers.encoders import GRUEncoder
from rationalizers.segment import lengths, offsets

SIZES = (5, 1, 0, 12, 5, 0, 3)


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


@pytest.mark.parametrize("layers", [1, 2])
def test_normalisation_is_torchs_on_the_last_states_and_learns(layers):
    plain, model, batch = encoder(layers=layers), encoder(layers=layers, norm=True), texts()
    model.load_state_dict({**model.state_dict(), **plain.state_dict()})
    h = states(model, batch)
    torch.testing.assert_close(h, nn.functional.layer_norm(states(plain, batch), (8,)))
    assert not torch.allclose(h, states(plain, batch))
    with torch.no_grad():
        model.norm.weight.mul_(3)
        model.norm.bias.add_(1)
    torch.testing.assert_close(states(model, batch), 3 * h + 1)
    states(model, batch).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in model.parameters())


def test_dropout_comes_after_normalisation():
    model, many = encoder(norm=True, dropout=0.5), texts((400, 100))
    e = model.embed(many)
    model.train()
    h = model.encode(e, many)
    model.eval()
    kept = h != 0
    torch.testing.assert_close(h[kept], 2 * model.encode(e, many)[kept])
    assert kept.float().mean() == pytest.approx(0.5, abs=0.04)


def test_states_above_the_first_layer_are_dropped_out_once():
    # Of embeddings that are given, what the second layer reads and what it returns: two draws.
    model, batch = encoder(layers=2, dropout=0.5), texts()
    drops = []
    model.dropout.register_forward_hook(lambda module, given, result: drops.append(tuple(result.shape)))
    states(model, batch)
    assert drops == [(26, 6), (26, 8), (26, 8)]


def test_weights_keep_their_names_and_their_draws():
    """Runs of earlier versions load, and the same seed gives the same model."""
    names = [
        "table.weight",
        *(
            f"{side}.0.{weight}_l0"
            for side in ("forwards", "backwards")
            for weight in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ),
    ]
    torch.manual_seed(5)
    weights = encoder().state_dict()
    assert list(weights) == names
    torch.manual_seed(5)
    table = nn.Embedding(40, 6)
    nn.init.normal_(table.weight, std=6**-0.5)
    drawn = [table.weight, *nn.GRU(6, 4).parameters(), *nn.GRU(6, 4).parameters()]
    assert all(weight.equal(other) for weight, other in zip(weights.values(), drawn, strict=True))
    torch.manual_seed(5)
    assert list(encoder(norm=True).state_dict()) == [*names, "norm.weight", "norm.bias"]


def test_an_odd_width_is_named():
    with pytest.raises(ValueError, match="'hidden' is shared by two directions and must be even, got 7"):
        encoder(hidden=7)
