"""Attributions by gradients: closed forms of a linear model, captum on the embedding table, and what they must add up to."""

import itertools

import pytest
import torch
from captum import attr
from torch import nn

from rationalizers.attribution import DeepLift, InputXGradient, IntegratedGradients, Saliency, completeness_gap
from rationalizers.base import Rationalizer
from rationalizers.build import build
from rationalizers.predictors import Predictor
from rationalizers.segment import lengths
from tests.attribution.bag import FULL, Bag, bag, explainable, one, parts
from tests.contract import LABELS, batch, example

METHODS = (Saliency, InputXGradient, IntegratedGradients, DeepLift)


@pytest.fixture
def model():
    return build(FULL, Rationalizer).double().eval()


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


# Closed forms -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [InputXGradient, IntegratedGradients, DeepLift])
def test_of_a_linear_model_each_unit_has_what_it_adds(method):
    model, packed = bag(), batch()
    torch.testing.assert_close(method(share=0.3)(model, packed).scores, parts(model, packed))


def test_saliency_of_a_linear_model_is_the_norm_of_its_weights():
    model, packed = bag(), batch((5, 2))
    column = model(packed).logits.argmax(-1)
    norms = model.predictor.head.weight.detach().norm(dim=1)[column] / torch.tensor([5, 2])
    torch.testing.assert_close(Saliency(share=0.3)(model, packed).scores, norms.repeat_interleave(torch.tensor([5, 2])))


def test_deeplift_takes_the_slope_of_a_nonlinearity_between_input_and_baseline():
    model, packed = bag(nn.Tanh()), example(6, seed=2)
    e = model.predictor.encoder.table(packed.units)
    weight = model.predictor.head.weight[model(packed).logits.argmax()]
    torch.testing.assert_close(DeepLift(share=0.3)(model, packed).scores, (e.tanh() @ weight / 6).detach())  # tanh(0) = 0
    assert InputXGradient(share=0.3)(model, packed).scores.sub(e.tanh() @ weight / 6).abs().max() > 1e-3


# Captum itself ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "captums", "arguments"),
    [
        (IntegratedGradients(share=0.5, steps=32), attr.LayerIntegratedGradients, {"n_steps": 32, "internal_batch_size": 6}),
        (InputXGradient(share=0.5), attr.LayerGradientXActivation, {}),
    ],
)
def test_they_are_captums_at_the_embedding_table(model, ours, captums, arguments):
    packed = example(6, seed=3)
    table = model.predictor.encoder.table
    with torch.no_grad():
        table.weight[0] = 0  # a word that stands for the baseline
    packed.units[packed.units == 0] = 5
    predicted = int(model(packed).logits.argmax())

    def forward(units):
        return model.logits(packed.with_units(units), torch.ones(6))[:, predicted]

    baselines = {"baselines": torch.zeros_like(packed.units)} if "n_steps" in arguments else {}
    expected = captums(forward, table).attribute(packed.units, **baselines, **arguments).sum(1)
    torch.testing.assert_close(ours(model, packed).scores, expected, atol=1e-9, rtol=1e-6)


@pytest.mark.parametrize("at", ["embedding", "state"])
def test_paths_over_embeddings_and_over_states_are_captums(model, at):
    packed = example(6, seed=3)
    encoder, head = model.predictor.encoder, model.predictor.head
    predicted = int(model(packed).logits.argmax())
    e = encoder.embed(packed).detach()
    start = e if at == "embedding" else encoder.encode(e, packed).detach()

    def forward(x):
        h = encoder.encode(x, packed) if at == "embedding" else x
        return head(model.predictor._pool(h, packed.ptr))[:, predicted]

    expected = attr.IntegratedGradients(forward).attribute(start, n_steps=32, internal_batch_size=6).sum(1)
    found = IntegratedGradients(share=0.5, steps=32, at=at)(model, packed).scores
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-6)


def test_saliency_is_the_norm_of_the_gradient(model):
    packed = example(6, seed=3)
    encoder = model.predictor.encoder
    e = encoder.embed(packed).detach().requires_grad_()
    logits = model.predictor.head(model.predictor._pool(encoder.encode(e, packed), packed.ptr))
    (gradient,) = torch.autograd.grad(logits.max(), e)
    torch.testing.assert_close(Saliency(share=0.5)(model, packed).scores, gradient.norm(dim=1))


# Laws ---------------------------------------------------------------------------------------------------------------------


# Where there is a kink, as in a maximum, the points of the quadrature lie beside it.
@pytest.mark.parametrize(("name", "steps", "off"), [("full, attention", 12, 1e-6), ("full, max", 50, 5e-3), ("erm", 50, 5e-3)])
@pytest.mark.parametrize("at", ["embedding", "state"])
def test_integrated_gradients_add_up_to_what_the_input_changes(name, steps, off, at):
    model, packed = explainable(name)
    attribution = IntegratedGradients(share=0.3, steps=steps, at=at)
    gap = completeness_gap(attribution, model, packed, absence={"embedding": "zero", "state": "state"}[at])
    torch.testing.assert_close(gap, torch.zeros(3), atol=off, rtol=0)


def test_the_gap_is_what_attributions_add_up_to_less_what_the_input_changes(model):
    packed = batch()
    attribution = InputXGradient(share=0.3)
    n = packed.units.shape[0]
    full, none = (model.logits(packed, mask, absence="zero") for mask in (torch.ones(n), torch.zeros(n)))
    predicted = full.argmax(-1)[:, None]
    change = (full.gather(1, predicted) - none.gather(1, predicted))[:, 0]
    added = torch.stack([part.sum() for part in attribution(model, packed).scores.split(lengths(packed.ptr).tolist())])
    found = completeness_gap(attribution, model, packed, absence="zero")
    torch.testing.assert_close(found, (added - change).detach())
    assert found.abs().max() > 1e-3


@pytest.mark.parametrize("name", ["full, max", "full, attention", "erm"])
@pytest.mark.parametrize("method", METHODS)
def test_company_changes_nothing(name, method):
    model, together = explainable(name)
    attribution = IntegratedGradients(share=0.3, steps=2) if method is IntegratedGradients else method(share=0.3)
    scores = attribution(model, together).scores
    for row, (first, end) in enumerate(itertools.pairwise(together.ptr.tolist())):
        alone = one(together, row)
        torch.testing.assert_close(attribution(model, alone).scores, scores[first:end], atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_model_is_left_as_it_was(model, method):
    packed = batch(query=2)
    before = model.logits(packed, torch.ones(packed.units.shape[0]))
    method(share=0.3)(model, packed)
    encoder = model.predictor.encoder
    assert "embed" not in vars(encoder)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.logits(packed, torch.ones(packed.units.shape[0])).equal(before)


@pytest.mark.parametrize("method", METHODS)
def test_the_best_share_is_selected_and_fixed_units_never(model, method):
    packed = batch(query=2)
    rationale = method(share=0.3)(model, packed)
    assert not rationale.mask[packed.fixed].any()
    assert rationale.scores[packed.fixed].eq(-torch.inf).all()
    assert rationale.size().tolist() == [2, 1, 4, 2]  # of 7, 1, 12 and 5; half to even
    chosen, rest = rationale.scores[rationale.mask == 1], rationale.scores[(rationale.mask == 0) & ~packed.fixed]
    assert chosen[:2].min() >= rest[:5].max()


@pytest.mark.parametrize("method", METHODS)
def test_examples_without_units_have_no_attribution(model, method):
    empty = example(3, seed=0).select(torch.zeros(3, dtype=torch.bool), positions="kept")
    assert method(share=0.3)(model, empty).scores.shape == (0,)


# Errors -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"share": 0.0}, r"'share' must be in \(0, 1\], got 0.0"),
        ({"share": 0.1, "steps": 0}, "'steps' must be at least 1, got 0"),
        ({"share": 0.1, "at": "logit"}, "'at' must be one of embedding, state; got 'logit'"),
    ],
)
def test_arguments_outside_their_bounds_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        IntegratedGradients(**arguments)


def test_a_model_in_training_is_not_explained(model):
    with pytest.raises(ValueError, match="evaluation mode"):
        IntegratedGradients(share=0.3)(model.train(), batch())


class Twice(Bag):
    """Embeds what it was given once more."""

    def encode(self, e, batch):
        return e + self.embed(batch)


def test_a_model_that_embeds_twice_is_refused(model):
    model.predictor = Predictor(Twice(), outputs=len(LABELS), dropout=0.0, pooling="mean").double().eval()
    with pytest.raises(ValueError, match=r"Full.logits must embed its input exactly once .* got 2 calls of 'embed'"):
        Saliency(share=0.3)(model, batch())
    assert "embed" not in vars(model.predictor.encoder)
