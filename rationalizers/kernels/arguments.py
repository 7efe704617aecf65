"""What operators over packed units refuse, in the words of the argument that does not fit."""

from __future__ import annotations

import torch
from torch import Tensor


def check_floating(**tensors: Tensor) -> None:
    """Raise ``TypeError`` for the first tensor that is not floating, by its name."""
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise TypeError(f"'{name}' must be floating, got {tensor.dtype}; convert it with .float()")


def check_states(x: Tensor, mask: Tensor) -> None:
    """Raise unless ``x`` is floating ``[N, D]`` and ``mask`` floating ``[N]``."""
    check_floating(x=x, mask=mask)
    if x.dim() != 2:
        raise ValueError(f"'x' must be [N, D], got {tuple(x.shape)}; flatten or add dimensions")
    if mask.shape != x.shape[:1]:
        raise ValueError(f"'mask' must be [{x.shape[0]}] like the rows of 'x', got {tuple(mask.shape)}; give one number per unit")


def check_units(units: int, **tensors: Tensor) -> None:
    """Raise ``ValueError`` for the first tensor that has not one number for each of some ``units``, by its name."""
    for name, tensor in tensors.items():
        if tensor.shape != (units,):
            raise ValueError(f"'{name}' must be [N={units}], got {tuple(tensor.shape)}; give one number per unit")


def check_bool(**tensors: Tensor) -> None:
    """Raise ``TypeError`` for the first tensor that is not bool, by its name."""
    for name, tensor in tensors.items():
        if tensor.dtype != torch.bool:
            raise TypeError(f"'{name}' must be bool, got {tensor.dtype}; compare it with what it should say")


def check_whole(**tensors: Tensor) -> None:
    """Raise ``TypeError`` for the first tensor that is not int64, by its name."""
    for name, tensor in tensors.items():
        if tensor.dtype != torch.int64:
            raise TypeError(f"'{name}' must be int64, got {tensor.dtype}; convert it with .long()")


def check_offsets(ptr: Tensor) -> None:
    """Raise unless ``ptr`` could be offsets ``[B+1]``; `check_reach` looks at their values."""
    check_whole(ptr=ptr)
    if ptr.dim() != 1 or not ptr.numel():
        raise ValueError(f"'ptr' must be the offsets [B+1], got {tuple(ptr.shape)}; see rationalizers.segment.offsets")


def check_reach(ptr: Tensor, units: int) -> None:
    """Raise ``ValueError`` unless ``ptr`` rises from 0 to the number of units.

    Only on the CPU, elsewhere it would wait, and not while torch compiles, which cannot look at values.
    """
    if torch.compiler.is_compiling() or not ptr.is_cpu:
        return
    if int(ptr[0]) != 0 or int(ptr[-1]) != units or bool((ptr[1:] < ptr[:-1]).any()):
        raise ValueError(f"'ptr' must rise from 0 to the {units} units, got {_shown(ptr)}; see rationalizers.segment.offsets")


def check_seed(seed: Tensor) -> None:
    """Raise ``ValueError`` unless ``seed`` is an int64 scalar."""
    if seed.dtype != torch.int64 or seed.dim():
        raise ValueError(
            f"'seed' must be an int64 scalar, got {seed.dtype} {tuple(seed.shape)}; draw one with torch.randint(2**62, ())"
        )


def _shown(ptr: Tensor) -> str:
    values = ptr.tolist()
    return str(values) if len(values) <= 8 else f"{values[0]} to {values[-1]} in {len(values)} steps"
