"""Random numbers from a counter: the same for the same seed, on every device, whoever draws them in whatever order.

Philox4x32-10 of Parallel Random Numbers: As Easy as 1, 2, 3 (Salmon, Moraes, Dror, Shaw, 2011,
https://doi.org/10.1145/2063384.2063405), which is also what CUDA's generators of torch and Triton are made of.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEYS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_WORD = 2**32 - 1


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four random words of 32 bits for each counter; all are int64 that hold unsigned 32-bit words."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        # The upper half of a product beyond 2⁶³ wraps around and keeps its bits.
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            ((product1 >> 32) & _WORD) ^ c1 ^ k0,
            product1 & _WORD,
            ((product0 >> 32) & _WORD) ^ c3 ^ k1,
            product0 & _WORD,
        )
        k0, k1 = (k0 + _KEYS[0]) & _WORD, (k1 + _KEYS[1]) & _WORD
    return c0, c1, c2, c3


def uniform(seed: Tensor, count: int, *, device: torch.device) -> Tensor:
    """Numbers u_n = (w_n + ½) / 2²³ in (0, 1), float32 ``[count]``, w_n the upper 23 bits of word n mod 4 of counter n // 4.

    Both u and 1 − u are exact in float32, and neither is 0.

    Args:
        seed: int64 scalar, the key.
        count: how many, N.
        device: where they go.
    """
    block = torch.arange(-(-count // 4), device=device)
    zero, seed = torch.zeros_like(block), seed.to(device)
    words = torch.stack(philox((block, zero, zero, zero), (seed & _WORD, (seed >> 32) & _WORD)), 1)  # [⌈N/4⌉, 4]
    return ((words.flatten()[:count] >> 9).float() + 0.5) * 2.0**-23
