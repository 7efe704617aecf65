"""GSAT: stochastic attention on nodes, messages weighted by it, and its divergence from a prior."""

import pytest
import torch

from rationalizers.base import Rationalizer
from rationalizers.build import build
from tests.graph.contract import ENCODER, TASKS, GraphContract


def described(**changes):
    return {
        "_target_": "graph.methods.gsat.GSAT",
        "task": TASKS["classification"],
        "encoder": {**ENCODER, "virtual_node": False},
        "weights": {"task": 1.0, "information": 0.5},
        "optimizer": {"lr": 0.01},
        **changes,
    }


class TestGSAT(GraphContract):
    def config(self):
        return described()

    def test_attention_is_drawn_in_training_only(self, model):
        quiet = build(described(encoder={**described()["encoder"], "dropout": 0.0}, attention_dropout=0.0), Rationalizer)
        packed = self.batch((7, 5))
        once, again = (quiet.train()(packed).rationale for _ in range(2))
        assert once.scores.equal(again.scores)
        assert not once.mask.equal(again.mask)
        rationale = quiet.eval()(packed).rationale
        torch.testing.assert_close(rationale.mask, rationale.scores.sigmoid())

    def test_a_drawn_attention_is_high_as_often_as_it_says(self):
        model = build(described(), Rationalizer).train()
        packed = self.batch((7, 5))
        model.attention = torch.nn.Module()
        model.attention.forward = lambda h, ptr: torch.full((h.shape[0],), 0.8473)  # p = 0.7
        drawn = torch.cat([model(packed).rationale.mask for _ in range(200)])
        assert abs(float((drawn > 0.5).double().mean()) - 0.7) < 0.03

    def test_messages_are_weighted_by_both_ends(self, model):
        packed = self.batch((7, 5))
        mask = torch.rand(12)
        weight = mask[packed.edge_index[0]] * mask[packed.edge_index[1]]
        h = model.encoder.encode(model.encoder.embed(packed), packed, weight=weight)
        expected = model.predictor(torch.stack([h[:7].sum(0), h[7:].sum(0)]))
        torch.testing.assert_close(model.logits(packed, mask), expected, atol=1e-5, rtol=1e-5)

    def test_information_is_the_divergence_from_the_prior(self, model):
        output = model(self.batch((7, 5)))
        prior = torch.distributions.Bernoulli(0.9)
        divergence = torch.distributions.kl_divergence(torch.distributions.Bernoulli(output.rationale.mask), prior)
        expected = torch.stack([part.mean() for part in divergence.split([7, 5])]).mean()
        torch.testing.assert_close(output.terms["information"], expected, atol=1e-5, rtol=1e-4)


def test_the_prior_falls_in_steps_to_its_end():
    model = build(described(decay=10), Rationalizer)
    assert [round(model.prior_at(epoch), 2) for epoch in (0, 9, 10, 19, 20, 30, 99)] == [0.9, 0.9, 0.8, 0.8, 0.7, 0.7, 0.7]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prior": 1.0}, r"'prior' must be in \(0, 1\) and 'final_prior' in \(0, prior\], got 1.0 and 0.7"),
        ({"final_prior": 0.95}, r"got 0.9 and 0.95"),
        ({"decay": 0}, "'decay' must be at least 1 epoch, got 0"),
        ({"absence": "state"}, "'absence' of GSAT is 'message', which passes its gradient; got 'state'"),
    ],
)
def test_a_setting_outside_its_bounds_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        build(described(**changes), Rationalizer)
