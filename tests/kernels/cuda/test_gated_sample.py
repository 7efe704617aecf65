"""The twin of gated_sample against its reference: the same draws, and the gradients of all that they give."""

import pytest
import torch

from rationalizers.kernels.gated_sample import (
    CONCRETE,
    HARDKUMA,
    STRAIGHT_THROUGH,
    gated_sample_backward_reference,
    gated_sample_reference,
)
from tests.kernels.cuda.launching import CASES, apart, assert_like, launched, ptr_of

twin = pytest.importorskip("rationalizers.kernels.cuda.gated_sample")
GATES = pytest.mark.parametrize("gate", [CONCRETE, STRAIGHT_THROUGH, HARDKUMA], ids=["concrete", "straight through", "HardKuma"])
SEED = torch.tensor(2**61 + 12345)


def inputs(lengths, gate, dtype=torch.float32):
    ptr = ptr_of(lengths)
    n = int(ptr[-1])
    parameters = 0.05 + 3 * torch.rand(2, n) if gate == HARDKUMA else 2 * torch.randn(1, n)
    return parameters.to(dtype), ptr, torch.rand(n) < 0.25


def compare(lengths, gate, dtype=torch.float32, *, seed=SEED, given=lambda x: x):
    parameters, ptr, fixed = inputs(lengths, gate, dtype)
    expected = gated_sample_reference(parameters, ptr, seed, fixed, gate, 0.7)
    ours = launched(twin.gated_sample, given(parameters), given(ptr), seed, given(fixed), gate, 0.7)
    assert_like(ours, expected, dtype)
    mask, share, transitions, counts = expected
    grads = [torch.randn_like(each) for each in (mask, share, transitions)]
    arguments = [*grads, parameters, mask, counts, ptr, seed, fixed]
    strided = [given(each) if each.dim() else each for each in arguments]
    found = launched(twin.gated_sample_backward, *strided, gate, 0.7)
    assert_like(found, gated_sample_backward_reference(*arguments, gate, 0.7), dtype)
    return ours


@GATES
@CASES
def test_it_is_the_reference(lengths, gate, dtype):
    compare(lengths, gate, dtype)


@GATES
def test_examples_longer_than_a_block(monkeypatch, gate):
    monkeypatch.setattr(twin, "_shape", lambda n, b: (32, 1, 1))
    compare((29, 1, 0, 95, 60), gate)


@GATES
def test_long_examples_are_drawn_in_parts(monkeypatch, gate):
    monkeypatch.setattr(twin, "_shape", lambda n, b: (32, 3, 1))
    compare((29, 1, 0, 2, 143, 60), gate)


@GATES
@pytest.mark.parametrize("seed", [0, 1, -1, 2**62 - 1])
def test_every_seed_is_one(gate, seed):
    compare((7, 12), gate, seed=torch.tensor(seed))


@GATES
def test_hard_masks_are_those_of_the_reference_to_the_bit(gate):
    parameters, ptr, fixed = inputs((40, 0, 50), gate)
    mask, *_ = launched(twin.gated_sample, parameters, ptr, SEED, fixed, gate, 0.7)
    expected, *_ = gated_sample_reference(parameters, ptr, SEED, fixed, gate, 0.7)
    for value in (0, 1):
        assert (mask == value).equal(expected == value)


def test_shapes_at_the_edge_of_what_is_positive():
    # Softplus cut to [1e-6, 100] gives these.
    a, b = torch.cartesian_prod(*[torch.tensor([1e-6, 1e-2, 1.0, 10.0, 100.0])] * 2).T
    parameters, ptr = torch.stack([a, b]), torch.tensor([0, 25])
    fixed = torch.zeros(25, dtype=torch.bool)
    expected = gated_sample_reference(parameters, ptr, SEED, fixed, HARDKUMA, 1.0)
    assert_like(launched(twin.gated_sample, parameters, ptr, SEED, fixed, HARDKUMA, 1.0), expected, torch.float32)
    grads = torch.ones(25), torch.ones(1), torch.ones(1)
    arguments = (*grads, parameters, expected[0], expected[3], ptr, SEED, fixed, HARDKUMA, 1.0)
    (ours,) = launched(twin.gated_sample_backward, *arguments)
    theirs = gated_sample_backward_reference(*arguments)
    assert ours.isfinite().all()
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


@GATES
def test_layout_in_memory_does_not_matter(gate):
    compare((4, 9), gate, given=apart)
