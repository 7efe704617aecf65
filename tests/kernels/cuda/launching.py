"""How twins are tried: on a CUDA device where there is one, else in Triton's interpreter, always against the torch reference."""

import numpy as np
import pytest
import torch
from packaging.version import Version

from rationalizers.segment import offsets

triton = pytest.importorskip("triton", reason="twins need Triton: pip install 'rationalizers[kernels]'")

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if DEVICE.type == "cpu" and Version(triton.__version__) < Version("3.7") and Version(np.__version__) >= Version("2.4"):
    pytest.skip(f"the interpreter of Triton {triton.__version__} needs numpy below 2.4", allow_module_level=True)
# The interpreter rounds to half precision by itself, a unit in the last place next to torch.
TOLERANCE = {
    torch.float32: {"rtol": 1e-5, "atol": 1e-5},
    torch.float16: {"rtol": 2**-9, "atol": 2**-9},
    torch.bfloat16: {"rtol": 2**-6, "atol": 2**-6},
}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
# Units of each example: none, one, fewer and more than a block has, no multiples of anything.
LENGTHS = {
    "mixed": (0, 1, 7, 0, 33, 18, 1),
    "one example": (70,),
    "single units": (1, 1, 1),
    "nothing at the ends": (0, 5, 0),
    "no units": (0, 0),
    "no examples": (),
}
EXAMPLES = pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
# What half precision changes does not depend on where examples end.
CASES = pytest.mark.parametrize(
    ("lengths", "dtype"),
    [
        *(pytest.param(lengths, torch.float32, id=name) for name, lengths in LENGTHS.items()),
        *(pytest.param(LENGTHS["mixed"], dtype, id=str(dtype)) for dtype in (torch.float16, torch.bfloat16)),
    ],
)


def ptr_of(lengths):
    return offsets(torch.tensor(lengths, dtype=torch.long))


def apart(x):
    """The same numbers with others in between, last dimension first."""
    spread = torch.stack([x, torch.full_like(x, 9)], -1)
    return spread.movedim(-2, 0).contiguous().movedim(0, -2)[..., 0]


def launched(launch, *arguments):
    """What a launcher returns, back on the CPU: the same bits twice, and nothing of what was in memory before."""

    def moved(value):
        return value.to(DEVICE) if isinstance(value, torch.Tensor) and value.dim() else value

    torch.use_deterministic_algorithms(True)  # uninitialised memory then holds NaN, or the largest integer
    try:
        once, twice = (launch(*map(moved, arguments)) for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    once, twice = ((found,) if isinstance(found, torch.Tensor) else tuple(found) for found in (once, twice))
    for one, other in zip(once, twice, strict=True):
        assert torch.equal(one, other), "two runs differ"
    return [each.cpu() for each in once]


def assert_like(ours, expected, dtype):
    expected = (expected,) if isinstance(expected, torch.Tensor) else expected
    for place, (one, other) in enumerate(zip(ours, expected, strict=True)):
        message = f"result {place}: {{}}".format
        torch.testing.assert_close(one, other, **TOLERANCE[dtype], msg=message)
