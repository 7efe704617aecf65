"""States beside what stands for their absence, against a loop over the rows."""

import pytest
import torch

from rationalizers.kernels.blend import _blend, _blend_backward, blend, blend_reference

FILLS = pytest.mark.parametrize("filled", [False, True], ids=["zero", "fill"])


def inputs(filled, dtype=torch.float64, *, rows=7, width=4):
    tensors = torch.randn(rows, width, dtype=dtype), torch.rand(rows, dtype=dtype), torch.randn(width, dtype=dtype)
    return [tensor.requires_grad_() for tensor in tensors[: 2 + filled]]


def loop(x, mask, fill=None):
    fill = torch.zeros_like(x[0]) if fill is None else fill
    return torch.stack([m * row + (1 - m) * fill for m, row in zip(mask, x, strict=True)])


def reference(x, mask, fill=None):
    return blend_reference(x, mask, fill)


def gradients(function, tensors, upstream):
    return torch.autograd.grad(function(*tensors), tensors, upstream)


def test_by_hand():
    x, mask = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), torch.tensor([1.0, 0.5, 0.0])
    assert blend(x, mask).tolist() == [[1.0, 2.0], [1.5, 2.0], [0.0, 0.0]]
    assert blend(x, mask, torch.tensor([10.0, -8.0])).tolist() == [[1.0, 2.0], [6.5, -2.0], [10.0, -8.0]]


def test_gradients_by_hand():
    x, mask, fill = (torch.tensor(values, requires_grad=True) for values in ([[1.0, 2.0], [3.0, 4.0]], [1.0, 0.25], [10.0, -8.0]))
    blend(x, mask, fill).backward(torch.tensor([[1.0, 0.0], [4.0, 8.0]]))
    assert x.grad.tolist() == [[1.0, 0.0], [1.0, 2.0]]
    assert mask.grad.tolist() == [-9.0, 4 * -7.0 + 8 * 12.0]
    assert fill.grad.tolist() == [3.0, 6.0]


@FILLS
@pytest.mark.parametrize("definition", [loop, reference])
def test_values_and_gradients_are_those_of_the_definition(definition, filled):
    tensors = inputs(filled)
    torch.testing.assert_close(blend(*tensors), definition(*tensors))
    upstream = torch.randn(7, 4, dtype=torch.float64)
    for ours, theirs in zip(gradients(blend, tensors, upstream), gradients(definition, tensors, upstream), strict=True):
        torch.testing.assert_close(ours, theirs)


@FILLS
def test_gradients_are_those_of_finite_differences(filled):
    assert torch.autograd.gradcheck(blend, inputs(filled))


def test_a_hard_mask_shows_or_hides_exactly():
    x, _, fill = (tensor.detach() for tensor in inputs(True))
    mask = torch.tensor([1, 0, 0, 1, 1, 0, 1], dtype=x.dtype)
    assert blend(x, mask, fill).equal(torch.where(mask[:, None] > 0, x, fill))


def test_each_argument_may_learn_alone():
    x, mask, fill = inputs(True)
    for tensors in ((x.detach(), mask.detach(), fill), (x, mask.detach(), fill.detach()), (x.detach(), mask, fill.detach())):
        (leaf,) = [tensor for tensor in tensors if tensor.requires_grad]
        (ours,) = torch.autograd.grad(blend(*tensors).square().sum(), leaf)
        (theirs,) = torch.autograd.grad(loop(*tensors).square().sum(), leaf)
        torch.testing.assert_close(ours, theirs)


@FILLS
def test_layout_in_memory_does_not_matter(filled):
    tensors = inputs(filled)
    apart = [tensors[0].detach().T.contiguous().T.requires_grad_()]
    apart += [tensor.detach().repeat_interleave(2)[::2].requires_grad_() for tensor in tensors[1:]]
    assert not any(tensor.is_contiguous() for tensor in apart)
    upstream = torch.randn(4, 7, dtype=torch.float64).T  # not contiguous either
    assert blend(*apart).equal(blend(*tensors))
    for ours, theirs in zip(gradients(blend, apart, upstream), gradients(blend, tensors, upstream.contiguous()), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    # Rounded to half precision, 1 − 2⁻¹² is 1.
    x = torch.full((4097, 1), 2.0, dtype=dtype, requires_grad=True)
    mask = torch.full((4097,), 2.0**-12, dtype=dtype, requires_grad=True)
    fill = torch.full((1,), -2.0, dtype=dtype, requires_grad=True)
    shown = blend(x, mask, fill)
    assert shown.dtype == dtype
    assert shown[0].item() == torch.tensor(4 * 2.0**-12 - 2).to(dtype).item()
    shown.backward(torch.full((4097, 1), 2.0**-12, dtype=dtype))
    assert x.grad.dtype == mask.grad.dtype == fill.grad.dtype == dtype
    assert x.grad.unique().tolist() == [2.0**-24]
    assert mask.grad.unique().tolist() == [2.0**-10]
    # Summed in half, 4097 · 2⁻¹² would stop growing long before 1.
    assert fill.grad.item() == 1.0


def test_a_mask_may_be_more_precise_than_the_states():
    x, mask, fill = inputs(True, torch.bfloat16)[0], *inputs(True, torch.float32)[1:]
    shown = blend(x, mask, fill)
    torch.testing.assert_close(shown, loop(x.float(), mask, fill).bfloat16(), rtol=0, atol=0)
    shown.float().sum().backward()
    assert (shown.dtype, x.grad.dtype, mask.grad.dtype, fill.grad.dtype) == (torch.bfloat16, torch.bfloat16, *[torch.float32] * 2)
    torch.testing.assert_close(mask.grad, (x.detach().float() - fill.detach()).sum(1))


@FILLS
@pytest.mark.parametrize(("rows", "width"), [(0, 4), (3, 0), (0, 0)])
def test_nothing_is_blended_into_nothing(filled, rows, width):
    tensors = inputs(filled, rows=rows, width=width)
    shown = blend(*tensors)
    assert shown.shape == (rows, width)
    for gradient, tensor in zip(torch.autograd.grad(shown.sum(), tensors), tensors, strict=True):
        assert gradient.shape == tensor.shape
        assert not gradient.any()


@FILLS
def test_ops_keep_the_rules_of_torch(filled):
    x, mask, *fill = inputs(filled)
    fill = fill[0] if fill else None
    turned = x.detach().T.contiguous().T
    torch.library.opcheck(_blend, (x, mask, fill))
    torch.library.opcheck(_blend, (turned, mask, fill))
    constant = mask.detach(), fill if fill is None else fill.detach()
    torch.library.opcheck(_blend_backward, (torch.randn(7, 4, dtype=x.dtype), x.detach(), *constant))
    torch.library.opcheck(_blend_backward, (turned + 1, turned, *constant))


@FILLS
def test_compilation_passes_through(filled):
    tensors = inputs(filled)

    def loss(x, mask, *fill):
        return blend(x, mask.sigmoid(), *fill).tanh().square().sum()

    expected = torch.autograd.grad(loss(*tensors), tensors)
    compiled = torch.autograd.grad(torch.compile(loss, fullgraph=True, backend="aot_eager")(*tensors), tensors)
    for ours, theirs in zip(compiled, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_second_derivative_is_refused():
    x, mask = inputs(False)
    (gradient,) = torch.autograd.grad(blend(x, mask).sum(), mask, create_graph=True)
    with pytest.raises(RuntimeError, match="blend_backward"):
        gradient.sum().backward()


@pytest.mark.parametrize(
    ("x", "mask", "fill", "error", "message"),
    [
        (
            torch.ones(3, 2).long(),
            torch.ones(3),
            None,
            TypeError,
            r"'x' must be floating, got torch.int64; convert it with .float\(",
        ),
        (torch.ones(3, 2), torch.ones(3).bool(), None, TypeError, "'mask' must be floating, got torch.bool"),
        (torch.ones(3, 2), torch.ones(3), torch.ones(2).int(), TypeError, "'fill' must be floating, got torch.int32"),
        (torch.ones(3), torch.ones(3), None, ValueError, r"'x' must be \[N, D\], got \(3,\); flatten or add dimensions"),
        (torch.ones(3, 2, 1), torch.ones(3), None, ValueError, r"'x' must be \[N, D\], got \(3, 2, 1\)"),
        (torch.ones(3, 2), torch.ones(2), None, ValueError, r"'mask' must be \[3\] like the rows of 'x', got \(2,\)"),
        (torch.ones(3, 2), torch.ones(3, 1), None, ValueError, r"'mask' must be \[3\] like the rows of 'x', got \(3, 1\)"),
        (torch.ones(3, 2), torch.ones(3), torch.ones(3), ValueError, r"'fill' must be \[D=2\] like a row of 'x', got \(3,\)"),
        (torch.ones(3, 2), torch.ones(3), torch.ones(1), ValueError, r"'fill' must be \[D=2\].*got \(1,\); give one row for all"),
        (torch.ones(3, 2), torch.ones(3), torch.ones(3, 2), ValueError, r"'fill' must be \[D=2\].*got \(3, 2\)"),
    ],
)
def test_what_does_not_fit_is_named(x, mask, fill, error, message):
    with pytest.raises(error, match=message):
        blend(x, mask, fill)
