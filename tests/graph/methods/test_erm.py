"""The graph classifier without selection."""

import torch

from tests.graph.contract import ENCODER, TASKS, GraphContract


class TestERM(GraphContract):
    def config(self):
        return {
            "_target_": "graph.methods.erm.ERM",
            "task": TASKS["classification"],
            "encoder": ENCODER,
            "weights": {"task": 1.0},
            "optimizer": {"lr": 0.01},
        }

    def test_everything_is_selected_and_summed(self, model):
        packed = self.batch((5, 3), query=1)
        output = model(packed)
        assert output.rationale.mask.equal((~packed.fixed).float())
        h = model.encoder.states(packed)
        torch.testing.assert_close(output.logits, model.predictor(torch.stack([h[:6].sum(0), h[6:].sum(0)])))
