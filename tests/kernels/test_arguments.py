"""What operators over packed units refuse, and what they let pass."""

import pytest
import torch

from rationalizers.kernels.arguments import (
    check_bool,
    check_floating,
    check_offsets,
    check_reach,
    check_seed,
    check_states,
    check_units,
    check_whole,
)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_what_fits_passes(dtype):
    x = torch.ones(3, 2, dtype=dtype)
    check_floating(x=x)
    check_states(x, torch.ones(3))
    check_states(x[:0], x[:0, 0])
    check_units(3, mask=torch.ones(3), fixed=torch.ones(3).bool())
    check_bool(fixed=torch.ones(3).bool())
    check_whole(k=torch.tensor([1]), ptr=torch.tensor([0, 3]))
    check_seed(torch.tensor(-5))
    for ptr in ([0], [0, 0], [0, 3], [0, 0, 2, 2, 3]):
        check_offsets(torch.tensor(ptr))
        check_reach(torch.tensor(ptr), ptr[-1])


@pytest.mark.parametrize(
    ("check", "error", "message"),
    [
        (lambda: check_floating(a=torch.ones(1), b=torch.ones(1).long()), TypeError, "'b' must be floating, got torch.int64"),
        (lambda: check_floating(a=torch.ones(1).cfloat()), TypeError, "'a' must be floating, got torch.complex64"),
        (lambda: check_bool(fixed=torch.ones(1).byte()), TypeError, "'fixed' must be bool, got torch.uint8"),
        (lambda: check_whole(k=torch.ones(1).int()), TypeError, r"'k' must be int64, got torch.int32; convert it with .long\("),
        (
            lambda: check_units(3, a=torch.ones(3), b=torch.ones(3, 1)),
            ValueError,
            r"'b' must be \[N=3\], got \(3, 1\); give one number per unit",
        ),
        (lambda: check_states(torch.ones(2), torch.ones(2)), ValueError, r"'x' must be \[N, D\], got \(2,\)"),
        (
            lambda: check_states(torch.ones(2, 3), torch.ones(3)),
            ValueError,
            r"'mask' must be \[2\] like the rows of 'x', got \(3,",
        ),
        (lambda: check_offsets(torch.tensor([0, 1]).int()), TypeError, "'ptr' must be int64, got torch.int32"),
        (lambda: check_offsets(torch.zeros(0).long()), ValueError, r"'ptr' must be the offsets \[B\+1\], got \(0,\)"),
        (lambda: check_offsets(torch.tensor(0)), ValueError, r"got \(\); see rationalizers.segment.offsets"),
        (lambda: check_seed(torch.tensor(1).int()), ValueError, r"'seed' must be an int64 scalar, got torch.int32 \(\)"),
        (
            lambda: check_seed(torch.tensor([1])),
            ValueError,
            r"got torch.int64 \(1,\); draw one with torch.randint\(2\*\*62, \(\)\)",
        ),
    ],
)
def test_what_does_not_fit_is_named(check, error, message):
    with pytest.raises(error, match=message):
        check()


@pytest.mark.parametrize(
    ("ptr", "units", "shown"),
    [
        ([1, 3], 3, r"\[1, 3\]"),
        ([0, 2], 3, r"\[0, 2\]"),
        ([0, 4], 3, r"\[0, 4\]"),
        ([0, 2, 1, 3], 3, r"\[0, 2, 1, 3\]"),
        ([0, 5, 3], 3, r"\[0, 5, 3\]"),
        ([0, -1, 3], 3, r"\[0, -1, 3\]"),
        ([0], 3, r"\[0\]"),
        (list(range(9)), 9, "0 to 8 in 9 steps"),  # a long one in short
    ],
)
def test_offsets_that_do_not_rise_to_the_units_are_shown(ptr, units, shown):
    with pytest.raises(ValueError, match=f"'ptr' must rise from 0 to the {units} units, got {shown}; see .*offsets"):
        check_reach(torch.tensor(ptr), units)


def test_offsets_elsewhere_are_not_waited_for():
    check_reach(torch.tensor([1, 0], device="meta"), 3)
