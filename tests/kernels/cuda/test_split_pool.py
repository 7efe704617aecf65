"""The twin of split_pool against its reference, forward and backward."""

import pytest
import torch

from rationalizers.kernels.split_pool import split_pool_backward_reference, split_pool_reference
from tests.kernels.cuda.launching import CASES, DTYPES, apart, assert_like, launched, ptr_of

twin = pytest.importorskip("rationalizers.kernels.cuda.split_pool")


def inputs(lengths, width, dtype):
    ptr = ptr_of(lengths)
    n, b = int(ptr[-1]), ptr.numel() - 1
    of_kept, of_left = (torch.randn(b, width).to(dtype) for _ in range(2))
    return of_kept, of_left, torch.randn(n, width).to(dtype), torch.rand(n).to(dtype), ptr


@CASES
@pytest.mark.parametrize("width", [1, 37, 300])
def test_it_is_the_reference(lengths, width, dtype):
    of_kept, of_left, x, mask, ptr = inputs(lengths, width, dtype)
    assert_like(launched(twin.split_pool, x, mask, ptr), split_pool_reference(x, mask, ptr), dtype)
    found = launched(twin.split_pool_backward, of_kept, of_left, x, mask, ptr)
    assert_like(found, split_pool_backward_reference(of_kept, of_left, x, mask, ptr), dtype)


@DTYPES
def test_long_examples_are_pooled_in_parts(monkeypatch, dtype):
    monkeypatch.setattr(twin, "TILE", 64)
    cuts = []
    monkeypatch.setattr(twin, "parts", lambda *_, **__: cuts.append(3) or 3)
    of_kept, of_left, x, mask, ptr = inputs((70, 0, 2, 41), 20, dtype)
    assert_like(launched(twin.split_pool, x, mask, ptr), split_pool_reference(x, mask, ptr), dtype)
    found = launched(twin.split_pool_backward, of_kept, of_left, x, mask, ptr)
    assert_like(found, split_pool_backward_reference(of_kept, of_left, x, mask, ptr), dtype)
    assert len(cuts) == 4


def test_wide_states_are_taken_in_strips():
    of_kept, of_left, x, mask, ptr = inputs((3, 2), 1100, torch.float32)
    assert_like(launched(twin.split_pool, x, mask, ptr), split_pool_reference(x, mask, ptr), torch.float32)
    found = launched(twin.split_pool_backward, of_kept, of_left, x, mask, ptr)
    assert_like(found, split_pool_backward_reference(of_kept, of_left, x, mask, ptr), torch.float32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_accumulated_in_float32(dtype):
    # 1 + 2⁻¹² · 4096 would stay 1 if every partial sum were rounded.
    x = torch.cat([torch.ones(1, 1), torch.full((4096, 1), 2.0**-12)]).to(dtype)
    kept, left = launched(twin.split_pool, x, torch.ones(4097, dtype=dtype), torch.tensor([0, 4097]))
    assert (kept.item(), left.item()) == (2.0, 0.0)


def test_layout_in_memory_does_not_matter():
    of_kept, of_left, x, mask, ptr = inputs((4, 9), 20, torch.float32)
    strided = [apart(each) for each in (of_kept, of_left, x, mask, ptr)]
    assert not any(each.is_contiguous() for each in strided)
    assert_like(launched(twin.split_pool, *strided[2:]), split_pool_reference(x, mask, ptr), torch.float32)
    found = launched(twin.split_pool_backward, *strided)
    assert_like(found, split_pool_backward_reference(of_kept, of_left, x, mask, ptr), torch.float32)
