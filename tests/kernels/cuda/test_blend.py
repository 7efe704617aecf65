"""The twin of blend against its reference, forward and backward."""

import pytest
import torch

from rationalizers.kernels.blend import blend_backward_reference, blend_reference
from tests.kernels.cuda.launching import DTYPES, apart, assert_like, launched

twin = pytest.importorskip("rationalizers.kernels.cuda.blend")


def inputs(n, width, dtype, fill=torch.float32):
    x, grad = (torch.randn(n, width).to(dtype) for _ in range(2))
    return grad, x, torch.rand(n), None if fill is None else torch.randn(width).to(fill)


@DTYPES
@pytest.mark.parametrize("filled", [True, False])
@pytest.mark.parametrize(("n", "width"), [(1, 1), (5, 300), (67, 37), (130, 64), (3, 1030), (0, 4), (4, 0)])
def test_it_is_the_reference(n, width, filled, dtype):
    grad, x, mask, fill = inputs(n, width, dtype, dtype if filled else None)
    assert_like(launched(twin.blend, x, mask, fill), blend_reference(x, mask, fill), dtype)
    found = launched(twin.blend_backward, grad, x, mask.to(dtype), fill)
    assert_like(found, blend_backward_reference(grad, x, mask.to(dtype), fill), dtype)


def test_rows_go_through_several_steps_of_a_program(monkeypatch):
    monkeypatch.setattr(twin, "PROGRAMS", 2)
    monkeypatch.setattr(twin, "TILE", 64)
    grad, x, mask, fill = inputs(67, 12, torch.float32)
    assert_like(launched(twin.blend_backward, grad, x, mask, fill), blend_backward_reference(grad, x, mask, fill), torch.float32)


def test_the_gradient_of_a_fill_is_summed_in_float32():
    # 256 + 1 is 256 in bfloat16.
    n = 512
    grad, x = (torch.ones(n, 1, dtype=torch.bfloat16) for _ in range(2))
    fill = torch.zeros(1, dtype=torch.bfloat16)
    (_, _, of_fill) = launched(twin.blend_backward, grad, x, torch.zeros(n), fill)
    assert of_fill.tolist() == [512.0]


def test_precisions_may_differ():
    grad, x, mask, fill = inputs(9, 20, torch.bfloat16)
    ours = launched(twin.blend_backward, grad, x, mask, fill)
    assert [each.dtype for each in ours] == [torch.bfloat16, torch.float32, torch.float32]
    assert_like(ours, blend_backward_reference(grad, x, mask, fill), torch.bfloat16)


def test_layout_in_memory_does_not_matter():
    grad, x, mask, fill = inputs(9, 20, torch.float32)
    strided = [apart(each) for each in (grad, x, mask, fill)]
    assert not any(each.is_contiguous() for each in strided)
    assert_like(launched(twin.blend, *strided[1:]), blend_reference(x, mask, fill), torch.float32)
    assert_like(launched(twin.blend_backward, *strided), blend_backward_reference(grad, x, mask, fill), torch.float32)
