import torch

from rationalizers.base import Rationalizer
from rationalizers.build import build
from tests.contract import ENCODER, LABELS, TextContract, batch


class TestFull(TextContract):
    def config(self):
        return {
            "_target_": "rationalizers.methods.full.Full",
            "task": {"_target_": "rationalizers.task.Classification", "labels": LABELS},
            "encoder": ENCODER,
            "weights": {"task": 1.0},
            "optimizer": {"lr": 1e-3},
        }


def test_selects_everything_that_can_be_selected():
    model = build(TestFull().config(), Rationalizer).eval()
    packed = batch(query=2)
    rationale = model(packed).rationale
    assert rationale.selected.equal(~packed.fixed)
    torch.testing.assert_close(rationale.share(), torch.ones(4))
