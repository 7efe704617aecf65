"""Where a twin takes an operator's place, on an operator of which the twin can be told apart."""

import logging
import math

import pytest
import torch

from rationalizers.kernels import twin
from rationalizers.kernels.precision import widest


def double(x, other):
    return 2 * x


def triple(x, other):
    return 3 * x


class OnCPU:
    """An operator whose kernel for CUDA is one for the CPU, which is where these tests run."""

    def __init__(self, name):
        self.call = torch.library.custom_op(name, double, mutates_args=(), schema="(Tensor x, Tensor? other) -> Tensor")
        self._qualname = name

    def __call__(self, x):
        return self.call(x, None).tolist()

    def register_kernel(self, device):
        assert device == "cuda"
        return self.call.register_kernel("cpu")

    def set_kernel_enabled(self, device, *, enabled):
        assert device == "cuda"
        return self.call.set_kernel_enabled("cpu", enabled=enabled)


# One for each place where a twin is attached, since none is ever taken off.
FIRST, SECOND, THIRD, BARE = (OnCPU(f"rationalizers_tests::{name}") for name in ("first", "second", "third", "bare"))
ONE = torch.ones(1)


@pytest.fixture(autouse=True)
def twinned(monkeypatch):
    own = {}
    monkeypatch.setattr(twin, "TWINNED", own)
    return own


@pytest.fixture
def with_triton(monkeypatch):
    monkeypatch.setattr(twin, "find_spec", lambda name: name)


def test_a_twin_takes_the_place_of_its_reference(with_triton, twinned):
    assert FIRST(ONE) == [2]
    run = twin.cuda_twin(FIRST, reference=double)(triple)
    assert FIRST(ONE) == [3]
    assert FIRST(ONE.double()) == [2]
    assert run(ONE, None).tolist() == [3]
    assert run.__name__ == "triple"
    assert twinned == {"rationalizers_tests::first": FIRST}


def test_without_triton_the_reference_stays(monkeypatch, twinned, caplog):
    monkeypatch.setattr(twin, "find_spec", lambda _: None)
    with caplog.at_level(logging.INFO, logger="rationalizers.kernels.twin"):
        twin.cuda_twin(BARE, reference=double)(triple)
    assert BARE(ONE) == [2]
    assert twinned == {}
    assert "no Triton" in caplog.text
    assert "runs in torch on CUDA too" in caplog.text


def test_references_only_for_as_long_as_it_is_asked_for(with_triton):
    for operator in (SECOND, THIRD):
        twin.cuda_twin(operator, reference=double)(triple)
    with twin.references_only():
        assert SECOND(ONE) == THIRD(ONE) == [2]
        with twin.references_only():
            assert SECOND(ONE) == THIRD(ONE) == [2]
        assert SECOND(ONE) == THIRD(ONE) == [2]
    assert SECOND(ONE) == THIRD(ONE) == [3]
    with pytest.raises(RuntimeError, match="in between"), twin.references_only():
        raise RuntimeError("in between")
    assert SECOND(ONE) == THIRD(ONE) == [3]


def test_references_only_without_any_twin_changes_nothing():
    with twin.references_only():
        assert twin.through(triple, double, (ONE, None)).tolist() == [3]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64])
def test_a_twin_is_launched_for_up_to_32_bits(dtype):
    x = torch.ones(2).to(dtype)
    assert twin.through(triple, double, (x, None)).tolist() == [3, 3]


def test_a_single_number_of_64_bits_goes_through_the_reference():
    x = torch.ones(2)
    assert twin.through(triple, double, (x.double(), x)).tolist() == [2, 2]
    assert twin.through(triple, double, (x, x.double())).tolist() == [2, 2]


def test_arguments_that_are_not_tensors_pass():
    launched = []
    twin.through(lambda *given: launched.append(given), double, (ONE, None, 0.5, [0.1], "mean"))
    assert launched == [(ONE, None, 0.5, [0.1], "mean")]


@pytest.mark.parametrize("shape", [(2**31,), (2**16, 2**15), (3, 2**30)])
def test_too_many_numbers_are_refused(shape):
    large, numbers = torch.empty(1).expand(*shape), math.prod(shape)  # one number in memory
    for arguments in ((large, None), (ONE, large)):
        with pytest.raises(ValueError, match=rf"has {numbers} numbers.*fewer than 2\^31 = 2147483648; use smaller batches"):
            twin.through(triple, double, arguments)
    wide = torch.empty(1, dtype=torch.float64).expand(*shape)
    assert twin.through(triple, lambda x, other: x.shape, (wide, None)) == shape  # the reference has no such limit


def test_one_fewer_than_too_many_is_launched():
    assert twin.through(lambda x, other: x.shape, double, (torch.empty(1).expand(2**31 - 1), None)) == (2**31 - 1,)
    twin.refuse_too_large((2**40, 0))
    twin.refuse_too_large(())


def test_a_pass_is_as_wide_as_its_widest_tensor_and_at_least_float32():
    half, brain, single, wide = (torch.ones(1, dtype=getattr(torch, name)) for name in ("half", "bfloat16", "float", "double"))
    assert widest() == widest(None) == widest(half) == widest(brain, None) == widest(half, brain) == torch.float32
    assert widest(single, wide) == widest(half, wide) == widest(wide, None) == torch.float64
