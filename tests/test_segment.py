"""Reductions over packed segments, against plain loops over the examples."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rationalizers.segment import (
    lengths,
    members,
    neighbours,
    offsets,
    owners,
    segment_first,
    segment_last,
    segment_max,
    segment_mean,
    segment_rank,
    segment_runs,
    segment_sum,
    segment_transitions,
    starts,
)

SIZES = st.lists(st.integers(0, 4), min_size=1, max_size=6)
SEEDS = st.integers(0, 2**16)
WIDTHS = [(), (3,)]
law = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def pointers(sizes):
    return offsets(torch.tensor(sizes, dtype=torch.long))


def values(sizes, seed, *shape, levels=None):
    generator = torch.Generator().manual_seed(seed)
    if levels is None:
        return torch.randn(sum(sizes), *shape, generator=generator, dtype=torch.float64)
    return torch.randint(0, levels, (sum(sizes), *shape), generator=generator).double()


def parts(x, ptr):
    return [x[start:end] for start, end in pairwise(ptr.tolist())]


@law
@given(SIZES)
def test_offsets_and_lengths_undo_each_other(sizes):
    ptr = pointers(sizes)
    assert ptr.tolist() == [sum(sizes[:b]) for b in range(len(sizes) + 1)]
    assert lengths(ptr).tolist() == sizes


@law
@given(SIZES)
def test_every_unit_has_its_owner(sizes):
    assert owners(pointers(sizes), sum(sizes)).tolist() == [b for b, size in enumerate(sizes) for _ in range(size)]


@pytest.mark.parametrize("width", WIDTHS)
@law
@given(SIZES, SEEDS)
def test_sum_mean_and_max_are_those_of_each_example(width, sizes, seed):
    x, ptr = values(sizes, seed, *width), pointers(sizes)
    zero = torch.zeros(width, dtype=x.dtype)
    for reduce, one in ((segment_sum, torch.sum), (segment_mean, torch.mean), (segment_max, torch.amax)):
        expected = torch.stack([one(part, 0) if len(part) else zero for part in parts(x, ptr)])
        torch.testing.assert_close(reduce(x, ptr), expected)


@law
@given(SIZES, SEEDS)
def test_rank_is_a_stable_sort_of_each_example(sizes, seed):
    x, ptr = values(sizes, seed, levels=3), pointers(sizes)
    x[x == 2] = -torch.inf
    expected = []
    for part in parts(x, ptr):
        order = sorted(range(len(part)), key=lambda place, part=part: -part[place].item())
        expected += [order.index(place) for place in range(len(part))]
    assert segment_rank(x, ptr).tolist() == expected


@law
@given(SIZES, SEEDS)
def test_transitions_and_starts_stay_within_examples(sizes, seed):
    x, ptr = values(sizes, seed), pointers(sizes)
    expected, first = [], []
    for part in parts(x, ptr):
        expected += [0.0 if t == 0 else abs(part[t] - part[t - 1]).item() for t in range(len(part))]
        first += [t == 0 for t in range(len(part))]
    assert segment_transitions(x, ptr).tolist() == expected
    assert starts(ptr, len(x)).tolist() == first


@law
@given(SIZES, SEEDS)
def test_runs_are_maximal_ordered_and_within_examples(sizes, seed):
    mask, ptr = values(sizes, seed, levels=2).bool(), pointers(sizes)
    expected = []
    for start, end in pairwise(ptr.tolist()):
        previous = False
        for t in range(start, end):
            if mask[t] and previous:
                expected[-1][1] = t + 1
            elif mask[t]:
                expected.append([t, t + 1])
            previous = bool(mask[t])
    runs = segment_runs(mask, ptr)
    assert runs.shape == (len(expected), 2)
    assert runs.tolist() == expected


def test_runs_that_touch_a_border_stay_apart():
    ptr = torch.tensor([0, 2, 2, 5, 6])
    assert segment_runs(torch.ones(6), ptr).tolist() == [[0, 2], [2, 5], [5, 6]]
    assert segment_runs(torch.tensor([0, 1, 1, 0, 1, 1.0]), ptr).tolist() == [[1, 2], [2, 3], [4, 5], [5, 6]]
    assert segment_runs(torch.zeros(6), ptr).shape == (0, 2)


@pytest.mark.parametrize("size", [1, 3])
def test_examples_without_any_unit_reduce_to_zero(size):
    x, ptr = torch.zeros(0, 2, requires_grad=True), torch.zeros(size + 1, dtype=torch.long)
    for reduce in (segment_sum, segment_mean, segment_max):
        out = reduce(x, ptr)
        assert out.tolist() == [[0.0, 0.0]] * size
        out.sum().backward()
    assert x.grad.shape == (0, 2)
    flat = torch.zeros(0)
    for per_unit in (segment_rank, segment_transitions):
        assert per_unit(flat, ptr).shape == (0,)
    assert segment_runs(flat, ptr).shape == (0, 2)
    assert starts(ptr, 0).shape == owners(ptr, 0).shape == (0,)


def test_the_maximum_of_negative_values_is_negative():
    x = torch.tensor([[-3.0], [-2.0], [-5.0]])
    assert segment_max(x, torch.tensor([0, 2, 2, 3])).tolist() == [[-2.0], [0.0], [-5.0]]


def test_counts_stay_integers():
    ptr = torch.tensor([0, 2, 3])
    assert segment_sum(torch.tensor([1, 1, 5]), ptr).tolist() == [2, 5]
    assert segment_sum(torch.tensor([1, 1, 5]), ptr).dtype == torch.long


@pytest.mark.parametrize(
    ("reduce", "width"),
    [(segment_transitions, ()), *((reduce, width) for reduce in (segment_sum, segment_mean, segment_max) for width in WIDTHS)],
)
def test_gradients_are_those_of_finite_differences(reduce, width):
    sizes = (3, 0, 1, 4, 0)
    x = values(sizes, 1, *width).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: reduce(x, pointers(sizes)), x)


def test_gradient_of_the_maximum_is_finite_and_shared_by_ties():
    x = torch.tensor([1.0, 1.0, 0.0, -torch.inf], requires_grad=True)
    segment_max(x, torch.tensor([0, 3, 3, 4])).sum().backward()
    assert x.grad.tolist() == [0.5, 0.5, 0.0, 1.0]


def test_first_and_last_are_zero_where_there_is_none():
    x, ptr = torch.arange(1.0, 6)[:, None], torch.tensor([0, 0, 3, 5, 5])
    assert segment_first(x, ptr).flatten().tolist() == [0, 1, 4, 0]
    assert segment_last(x, ptr).flatten().tolist() == [0, 3, 5, 0]


def test_a_unit_only_moves_its_own_example():
    x, ptr = values((2, 3), 5, 2).requires_grad_(), pointers((2, 3))
    for reduce in (segment_sum, segment_mean, segment_max):
        (grad,) = torch.autograd.grad(reduce(x, ptr)[0].sum(), x)
        assert grad[:2].abs().sum() > 0
        assert not grad[2:].any()


def test_neighbours_are_pairs_of_true_units_within_an_example():
    mask = torch.tensor([1, 1, 0, 1, 1, 1, 1]).bool()
    assert neighbours(mask, torch.tensor([0, 0, 5, 5, 7])).long().tolist() == [0, 1, 0, 0, 1, 0, 1]
    assert neighbours(mask[:0], torch.tensor([0, 0])).shape == (0,)


def test_members_are_the_units_of_chosen_segments():
    place, unit = members(torch.tensor([2, 0, 1, 2]), torch.tensor([0, 2, 2, 5]))
    assert place.tolist() == [0, 0, 0, 1, 1, 3, 3, 3]
    assert unit.tolist() == [2, 3, 4, 0, 1, 2, 3, 4]
    none = torch.zeros(0, dtype=torch.long)
    assert [each.tolist() for each in members(none, torch.tensor([0, 3]))] == [[], []]
