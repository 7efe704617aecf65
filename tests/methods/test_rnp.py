import pytest
import torch

from rationalizers import losses
from rationalizers.base import Rationalizer
from rationalizers.build import build
from tests.contract import ENCODER, LABELS, TextContract, batch


def config(**changes):
    return {
        "_target_": "rationalizers.methods.rnp.RNP",
        "task": {"_target_": "rationalizers.task.Classification", "labels": LABELS},
        "encoder": ENCODER,
        "selector": {"_target_": "rationalizers.selectors.StraightThroughGumbel"},
        "weights": {"task": 1.0, "sparsity": 1.0, "continuity": 1.0, "evidence": 1.0},
        "optimizer": {"lr": 1e-3},
        "share": 0.2,
        **changes,
    }


class TestRNP(TextContract):
    def config(self):
        return config()


class TestSoftRNP(TextContract):
    def config(self):
        return config(selector={"_target_": "rationalizers.selectors.SoftGumbel", "temperature": 0.7}, absence="mask_token")


class TestSharedRNP(TextContract):
    def config(self):
        return config(shared_encoder=True)


def test_shared_encoder_is_one_object_with_half_the_weights():
    own, shared = (build(config(shared_encoder=flag), Rationalizer) for flag in (False, True))
    assert shared.predictor.encoder is shared.generator
    sizes = [sum(p.numel() for p in each.generator.parameters()) for each in (own, shared)]
    totals = [sum(p.numel() for p in each.parameters()) for each in (own, shared)]
    assert totals[0] - totals[1] == sizes[0] == sizes[1]


def test_under_a_full_mask_it_is_the_full_input_classifier():
    model = build(config(), Rationalizer).eval()
    full = build(
        {
            "_target_": "rationalizers.methods.full.Full",
            "task": {"_target_": "rationalizers.task.Classification", "labels": LABELS},
            "encoder": ENCODER,
            "weights": {"task": 1.0},
            "optimizer": {"lr": 1e-3},
        },
        Rationalizer,
    ).eval()
    full.predictor.load_state_dict(model.predictor.state_dict())
    packed = batch(query=2)
    assert full(packed).logits.equal(model.logits(packed, torch.ones(packed.units.shape[0])))


def test_terms_are_the_losses_by_name():
    model = build(config(), Rationalizer).eval()
    packed = batch()
    output = model(packed)
    torch.testing.assert_close(output.terms["task"], torch.nn.functional.cross_entropy(output.logits, packed.y))
    torch.testing.assert_close(output.terms["sparsity"], losses.sparsity(output.rationale.share(), target=0.2))
    torch.testing.assert_close(output.terms["continuity"], output.rationale.transitions().mean())
    torch.testing.assert_close(output.terms["evidence"], losses.evidence(output.rationale, packed))


def test_the_task_reaches_the_generator_through_the_mask_only():
    model = build(config(), Rationalizer).train()
    model(batch((7, 6, 12, 5))).terms["task"].backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.generator.parameters())
    assert model.selector.score.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": 0.0}, r"'share' must be in \(0, 1\], got 0.0"),
        ({"share": 1.5}, r"'share' must be in \(0, 1\], got 1.5"),
        ({"absence": "compact"}, "'absence' of RNP must be 'zero' or 'mask_token'"),
        ({"absence": "gone"}, "'absence' must be one of"),
    ],
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        build(config(**change), Rationalizer)
