"""From states to masks: what is drawn in training, what is decided in evaluation."""

import math

import pytest
import torch
from scipy.special import beta

from rationalizers.batch import Packed
from rationalizers.selectors import HardKuma, SoftGumbel, StraightThroughGumbel

GUMBEL = [SoftGumbel, StraightThroughGumbel]
SELECTORS = [*GUMBEL, HardKuma]


def texts(n=6, fixed=()):
    return Packed(
        units=torch.arange(n),
        ptr=torch.tensor([0, n // 2, n // 2, n]),
        fixed=torch.tensor([place in fixed for place in range(n)], dtype=torch.bool),
    )


def seeded(call, seed=0):
    torch.manual_seed(seed)
    return call()


@pytest.mark.parametrize("kind", SELECTORS)
def test_evaluation_draws_nothing(kind):
    selector, h = kind(width=2).eval(), torch.randn(6, 2)
    state = torch.get_rng_state()
    first, second = selector(h, texts()), selector(h, texts())
    assert torch.get_rng_state().equal(state)
    assert first.rationale.mask.equal(second.rationale.mask)
    assert not first.rationale.mask.requires_grad


@pytest.mark.parametrize("kind", GUMBEL)
def test_evaluation_selects_positive_scores(kind):
    selector, h = kind(width=2).eval(), torch.randn(6, 2)
    selector.score.weight.data, selector.score.bias.data = torch.tensor([[1.0, 0.0]]), torch.zeros(1)
    h[:2, 0] = torch.tensor([0.0, 1e-6])
    rationale = selector(h, texts()).rationale
    assert rationale.scores.equal(h[:, 0])
    assert rationale.mask.tolist() == [0, 1, *(h[2:, 0] > 0).float().tolist()]


@pytest.mark.parametrize("kind", SELECTORS)
@pytest.mark.parametrize("training", [True, False])
def test_fixed_units_cannot_be_selected_and_get_no_gradient(kind, training):
    selector = kind(width=2).train(training)
    h = torch.randn(6, 2, requires_grad=True)
    batch = texts(fixed=(0, 4))
    selected = selector(h, batch)
    rationale = selected.rationale
    assert rationale.mask[batch.fixed].tolist() == [0, 0]
    assert rationale.scores[batch.fixed].tolist() == [-math.inf] * 2
    assert rationale.scores[~batch.fixed].isfinite().all()
    assert rationale.ptr is batch.ptr
    if training:
        (rationale.mask.sum() + selected.share.sum()).backward()
        assert not h.grad[batch.fixed].any()
        assert (h.grad[~batch.fixed] != 0).any(1).all()


@pytest.mark.parametrize("kind", SELECTORS)
@pytest.mark.parametrize("training", [True, False])
def test_examples_without_units_are_examples(kind, training):
    h = torch.zeros(0, 2)
    batch = Packed(units=torch.zeros(0, dtype=torch.long), ptr=torch.tensor([0, 0, 0]))
    selected = kind(width=2).train(training)(h, batch)
    assert selected.rationale.mask.shape == selected.rationale.scores.shape == (0,)
    assert selected.share.tolist() == selected.transitions.tolist() == selected.rationale.share().tolist() == [0, 0]


@pytest.mark.parametrize("kind", SELECTORS)
def test_training_draws_anew_and_a_seed_draws_the_same(kind):
    selector, h = kind(width=2).train(), torch.randn(6, 2)
    masks = [seeded(lambda: selector(h, texts()).rationale.mask, seed) for seed in (1, 1, 2)]
    assert masks[0].equal(masks[1])
    assert not masks[0].equal(masks[2])


@pytest.mark.parametrize("kind", SELECTORS)
def test_the_noise_is_on_the_mask_and_not_on_the_scores(kind):
    selector, h = kind(width=2).train(), torch.randn(6, 2)
    assert selector(h, texts()).rationale.scores.equal(selector.eval()(h, texts()).rationale.scores)


@pytest.mark.parametrize("kind", SELECTORS)
def test_dropout_acts_on_the_states_in_training_only(kind):
    selector, h = kind(width=64, dropout=0.5).train(), torch.randn(6, 64)
    scores = [selector(h, texts()).rationale.scores for _ in range(2)]
    assert not scores[0].equal(scores[1])
    selector.eval()
    assert selector(h, texts()).rationale.scores.equal(selector(h, texts()).rationale.scores)


@pytest.mark.parametrize("temperature", [0.0, -1.0])
@pytest.mark.parametrize("kind", GUMBEL)
def test_a_temperature_that_is_not_positive_is_named(kind, temperature):
    with pytest.raises(ValueError, match=f"'temperature' must be positive, got {temperature}"):
        kind(width=1, temperature=temperature)


# Gumbel gates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", GUMBEL)
@pytest.mark.parametrize("training", [True, False])
def test_share_and_transitions_are_those_of_the_mask(kind, training):
    selected = kind(width=2).train(training)(torch.randn(12, 2), texts(12, fixed=(0, 1, 8)))
    torch.testing.assert_close(selected.share, selected.rationale.share())
    torch.testing.assert_close(selected.transitions, selected.rationale.transitions())


def test_one_seed_draws_a_soft_mask_and_the_same_one_rounded():
    logits, seed = torch.randn(50), torch.tensor(3)
    soft, hard = (kind(width=1, temperature=0.7).sample(logits, texts(50), seed).mask for kind in GUMBEL)
    assert ((soft > 0) & (soft < 1)).all()
    assert hard.equal((soft > 0.5).float())


def test_what_training_draws_is_its_own_sample():
    selector, h = SoftGumbel(width=2, temperature=0.7).train(), torch.randn(6, 2)
    selected = seeded(lambda: selector(h, texts()))
    seed = seeded(lambda: torch.randint(2**62, ()))
    mask, share, transitions = selector.sample(selector.score(h).squeeze(-1), texts(), seed)
    assert selected.rationale.mask.equal(mask)
    assert selected.share.equal(share)
    assert selected.transitions.equal(transitions)


# HardKuma -------------------------------------------------------------------------------------------------------------


def kuma(*shapes):
    """A HardKuma selector, and states that it makes into gates of these (a, b)."""
    selector = HardKuma(width=2).eval()
    selector.score.weight.data, selector.score.bias.data = torch.eye(2), torch.zeros(2)
    return selector, torch.tensor(shapes, dtype=torch.float64).expm1().log().float()  # softplus, undone


def test_hardkuma_decides_for_the_likeliest_kind_of_value():
    selector, h = kuma((0.2, 3.0), (3.0, 0.2), (2.0, 2.0), (1.0, 1.0), (0.5, 0.5), (0.5, 1.0))
    # P(0) = 1 − (1 − (1/12)^a)^b and P(1) = (1 − (11/12)^a)^b: .9399 and .0000, .0001 and .7454, .0138 and .0255, .0833 and
    # .0833, .1567 and .2064, .2887 and .0426. The last four are likelier to lie in between, with the mean b·B(1 + 1/a, b).
    assert selector(h, texts()).rationale.mask.tolist() == pytest.approx([0, 1, 8 / 15, 1 / 2, 8 / 15, 1 / 3], abs=1e-6)


def test_hardkuma_means_are_those_of_scipy():
    shapes = [(2.0, 2.0), (0.7, 0.9), (1.3, 0.8), (4.0, 6.0), (20.0, 30.0), (0.6, 1.5)]
    selector, h = kuma(*shapes)
    expected = [b * beta(1 + 1 / a, b) for a, b in shapes]
    assert selector(h, texts()).rationale.mask.tolist() == pytest.approx(expected, rel=1e-5)


def test_the_score_of_hardkuma_is_the_logit_of_being_shown_at_all():
    shapes = [(0.2, 3.0), (3.0, 0.2), (2.0, 2.0), (1.0, 1.0), (0.5, 0.5), (0.01, 50.0)]
    selector, h = kuma(*shapes)
    shown = [(1 - (1 / 12) ** a) ** b for a, b in shapes]
    expected = [math.log(q) - math.log1p(-q) for q in shown]
    assert expected[3] == pytest.approx(math.log(11))
    assert selector(h, texts()).rationale.scores.tolist() == pytest.approx(expected, rel=1e-4)


def test_certain_gates_of_hardkuma_have_finite_scores_and_gradients():
    h = torch.tensor(
        [[7.0, 0.0], [40.0, 0.0], [120.0, 120.0], [120.0, -30.0], [-30.0, 120.0], [-30.0, -30.0]], requires_grad=True
    )
    selector, _ = kuma()
    scores = selector(h, texts()).rationale.scores
    scores.sum().backward()
    assert scores.isfinite().all()
    assert h.grad.isfinite().all()
    # For large a the score is a·log 12 − log b, as P(m = 0) is b·(1/12)^a; both parameters are cut at 100.
    assert scores[:3].tolist() == pytest.approx([17.763, 99.763, 243.886], abs=1e-3)


@pytest.mark.parametrize("training", [True, False])
def test_share_and_transitions_of_hardkuma_are_expected_in_evaluation_as_in_training(training):
    # P(m ≠ 0) of b = 1 is 1 − (1/12)^a: 1/2, 1/4, 11/12, and in the other example 3/4, (fixed), 1/3.
    shapes = [(-math.log(1 - q) / math.log(12), 1.0) for q in (1 / 2, 1 / 4, 11 / 12, 3 / 4, 1 / 2, 1 / 3)]
    selector, h = kuma(*shapes)
    selected = selector.train(training)(h, texts(fixed=(4,)))
    # Between 1/2 and 1/4: 1/2 · 1/4 + 1/2 · 3/4; between 1/4 and 11/12: 3/4 · 11/12 + 1/4 · 1/12.
    assert selected.share.tolist() == pytest.approx([5 / 9, 0, 13 / 24], abs=1e-6)
    assert selected.transitions.tolist() == pytest.approx([(1 / 2 + 34 / 48) / 2, 0, 0], abs=1e-6)


def test_hardkuma_draws_exact_zeros_exact_ones_and_values_in_between():
    n = 600
    selector, h = kuma(*[(0.5, 0.5)] * n)
    mask = selector.train()(h, texts(n)).rationale.mask
    # .157, .206 and .637 of all, as above.
    assert (mask == 0).sum() > 50
    assert (mask == 1).sum() > 50
    assert ((mask > 0) & (mask < 1)).sum() > 250
    assert ((mask >= 0) & (mask <= 1)).all()


def test_hardkuma_says_that_its_masks_may_be_soft():
    assert HardKuma.soft is not None
    assert SoftGumbel.soft is StraightThroughGumbel.soft is None
