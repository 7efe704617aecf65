"""In which precision an operator computes: what comes in half is summed in float32."""

from __future__ import annotations

import torch
from torch import Tensor


def widest(*tensors: Tensor | None) -> torch.dtype:
    """Precision of a pass over some tensors: the widest of theirs, at least float32; ``None`` has none."""
    wide = torch.float32
    for tensor in tensors:
        if tensor is not None:
            wide = torch.promote_types(wide, tensor.dtype)
    return wide
