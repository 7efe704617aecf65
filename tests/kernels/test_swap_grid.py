"""The streamed grid against the grid written out: value and every gradient."""

import pytest
import torch

from rationalizers.kernels import grid_blocks
from rationalizers.kernels.grid_blocks import _swap_grid_backward
from rationalizers.kernels.grid_dropout import grid_mask, kept_share
from rationalizers.kernels.grid_entries import CRITERIA, GridEntries
from rationalizers.kernels.swap_grid import _swap_grid, swap_grid, swap_grid_dense

SEED = torch.tensor(11)
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def inputs(*, rows=7, columns=7, outputs=1, width=6, dtype=torch.float64):
    shapes = (rows, width), (columns, width), (outputs, width), (outputs,)
    return [torch.randn(*shape, dtype=dtype).requires_grad_() for shape in shapes]


def targets(criterion, rows, outputs):
    if criterion == "cross_entropy":
        return torch.randint(outputs, (rows,))
    y = torch.randn(rows, outputs, dtype=torch.float64)
    y = (y > 0).double() if criterion == "binary_cross_entropy" else y
    if outputs > 1:
        y = y.masked_fill(torch.rand(rows, outputs) < 0.3, torch.nan)
        y[rows // 2] = torch.nan  # an example without any label
    return y


def value_and_gradients(function, tensors, y, **settings):
    loss = function(*tensors, y, **settings)
    return [loss.detach(), *torch.autograd.grad(loss * 3, tensors)]


def assert_same(tensors, y, *, tolerance, **settings):
    expected = value_and_gradients(swap_grid_dense, tensors, y, **settings)
    for name, ours, theirs in zip(
        ("loss", "a", "b", "weight", "bias"), value_and_gradients(swap_grid, tensors, y, **settings), expected, strict=True
    ):
        assert ours.dtype == theirs.dtype, name
        assert (ours - theirs).norm() <= tolerance * theirs.norm(), name
    return expected


PAIRS = {
    "all pairs": {},
    "subset": {"columns": 3, "environments": torch.tensor([5, 0, 2])},
    "others only": {"others_only": True},
    "others of a subset": {"columns": 3, "environments": torch.tensor([5, 0, 2]), "others_only": True},
    "an environment twice": {"columns": 4, "environments": torch.tensor([5, 0, 5, 2]), "others_only": True},
    "one environment": {"columns": 1},
    "one row": {"rows": 1, "columns": 4},
    "one pair": {"rows": 1, "columns": 1},
}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("block", [1, 150, 2**21], ids=["row by row", "several rows", "one block"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("pairs", PAIRS)
@pytest.mark.parametrize(("criterion", "outputs"), [(name, count) for name in CRITERIA for count in (1, 12)])
def test_value_and_gradients_are_those_of_the_grid(monkeypatch, criterion, outputs, pairs, dropout, block, dtype):
    monkeypatch.setattr(grid_blocks, "BLOCK", block)
    settings = {"criterion": criterion, "dropout": dropout, "seed": SEED, **PAIRS[pairs]}
    rows, columns = settings.pop("rows", 7), settings.pop("columns", 7)
    tensors = inputs(rows=rows, columns=columns, outputs=outputs, dtype=dtype)
    expected = assert_same(tensors, targets(criterion, rows, outputs), tolerance=TOLERANCE[dtype], **settings)
    # Cross-entropy over one class and rows without labels have nothing to learn from.
    if (criterion, outputs) != ("cross_entropy", 1) and rows > 1:
        assert all(each.norm() > 0 for each in expected)


def test_blocks_of_several_rows_are_tried_above():
    assert [len(rows) for rows in grid_blocks.blocks(7, numbers=7 * 7)] == [7]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid_blocks, "BLOCK", 150)
        assert [len(rows) for rows in grid_blocks.blocks(7, numbers=7 * 7)] == [3, 3, 1]
        assert [len(rows) for rows in grid_blocks.blocks(3, numbers=1000)] == [1, 1, 1]
    assert grid_blocks.blocks(0, numbers=0) == []


def test_the_written_out_grid_is_what_it_says():
    a, b, weight, bias = inputs(rows=3, columns=2, outputs=2)
    y = torch.tensor([[0.5, torch.nan], [1.0, -1.0], [torch.nan, torch.nan]], dtype=torch.float64)
    kept = grid_mask(SEED, range(3), columns=2, width=6, dropout=0.25)
    losses = []
    for i, j, t in ((0, 1, 0), (1, 0, 0), (1, 0, 1)):  # labelled, and not beside its own environment
        z = (a[i] + b[j]).clamp(min=0) * kept[i, j] / kept_share(0.25)
        losses.append((weight[t] @ z + bias[t] - y[i, t]) ** 2)
    ours = swap_grid_dense(
        a,
        b,
        weight,
        bias,
        y,
        criterion="squared_error",
        environments=torch.tensor([0, 1]),
        others_only=True,
        dropout=0.25,
        seed=SEED,
    )
    torch.testing.assert_close(ours, torch.stack(losses).mean())


@pytest.mark.parametrize("criterion", ["binary_cross_entropy", "squared_error"])
def test_without_any_label_there_is_no_loss_and_nothing_to_learn(criterion):
    tensors = inputs(outputs=2)
    loss, *gradients = value_and_gradients(swap_grid, tensors, torch.full((7, 2), torch.nan), criterion=criterion)
    assert loss == 0
    assert [gradient.abs().max().item() for gradient in gradients] == [0.0] * 4


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (0, 3), (3, 0), (0, 0)])
def test_without_any_pair_there_is_no_loss_and_nothing_to_learn(rows, columns):
    tensors = inputs(rows=rows, columns=columns)
    y, environments = targets("squared_error", rows, 1), torch.zeros(columns, dtype=torch.long)
    loss, *gradients = value_and_gradients(
        swap_grid, tensors, y, criterion="squared_error", environments=environments, others_only=rows == 1
    )
    assert loss == 0
    assert [gradient.shape for gradient in gradients] == [tensor.shape for tensor in tensors]
    assert not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_gradients_are_those_of_finite_differences(criterion, dropout):
    y = targets(criterion, 4, 3)
    assert torch.autograd.gradcheck(
        lambda *tensors: swap_grid(*tensors, y, criterion=criterion, dropout=dropout, seed=SEED, others_only=True),
        inputs(rows=4, columns=4, outputs=3),
    )


def test_the_seed_decides_on_dropout():
    tensors, y = inputs(), targets("squared_error", 7, 1)
    losses = {
        swap_grid(*tensors, y, criterion="squared_error", dropout=0.5, seed=torch.tensor(seed)).item() for seed in (1, 2, 1, 2, 3)
    }
    assert len(losses) == 3


def test_layout_in_memory_does_not_matter():
    tensors, y = inputs(outputs=3), targets("squared_error", 7, 3)
    turned = [tensor.detach().T.contiguous().T.requires_grad_() for tensor in tensors[:3]]
    apart = tensors[3].detach().repeat_interleave(2)[::2].requires_grad_()
    assert not any(tensor.is_contiguous() for tensor in (*turned, apart))
    ours = value_and_gradients(swap_grid, [*turned, apart], y.T.contiguous().T, criterion="squared_error")
    for one, other in zip(ours, value_and_gradients(swap_grid, tensors, y, criterion="squared_error"), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32_and_scaled_before_it_is_rounded(dtype):
    tensors = inputs(rows=256, columns=256, dtype=torch.float32)
    tensors = [(tensor.detach() / 8).to(dtype).requires_grad_() for tensor in tensors[:2]] + tensors[2:]
    y = targets("binary_cross_entropy", 256, 1)
    loss = swap_grid(*tensors, y, criterion="binary_cross_entropy")
    assert loss.dtype == torch.float32
    # With the factor of a loss scaler; the gradients of the mean itself lie below the smallest number of float16.
    ours = torch.autograd.grad(loss * 2.0**12, tensors)
    wide = [tensor.detach().double().requires_grad_() for tensor in tensors]
    theirs = torch.autograd.grad(swap_grid_dense(*wide, y, criterion="binary_cross_entropy") * 2.0**12, wide)
    for one, other, tensor in zip(ours, theirs, tensors, strict=True):
        assert one.dtype == tensor.dtype
        assert (one.double() - other).norm() <= torch.finfo(tensor.dtype).eps * other.norm() + 1e-5 * other.norm()


def test_prediction_alone_does_not_pay_for_gradients(monkeypatch):
    tensors, y = inputs(), targets("squared_error", 7, 1)
    expected = swap_grid(*tensors, y, criterion="squared_error").detach()

    def refuse(*_):
        raise AssertionError("asked for a gradient")

    monkeypatch.setattr(GridEntries, "gradient", refuse)
    with torch.no_grad():
        assert swap_grid(*tensors, y, criterion="squared_error") == expected
    assert swap_grid(*[tensor.detach() for tensor in tensors], y, criterion="squared_error") == expected
    with pytest.raises(AssertionError, match="asked for a gradient"):
        swap_grid(*tensors, y, criterion="squared_error")


@pytest.mark.parametrize(("outputs", "dropout"), [(1, 0.0), (3, 0.5)])
def test_no_tensor_is_larger_than_a_block(monkeypatch, outputs, dropout):
    rows, width, block = 64, 16, 5 * 64 * (16 + outputs)
    monkeypatch.setattr(grid_blocks, "BLOCK", block)
    tensors = inputs(rows=rows, columns=rows, outputs=outputs, width=width, dtype=torch.float32)
    y = targets("binary_cross_entropy", rows, outputs)

    def largest(function):
        with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True, acc_events=True
        ) as profile:
            value_and_gradients(function, tensors, y, criterion="binary_cross_entropy", dropout=dropout, seed=SEED)
        return max(event.self_cpu_memory_usage for event in profile.events())

    assert largest(swap_grid_dense) >= 4 * rows * rows * width
    assert largest(swap_grid) <= 4 * block


def test_a_second_derivative_is_refused():
    tensors, y = inputs(), targets("squared_error", 7, 1)
    (gradient,) = torch.autograd.grad(swap_grid(*tensors, y, criterion="squared_error"), tensors[0], create_graph=True)
    with pytest.raises(RuntimeError, match="swap_grid_backward"):
        gradient.sum().backward()


@pytest.mark.parametrize("outputs", [1, 3])
def test_ops_keep_the_rules_of_torch(outputs):
    tensors, y = inputs(rows=3, columns=3, outputs=outputs), targets("squared_error", 3, outputs)
    torch.library.opcheck(_swap_grid, (*tensors, y, torch.tensor([2, 0, 0]), SEED, "squared_error", 0.5, True))
    constant = [tensor.detach() for tensor in tensors]
    torch.library.opcheck(_swap_grid, (*constant, y, None, None, "squared_error", 0.0, False))
    torch.library.opcheck(_swap_grid_backward, (torch.tensor(2.0, dtype=torch.float64), constant))


def test_compilation_passes_through():
    tensors, y = inputs(outputs=2), targets("binary_cross_entropy", 7, 2)

    def loss(*tensors):
        return 2 * swap_grid(*tensors, y, criterion="binary_cross_entropy", others_only=True, dropout=0.5, seed=SEED).square()

    expected = torch.autograd.grad(loss(*tensors), tensors)
    compiled = torch.autograd.grad(torch.compile(loss, fullgraph=True, backend="aot_eager")(*tensors), tensors)
    for ours, theirs in zip(compiled, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("function", [swap_grid, swap_grid_dense])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weight": torch.zeros(2, 5)}, r"'weight' and 'bias' must be \[T, H\] and \[T\] for 'a' of \(4, 6\), got \(2, 5\)"),
        ({"bias": torch.zeros(3)}, r"got \(2, 6\) and \(3,\)"),
        ({"dropout": 1.0, "seed": SEED}, r"'dropout' must be in \[0, 1\), got 1.0"),
        ({"dropout": 0.5}, "'dropout' needs 'seed', an int64 scalar, got None"),
        ({"dropout": 0.5, "seed": SEED.float()}, "'dropout' needs 'seed', an int64 scalar, got .*float32"),
        ({"dropout": 0.5, "seed": SEED[None]}, r"'dropout' needs 'seed', an int64 scalar, got .*\(1,\)"),
        ({"criterion": "hinge"}, "'criterion' must be one of"),
    ],
)
def test_what_does_not_fit_is_named(function, changed, message):
    a, b, weight, bias = inputs(rows=4, columns=3, outputs=2)
    given = {"weight": weight, "bias": bias, "criterion": "squared_error", **changed}
    with pytest.raises(ValueError, match=message):
        function(a, b, given.pop("weight"), given.pop("bias"), torch.zeros(4, 2, dtype=torch.float64), **given)


def test_environments_of_another_batch_are_named():
    tensors, environments = inputs(rows=4, columns=3), torch.tensor([0, 1, 4])
    with pytest.raises(ValueError, match=r"'environments' must be rows from 0 to 3, got \[0, 1, 4\]"):
        swap_grid(*tensors, torch.zeros(4, 1), criterion="squared_error", environments=environments, others_only=True)
