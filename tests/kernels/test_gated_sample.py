"""Masks drawn from gates: the formulas by loops, the gradients by autograd, and the laws of the draws."""

import math
from itertools import pairwise

import pytest
import torch

from rationalizers.kernels.gated_sample import (
    CONCRETE,
    HARDKUMA,
    STRAIGHT_THROUGH,
    _gated_sample,
    _gated_sample_backward,
    concrete_sample,
    gated_sample_reference,
    hardkuma_sample,
    straight_through_sample,
)
from rationalizers.kernels.philox import uniform

CPU = torch.device("cpu")
SEED = torch.tensor(11)
TEMPERATURE = 0.7
GATES = {"concrete": CONCRETE, "straight through": STRAIGHT_THROUGH, "hardkuma": HARDKUMA}
EVERY_GATE = pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
LOGISTIC = pytest.mark.parametrize("sample", [concrete_sample, straight_through_sample])
# Empty at both sides and in between, of one unit, and of one unit that is fixed.
PTR = torch.tensor([0, 0, 6, 7, 7, 12, 14, 15, 17, 17])
FIXED = torch.tensor([place in (0, 3, 10, 12, 13, 14) for place in range(17)])
N, B = 17, 9


def parameters(gate, dtype=torch.float64, *, n=N):
    drawn = torch.randn(2 if gate == HARDKUMA else 1, n, dtype=torch.float64)
    return (drawn.exp() if gate == HARDKUMA else drawn).to(dtype).requires_grad_()


def draw(gate, given, ptr=PTR, seed=SEED, *, fixed=FIXED, temperature=TEMPERATURE):
    """The public function of a gate, of parameters ``[1 or 2, N]``."""
    if gate == HARDKUMA:
        return hardkuma_sample(*given, ptr, seed, fixed=fixed)
    sample = concrete_sample if gate == CONCRETE else straight_through_sample
    return sample(given[0], ptr, seed, fixed=fixed, temperature=temperature)


def free(n):
    return {"ptr": torch.tensor([0, n]), "fixed": torch.zeros(n, dtype=torch.bool)}


def loop(gate, given, ptr, seed, fixed, temperature):
    noise = uniform(seed, given.shape[1], device=CPU).tolist()
    mask, counted = [], []
    for u, hidden, *numbers in zip(noise, fixed.tolist(), *given.tolist(), strict=True):
        if gate == HARDKUMA:
            a, b = numbers
            k = (1 - (1 - (0.001 + 0.998 * u)) ** (1 / b)) ** (1 / a)
            m = min(1.0, max(0.0, 1.2 * k - 0.1))
            q = (1 - (1 / 12) ** a) ** b
        else:
            m = 1 / (1 + math.exp(-(numbers[0] + math.log(u / (1 - u))) / temperature))
            m = q = m if gate == CONCRETE else float(m > 0.5)
        mask.append(0.0 if hidden else m)
        counted.append(q)
    share, transitions = [], []
    for start, end in pairwise(ptr.tolist()):
        units = [unit for unit in range(start, end) if not fixed[unit]]
        share.append(sum(counted[unit] for unit in units) / max(1, len(units)))
        pairs = [(counted[unit - 1], counted[unit]) for unit in units if unit - 1 in units]
        changes = [p * (1 - q) + q * (1 - p) if gate == HARDKUMA else abs(p - q) for p, q in pairs]
        transitions.append(sum(changes) / max(1, len(pairs)))
    return mask, share, transitions


def assert_follows(ours, expected, **tolerance):
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, torch.as_tensor(other, dtype=one.dtype), **tolerance)


# Values


@EVERY_GATE
@pytest.mark.parametrize("seed", range(5))
def test_values_are_those_of_a_loop(gate, seed):
    torch.manual_seed(seed)
    given, seed = parameters(gate).detach(), torch.randint(2**62, ())
    assert_follows(draw(gate, given, seed=seed), loop(gate, given, PTR, seed, FIXED, TEMPERATURE))


@EVERY_GATE
def test_single_precision_is_close_to_double(gate):
    given = parameters(gate, torch.float32, n=4000).detach()
    ptr, fixed = torch.tensor([0, 100, 4000]), torch.rand(4000) < 0.2
    ours = draw(gate, given, ptr, fixed=fixed)
    assert all(each.dtype == torch.float32 for each in ours)
    assert_follows(ours, draw(gate, given.double(), ptr, fixed=fixed), rtol=1e-4, atol=1e-5)


def test_by_hand(monkeypatch):
    monkeypatch.setattr(
        "rationalizers.kernels.gated_sample.uniform", lambda *_, **__: torch.tensor([0.5, 0.8, 0.5, 0.2, 0.5, 0.9])
    )
    ptr, fixed = torch.tensor([0, 4, 4, 6]), torch.tensor([False, False, False, False, True, False])
    logits = torch.tensor([0.0, 0.0, math.log(3), 0.0, 5.0, 0.0])
    # At τ = 1 and with a logit of zero the mask is the noise itself.
    soft = concrete_sample(logits, ptr, SEED, fixed=fixed, temperature=1.0)
    assert_follows(soft, ([0.5, 0.8, 0.75, 0.2, 0.0, 0.9], [2.25 / 4, 0, 0.9], [(0.3 + 0.05 + 0.55) / 3, 0, 0]))
    # At τ = ½ the odds are squared: 16 : 1 at u = .8, 9 : 1, 1 : 16, 81 : 1.
    soft = concrete_sample(logits, ptr, SEED, fixed=fixed, temperature=0.5)
    assert_follows(soft[:1], [[0.5, 16 / 17, 0.9, 1 / 17, 0.0, 81 / 82]])
    hard = straight_through_sample(logits, ptr, SEED, fixed=fixed, temperature=0.5)
    assert [each.tolist() for each in hard] == [[0, 1, 1, 0, 0, 1], [0.5, 0, 1], [pytest.approx(2 / 3), 0, 0]]
    # With a = b = 1 the distribution is uniform: k is the noise, and P(m ≠ 0) is 11/12.
    one = torch.ones(6)
    kuma = hardkuma_sample(one, one, ptr, SEED, fixed=fixed)
    k = [0.001 + 0.998 * u for u in (0.5, 0.8, 0.5, 0.2, 0.5, 0.9)]
    mask = [1.2 * each - 0.1 for each in k]
    assert_follows(kuma, ([*mask[:4], 0.0, mask[5]], [11 / 12, 0, 11 / 12], [22 / 144, 0, 0]))


def test_hardkuma_reaches_both_ends(monkeypatch):
    monkeypatch.setattr(
        "rationalizers.kernels.gated_sample.uniform", lambda *_, **__: torch.tensor([0.01, 0.08, 0.09, 0.91, 0.92])
    )
    one = torch.ones(5)
    mask = hardkuma_sample(one, one, torch.tensor([0, 5]), SEED, fixed=torch.zeros(5, dtype=torch.bool)).mask
    assert mask[:2].tolist() == [0, 0]  # k below 1/12
    assert 0 < mask[2] < mask[3] < 1
    assert mask[4] == 1  # and above 11/12


@EVERY_GATE
def test_fixed_units_are_neither_drawn_nor_counted(gate):
    given = parameters(gate).detach()
    first = draw(gate, given)
    changed = given.clone()
    changed[:, FIXED] = 3.0
    assert_follows(draw(gate, changed), first, rtol=0, atol=0)
    assert not first.mask[FIXED].any()
    assert not draw(gate, given, fixed=torch.ones_like(FIXED)).share.any()
    assert not draw(gate, given, fixed=torch.ones_like(FIXED)).transitions.any()


# Gradients


@EVERY_GATE
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_gradients_are_those_of_autograd_through_the_definition(gate, dtype, seed):
    torch.manual_seed(seed)
    given, seed = parameters(gate, dtype), torch.tensor(seed)
    upstream = [torch.randn(size, dtype=dtype) for size in (N, B, B)]
    ours = draw(gate, given, seed=seed)
    *theirs, _ = gated_sample_reference(given, PTR, seed, FIXED, gate, TEMPERATURE)
    assert_follows(ours, theirs, rtol=0, atol=0)
    # Of everything, and of each result alone, where the gradients of the others are missing.
    for wanted in (slice(0, 3), slice(0, 1), slice(1, 2), slice(2, 3)):
        one, other = (torch.autograd.grad(each[wanted], given, upstream[wanted], retain_graph=True)[0] for each in (ours, theirs))
        torch.testing.assert_close(one, other)
        assert other.any()
        assert not one[:, FIXED].any()


def test_gradients_of_concrete_are_those_of_finite_differences():
    (logits,) = parameters(CONCRETE)
    logits = logits.detach().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda logits: concrete_sample(logits, PTR, SEED, fixed=FIXED, temperature=TEMPERATURE), (logits,)
    )


def test_gradients_of_hardkuma_are_those_of_finite_differences():
    a, b = (each.detach().requires_grad_() for each in parameters(HARDKUMA))
    mask = hardkuma_sample(a, b, PTR, SEED, fixed=FIXED).mask[~FIXED]
    assert ((mask > 0) & (mask < 1)).any()
    assert ((mask == 0) | (mask == 1)).any()
    assert torch.autograd.gradcheck(lambda a, b: hardkuma_sample(a, b, PTR, SEED, fixed=FIXED), (a, b))


def test_a_mask_at_an_end_has_no_gradient_but_its_share_has():
    given = parameters(HARDKUMA, n=200)
    drawn = draw(HARDKUMA, given, **free(200))
    (gradient,) = torch.autograd.grad(drawn.mask.sum(), given, retain_graph=True)
    inside = (drawn.mask > 0) & (drawn.mask < 1)
    assert 20 < inside.sum() < 180
    assert (gradient[:, inside] != 0).all()
    assert not gradient[:, ~inside].any()
    assert (torch.autograd.grad(drawn.share.sum(), given)[0] != 0).any(0).all()


def test_straight_through_rounds_forward_and_passes_the_soft_gradient():
    logits = torch.randn(50, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(50, dtype=torch.float64)
    soft, hard = (draw(gate, logits[None], **free(50)).mask for gate in (CONCRETE, STRAIGHT_THROUGH))
    assert hard.equal((soft > 0.5).double())
    expected = ((soft > 0.5).double() - soft).detach() + soft
    torch.testing.assert_close(hard, expected)
    ours, theirs = (
        torch.autograd.grad((weight * mask).square().sum(), logits, retain_graph=True)[0] for mask in (hard, expected)
    )
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(ours, (2 * weight.square() * hard * soft * (1 - soft) / TEMPERATURE).detach())


def test_what_a_hard_mask_counts_is_differentiated_like_its_mask():
    (logits,) = parameters(STRAIGHT_THROUGH)
    logits = logits.detach().requires_grad_()
    mask, share, transitions = draw(STRAIGHT_THROUGH, logits[None])
    step = (mask[1:] - mask[:-1]).abs()[7:9].sum() / 2  # 7, 8, 9 are the neighbours of the example [7, 12)
    assert transitions[4] == step
    assert share[4] == mask[7:12].sum() / 4
    for value, expected in ((transitions[4], step), (share[4], mask[7:12].sum() / 4)):
        ours, theirs = (torch.autograd.grad(each, logits, retain_graph=True)[0] for each in (value, expected))
        torch.testing.assert_close(ours, theirs)


@EVERY_GATE
def test_a_second_derivative_is_refused(gate):
    given = parameters(gate)
    (gradient,) = torch.autograd.grad(draw(gate, given).share.sum(), given, create_graph=True)
    with pytest.raises(RuntimeError, match="gated_sample_backward"):
        gradient.sum().backward()


@pytest.mark.parametrize(("a", "b"), [(1e-6, 1e-6), (1e-6, 100.0), (100.0, 1e-6), (100.0, 100.0), (1e-6, 1.0), (1.0, 1e-6)])
def test_hardkuma_is_finite_where_its_parameters_end(a, b):
    given = torch.tensor([[a] * 1000, [b] * 1000], requires_grad=True)
    drawn = draw(HARDKUMA, given, **free(1000))
    assert all(each.isfinite().all() for each in drawn)
    assert ((drawn.mask >= 0) & (drawn.mask <= 1)).all()
    (gradient,) = torch.autograd.grad([drawn.mask.sum(), drawn.share.sum(), drawn.transitions.sum()], given)
    assert gradient.isfinite().all()


@LOGISTIC
def test_certain_logits_are_certain_and_have_no_gradient(sample):
    logits = torch.tensor([1e4, -1e4, 1e4], requires_grad=True)
    drawn = sample(logits, SEED.new_tensor([0, 3]), SEED, fixed=torch.zeros(3, dtype=torch.bool), temperature=TEMPERATURE)
    assert drawn.mask.tolist() == [1, 0, 1]
    assert (drawn.share.item(), drawn.transitions.item()) == (pytest.approx(2 / 3), 1)
    drawn.mask.sum().backward()
    assert logits.grad.tolist() == [0, 0, 0]


# Seeds


@EVERY_GATE
def test_a_seed_draws_the_same_and_another_seed_another(gate):
    given = parameters(gate, n=100).detach()
    masks = [draw(gate, given, seed=torch.tensor(seed), **free(100)).mask for seed in (1, 1, 2, 1 + 2**40)]
    assert masks[0].equal(masks[1])
    assert not masks[0].equal(masks[2])
    assert not masks[0].equal(masks[3])


@EVERY_GATE
def test_the_generator_of_torch_is_left_alone(gate):
    given, state = parameters(gate).detach(), torch.get_rng_state()
    draw(gate, given)
    assert torch.get_rng_state().equal(state)


@EVERY_GATE
def test_how_units_are_cut_into_examples_does_not_change_what_is_drawn(gate):
    given = parameters(gate).detach()
    masks = [draw(gate, given, torch.tensor(ptr)).mask for ptr in ([0, 17], [0, 0, 3, 17], list(range(18)))]
    for mask in masks:
        assert mask.equal(draw(gate, given).mask)


@EVERY_GATE
def test_a_longer_batch_begins_with_the_draws_of_a_shorter_one(gate):
    given = parameters(gate).detach()
    whole, part = draw(gate, given), draw(gate, given[:, :12], PTR[:6], fixed=FIXED[:12])
    assert part.mask.equal(whole.mask[:12])
    torch.testing.assert_close(part.share, whole.share[:5])
    torch.testing.assert_close(part.transitions, whole.transitions[:5])


# Laws of the draws


@LOGISTIC
@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("logit", [-2.0, 0.0, 0.7])
def test_units_are_selected_at_the_rate_of_their_sigmoid(sample, temperature, logit):
    n = 20_000
    drawn = sample(torch.full((n,), logit), seed=SEED, temperature=temperature, **free(n))
    rate = 1 / (1 + math.exp(-logit))
    # Four standard errors of a binomial.
    assert (drawn.mask > 0.5).double().mean().item() == pytest.approx(rate, abs=4 * math.sqrt(rate * (1 - rate) / n))


def test_soft_masks_follow_the_binary_concrete_distribution():
    n, logit = 20_000, 0.4
    mask = draw(CONCRETE, torch.full((1, n), logit, dtype=torch.float64), **free(n)).mask
    # P(m ≤ x) = σ(τ·logit(x) − s) (Maddison et al., 2017), so these are uniform; 1.95/√n is Kolmogorov's bound at p = .001.
    ordered = torch.sigmoid(TEMPERATURE * torch.logit(mask) - logit).sort().values
    grid = torch.arange(n + 1, dtype=torch.float64) / n
    distance = torch.maximum((ordered - grid[:-1]).abs(), (grid[1:] - ordered).abs()).max()
    assert distance < 1.95 / math.sqrt(n)


@EVERY_GATE
def test_units_and_seeds_are_drawn_independently(gate):
    given = torch.ones(2, 32_000) if gate == HARDKUMA else torch.zeros(1, 32_000)
    neighbours = draw(gate, given, **free(32_000)).mask.view(4000, 8)
    seeds = torch.stack([draw(gate, given[:, :4000], seed=torch.tensor(seed), **free(4000)).mask for seed in range(8)], 1)
    for draws in (neighbours, seeds):
        correlation = torch.corrcoef(draws.T) - torch.eye(8)
        assert correlation.abs().max() < 4 / math.sqrt(4000)


@EVERY_GATE
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_draws_are_masks_of_the_same_dtype(gate, dtype):
    drawn = draw(gate, parameters(gate, dtype, n=5000), **free(5000))
    assert {each.dtype for each in drawn} == {dtype}
    assert ((drawn.mask >= 0) & (drawn.mask <= 1)).all()
    if gate == STRAIGHT_THROUGH:
        assert set(drawn.mask.tolist()) == {0.0, 1.0}  # exactly


def test_a_low_temperature_hardens_and_a_high_one_blurs():
    logits = torch.randn(1, 1000)
    cold, hot = (draw(CONCRETE, logits, **free(1000), temperature=temperature).mask for temperature in (0.01, 50.0))
    assert ((cold < 0.01) | (cold > 0.99)).float().mean() > 0.9
    assert (hot - 0.5).abs().max() < 0.2
    assert (cold > 0.5).equal(hot > 0.5)  # the same noise decides the same


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (0.5, 0.5), (2.0, 3.0), (0.3, 4.0), (3.0, 0.2), (5.0, 5.0)])
def test_hardkuma_is_zero_and_one_at_the_rates_of_its_closed_form(a, b):
    n = 50_000
    given = torch.tensor([[a], [b]], dtype=torch.float64).expand(2, n)
    mask = draw(HARDKUMA, given, **free(n)).mask
    for end, rate in ((0, 1 - (1 - (1 / 12) ** a) ** b), (1, (1 - (11 / 12) ** a) ** b)):
        # Noise from (.001, .999) instead of (0, 1).
        edged = min(1.0, max(0.0, (rate - 0.001) / 0.998))
        error = 4 * math.sqrt(edged * (1 - edged) / n)
        found = (mask == end).double().mean().item()
        assert found == pytest.approx(edged, abs=error)
        assert found == pytest.approx(rate, abs=error + 0.0011)


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (0.5, 0.5), (2.0, 3.0)])
def test_hardkuma_follows_the_kumaraswamy_distribution_in_between(a, b):
    n = 20_000
    given = torch.tensor([[a], [b]], dtype=torch.float64).expand(2, n)
    mask = draw(HARDKUMA, given, **free(n)).mask.sort().values
    # P(k ≤ x) = 1 − (1 − x^a)^b; where m is in between, its rank is what this says of k, up to Kolmogorov's bound and the edge.
    law = 1 - (1 - ((mask + 0.1) / 1.2) ** a) ** b
    rank = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    inside = (mask > 0) & (mask < 1)
    assert inside.sum() > 2000
    assert (law - rank)[inside].abs().max() < 1.95 / math.sqrt(n) + 0.0011


def test_what_hardkuma_expects_does_not_depend_on_the_seed():
    given = parameters(HARDKUMA).detach()
    draws = [draw(HARDKUMA, given, seed=torch.tensor(seed)) for seed in range(5)]
    for other in draws[1:]:
        assert not other.mask.equal(draws[0].mask)
        assert other.share.equal(draws[0].share)
        assert other.transitions.equal(draws[0].transitions)


def test_what_hardkuma_expects_is_what_it_draws_on_average():
    given = parameters(HARDKUMA).detach()
    shown = torch.stack([draw(HARDKUMA, given, seed=torch.tensor(seed)).mask != 0 for seed in range(1000)]).double()
    expected = draw(HARDKUMA, given)
    # The example [7, 12) has four selectable units of which three touch. Nothing in [0, 1] varies more than a fair coin.
    error = 4 * math.sqrt(0.25 / 1000) + 0.0011
    assert shown[:, 7:12].sum(1).mean().item() / 4 == pytest.approx(expected.share[4].item(), abs=error)
    steps = (shown[:, 8:10] != shown[:, 7:9]).double().mean().item()
    assert steps == pytest.approx(expected.transitions[4].item(), abs=error + 0.0022)


# What operators owe


@EVERY_GATE
def test_layout_in_memory_does_not_matter(gate):
    given = parameters(gate).detach()
    apart = [each.repeat_interleave(2)[::2].requires_grad_() for each in given]
    plain = [each.clone().requires_grad_() for each in given]
    ptr, fixed = (each.repeat_interleave(2)[::2] for each in (PTR, FIXED))
    assert not any(tensor.is_contiguous() for tensor in (*apart, ptr, fixed))
    ours, theirs = draw(gate, apart, ptr, fixed=fixed), draw(gate, plain)
    assert_follows(ours, theirs, rtol=0, atol=0)
    steps = [torch.randn(2 * size, dtype=torch.float64)[::2] for size in (N, B, B)]
    for one, other in zip(
        torch.autograd.grad(ours, apart, steps),
        torch.autograd.grad(theirs, plain, [step.contiguous() for step in steps]),
        strict=True,
    ):
        assert one.equal(other)


@EVERY_GATE
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_accumulated_in_float32(gate, dtype):
    n = 5000
    given = parameters(gate, dtype, n=n)
    wide = given.detach().float().requires_grad_()
    ours, theirs = (draw(gate, each, **free(n)) for each in (given, wide))
    assert_follows(ours, [each.to(dtype) for each in theirs], rtol=0, atol=0)
    upstream = torch.randn(n).to(dtype), torch.randn(1).to(dtype)
    (one,) = torch.autograd.grad(ours[:2], given, upstream)
    (other,) = torch.autograd.grad(theirs[:2], wide, [each.float() for each in upstream])
    assert one.equal(other.to(dtype))


@EVERY_GATE
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_has_the_transitions_of_float32(gate, dtype):
    given = parameters(gate, dtype)
    wide = given.detach().float().requires_grad_()
    one, other = (torch.autograd.grad(draw(gate, each).transitions.sum(), each)[0] for each in (given, wide))
    assert other.any()
    assert one.equal(other.to(dtype))


@EVERY_GATE
@pytest.mark.parametrize("examples", [0, 3])
def test_nothing_is_drawn_from_nothing(gate, examples):
    given = parameters(gate, torch.float32, n=0)
    drawn = draw(gate, given, torch.zeros(examples + 1, dtype=torch.long), fixed=torch.zeros(0, dtype=torch.bool))
    assert [each.tolist() for each in drawn] == [[], [0.0] * examples, [0.0] * examples]
    (gradient,) = torch.autograd.grad([each.sum() for each in drawn], given)
    assert gradient.shape == given.shape


@EVERY_GATE
def test_ops_keep_the_rules_of_torch(gate):
    given = parameters(gate, torch.float32)
    torch.library.opcheck(_gated_sample, (given, PTR, SEED, FIXED, gate, TEMPERATURE))
    torch.library.opcheck(_gated_sample, (given.detach().T.contiguous().T, PTR, SEED, FIXED, gate, TEMPERATURE))
    half = given.detach().bfloat16()
    torch.library.opcheck(_gated_sample, (half, PTR, SEED, FIXED, gate, TEMPERATURE))
    for each in (given.detach(), half):
        mask, share, transitions, counts = _gated_sample(each, PTR, SEED, FIXED, gate, TEMPERATURE)
        assert counts.dtype == torch.float32
        upstream = torch.randn_like(mask), torch.randn_like(share), torch.randn_like(transitions)
        torch.library.opcheck(_gated_sample_backward, (*upstream, each, mask, counts, PTR, SEED, FIXED, gate, TEMPERATURE))


def test_counts_of_units_and_pairs_by_hand():
    *_, counts = _gated_sample(parameters(CONCRETE), PTR, SEED, FIXED, CONCRETE, TEMPERATURE)
    assert counts.tolist() == [[0, 4, 1, 0, 4, 0, 0, 2, 0], [0, 2, 0, 0, 2, 0, 0, 1, 0]]
    assert not counts.requires_grad


@EVERY_GATE
def test_compilation_passes_through(gate):
    given = parameters(gate)

    def loss(given, seed):
        mask, share, transitions = draw(gate, given * 1.5, seed=seed)
        return (mask.square() * torch.arange(N)).sum() + (share - 0.3).abs().sum() + 2 * transitions.square().sum()

    expected = loss(given, SEED)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")(given, SEED)
    torch.testing.assert_close(compiled, expected)
    torch.testing.assert_close(*(torch.autograd.grad(each, given)[0] for each in (compiled, expected)))


def test_a_compiled_draw_draws_anew_with_every_seed():
    (logits,) = parameters(CONCRETE).detach()

    def mask(logits, seed):
        return concrete_sample(logits, PTR, seed, fixed=FIXED, temperature=TEMPERATURE).mask

    compiled = torch.compile(mask, fullgraph=True, backend="aot_eager")
    first, second = (compiled(logits, torch.tensor(seed)) for seed in (1, 2))
    assert not first.equal(second)
    assert first.equal(mask(logits, torch.tensor(1)))


# Errors

GIVEN = {"ptr": torch.tensor([0, 3]), "seed": SEED, "fixed": torch.zeros(3, dtype=torch.bool)}
WRONG = [
    ({"ptr": torch.tensor([0.0, 3.0])}, TypeError, "'ptr' must be int64, got torch.float32"),
    ({"ptr": torch.tensor([[0, 3]])}, ValueError, r"'ptr' must be the offsets \[B\+1\], got \(1, 2\)"),
    ({"ptr": torch.tensor([0, 2])}, ValueError, r"'ptr' must rise from 0 to the 3 units, got \[0, 2\]"),
    ({"ptr": torch.tensor([0, 2, 1, 3])}, ValueError, r"'ptr' must rise from 0 to the 3 units, got \[0, 2, 1, 3\]"),
    ({"seed": SEED.float()}, ValueError, r"'seed' must be an int64 scalar, got torch.float32 \(\); draw one"),
    ({"seed": SEED[None]}, ValueError, r"'seed' must be an int64 scalar, got torch.int64 \(1,\)"),
    ({"fixed": torch.zeros(3)}, TypeError, "'fixed' must be bool, got torch.float32"),
    ({"fixed": torch.zeros(2, dtype=torch.bool)}, ValueError, r"'fixed' must be \[N=3\], got \(2,\); give one number per unit"),
]


@LOGISTIC
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        *WRONG,
        ({"logits": torch.ones(3).long()}, TypeError, r"'logits' must be floating, got torch.int64; convert it with .float\("),
        ({"logits": torch.ones(3, 1)}, ValueError, r"'logits' must be \[N\], got \(3, 1\); give one number per unit"),
        ({"logits": torch.tensor(1.0)}, ValueError, r"'logits' must be \[N\], got \(\)"),
        ({"temperature": 0.0}, ValueError, "'temperature' must be positive, got 0.0"),
        ({"temperature": -1.0}, ValueError, "'temperature' must be positive, got -1.0"),
        ({"temperature": math.nan}, ValueError, "'temperature' must be positive, got nan"),
    ],
)
def test_what_does_not_fit_a_logistic_gate_is_named(sample, change, error, message):
    with pytest.raises(error, match=message):
        sample(**{"logits": torch.zeros(3), "temperature": TEMPERATURE, **GIVEN, **change})


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        *WRONG,
        ({"a": torch.ones(3).long()}, TypeError, "'a' must be floating, got torch.int64"),
        ({"b": torch.ones(3).long()}, TypeError, "'b' must be floating, got torch.int64"),
        ({"a": torch.ones(3, 1)}, ValueError, r"'a' must be \[N\], got \(3, 1\)"),
        ({"b": torch.ones(2)}, ValueError, r"'b' must be torch.float32 \(3,\) like 'a', got torch.float32 \(2,\)"),
        ({"b": torch.ones(3).double()}, ValueError, r"'b' must be torch.float32 \(3,\) like 'a', got torch.float64 \(3,\)"),
    ],
)
def test_what_does_not_fit_hardkuma_is_named(change, error, message):
    with pytest.raises(error, match=message):
        hardkuma_sample(**{"a": torch.ones(3), "b": torch.ones(3), **GIVEN, **change})
