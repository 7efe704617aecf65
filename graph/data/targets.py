"""Columns of targets as descriptions of a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rationalizers.task import TRANSFORMS


def yes_or_no(names: Sequence[str]) -> dict[str, Any]:
    """Description of `rationalizers.task.BinaryTasks`."""
    return {"_target_": "rationalizers.task.BinaryTasks", "targets": list(names)}


def classes(names: Sequence[str]) -> dict[str, Any]:
    """Description of `rationalizers.task.Classification`."""
    return {"_target_": "rationalizers.task.Classification", "labels": list(names)}


def numbers(names: Sequence[str], train: Tensor, *, unit: str, transform: str, standardize: bool) -> dict[str, Any]:
    """Description of `rationalizers.task.Regression`.

    Args:
        names: of the columns.
        train: targets of the training split ``[R, T]``, NaN where unknown.
        unit: of the targets.
        transform: t, ``none`` or ``log10``.
        standardize: take mean and standard deviation of t(y) over the training split, not 0 and 1.

    Raises:
        ValueError: an unknown transform, a target that it cannot take, or one that is the same everywhere and cannot be
            standardized.
    """
    if transform not in TRANSFORMS:
        raise ValueError(f"'transform' must be one of {', '.join(TRANSFORMS)}; got {transform!r}")
    scale: dict[str, list[float]] = {}
    if standardize:
        values = train.double()
        values = values.log10() if transform == "log10" else values
        known = ~values.isnan()
        count = known.sum(0)
        mean = values.nansum(0) / count
        std = ((values - mean).square().nansum(0) / count).sqrt()
        for name, each in zip(names, std.tolist(), strict=True):
            if not each > 0:
                raise ValueError(f"target {name!r} does not vary in the training split; it cannot be standardized")
        scale = {"mean": mean.tolist(), "std": std.tolist()}
    return {"_target_": "rationalizers.task.Regression", "targets": list(names), "unit": unit, "transform": transform, **scale}


def check_targets(values: Tensor, names: Sequence[str], *, binary: bool, transform: str, places: Sequence[str]) -> None:
    """Look whether targets ``[R, T]`` are what they are said to be.

    Args:
        values: NaN where unknown.
        names: of the columns.
        binary: whether they answer yes or no.
        transform: that numbers have to bear.
        places: of the rows, for the error.

    Raises:
        ValueError: a binary target other than 0 and 1, an infinite number, or one that has no logarithm.
    """
    known = ~values.isnan()
    if binary:
        wrong, expected = known & (values != 0) & (values != 1), "0 or 1"
    elif transform == "log10":
        wrong, expected = known & ~((values > 0) & values.isfinite()), "a positive number, of which to take the logarithm"
    else:
        wrong, expected = known & ~values.isfinite(), "a finite number"
    if bool(wrong.any()):
        row, column = torch.nonzero(wrong)[0].tolist()
        raise ValueError(
            f"{places[row]}: {names[column]!r} should be {expected} or empty, got {values[row, column].item():g}; "
            "correct or remove the row"
        )
