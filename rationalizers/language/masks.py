"""What is added to attention, so that absent tokens are not seen.

Letters: ``R`` rows, ``n`` tokens of a row.
"""

from __future__ import annotations

import torch
from torch import Tensor


def seeing(kept: Tensor) -> Tensor:
    """Every token sees those that are ``kept [R, n]`` bool, and itself, ``[R, n, n]``."""
    return kept[:, None, :] | torch.eye(kept.shape[1], dtype=torch.bool, device=kept.device)


def bias(seen: Tensor, dtype: torch.dtype, *, empty: bool = False) -> Tensor:
    """Nothing where a key is seen, else the least number; or −∞ where rows may be ``empty``, to which torch gives zeros."""
    hidden = -torch.inf if empty else torch.finfo(dtype).min
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, hidden)
