"""Laws of a selection."""

from itertools import pairwise

import pytest
import torch

from rationalizers.rationale import Rationale, select_all
from rationalizers.segment import lengths, offsets

SIZES = (5, 0, 1, 4, 3)


def drawn(seed, *, sizes=SIZES, soft=False, fixed=0.3):
    generator = torch.Generator().manual_seed(seed)
    n = sum(sizes)
    hidden = torch.rand(n, generator=generator) < fixed
    mask = torch.rand(n, generator=generator)
    mask = mask if soft else (mask > 0.5).float()
    scores = torch.randint(0, 3, (n,), generator=generator).float()  # with ties
    return Rationale(scores.masked_fill(hidden, -torch.inf), mask.masked_fill(hidden, 0.0), offsets(torch.tensor(sizes)))


def of(mask, sizes, scores=None):
    mask = torch.tensor(mask, dtype=torch.float32)
    scores = mask.clone() if scores is None else torch.tensor(scores, dtype=torch.float32)
    return Rationale(scores, mask, offsets(torch.tensor(sizes)))


# Adding up


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_kept_and_dropped_make_the_selectable_whole(soft, seed):
    rationale = drawn(seed, soft=soft)
    torch.testing.assert_close(rationale.size() + rationale.complement().size(), rationale.selectable_size())
    torch.testing.assert_close(rationale.mask + rationale.complement().mask, rationale.selectable.float())


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_complement_twice_is_the_identity(soft, seed):
    rationale = drawn(seed, soft=soft)
    twice = rationale.complement().complement()
    torch.testing.assert_close(twice.mask, rationale.mask, atol=1e-7 if soft else 0, rtol=0)
    assert twice.scores.equal(rationale.scores)
    assert twice.ptr.equal(rationale.ptr)


def test_a_complement_leaves_fixed_units_alone():
    rationale = of([0, 1, 0], [3], scores=[-torch.inf, 2, 1])
    assert rationale.complement().mask.tolist() == [0, 0, 1]
    assert rationale.selectable.tolist() == [False, True, True]


def test_size_and_share_of_each_example():
    rationale = of([1, 0, 1, 0.5, 0, 0, 0], [4, 0, 1, 2], scores=[1, 1, 1, 1, 1, -torch.inf, -torch.inf])
    assert rationale.size().tolist() == [2.5, 0, 0, 0]
    assert rationale.selectable_size().tolist() == [4, 0, 1, 0]
    assert rationale.share().tolist() == [0.625, 0, 0, 0]


def test_share_of_nothing_has_a_finite_gradient():
    mask = torch.zeros(2, requires_grad=True)
    rationale = Rationale(torch.full((2,), -torch.inf), mask, torch.tensor([0, 0, 2]))
    rationale.share().sum().backward()
    assert mask.grad.isfinite().all()


def test_half_is_not_selected():
    assert of([0.4, 0.5, 0.6], [3]).selected.tolist() == [False, False, True]


# Transitions


@pytest.mark.parametrize(
    ("mask", "sizes", "scores", "expected"),
    [
        ([1, 0, 1, 1], [4], None, [2 / 3]),
        ([1, 1, 1], [3], None, [0]),
        ([0, 0.25, 1], [3], None, [0.5]),
        ([1], [1], None, [0]),
        ([], [0], None, [0]),
        ([1, 1, 0, 0], [2, 2], None, [0, 0]),  # the step lies between two examples
        ([1, 0, 1, 0], [2, 0, 1, 1], None, [1, 0, 0, 0]),  # one pair in one of four examples
        ([0, 1, 1, 0, 1], [5], [-torch.inf, 0, 0, 0, -torch.inf], [0.5]),  # 1 1 0 between fixed units: one of two pairs
        ([1, 0, 1], [3], [0, -torch.inf, 0], [0]),  # no selectable neighbours
    ],
)
def test_transitions_by_hand(mask, sizes, scores, expected):
    scores = [0] * len(mask) if scores is None else scores
    assert of(mask, sizes, scores).transitions().tolist() == pytest.approx(expected)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_transitions_of_a_complement_are_the_same(soft, seed):
    rationale = drawn(seed, soft=soft)
    torch.testing.assert_close(rationale.transitions(), rationale.complement().transitions())


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_transitions_do_not_depend_on_company(soft, seed):
    rationale = drawn(seed, soft=soft)
    alone = []
    for start, end in pairwise(rationale.ptr.tolist()):
        part = Rationale(rationale.scores[start:end], rationale.mask[start:end], torch.tensor([0, end - start]))
        alone.append(part.transitions())
    assert all(each.isfinite().all() for each in alone)
    torch.testing.assert_close(rationale.transitions(), torch.cat(alone))


@pytest.mark.parametrize("seed", range(3))
def test_transitions_have_a_finite_gradient_and_none_of_fixed_units(seed):
    rationale = drawn(seed, soft=True)
    mask = rationale.mask.requires_grad_()
    rationale.transitions().sum().backward()
    assert mask.grad.isfinite().all()
    assert mask.grad.any()
    assert not mask.grad[~rationale.selectable].any()


def test_transitions_of_nothing_have_a_finite_gradient():
    mask = torch.zeros(2, requires_grad=True)
    Rationale(torch.full((2,), -torch.inf), mask, torch.tensor([0, 0, 2])).transitions().sum().backward()
    assert mask.grad.tolist() == [0, 0]


# Runs


@pytest.mark.parametrize(
    ("mask", "sizes", "spans"),
    [
        ([1, 1, 1, 1], [2, 2], [[0, 0, 2], [1, 0, 2]]),  # whole examples that touch
        ([0, 1, 1, 0], [2, 2], [[0, 1, 2], [1, 0, 1]]),  # runs that touch across a border
        ([1, 0, 1, 1], [4], [[0, 0, 1], [0, 2, 4]]),
        ([1, 1], [0, 1, 0, 1, 0], [[1, 0, 1], [3, 0, 1]]),  # single units between empty examples
        ([0, 0, 0], [1, 2], []),
        ([], [0, 0], []),
    ],
)
def test_spans_are_runs_within_examples(mask, sizes, spans):
    found = of(mask, sizes).spans()
    assert found.shape == (len(spans), 3)
    assert found.tolist() == spans


@pytest.mark.parametrize("seed", range(5))
def test_spans_cover_exactly_the_selected_units(seed):
    rationale = drawn(seed)
    covered = torch.zeros(sum(SIZES))
    for example, start, end in rationale.spans().tolist():
        base = int(rationale.ptr[example])
        assert base + end <= rationale.ptr[example + 1]
        covered[base + start : base + end] += 1
    assert covered.equal(rationale.mask)


# Top k


def test_ties_are_taken_in_order():
    rationale = of([0] * 7, [4, 3], scores=[1, 2, 2, 2, 0, 0, 0])
    assert rationale.topk(torch.tensor([2, 1])).mask.tolist() == [0, 1, 1, 0, 1, 0, 0]


def test_more_than_there_is_takes_all_that_can_be_selected():
    rationale = of([0] * 6, [3, 0, 1, 2], scores=[-torch.inf, 3, -9, 0, -torch.inf, -torch.inf])
    assert rationale.topk(torch.full((4,), 10)).mask.tolist() == [0, 1, 1, 1, 0, 0]
    assert rationale.topk(torch.zeros(4, dtype=torch.long)).mask.tolist() == [0] * 6


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", range(6))
def test_topk_takes_exactly_the_best(seed, k):
    rationale = drawn(seed)
    top = rationale.topk(torch.full((len(SIZES),), k))
    assert top.size().equal(rationale.selectable_size().clamp(max=k))
    assert not top.mask[~rationale.selectable].any()
    for start, end in zip(rationale.ptr[:-1].tolist(), rationale.ptr[1:].tolist(), strict=True):
        scores, chosen = rationale.scores[start:end], top.selected[start:end]
        free = rationale.selectable[start:end]
        if chosen.any() and (free & ~chosen).any():
            assert scores[chosen].min() >= scores[free & ~chosen].max()
    assert top.scores is rationale.scores


def test_topk_does_not_depend_on_company():
    rationale = drawn(3)
    top = rationale.topk(torch.tensor([2, 1, 1, 3, 1]))
    rows = slice(int(rationale.ptr[3]), int(rationale.ptr[4]))
    alone = Rationale(rationale.scores[rows], rationale.mask[rows], torch.tensor([0, 4])).topk(torch.tensor([3]))
    assert alone.mask.equal(top.mask[rows])


def test_topk_passes_its_gradient_straight_through_to_the_scores():
    scores = torch.tensor([3.0, -torch.inf, 1.0, 2.0, 5.0], dtype=torch.float64, requires_grad=True)
    mask = torch.zeros(5, requires_grad=True)
    top = Rationale(scores, mask, torch.tensor([0, 4, 5])).topk(torch.tensor([2, 0]))
    assert top.mask.tolist() == [1, 0, 0, 1, 0]
    assert top.mask.dtype == torch.float32
    (top.mask * torch.arange(1.0, 6.0)).sum().backward()
    assert scores.grad.tolist() == [1, 0, 3, 4, 5]  # whether chosen or not, unless it cannot be
    assert mask.grad is None


def test_a_count_for_every_example_is_needed():
    with pytest.raises(ValueError, match=r"'k' must be \[B=5\], got \(1,\)"):
        drawn(0).topk(torch.tensor([2]))


# The rest


def test_select_all_takes_what_is_not_fixed():
    fixed = torch.tensor([True, False, False])
    rationale = select_all(fixed, torch.tensor([0, 0, 3]))
    assert rationale.mask.tolist() == [0, 1, 1]
    assert rationale.selectable.tolist() == [False, True, True]
    assert rationale.scores[1] == rationale.scores[2]
    assert rationale.share().tolist() == [0, 1]
    assert rationale.complement().size().tolist() == [0, 0]


def test_gradient_reaches_the_mask_of_its_own_example_and_stops_at_detach():
    mask = torch.rand(5, requires_grad=True)
    rationale = Rationale(torch.randn(5, requires_grad=True), mask, torch.tensor([0, 2, 5]))
    rationale.share()[1].backward()
    torch.testing.assert_close(mask.grad, torch.tensor([0, 0, 1 / 3, 1 / 3, 1 / 3]))
    apart = rationale.detach()
    assert not apart.mask.requires_grad
    assert not apart.scores.requires_grad
    assert apart.mask.equal(mask)


def test_the_dtype_is_that_of_the_mask():
    rationale = Rationale(torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64), torch.tensor([0, 3]))
    for found in (rationale.share(), rationale.complement().mask, rationale.topk(lengths(rationale.ptr)).mask):
        assert found.dtype == torch.float64


@pytest.mark.parametrize(
    ("scores", "mask", "ptr", "message"),
    [
        (torch.zeros(3), torch.zeros(2), torch.tensor([0, 3]), r"'scores' and 'mask' must both be \[N\], got \(3,\) and \(2,\)"),
        (torch.zeros(3, 1), torch.zeros(3, 1), torch.tensor([0, 3]), "'scores' and 'mask' must both be"),
        (torch.zeros(3), torch.zeros(3), torch.tensor(3), r"'ptr' must be \[B\+1\], got \(\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(scores, mask, ptr, message):
    with pytest.raises(ValueError, match=message):
        Rationale(scores, mask, ptr)
