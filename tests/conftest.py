"""Shared by all tests: one thread, the same seed, and where the real data lie."""

import os
from pathlib import Path

import pytest
import torch

# Without a CUDA device, Triton's kernels run in its interpreter; Triton asks when it is first imported.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# Before tests/contract.py is first imported, so that its assertions explain themselves.
pytest.register_assert_rewrite("tests.contract")


@pytest.fixture(autouse=True)
def _reproducible():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def data_root() -> Path:
    """The folder with published data sets; tests that need one are skipped without it."""
    root = os.environ.get("RATIONALIZERS_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("set RATIONALIZERS_DATA to the folder with the published data sets")
    return Path(root)
