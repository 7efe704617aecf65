"""The twin of swap_grid against its reference; with dropout, against the grid written out under the twin's own mask."""

import numpy as np
import pytest
import torch

from rationalizers.kernels import swap_grid as reference
from rationalizers.kernels.grid_dropout import LEVELS, kept_share
from rationalizers.kernels.grid_entries import CRITERIA
from tests.kernels.cuda.launching import apart, assert_like, launched

twin = pytest.importorskip("rationalizers.kernels.cuda.swap_grid")
SEED = torch.tensor(2**61 + 77)


def inputs(rows, columns, outputs, width, criterion="squared_error", dtype=torch.float32):
    shapes = (rows, width), (columns, width), (outputs, width), (outputs,)
    tensors = [torch.randn(*shape).to(dtype) for shape in shapes]
    if criterion == "cross_entropy":
        return *tensors, torch.randint(outputs, (rows,))
    y = torch.randn(rows, outputs)
    y = (y > 0).float() if criterion == "binary_cross_entropy" else y
    return *tensors, y.masked_fill(torch.rand_like(y) < 0.2, torch.nan) if outputs > 1 else y


def compare(tensors, *, criterion="squared_error", environments=None, dtype=torch.float32):
    arguments = (*tensors, environments, None, criterion, 0.0, True)
    assert_like(launched(twin.swap_grid, *arguments), reference.swap_grid_blocks(*arguments), dtype)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize(("rows", "columns", "width"), [(1, 1, 1), (18, 5, 11)])
def test_it_is_the_reference(rows, columns, width, criterion, outputs):
    compare(inputs(rows, columns, outputs, width, criterion), criterion=criterion)


@pytest.mark.parametrize(("rows", "columns", "width"), [(3, 2, 70), (3, 35, 4), (35, 3, 4)])
def test_sizes_may_be_larger_than_a_tile(rows, columns, width):
    compare(inputs(rows, columns, 1, width))


@pytest.mark.parametrize("outputs", [1, 2])
def test_pairs_may_be_left_out(outputs):
    compare(inputs(6, 3, outputs, 5), environments=torch.tensor([5, 0, 5]))


@pytest.mark.parametrize(("rows", "columns"), [(0, 3), (3, 0), (0, 0)])
def test_without_pairs_there_is_no_loss(rows, columns):
    compare(inputs(rows, columns, 2, 5))


def test_rows_go_in_blocks(monkeypatch):
    monkeypatch.setattr("rationalizers.kernels.grid_blocks.BLOCK", 60)
    compare(inputs(20, 7, 2, 11))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    tensors = inputs(9, 8, 2, 10, dtype=dtype)
    ours = launched(twin.swap_grid, *tensors, None, None, "squared_error", 0.0, True)
    assert {each.dtype for each in ours} == {torch.float32}
    compare(tensors)


def test_prediction_alone_leaves_no_gradients():
    tensors = inputs(5, 4, 2, 6)
    loss, *gradients = launched(twin.swap_grid, *tensors, None, None, "squared_error", 0.0, False)
    assert [each.numel() for each in gradients] == [0] * 4
    torch.testing.assert_close(loss, reference.swap_grid_blocks(*tensors, None, None, "squared_error", 0.0, False)[0])


def test_layout_in_memory_does_not_matter():
    a, b, weight, bias, y = inputs(6, 5, 2, 7)
    arguments = (None, None, "squared_error", 0.0, True)
    ours = launched(twin.swap_grid, *(apart(each) for each in (a, b, weight, bias, y)), *arguments)
    assert_like(ours, reference.swap_grid_blocks(a, b, weight, bias, y, *arguments), torch.float32)


# Dropout


def mix(x):
    """The finalizer of MurmurHash3, in 64 bits that are cut to 32."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = ((x ^ (x >> shift)) * factor) & 0xFFFFFFFF
    return x ^ (x >> 16)


def twin_mask(seed, rows, *, columns, width, dropout):
    """The mask that the kernels compute, written out."""
    low, high, golden = np.uint64(int(seed) % 2**32), np.uint64(int(seed) % 2**64 >> 32), np.uint64(0x9E3779B9)
    i, j, h = (np.arange(start, stop, dtype=np.uint64) for start, stop in ((rows.start, rows.stop), (0, columns), (0, width)))
    pair = mix(mix(i ^ low)[:, None] ^ mix(j ^ high ^ golden)[None])  # [R, K]
    bits = mix(pair[..., None] ^ ((h * golden) & np.uint64(0xFFFFFFFF))) >> 16
    return torch.from_numpy(bits.astype(np.int64) >= LEVELS - round(kept_share(dropout) * LEVELS))


@pytest.mark.parametrize(
    ("outputs", "block", "seed"),
    [(1, 2**21, SEED), (3, 2**21, SEED), (1, 30, SEED), (1, 2**21, torch.tensor(1))],
    ids=["one target", "three targets", "several blocks", "seed 1"],
)
def test_dropout_is_that_of_the_grid_under_the_same_mask(monkeypatch, outputs, block, seed):
    monkeypatch.setattr("rationalizers.kernels.grid_blocks.BLOCK", block)
    tensors = inputs(9, 7, outputs, 6)
    ours = launched(twin.swap_grid, *tensors, None, seed, "squared_error", 0.4, True)
    monkeypatch.setattr(reference, "grid_mask", twin_mask)
    leaves = [each.clone().requires_grad_() for each in tensors[:4]]
    loss = reference.swap_grid_dense(*leaves, tensors[4], criterion="squared_error", dropout=0.4, seed=seed)
    assert_like(ours, [loss.detach(), *torch.autograd.grad(loss, leaves)], torch.float32)


@pytest.mark.parametrize("dropout", [0.1, 0.5])
@pytest.mark.parametrize("seed", [0, 5, 2**61, -3])
def test_the_mask_keeps_its_share_along_every_axis(seed, dropout):
    kept = twin_mask(torch.tensor(seed), range(64), columns=64, width=64, dropout=dropout).double()
    spread = (dropout * (1 - dropout)) ** 0.5
    for axes in ((0, 1, 2), (0, 1), (0, 2), (1, 2)):
        mean = kept.mean(axes)
        count = kept.numel() / mean.numel()
        # Five standard errors: 64 means are looked at.
        assert (mean - kept_share(dropout)).abs().max() < 5 * spread / count**0.5


def test_neighbours_in_the_mask_and_other_seeds_have_nothing_in_common():
    ours, theirs = (twin_mask(torch.tensor(seed), range(32), columns=32, width=32, dropout=0.5).double() - 0.5 for seed in (1, 2))
    pairs = [(ours, theirs), (ours[1:], ours[:-1]), (ours[:, 1:], ours[:, :-1]), (ours[..., 1:], ours[..., :-1])]
    for one, other in (*pairs, (ours, ours.transpose(0, 1))):
        assert 4 * (one * other).mean().abs() < 5 / one.numel() ** 0.5 + 1 / 32
