"""Word dropout: which words a language model may see in training, so that it learns to do without the others.

A model f is *compatible* if its predictions from parts of a text are those of one distribution (Rationales for Sequential
Predictions, Vafa et al., 2021, https://arxiv.org/abs/2109.06387):

    min  −(1/T) Σ_t log f(x_t | x_S∩[0..t−1]),   S random with probability ρ, else everything; x_t−1 is always seen

The laws of S,

    uniform_length   |S| uniform over 0 … T, then S uniform among the sets of this size
    inverse_length   every word is in S with probability 1/T

Deviation: every text of a batch draws its own S (the authors' code: one for all under ``uniform_length``, and under
``inverse_length`` one for each head, of some text).
"""

from __future__ import annotations

import torch
from torch import Tensor

from rationalizers.segment import lengths, owners, segment_rank

LAWS = ("uniform_length", "inverse_length")


def check_law(absent: str, mixture: float) -> None:
    """Raise unless there is such a law, and ρ = ``mixture`` is a probability.

    Raises:
        ValueError: otherwise.
    """
    if absent not in LAWS:
        raise ValueError(f"'absent' must be one of {', '.join(LAWS)}; got {absent!r}")
    if not 0 <= mixture <= 1:
        raise ValueError(f"'mixture' must be in [0, 1], got {mixture}")


def visible(ptr: Tensor, units: int, *, absent: str, mixture: float) -> Tensor:
    """Draw what later words may see ``[units]`` bool.

    Args:
        ptr: borders of the texts ``[B + 1]``.
        units: of all texts.
        absent: the law of S.
        mixture: ρ, how often anything is missing from a text.
    """
    owner, size = owners(ptr, units), lengths(ptr)
    device = size.device
    incomplete = torch.rand(len(size), device=device) < mixture  # [B]
    chance = torch.rand(units, device=device)
    if absent == "uniform_length":
        kept = (torch.rand(len(size), device=device) * (size + 1)).long()  # 0 … T
        seen = segment_rank(chance, ptr) < kept[owner]
    else:
        seen = chance < 1 / size[owner]
    return seen | ~incomplete[owner]
