"""What it means that a unit is absent: one closed vocabulary, applied in one place."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from rationalizers.batch import Batch
from rationalizers.encoders import Encoder
from rationalizers.kernels.blend import blend

Absence = Literal["compact", "remove", "mask_token", "zero", "state", "message"]
ABSENCES: tuple[str, ...] = get_args(Absence)
# What is absent in one of these ways cannot be seen; in the others, its neighbours have seen it.
HIDING = ("compact", "remove", "mask_token", "zero")


def check_absence(absence: str) -> None:
    """Raise unless ``absence`` is one of the vocabulary."""
    if absence not in ABSENCES:
        raise ValueError(f"'absence' must be one of {', '.join(ABSENCES)}; got {absence!r}")


def encode_visible(encoder: Encoder, batch: Batch, mask: Tensor, *, absence: str) -> tuple[Tensor, Batch]:
    """States of what a predictor may see under a mask; fixed units are always visible.

    ============ ====================================================== ==========
    absence      an unselected unit …                                    mask
    ============ ====================================================== ==========
    compact      is gone, the others close up and are renumbered         hard
    remove       is gone, the others keep their original positions       hard
    mask_token   is embedded as [MASK]: m·e + (1−m)·e_[MASK]             soft, hard
    zero         is embedded as zero: m·e                                soft, hard
    state        is encoded with the others, and its state is m·h        soft, hard
    message      keeps its state; along an edge u → v passes m_u·m_v     soft, hard
    ============ ====================================================== ==========

    Args:
        encoder: with its two verbs; the mask acts between or before them.
        batch: with N units.
        mask: in [0, 1], ``[N]``; for the two that remove units, mask > ½ decides and passes no gradient.
        absence: one of the six; ``message`` needs an encoder of graphs.

    Returns:
        the states ``[M, D]`` and the batch that they belong to (M = N, or the number of visible units).

    Raises:
        ValueError: unknown ``absence``, or a mask that is not ``[N]``.
    """
    check_absence(absence)
    if mask.shape != batch.units.shape[:1]:
        raise ValueError(f"'mask' must be [N={batch.units.shape[0]}], got {tuple(mask.shape)}")
    if absence in ("compact", "remove"):
        visible = batch.select((mask > 0.5) | batch.fixed, positions="fresh" if absence == "compact" else "kept")
        return encoder.encode(encoder.embed(visible), visible), visible
    e = encoder.embed(batch)  # [N, D]
    m = torch.where(batch.fixed, torch.ones_like(mask), mask).to(e.dtype)  # [N]
    if absence == "state":
        return blend(encoder.encode(e, batch), m), batch
    if absence == "message":
        return encoder.encode_weighted(e, batch, m), batch
    return encoder.encode(blend(e, m, None if absence == "zero" else encoder.mask_embedding()), batch), batch
