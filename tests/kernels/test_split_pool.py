"""Pooling of what a mask keeps and leaves, against a loop over the examples."""

from itertools import pairwise

import pytest
import torch

from rationalizers.kernels.split_pool import _split_pool, _split_pool_backward, split_pool, split_pool_reference

PTR = torch.tensor([0, 0, 3, 4, 4, 9])  # empty at both sides and in between


def inputs(dtype=torch.float64, *, width=4, rows=9):
    x = torch.randn(rows, width, dtype=dtype).requires_grad_()
    return x, torch.rand(rows, dtype=dtype).requires_grad_()


def loop(x, mask, ptr):
    kept = [(mask[start:end, None] * x[start:end]).sum(0) for start, end in pairwise(ptr.tolist())]
    left = [((1 - mask[start:end, None]) * x[start:end]).sum(0) for start, end in pairwise(ptr.tolist())]
    return torch.stack(kept), torch.stack(left)


@pytest.mark.parametrize("definition", [loop, split_pool_reference])
def test_values_and_gradients_are_those_of_the_definition(definition):
    x, mask = inputs()
    upstream = torch.randn(2, 5, 4, dtype=x.dtype)
    ours, expected = split_pool(x, mask, PTR), definition(x, mask, PTR)
    torch.testing.assert_close(ours, expected)
    for one, other in zip(
        torch.autograd.grad(ours, (x, mask), list(upstream)),
        torch.autograd.grad(expected, (x, mask), list(upstream)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_by_hand():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    rationale, complement = split_pool(x, torch.tensor([1.0, 0.5, 0.0]), torch.tensor([0, 2, 2, 3]))
    assert rationale.tolist() == [[2.5, 4.0], [0.0, 0.0], [0.0, 0.0]]
    assert complement.tolist() == [[1.5, 2.0], [0.0, 0.0], [5.0, 6.0]]


@pytest.mark.parametrize("result", [0, 1])
def test_gradients_are_those_of_finite_differences(result):
    # One result alone: the gradient of the other is then missing.
    assert torch.autograd.gradcheck(lambda x, mask: split_pool(x, mask, PTR)[result], inputs())


def test_layout_in_memory_does_not_matter():
    x, mask = inputs(width=6)
    apart = torch.stack([x.T, x.T], dim=-1).detach()[..., 0].T.requires_grad_()  # every second number, columns first
    steps = mask.detach().repeat_interleave(2)[::2].requires_grad_()
    assert not apart.is_contiguous()
    assert not steps.is_contiguous()
    for ours, expected in zip(split_pool(apart, steps, PTR), split_pool(x, mask, PTR), strict=True):
        assert torch.equal(ours, expected)
    upstream = torch.randn(6, 5, dtype=x.dtype).T  # not contiguous either
    one = torch.autograd.grad(split_pool(apart, steps, PTR)[0], (apart, steps), upstream)
    other = torch.autograd.grad(split_pool(x, mask, PTR)[0], (x, mask), upstream.contiguous())
    for ours, expected in zip(one, other, strict=True):
        assert torch.equal(ours, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_accumulated_in_float32(dtype):
    # 1 + 2⁻⁸ · 256 would stay 1 if every partial sum were rounded.
    x = torch.cat([torch.ones(1, 1), torch.full((4096, 1), 2.0**-12)]).to(dtype).requires_grad_()
    mask = torch.ones(4097, dtype=dtype, requires_grad=True)
    rationale, complement = split_pool(x, mask, torch.tensor([0, 4097]))
    assert rationale.dtype == complement.dtype == dtype
    assert (rationale.item(), complement.item()) == (2.0, 0.0)
    rationale.sum().backward()
    assert x.grad.dtype == mask.grad.dtype == dtype
    assert x.grad.tolist() == [[1.0]] * 4097
    assert torch.equal(mask.grad, x.detach()[:, 0])


def test_a_mask_may_be_more_precise_than_the_states():
    x, mask = inputs(torch.bfloat16)[0], inputs(torch.float32)[1]
    rationale, _ = split_pool(x, mask, PTR)
    rationale.float().sum().backward()
    assert (rationale.dtype, x.grad.dtype, mask.grad.dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)
    torch.testing.assert_close(mask.grad, x.detach().float().sum(1))


@pytest.mark.parametrize("examples", [0, 3])
def test_nothing_pools_to_zero(examples):
    x, mask = inputs(rows=0)
    rationale, complement = split_pool(x, mask, torch.zeros(examples + 1, dtype=torch.long))
    assert rationale.tolist() == complement.tolist() == [[0.0] * 4] * examples


def test_ops_keep_the_rules_of_torch():
    x, mask = inputs()
    torch.library.opcheck(_split_pool, (x, mask, PTR))
    pooled = torch.randn(5, 4, dtype=x.dtype)
    torch.library.opcheck(_split_pool_backward, (pooled, pooled + 1, x.detach(), mask.detach(), PTR))
    turned, of_pooled = (tensor.detach().T.contiguous().T for tensor in (x, pooled))
    torch.library.opcheck(_split_pool, (turned, mask, PTR))
    torch.library.opcheck(_split_pool_backward, (of_pooled, of_pooled + 1, turned, mask.detach(), PTR))


def test_compilation_passes_through():
    x, mask = inputs()

    def both(x, mask):
        rationale, complement = split_pool(x, mask.sigmoid(), PTR)
        return (rationale * complement.tanh()).sum()

    expected = torch.autograd.grad(both(x, mask), (x, mask))
    compiled = torch.autograd.grad(torch.compile(both, fullgraph=True, backend="aot_eager")(x, mask), (x, mask))
    for ours, theirs in zip(compiled, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("x", "mask", "ptr", "error", "message"),
    [
        (torch.ones(3, 2, dtype=torch.long), torch.ones(3), [0, 3], TypeError, "'x' must be floating, got torch.int64"),
        (torch.ones(3, 2), torch.ones(3, dtype=torch.bool), [0, 3], TypeError, "'mask' must be floating, got torch.bool"),
        (torch.ones(3, 2), torch.ones(3), [0.0, 3.0], TypeError, "'ptr' must be int64, got torch.float32"),
        (torch.ones(3), torch.ones(3), [0, 3], ValueError, r"'x' must be \[N, D\], got \(3,\)"),
        (torch.ones(3, 2), torch.ones(2), [0, 3], ValueError, r"'mask' must be \[3\].*got \(2,\)"),
        (torch.ones(3, 2), torch.ones(3), [[0, 3]], ValueError, r"'ptr' must be the offsets \[B\+1\], got \(1, 2\)"),
        (torch.ones(3, 2), torch.ones(3), [0, 2], ValueError, r"'ptr' must rise from 0 to the 3 units, got \[0, 2\]"),
        (torch.ones(3, 2), torch.ones(3), [1, 3], ValueError, r"got \[1, 3\]"),
        (torch.ones(3, 2), torch.ones(3), [0, 2, 1, 3], ValueError, r"got \[0, 2, 1, 3\]"),
    ],
)
def test_what_does_not_fit_is_named(x, mask, ptr, error, message):
    with pytest.raises(error, match=message):
        split_pool(x, mask, torch.tensor(ptr))
