"""From what is visible to logits."""

from dataclasses import replace

import pytest
import torch

from rationalizers.absence import HIDING
from rationalizers.batch import Packed
from rationalizers.encoders import GRUEncoder
from rationalizers.predictors import Predictor, Reader
from rationalizers.segment import lengths, offsets

EVERYWHERE = (*HIDING, "state")
SIZES = (4, 0, 1, 6)


def texts(sizes=SIZES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    n = sum(sizes)
    return Packed(
        units=torch.randint(2, 30, (n,), generator=generator),
        ptr=offsets(torch.tensor(sizes, dtype=torch.long)),
        fixed=torch.rand(n, generator=generator) < 0.2,
    )


@pytest.fixture
def model():
    encoder = GRUEncoder(vocabulary=60, mask_id=1, embedding=6, hidden=8)
    return Predictor(encoder, outputs=3, dropout=0.3).eval()


def half(batch):
    return (torch.arange(batch.units.shape[0]) % 2).float()


def test_logits_are_a_linear_layer_on_the_maximum_of_each_example(model):
    batch = texts()
    h = model.encoder.encode(model.encoder.embed(batch), batch)
    pooled = [part.amax(0) if len(part) else torch.zeros(8) for part in h.split(list(SIZES))]
    expected = torch.stack([model.head.weight @ each + model.head.bias for each in pooled])
    logits = model(batch, torch.ones(11), absence="zero")
    assert logits.shape == (4, 3)
    torch.testing.assert_close(logits, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("absence", EVERYWHERE)
def test_company_and_order_change_nothing(model, absence):
    batch = texts()
    mask = half(batch)
    together = model(batch, mask, absence=absence)
    cuts = [x.split(list(SIZES)) for x in (batch.units, batch.fixed, mask)]

    def some(order):
        units, fixed, chosen = (torch.cat([cut[b] for b in order]) for cut in cuts)
        part = Packed(units=units, ptr=offsets(lengths(batch.ptr)[order]), fixed=fixed)
        return model(part, chosen, absence=absence)

    for b in range(4):
        torch.testing.assert_close(some([b])[0], together[b], atol=1e-6, rtol=0)
    order = [3, 1, 0, 2]
    torch.testing.assert_close(some(order), together[order], atol=1e-6, rtol=0)


@pytest.mark.parametrize("absence", EVERYWHERE)
def test_a_full_mask_is_the_full_input_classifier(model, absence):
    batch = texts()
    full = model(batch, torch.ones(11), absence="zero")
    assert model(batch, torch.ones(11), absence=absence).equal(full)


@pytest.mark.parametrize("absence", HIDING)
def test_unselected_units_cannot_be_seen_and_selected_ones_are(model, absence):
    batch = texts()
    mask = half(batch)
    hidden = (mask == 0) & ~batch.fixed
    logits = model(batch, mask, absence=absence)
    other = replace(batch, units=torch.where(hidden, batch.units + 25, batch.units))
    assert model(other, mask, absence=absence).equal(logits)
    for seen in (mask == 1, batch.fixed):
        assert seen.any()
        other = replace(batch, units=torch.where(seen, batch.units + 25, batch.units))
        assert not torch.allclose(model(other, mask, absence=absence), logits)


@pytest.mark.parametrize("absence", EVERYWHERE)
@pytest.mark.parametrize("sizes", [(0,), (0, 0), (0, 2, 0)])
def test_without_units_the_state_is_zero_and_the_gradient_finite(model, absence, sizes):
    batch = texts(sizes)
    logits = model.train()(batch, torch.ones(sum(sizes)), absence=absence)
    empty = [b for b, size in enumerate(sizes) if not size]
    assert logits[empty].equal(model.head.bias.expand(len(empty), 3))
    logits.sum().backward()
    assert model.head.bias.grad.tolist() == [len(sizes)] * 3
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("absence", ["compact", "remove"])
def test_a_removed_text_is_an_example_without_units(model, absence):
    batch = replace(texts(), fixed=torch.zeros(11, dtype=torch.bool))
    assert model(batch, torch.zeros(11), absence=absence).equal(model.head.bias.expand(4, 3))


def test_a_gap_is_invisible_to_a_gru(model):
    batch = texts()
    compact, remove = (model(batch, half(batch), absence=absence) for absence in ("compact", "remove"))
    assert compact.equal(remove)


def test_gradient_reaches_the_mask_of_its_own_example_only(model):
    batch = replace(texts(), fixed=torch.zeros(11, dtype=torch.bool))
    mask = torch.full((11,), 0.5, requires_grad=True)
    model(batch, mask, absence="zero")[3].sum().backward()
    assert not mask.grad[:5].any()
    assert mask.grad[5:].any()


def test_every_weight_learns(model):
    model.train()(texts(), torch.ones(11), absence="mask_token").square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_dropout_acts_in_training_only(model):
    batch = texts()
    assert model(batch, half(batch), absence="zero").equal(model(batch, half(batch), absence="zero"))
    for part in (model.dropout, model.encoder):
        model.eval()
        part.train()
        assert not model(batch, half(batch), absence="zero").equal(model(batch, half(batch), absence="zero"))


def test_a_shared_encoder_is_the_same_object(model):
    assert Predictor(model.encoder, outputs=2, dropout=0.0).encoder is model.encoder


@pytest.mark.parametrize("pooling", ["max", "mean", "first", "last", "attention"])
@pytest.mark.parametrize("absence", EVERYWHERE)
def test_a_predictor_is_a_reader_and_a_decision(pooling, absence):
    encoder = GRUEncoder(vocabulary=60, mask_id=1, embedding=6, hidden=8)
    predictor = Predictor(encoder, outputs=3, dropout=0.3, pooling=pooling).eval()
    reader = Reader(encoder, pooling=pooling).eval()
    reader.load_state_dict({name: value for name, value in predictor.state_dict().items() if name in reader.state_dict()})
    assert set(predictor.state_dict()) - set(reader.state_dict()) == {"head.weight", "head.bias"}
    batch = texts()
    state = reader.pooled(batch, half(batch), absence=absence)
    assert state.shape == (4, 8)
    assert not state[1].any()  # no units
    assert predictor.decide(state).equal(predictor(batch, half(batch), absence=absence))


def test_a_decision_is_made_of_what_dropout_leaves(model):
    pooled = torch.ones(4, 8)
    assert model.decide(pooled).equal(model.head(pooled))
    model.train()
    assert not model.decide(pooled).equal(model.decide(pooled))


def test_an_unknown_pooling_is_named(model):
    with pytest.raises(ValueError, match="'pooling' must be one of max, mean, first, last, attention; got 'sum'"):
        Reader(model.encoder, pooling="sum")


def test_attention_pools_by_a_softmax_over_what_is_visible():
    encoder = GRUEncoder(vocabulary=60, mask_id=1, embedding=6, hidden=8)
    model = Predictor(encoder, outputs=3, dropout=0.3, pooling="attention").eval()
    batch = texts()
    h = encoder.encode(encoder.embed(batch), batch)
    expected = []
    for part in h.split(list(SIZES)):
        weights = (part @ model.score.weight[0] + model.score.bias).softmax(0)
        expected.append(model.head.weight @ (weights @ part) + model.head.bias)
    torch.testing.assert_close(model(batch, torch.ones(11), absence="zero"), torch.stack(expected), atol=1e-6, rtol=1e-5)
    attention = model.attention(batch)
    torch.testing.assert_close(attention.split(list(SIZES))[0].sum(), torch.tensor(1.0))
    # What is gone gets none of it.
    mask = half(batch)
    seen = batch.select((mask > 0.5) | batch.fixed, positions="fresh")
    torch.testing.assert_close(
        model(batch, mask, absence="compact"), model(seen, torch.ones(seen.units.shape[0]), absence="zero")
    )


def test_attention_is_refused_where_there_is_none(model):
    with pytest.raises(ValueError, match="pooling='attention'"):
        model.attention(texts())


@pytest.mark.parametrize("pooling", ["mean", "first", "last", "attention"])
def test_pooling_weights_are_those_by_which_states_are_summed(pooling):
    torch.manual_seed(0)
    model = Predictor(GRUEncoder(vocabulary=60, mask_id=1, embedding=6, hidden=8), outputs=3, dropout=0.0, pooling=pooling).eval()
    batch = texts()
    h = model.encoder.states(batch)
    pooled = torch.stack([part.sum(0) for part in (model.pooling_weights(batch)[:, None] * h).split(list(SIZES))])
    torch.testing.assert_close(model.head(pooled), model(batch, torch.ones(11), absence="zero"))


def test_pooling_weights_of_a_maximum_are_shares_of_its_entries(model, monkeypatch):
    h = torch.tensor([[1.0, 0, 0, 5], [2, 0, 0, 4], [0, 0, 9, 0], [0, 0, 0, 0]])
    monkeypatch.setattr(model.encoder, "states", lambda batch: h)
    # All three tie for the second entry; the last example has one unit.
    found = model.pooling_weights(Packed(units=torch.zeros(4, dtype=torch.long), ptr=torch.tensor([0, 3, 3, 4])))
    torch.testing.assert_close(found, torch.tensor([1 / 3 + 1, 1 / 3 + 1, 1 / 3 + 1, 4]) / 4)
