"""How a pass goes through a grid that is never there as a whole: its precision, its blocks, the gradients it leaves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Numbers in a block, 8 MB of float32. For B = K = 256 and H = 600 on an AMD EPYC with 1 MB of L2 cache per core, a quarter of it
# takes 30 % longer (two threads: 60 %), twice as much 50 %.
BLOCK = 2**21


def blocks(rows: int, *, numbers: int) -> list[range]:
    """Consecutive rows that go through the cache together, where a row of the grid holds so many ``numbers``."""
    step = max(1, BLOCK // max(1, numbers))
    return [range(start, min(start + step, rows)) for start in range(0, rows, step)]


def scaled(grad: Tensor, gradients: Sequence[Tensor], *, dtypes: Sequence[torch.dtype]) -> list[Tensor]:
    """Gradients of the mean loss times what comes from above, each in the precision of what it is the gradient of."""
    # Converted last: in half precision the gradients of a mean over the grid would vanish before a loss scale lifts them.
    return [each.to(dtype) for each, dtype in zip(_swap_grid_backward(grad, gradients), dtypes, strict=True)]


# An op although it is one line: without a formula of its own it refuses a second derivative, which would silently be wrong.
@torch.library.custom_op("rationalizers::swap_grid_backward", mutates_args=())
def _swap_grid_backward(grad: Tensor, gradients: Sequence[Tensor]) -> list[Tensor]:
    return [grad * each for each in gradients]


@_swap_grid_backward.register_fake
def _(grad: Tensor, gradients: Sequence[Tensor]) -> list[Tensor]:
    return [each.new_empty(each.shape) for each in gradients]
