"""Dropout of a grid without keeping its mask: row i is drawn from (seed, i) alone, whenever and wherever it is needed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Sixteen random bits decide on an element; torch's own Bernoulli draws (2.13, AMD EPYC) take some twenty times as long.
LEVELS = 2**16


def kept_share(dropout: float) -> float:
    """Probability that an element is kept: 1 − ``dropout`` rounded to a multiple of 2⁻¹⁶.

    Raises:
        ValueError: nothing would be kept, or more than everything.
    """
    levels = round((1 - dropout) * LEVELS)
    if not 0 < levels <= LEVELS:
        raise ValueError(f"'dropout' must be in [0, 1), got {dropout}; leave the grid out to keep nothing")
    return levels / LEVELS


def grid_mask(seed: Tensor, rows: range, *, columns: int, width: int, dropout: float) -> Tensor:
    """Which elements of some rows of the grid are kept, the same in every call and on every device.

    Args:
        seed: int64 scalar; on the CPU, or reading it waits for the device.
        rows: indices i of the rows.
        columns: elements per row, K.
        width: of an element, H.
        dropout: probability that a number is dropped, see `kept_share`.

    Returns:
        ``[R, K, H]`` bool, on the CPU.

    Raises:
        ValueError: ``dropout`` is outside [0, 1).
    """
    dropped = LEVELS - round(kept_share(dropout) * LEVELS)
    entropy, size = int(seed) % 2**64, columns * width
    kept = np.empty((len(rows), size), dtype=np.bool_)
    for place, row in enumerate(rows):
        source = np.random.SFC64(np.random.SeedSequence([entropy, row]))
        bits = source.random_raw(-(-size // 4)).view(np.uint16)[:size]
        np.greater_equal(bits, dropped, out=kept[place])
    return torch.from_numpy(kept).view(len(rows), columns, width)
