"""The streamed grid of a linear predictor against the grid written out."""

import pytest
import torch

from rationalizers.kernels import grid_blocks
from rationalizers.kernels.grid_entries import CRITERIA, GridEntries
from rationalizers.kernels.swap_grid_linear import _swap_grid_linear, swap_grid_linear, swap_grid_linear_dense


def inputs(criterion, *, rows=5, columns=5, outputs=3, dtype=torch.float64):
    a, b = (torch.randn(count, outputs, dtype=dtype).requires_grad_() for count in (rows, columns))
    if criterion == "cross_entropy":
        return [a, b], torch.randint(outputs, (rows,))
    y = (torch.randn(rows, outputs) > 0).to(dtype)
    y[0, 0] = y[-1] = torch.nan
    return [a, b], y


def value_and_gradients(function, tensors, y, **settings):
    loss = function(*tensors, y, **settings)
    return [loss.detach(), *torch.autograd.grad(loss * 3, tensors)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=str)
@pytest.mark.parametrize("block", [1, 30, 2**21], ids=["row by row", "several rows", "one block"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"others_only": True},
        {"environments": torch.tensor([4, 1])},
        {"environments": torch.tensor([4, 1]), "others_only": True},
    ],
    ids=["all pairs", "others only", "subset", "others of a subset"],
)
@pytest.mark.parametrize(("criterion", "outputs"), [*((name, 3) for name in CRITERIA), ("squared_error", 1)])
def test_value_and_gradients_are_those_of_the_grid(monkeypatch, criterion, outputs, settings, block, dtype, tolerance):
    monkeypatch.setattr(grid_blocks, "BLOCK", block)
    columns = len(settings["environments"]) if "environments" in settings else 5
    tensors, y = inputs(criterion, columns=columns, outputs=outputs, dtype=dtype)
    expected = value_and_gradients(swap_grid_linear_dense, tensors, y, criterion=criterion, **settings)
    ours = value_and_gradients(swap_grid_linear, tensors, y, criterion=criterion, **settings)
    for one, other in zip(ours, expected, strict=True):
        assert other.norm() > 0
        assert one.dtype == other.dtype
        assert (one - other).norm() <= tolerance * other.norm()


def test_by_hand():
    a, b = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [-1.0]])
    y = torch.tensor([[0.0], [2.0]])
    # Logits 1, 0 for the first row and 2, 1 for the second: errors 1, 0, 0, −1; with the other row only, 0 and 0.
    assert swap_grid_linear(a, b, y, criterion="squared_error") == 0.5
    assert swap_grid_linear(a, b, y, criterion="squared_error", others_only=True) == 0.0


def test_without_any_label_there_is_no_loss_and_nothing_to_learn():
    tensors, y = inputs("squared_error")
    loss, *gradients = value_and_gradients(swap_grid_linear, tensors, torch.full_like(y, torch.nan), criterion="squared_error")
    assert loss == 0
    assert not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_gradients_are_those_of_finite_differences(criterion):
    tensors, y = inputs(criterion)
    assert torch.autograd.gradcheck(lambda a, b: swap_grid_linear(a, b, y, criterion=criterion, others_only=True), tensors)


def test_prediction_alone_does_not_pay_for_gradients(monkeypatch):
    tensors, y = inputs("squared_error")
    expected = swap_grid_linear(*tensors, y, criterion="squared_error").detach()

    def refuse(*_):
        raise AssertionError("asked for a gradient")

    monkeypatch.setattr(GridEntries, "gradient", refuse)
    with torch.no_grad():
        assert swap_grid_linear(*tensors, y, criterion="squared_error") == expected
    with pytest.raises(AssertionError, match="asked for a gradient"):
        swap_grid_linear(*tensors, y, criterion="squared_error")


def test_the_op_keeps_the_rules_of_torch():
    tensors, y = inputs("binary_cross_entropy")
    torch.library.opcheck(_swap_grid_linear, (*tensors, y, torch.arange(5), "binary_cross_entropy", True))
    constant = [tensor.detach() for tensor in tensors]
    torch.library.opcheck(_swap_grid_linear, (*constant, y, None, "binary_cross_entropy", False))


def test_compilation_passes_through():
    tensors, y = inputs("cross_entropy")

    def loss(a, b):
        return swap_grid_linear(a, b, y, criterion="cross_entropy").square()

    expected = torch.autograd.grad(loss(*tensors), tensors)
    compiled = torch.autograd.grad(torch.compile(loss, fullgraph=True, backend="aot_eager")(*tensors), tensors)
    for ours, theirs in zip(compiled, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_what_does_not_fit_is_named():
    (a, b), y = inputs("squared_error")
    with pytest.raises(ValueError, match=r"'targets' must be \[5, 3\] for squared_error, got \[5, 2\]"):
        swap_grid_linear(a, b, y[:, :2], criterion="squared_error")
    with pytest.raises(ValueError, match=r"'a' and 'b' must be \[B, H\] and \[K, H\]"):
        swap_grid_linear(a, b[:, :2], y, criterion="squared_error")
