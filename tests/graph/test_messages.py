"""Sums along a sparse pattern, against a loop over its entries, `index_add` and finite differences."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.messages import Incidence, incidence, sum_rows

law = settings(max_examples=40, deadline=None, derandomize=True, database=None)
ROWS = st.integers(1, 5)


def drawn(sources, targets, entries, seed=0):
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(0, sources, (entries,), generator=generator)
    target = torch.randint(0, targets, (entries,), generator=generator)
    x = torch.randn(sources, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(entries, generator=generator, dtype=torch.float64, requires_grad=True)
    return source, target, x, weight


def reference(x, source, target, targets, weight=None):
    rows = x[source] if weight is None else weight[:, None] * x[source]
    return x.new_zeros(targets, x.shape[1]).index_add(0, target, rows)


def patterned(sources=4, targets=3, entries=9, seed=0):
    source, target, x, weight = drawn(sources, targets, entries, seed)
    return incidence(source, target, sources=sources, targets=targets), x, weight


def fields(pattern):
    return [getattr(pattern, name) for name in ("source", "source_ptr", "target", "target_ptr", "turn", "turn_back")]


def test_what_is_summed_where():
    x = torch.tensor([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    pattern = incidence(torch.tensor([2, 0, 2, 1]), torch.tensor([3, 0, 0, 3]), sources=3, targets=4)
    assert sum_rows(x, pattern).tolist() == [[5.0, 50.0], [0.0, 0.0], [0.0, 0.0], [6.0, 60.0]]
    weight = torch.tensor([1.0, 2.0, 3.0, -1.0])
    assert sum_rows(x, pattern, weight=weight).tolist() == [[14.0, 140.0], [0.0, 0.0], [0.0, 0.0], [2.0, 20.0]]


@pytest.mark.parametrize("weighted", [False, True])
@law
@given(ROWS, ROWS, st.integers(0, 12), st.integers(0, 2**16))
def test_values_and_gradients_are_those_of_the_reference(weighted, sources, targets, entries, seed):
    source, target, x, weight = drawn(sources, targets, entries, seed)
    inputs = (x, weight) if weighted else (x,)
    pattern = incidence(source, target, sources=sources, targets=targets)
    ours = sum_rows(x, pattern, weight=weight if weighted else None)
    theirs = reference(x, source, target, targets, weight if weighted else None)
    torch.testing.assert_close(ours, theirs)
    grad = torch.randn(targets, 3, dtype=torch.float64)
    for one, other in zip(*(torch.autograd.grad(out, inputs, grad) for out in (ours, theirs)), strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_are_those_of_finite_differences_also_the_second():
    pattern, x, weight = patterned()
    assert torch.autograd.gradcheck(lambda x, weight: sum_rows(x, pattern, weight=weight), (x, weight))
    assert torch.autograd.gradgradcheck(lambda x, weight: sum_rows(x, pattern, weight=weight), (x, weight))
    assert torch.autograd.gradgradcheck(lambda x: sum_rows(x, pattern).square(), (x,))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_operation_is_a_good_citizen(weighted):
    pattern, x, weight = patterned()
    sorted_weight = weight.detach()[pattern.order].requires_grad_() if weighted else None
    torch.library.opcheck(torch.ops.rationalizers.sum_rows.default, (x, sorted_weight, *fields(pattern)))


def test_it_compiles_into_one_graph():
    pattern, x, weight = patterned()
    compiled = torch.compile(lambda x, weight: sum_rows(x, pattern, weight=weight).sin(), fullgraph=True, backend="aot_eager")
    out = compiled(x, weight)
    torch.testing.assert_close(out, sum_rows(x, pattern, weight=weight).sin())
    ours, theirs = (torch.autograd.grad(each.sum(), (x, weight)) for each in (out, sum_rows(x, pattern, weight=weight).sin()))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_of_one_change_no_bit(dtype):
    pattern, x, weight = patterned(20, 7, 200)
    x = x.detach().to(dtype)
    assert sum_rows(x, pattern, weight=torch.ones_like(weight)).equal(sum_rows(x, pattern))


def test_rows_need_not_be_contiguous():
    pattern, x, _ = patterned()
    wide = torch.zeros(4, 6, dtype=x.dtype)
    wide[:, ::2] = x.detach()
    assert sum_rows(wide[:, ::2], pattern).equal(sum_rows(x, pattern))


@pytest.mark.parametrize(("sources", "targets"), [(0, 0), (3, 0), (0, 2), (3, 2)])
def test_without_entries_everything_is_zero(sources, targets):
    none = torch.zeros(0, dtype=torch.long)
    x = torch.ones(sources, 4, requires_grad=True)
    weight = torch.ones(0, requires_grad=True)
    out = sum_rows(x, incidence(none, none, sources=sources, targets=targets), weight=weight)
    assert out.tolist() == [[0.0] * 4] * targets
    out.sum().backward()
    assert x.grad.tolist() == [[0.0] * 4] * sources
    assert weight.grad.shape == (0,)


def test_many_entries_are_weighted_in_parts():
    source, target, x, weight = drawn(30, 20, 2500)
    pattern = incidence(source, target, sources=30, targets=20)
    (ours,) = torch.autograd.grad(sum_rows(x, pattern, weight=weight).sin().sum(), weight)
    (theirs,) = torch.autograd.grad(reference(x, source, target, 20, weight).sin().sum(), weight)
    torch.testing.assert_close(ours, theirs)


def test_patterns_and_inputs_that_do_not_fit_are_refused():
    rows = torch.tensor([0, 2])
    with pytest.raises(ValueError, match=r"'source' must name rows in \[0, 2\), got 0 to 2"):
        incidence(rows, rows, sources=2, targets=3)
    with pytest.raises(ValueError, match=r"'target' must name rows in \[0, 1\), got 0 to 2"):
        incidence(rows, rows, sources=3, targets=1)
    with pytest.raises(ValueError, match=r"vectors of one length, got \(2,\), \(1,\)"):
        incidence(rows, rows[:1], sources=3, targets=3)
    pattern = incidence(rows, rows, sources=3, targets=3)
    assert isinstance(pattern, Incidence)
    with pytest.raises(ValueError, match=r"'x' must be \[S=3, D\], got \(2, 4\)"):
        sum_rows(torch.zeros(2, 4), pattern)
    with pytest.raises(ValueError, match=r"'weight' must be \[K=2\], got \(3,\)"):
        sum_rows(torch.zeros(3, 4), pattern, weight=torch.ones(3))
