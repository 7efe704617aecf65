"""What attributions are compared with: a model's own scores at another size, and chance."""

from dataclasses import replace

import pytest
import torch

from rationalizers.attribution import OwnScores, RandomScores
from rationalizers.base import Output, Rationalizer
from rationalizers.build import build
from rationalizers.metrics.floors import floors
from rationalizers.rationale import Rationale
from tests.attribution.test_gradient import FULL
from tests.contract import ENCODER, LABELS, batch, example
from tests.tiny import MODELS

TASK = {"_target_": "rationalizers.task.Classification", "labels": LABELS}
RNP = {**MODELS["rnp"], "task": TASK, "encoder": ENCODER}
NOISE = {**MODELS["noise"], "task": TASK, "generator": ENCODER, "predictor": ENCODER, "share": 0.5}


def model(config):
    return build(config, Rationalizer).eval()


class Says(Rationalizer):
    """Points at what it was given."""

    def __init__(self, rationale):
        super().__init__(task=TASK, weights={}, optimizer={"lr": 1.0}, absence="zero")
        self.given = rationale

    def forward(self, batch):
        return Output(logits=torch.zeros(batch.index.shape[0], 3), rationale=self.given)

    def logits(self, batch, mask, *, absence=None):
        return torch.zeros(batch.index.shape[0], 3)


def test_own_scores_are_cut_at_the_share():
    rnp, packed = model(RNP), batch(query=2)
    own = rnp(packed).rationale
    for share, sizes in ((0.3, [2, 1, 4, 2]), (1.0, [7, 1, 12, 5])):
        found = OwnScores(share=share)(rnp, packed)
        assert found.scores.equal(own.scores)
        assert found.size().tolist() == sizes
        assert not found.mask[packed.fixed].any()
    expected = own.topk(torch.tensor([2, 1, 4, 2]))
    assert OwnScores(share=0.3)(rnp, packed).mask.equal(expected.mask)


def test_soft_masks_become_hard_and_ties_go_in_order_of_position():
    packed = batch((4,))
    soft = Rationale(scores=torch.tensor([0.0, 0.7, 0.7, 0.7]), mask=torch.full((4,), 0.6), ptr=packed.ptr)
    assert OwnScores(share=0.5)(Says(soft).eval(), packed).mask.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(("level", "share"), [("word", 0.5), ("sentence", 0.5), ("unit", 0.5)])
def test_what_is_selected_as_a_whole_stays_whole(level, share):
    packed = batch((9, 12), query=2)
    word = torch.arange(packed.units.shape[0]) // 2
    packed = replace(packed, fields={**packed.fields, "word": word})
    noise = model({**NOISE, "level": level, "share": share})
    own, found = noise(packed).rationale, OwnScores(share=share)(noise, packed)
    assert found.level == level
    assert found.mask.equal(own.mask)
    assert found.scores.equal(own.scores)
    assert found.size().sum() > 0
    assert OwnScores(share=1.0)(noise, packed).mask.equal((~packed.fixed).float())


def test_a_model_that_selects_everything_has_no_scores_of_its_own():
    with pytest.raises(ValueError, match="Full selects everything, all alike"):
        OwnScores(share=0.3)(model(FULL), batch())


def test_own_scores_need_evaluation_mode():
    with pytest.raises(ValueError, match="evaluation mode"):
        OwnScores(share=0.3)(model(RNP).train(), batch())


@pytest.mark.parametrize("kind", [OwnScores, RandomScores])
def test_company_changes_nothing(kind):
    rnp, sizes = model(RNP), (7, 1, 12, 5)
    together = kind(share=0.3)(rnp, batch(sizes))
    for place, size in enumerate(sizes):
        alone = kind(share=0.3)(rnp, example(size, seed=place))
        rows = slice(int(together.ptr[place]), int(together.ptr[place + 1]))
        torch.testing.assert_close(alone.scores, together.scores[rows], atol=1e-6, rtol=1e-5)
        assert alone.mask.equal(together.mask[rows])


@pytest.mark.parametrize("kind", [OwnScores, RandomScores])
def test_without_units_nothing_is_selected(kind):
    empty = example(3, seed=0).select(torch.zeros(3, dtype=torch.bool), positions="kept")
    assert kind(share=0.3)(model(RNP), empty).mask.shape == (0,)


@pytest.mark.parametrize("kind", [OwnScores, RandomScores])
def test_shares_outside_their_bounds_are_named(kind):
    with pytest.raises(ValueError, match=r"'share' must be in \(0, 1\], got 0"):
        kind(share=0)


def test_random_scores_select_what_the_floor_selects():
    rnp, packed = model(RNP), batch(query=2)
    found = RandomScores(share=0.3)(rnp, packed)
    assert found.size().tolist() == [2, 1, 4, 2]
    assert floors(found, packed)["random"].mask.double().equal(found.mask.double())
    other = replace(packed, index=packed.index + 1)
    assert not RandomScores(share=0.3)(rnp, other).mask.equal(found.mask)


def test_random_scores_are_uniform():
    scores = RandomScores(share=0.5).scores(model(RNP), batch((4000,)), torch.zeros(1, dtype=torch.long))
    assert abs(float(scores.mean()) - 0.5) < 0.02
    assert abs(float(scores.var()) - 1 / 12) < 0.005
