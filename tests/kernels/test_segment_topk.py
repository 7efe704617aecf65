"""The best units of every example, against a sort of each."""

from itertools import pairwise

import pytest
import torch

from rationalizers.kernels.segment_topk import (
    _segment_topk,
    _segment_topk_backward,
    segment_topk,
    segment_topk_backward_reference,
    segment_topk_reference,
)

INF, NAN = torch.inf, torch.nan
PTR = torch.tensor([0, 0, 3, 4, 4, 9])  # empty at both sides and in between
K = torch.tensor([2, 2, 1, 0, 3])


def loop(scores, ptr, k):
    mask = torch.zeros_like(scores)
    for example, (start, end) in enumerate(pairwise(ptr.tolist())):
        values = scores[start:end].tolist()
        can = [place for place, value in enumerate(values) if value > -INF]
        for place in sorted(can, key=lambda place: -values[place])[: max(0, int(k[example]))]:
            mask[start + place] = 1
    return mask


def chosen(scores, k):
    return segment_topk(torch.tensor(scores), torch.tensor([0, len(scores)]), torch.tensor([k])).tolist()


@pytest.mark.parametrize(
    ("scores", "k", "mask"),
    [
        ([0.1, 0.3, 0.2], 2, [0, 1, 1]),
        ([1.0, 2.0, 2.0, 2.0], 2, [0, 1, 1, 0]),  # ties go to the first
        ([5.0, 5.0, 5.0], 1, [1, 0, 0]),
        ([0.0, -0.0, 0.0], 1, [1, 0, 0]),  # both zeros are one number
        ([-0.0, 0.0, -0.0], 2, [1, 1, 0]),
        ([1.0, 2.0], 0, [0, 0]),
        ([1.0, 2.0], -1, [0, 0]),
        ([1.0, 2.0], -(2**62), [0, 0]),
        ([1.0, 2.0], 3, [1, 1]),
        ([1.0, 2.0], 2**62, [1, 1]),
        ([-INF, 2.0, -INF, -9.0], 3, [0, 1, 0, 1]),  # fewer can be chosen than asked for
        ([-INF, -INF], 1, [0, 0]),
        ([NAN, 1.0, -1.0, NAN], 3, [0, 1, 1, 0]),
        ([NAN, -INF, NAN], 2, [0, 0, 0]),
        ([-NAN, 3.0, -INF, 4.0], 1, [0, 0, 0, 1]),
        ([1.0, INF, 2.0, INF], 1, [0, 1, 0, 0]),
        ([1.0, INF, 2.0, INF], 3, [0, 1, 1, 1]),
        ([torch.finfo(torch.float32).min, -INF], 2, [1, 0]),
        ([-1e-45, 1e-45, 0.0], 2, [0, 1, 1]),  # the smallest numbers there are
    ],
)
def test_by_hand(scores, k, mask):
    assert chosen(scores, k) == mask


def test_every_example_has_its_own_count():
    scores = torch.tensor([3.0, 1.0, 2.0, 9.0, 0.0, 4.0, 5.0, 5.0, 1.0])
    assert segment_topk(scores, PTR, K).tolist() == [1, 0, 1, 1, 0, 1, 1, 1, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_what_is_chosen_is_what_sorting_each_example_chooses(seed, dtype):
    torch.manual_seed(seed)
    ptr = torch.randint(0, 12, (20,)).cumsum(0)
    ptr = torch.cat([ptr.new_zeros(1), ptr])
    special = torch.tensor([-INF, NAN, INF, -0.0])
    scores = torch.randint(-3, 4, (int(ptr[-1]),)).float() / 2  # with ties
    scores = torch.where(torch.rand_like(scores) < 0.3, special[torch.randint(4, scores.shape)], scores).to(dtype)
    k = torch.randint(-1, 12, (20,))
    mask = segment_topk(scores, ptr, k)
    assert mask.dtype == dtype
    assert mask.equal(loop(scores, ptr, k))


def test_company_does_not_matter():
    scores = torch.randn(9)
    together = segment_topk(scores, PTR, K)
    alone = [segment_topk(scores[start:end], torch.tensor([0, end - start]), K[b : b + 1]) for b, (start, end) in pairs()]
    assert together.equal(torch.cat(alone))


def pairs():
    return enumerate(pairwise(PTR.tolist()))


def test_the_gradient_passes_straight_through():
    scores = torch.randn(9, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(9, dtype=torch.float64)
    ours = segment_topk(scores, PTR, K)
    theirs = (segment_topk_reference(scores, PTR, K) - scores).detach() + scores
    torch.testing.assert_close(ours, theirs)
    (one,), (other,) = (torch.autograd.grad((weight * mask).square().sum(), scores) for mask in (ours, theirs))
    torch.testing.assert_close(one, other)
    assert one[ours == 1].all()
    upstream = torch.randn(9, dtype=torch.float64)
    assert torch.autograd.grad(segment_topk(scores, PTR, K), scores, upstream)[0].equal(upstream)


@pytest.mark.parametrize("k", [-1, 0, 1, 5])
def test_what_cannot_be_chosen_gets_no_gradient(k):
    scores = torch.tensor([1.0, -INF, NAN, INF, -2.0], requires_grad=True)
    upstream = torch.tensor([1.0, 2.0, NAN, 4.0, 5.0])
    (gradient,) = torch.autograd.grad(segment_topk(scores, torch.tensor([0, 5]), torch.tensor([k])), scores, upstream)
    assert gradient.tolist() == [1.0, 0.0, 0.0, 4.0, 5.0]


def test_layout_in_memory_does_not_matter():
    scores = torch.randn(9, requires_grad=True)
    apart = scores.detach().repeat_interleave(2)[::2].requires_grad_()
    ptr, k = (each.repeat_interleave(2)[::2] for each in (PTR, K))
    assert not any(tensor.is_contiguous() for tensor in (apart, ptr, k))
    ours = segment_topk(apart, ptr, k)
    assert ours.equal(segment_topk(scores, PTR, K))
    upstream = torch.randn(9).repeat_interleave(2)[::2]
    assert torch.autograd.grad(ours, apart, upstream)[0].equal(upstream)
    assert torch.autograd.grad(segment_topk(scores, PTR, K).sum(), scores)[0].equal(torch.ones(9))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_what_it_is(dtype):
    scores = torch.randn(9).to(dtype).requires_grad_()
    mask = segment_topk(scores, PTR, K)
    assert mask.equal(segment_topk(scores.float(), PTR, K).to(dtype))
    (gradient,) = torch.autograd.grad(mask, scores, scores.detach())
    assert gradient.dtype == dtype
    assert gradient.equal(scores)


@pytest.mark.parametrize("examples", [0, 3])
def test_of_nothing_nothing_is_chosen(examples):
    scores = torch.zeros(0, requires_grad=True)
    ptr = torch.zeros(examples + 1, dtype=torch.long)
    mask = segment_topk(scores, ptr, torch.ones(examples, dtype=torch.long))
    assert mask.shape == (0,)
    assert torch.autograd.grad(mask.sum(), scores)[0].shape == (0,)


def test_ops_keep_the_rules_of_torch():
    scores = torch.tensor([1.0, -INF, 2.0, 2.0, NAN, 0.0, INF, -1.0, 0.5], requires_grad=True)
    torch.library.opcheck(_segment_topk, (scores, PTR, K))
    torch.library.opcheck(_segment_topk_backward, (torch.randn(9), scores.detach()))
    steps = torch.randn(18)[::2]
    torch.library.opcheck(_segment_topk, (steps, PTR, K))
    torch.library.opcheck(_segment_topk_backward, (steps, steps))


def test_the_backward_op_is_its_reference():
    scores = torch.randn(9).masked_fill(torch.rand(9) < 0.3, -INF)
    grad = torch.randn(9)
    assert _segment_topk_backward(grad, scores).equal(segment_topk_backward_reference(grad, scores))


def test_compilation_passes_through():
    scores = torch.randn(9, requires_grad=True)

    def loss(scores):
        return (segment_topk(2 * scores, PTR, K) * torch.arange(9)).square().sum()

    (expected,) = torch.autograd.grad(loss(scores), scores)
    (compiled,) = torch.autograd.grad(torch.compile(loss, fullgraph=True, backend="aot_eager")(scores), scores)
    assert expected.any()
    torch.testing.assert_close(compiled, expected)


@pytest.mark.parametrize(
    ("scores", "ptr", "k", "error", "message"),
    [
        (torch.ones(3).long(), [0, 3], [1], TypeError, r"'scores' must be floating, got torch.int64; convert it with .float\("),
        (torch.ones(3).bool(), [0, 3], [1], TypeError, "'scores' must be floating, got torch.bool"),
        (torch.ones(3), [0.0, 3.0], [1], TypeError, r"'ptr' must be int64, got torch.float32; convert it with .long\("),
        (torch.ones(3), [0, 3], [1.0], TypeError, "'k' must be int64, got torch.float32"),
        (torch.ones(3), [0, 3], [True], TypeError, "'k' must be int64, got torch.bool"),
        (torch.ones(3, 1), [0, 3], [1], ValueError, r"'scores' must be \[N\], got \(3, 1\); give one number per unit"),
        (torch.tensor(1.0), [0, 1], [1], ValueError, r"'scores' must be \[N\], got \(\)"),
        (torch.ones(3), [[0, 3]], [1], ValueError, r"'ptr' must be the offsets \[B\+1\], got \(1, 2\)"),
        (torch.ones(3), 3, [1], ValueError, r"'ptr' must be the offsets \[B\+1\], got \(\)"),
        (torch.ones(3), [0, 3], [1, 1], ValueError, r"'k' must be \[B=1\], got \(2,\); give one count per example"),
        (torch.ones(3), [0, 3], 1, ValueError, r"'k' must be \[B=1\], got \(\)"),
        (torch.ones(3), [0, 2], [1], ValueError, r"'ptr' must rise from 0 to the 3 units, got \[0, 2\]"),
        (torch.ones(3), [1, 3], [1], ValueError, r"'ptr' must rise from 0 to the 3 units, got \[1, 3\]"),
        (torch.ones(3), [0, 2, 1, 3], [1, 1, 1], ValueError, r"got \[0, 2, 1, 3\]"),
        (torch.ones(3), [0, 4], [1], ValueError, r"got \[0, 4\]"),
    ],
)
def test_what_does_not_fit_is_named(scores, ptr, k, error, message):
    with pytest.raises(error, match=message):
        segment_topk(scores, torch.tensor(ptr), torch.tensor(k))
