"""Attributions through the forced mask, against what they must add up to."""

import pytest
import torch
from captum.attr import IntegratedGradients as Captum

from rationalizers.attribution import IntegratedGradients
from rationalizers.base import Rationalizer
from rationalizers.build import build
from rationalizers.segment import lengths
from tests.contract import ENCODER, LABELS, batch, example

FULL = {
    "_target_": "rationalizers.methods.full.Full",
    "task": {"_target_": "rationalizers.task.Classification", "labels": LABELS},
    "encoder": ENCODER,
    "weights": {"task": 1.0},
    "optimizer": {"lr": 0.01},
}


@pytest.fixture
def model():
    return build(FULL, Rationalizer).double().eval()


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_attributions_add_up_to_what_the_input_changes(model):
    packed = batch()
    rationale = IntegratedGradients(share=0.3, steps=200)(model, packed)
    n = packed.units.shape[0]
    full, none = (model.logits(packed, mask, absence="zero") for mask in (torch.ones(n), torch.zeros(n)))
    predicted = full.argmax(-1)[:, None]
    change = (full.gather(1, predicted) - none.gather(1, predicted))[:, 0]
    added = torch.stack([part.sum() for part in rationale.scores.split(lengths(packed.ptr).tolist())])
    torch.testing.assert_close(added, change.detach(), atol=1e-3, rtol=1e-3)


def test_they_are_captums_of_the_embeddings(model):
    packed = example(6, seed=3)
    encoder = model.predictor.encoder
    e = encoder.embed(packed).detach()
    predicted = int(model(packed).logits.argmax())

    def forward(e):
        h = encoder.encode(e, packed)
        return model.predictor.head(model.predictor._pool(h, packed.ptr))[:, predicted]

    expected = Captum(forward).attribute(e, n_steps=32, internal_batch_size=6).sum(1)
    found = IntegratedGradients(share=0.5, steps=32)(model, packed).scores
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-6)


def test_the_best_share_is_selected_and_fixed_units_never(model):
    packed = batch(query=2)
    rationale = IntegratedGradients(share=0.3)(model, packed)
    assert not rationale.mask[packed.fixed].any()
    assert rationale.size().tolist() == [2, 1, 4, 2]  # of 7, 1, 12 and 5; half to even
    chosen, rest = rationale.scores[rationale.mask == 1], rationale.scores[(rationale.mask == 0) & ~packed.fixed]
    assert chosen[:2].min() >= rest[:5].max()


def test_company_changes_nothing(model):
    sizes = (7, 1, 12, 5)
    together = IntegratedGradients(share=0.3)(model, batch(sizes)).scores.split(list(sizes))
    for place, size in enumerate(sizes):
        alone = IntegratedGradients(share=0.3)(model, example(size, seed=place)).scores
        torch.testing.assert_close(alone, together[place], atol=1e-8, rtol=1e-6)


def test_examples_without_units_have_no_attribution(model):
    empty = example(3, seed=0).select(torch.zeros(3, dtype=torch.bool), positions="kept")
    assert IntegratedGradients(share=0.3)(model, empty).scores.shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"share": 0.0}, r"'share' must be in \(0, 1\], got 0.0"),
        ({"share": 0.1, "steps": 0}, "'steps' must be at least 1, got 0"),
    ],
)
def test_arguments_outside_their_bounds_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        IntegratedGradients(**arguments)


def test_a_model_in_training_is_not_explained(model):
    with pytest.raises(ValueError, match="evaluation mode"):
        IntegratedGradients(share=0.3)(model.train(), batch())
