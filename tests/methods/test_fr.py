import pytest
import torch

from rationalizers.base import Rationalizer
from rationalizers.build import build
from rationalizers.methods.rnp import RNP
from tests.contract import TextContract, batch
from tests.methods import test_rnp as rnp


def config(**changes):
    return {**rnp.config(**changes), "_target_": "rationalizers.methods.fr.FR"}


class TestFR(TextContract):
    def config(self):
        return config()


class TestSoftFR(TextContract):
    def config(self):
        return config(selector={"_target_": "rationalizers.selectors.SoftGumbel", "temperature": 0.7}, absence="mask_token")


class TestFRThatReadsTexts(TextContract):
    def config(self):
        return config(labelled_reads="text", pooling="attention")


def test_one_encoder_serves_both_and_costs_one():
    own, shared = build(rnp.config(), Rationalizer), build(config(), Rationalizer)
    assert shared.predictor.encoder is shared.generator
    assert own.predictor.encoder is not own.generator
    encoder = sum(p.numel() for p in own.generator.parameters())
    total_own, total_shared = (sum(p.numel() for p in each.parameters()) for each in (own, shared))
    assert total_own - total_shared == encoder


def test_its_encoder_learns_once():
    # Adam would move a weight twice that stood in the list twice.
    model = build(config(), Rationalizer)
    names = [id(p) for parameters in model.parameter_groups().values() for p in parameters]
    assert len(names) == len(set(names))
    assert {id(p) for p in model.generator.parameters()} < set(names)


def test_with_equal_encoders_it_is_rnp():
    torch.manual_seed(4)
    shared, own = build(config(), Rationalizer).eval(), build(rnp.config(), Rationalizer).eval()
    own.load_state_dict({**own.state_dict(), **shared.state_dict()})
    packed = batch(query=2)
    ours, theirs = shared(packed), own(packed)
    assert ours.logits.equal(theirs.logits)
    assert ours.rationale.mask.equal(theirs.rationale.mask)
    assert all(ours.terms[name].equal(term) for name, term in theirs.terms.items())


def test_the_encoder_learns_from_selecting_and_from_reading():
    torch.manual_seed(4)
    packed = batch((7, 6, 12, 5))
    shared, own = build(config(dropout=0.0), RNP), build(rnp.config(dropout=0.0), RNP)
    own.load_state_dict({**own.state_dict(), **shared.state_dict()})
    for model in (shared, own):
        # Dropout of the encoders would differ; the selector draws the same.
        model.train()
        for encoder in (model.generator, model.predictor.encoder):
            encoder.eval()
        torch.manual_seed(6)
        model.loss(model(packed).terms, model.weights).backward()
    rows = zip(shared.generator.parameters(), own.generator.parameters(), own.predictor.encoder.parameters(), strict=True)
    for both, selecting, reading in rows:
        torch.testing.assert_close(both.grad, selecting.grad + reading.grad, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("absence", ["compact", "remove"])
def test_a_mask_that_passes_no_gradient_is_refused(absence):
    with pytest.raises(ValueError, match="'absence' of RNP must be 'zero' or 'mask_token'"):
        build(config(absence=absence), Rationalizer)
