"""From states to masks: what is drawn in training, what is decided in evaluation."""

import math

import pytest
import torch

from rationalizers.batch import Packed
from rationalizers.selectors import SoftGumbel, StraightThroughGumbel

SELECTORS = [SoftGumbel, StraightThroughGumbel]


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
def test_evaluation_selects_positive_scores_and_draws_nothing(kind):
    selector, h = kind(width=2).eval(), torch.randn(6, 2)
    selector.score.weight.data, selector.score.bias.data = torch.tensor([[1.0, 0.0]]), torch.zeros(1)
    h[:2, 0] = torch.tensor([0.0, 1e-6])
    state = torch.get_rng_state()
    rationale = selector(h, texts())
    assert torch.get_rng_state().equal(state)
    assert rationale.scores.equal(h[:, 0])
    assert rationale.mask.tolist() == [0, 1, *(h[2:, 0] > 0).float().tolist()]
    assert not rationale.mask.requires_grad


@pytest.mark.parametrize("kind", SELECTORS)
@pytest.mark.parametrize("training", [True, False])
def test_fixed_units_cannot_be_selected_and_get_no_gradient(kind, training):
    selector = kind(width=2).train(training)
    h = torch.randn(6, 2, requires_grad=True)
    batch = texts(fixed=(0, 4))
    rationale = selector(h, batch)
    assert rationale.mask[batch.fixed].tolist() == [0, 0]
    assert rationale.scores[batch.fixed].tolist() == [-math.inf] * 2
    assert rationale.scores[~batch.fixed].isfinite().all()
    assert rationale.ptr is batch.ptr
    if training:
        rationale.mask.sum().backward()
        assert not h.grad[batch.fixed].any()
        assert (h.grad[~batch.fixed] != 0).any(1).all()


@pytest.mark.parametrize("kind", SELECTORS)
@pytest.mark.parametrize("training", [True, False])
def test_examples_without_units_are_examples(kind, training):
    h = torch.zeros(0, 2)
    batch = Packed(units=torch.zeros(0, dtype=torch.long), ptr=torch.tensor([0, 0, 0]))
    rationale = kind(width=2).train(training)(h, batch)
    assert rationale.mask.shape == rationale.scores.shape == (0,)
    assert rationale.share().tolist() == [0, 0]


# Draws


@pytest.mark.parametrize("kind", SELECTORS)
@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("logit", [-2.0, 0.0, 0.7])
def test_units_are_selected_at_the_rate_of_their_sigmoid(kind, temperature, logit):
    n = 20_000
    mask = kind(width=1, temperature=temperature).sample(torch.full((n,), logit))
    rate = 1 / (1 + math.exp(-logit))
    # Four standard errors of a binomial.
    assert (mask > 0.5).double().mean().item() == pytest.approx(rate, abs=4 * math.sqrt(rate * (1 - rate) / n))


def test_soft_masks_follow_the_binary_concrete_distribution():
    n, logit, temperature = 20_000, 0.4, 0.7
    mask = SoftGumbel(width=1, temperature=temperature).sample(torch.full((n,), logit, dtype=torch.float64))
    # P(m ≤ x) = σ(τ·logit(x) − s) (Maddison et al., 2017), so these are uniform; 1.95/√n is Kolmogorov's bound at p = .001.
    uniform = torch.sigmoid(temperature * torch.logit(mask) - logit).sort().values
    grid = torch.arange(n + 1, dtype=torch.float64) / n
    distance = torch.maximum((uniform - grid[:-1]).abs(), (grid[1:] - uniform).abs()).max()
    assert distance < 1.95 / math.sqrt(n)


def test_units_are_drawn_independently():
    draws = torch.stack([StraightThroughGumbel(width=1).sample(torch.zeros(4)) for _ in range(4000)])
    correlation = torch.corrcoef(draws.T) - torch.eye(4)
    assert correlation.abs().max() < 4 / math.sqrt(4000)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_draws_are_masks_of_the_same_dtype(dtype):
    logits = 4 * torch.randn(5000).to(dtype)
    soft, hard = (kind(width=1).sample(logits) for kind in SELECTORS)
    assert soft.dtype == hard.dtype == dtype
    assert ((soft >= 0) & (soft <= 1)).all()
    assert set(hard.tolist()) == {0.0, 1.0}  # exactly


def test_a_low_temperature_hardens_and_a_high_one_blurs():
    logits = torch.randn(1000)
    cold, hot = (seeded(lambda t=t: SoftGumbel(width=1, temperature=t).sample(logits)) for t in (0.01, 50.0))
    assert ((cold < 0.01) | (cold > 0.99)).float().mean() > 0.9
    assert (hot - 0.5).abs().max() < 0.2
    assert (cold > 0.5).equal(hot > 0.5)  # the same noise decides the same


def test_straight_through_rounds_forward_and_passes_the_soft_gradient():
    logits = torch.randn(50, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(50, dtype=torch.float64)
    soft = seeded(lambda: SoftGumbel(width=1, temperature=0.7).sample(logits))
    hard = seeded(lambda: StraightThroughGumbel(width=1, temperature=0.7).sample(logits))
    assert hard.equal((soft > 0.5).double())
    assert hard.equal(((soft > 0.5).double() - soft).detach() + soft)
    ours, theirs = (torch.autograd.grad((weight * mask).sum(), logits)[0] for mask in (hard, soft))
    assert ours.equal(theirs)
    torch.testing.assert_close(ours, weight * (soft * (1 - soft) / 0.7).detach())


def test_training_draws_anew_and_a_seed_draws_the_same():
    selector, h = SoftGumbel(width=2).train(), torch.randn(6, 2)
    masks = [seeded(lambda: selector(h, texts()).mask, seed) for seed in (1, 1, 2)]
    assert masks[0].equal(masks[1])
    assert not masks[0].equal(masks[2])


def test_the_noise_is_on_the_mask_and_not_on_the_scores():
    selector, h = StraightThroughGumbel(width=2).train(), torch.randn(6, 2)
    assert selector(h, texts()).scores.equal(selector.eval()(h, texts()).scores)


def test_dropout_acts_on_the_states_in_training_only():
    selector, h = SoftGumbel(width=64, dropout=0.5).train(), torch.randn(6, 64)
    assert not selector(h, texts()).scores.equal(selector(h, texts()).scores)
    selector.eval()
    assert selector(h, texts()).scores.equal(selector(h, texts()).scores)


@pytest.mark.parametrize("temperature", [0.0, -1.0])
@pytest.mark.parametrize("kind", SELECTORS)
def test_a_temperature_that_is_not_positive_is_named(kind, temperature):
    with pytest.raises(ValueError, match=f"'temperature' must be positive, got {temperature}"):
        kind(width=1, temperature=temperature)
