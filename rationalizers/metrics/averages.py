"""Precision, recall and F1 of what is right among much: pooled over all keys (micro), and averaged over keys (macro).

A key is whatever is averaged over: an example, or ERASER's pair of an annotation and a document.
"""

from __future__ import annotations

import torch
from torch import Tensor

# What is kept of any number of keys; see `sums`.
SUMS = ("hits", "predicted", "found", "gold", "precision", "recall", "f1", "precise", "recalled", "keys")


def f1(precision: Tensor, recall: Tensor) -> Tensor:
    """Harmonic mean, zero where both are zero."""
    return 2 * precision * recall / (precision + recall).clamp(min=1e-12)


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Divide, giving zero where there is no whole."""
    return part / whole.clamp(min=1e-12)


def sums(hits: Tensor, predicted: Tensor, found: Tensor, gold: Tensor, *, precise: Tensor, recalled: Tensor) -> dict[str, Tensor]:
    """Sums over keys, from which `micro` and the two kinds of macro average follow; sums of batches add up.

    Args:
        hits: predicted items that are right, ``[K, …]``.
        predicted: items predicted, ``[K, …]``.
        found: gold items that were found, ``[K, …]``; the same as ``hits`` where items are matched one to one.
        gold: items marked by people, ``[K, …]``.
        precise: keys whose precision counts, ``[K]`` bool.
        recalled: keys whose recall counts, ``[K]`` bool.

    Returns:
        each of `SUMS` as ``[…]``: sums of the four; of precision, recall and F1 of each key, zero where there is nothing; and
        how many keys count for precision, for recall, and for either.
    """
    precision, recall = ratio(hits, predicted), ratio(found, gold)
    either = precise | recalled
    values = {
        **{name: x[either] for name, x in (("hits", hits), ("predicted", predicted), ("found", found), ("gold", gold))},
        "precision": precision[precise],
        "recall": recall[recalled],
        "f1": f1(precision, recall)[either],
    }
    counts = {name: keys.sum().double() for name, keys in (("precise", precise), ("recalled", recalled), ("keys", either))}
    return {**{name: x.double().sum(0) for name, x in values.items()}, **counts}


def micro(of: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Precision, recall and F1 of all items together; zero where nothing is predicted, or nothing marked."""
    precision, recall = ratio(of["hits"], of["predicted"]), ratio(of["found"], of["gold"])
    return precision, recall, f1(precision, recall)


def macro(of: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Means of the precision, recall and F1 of each key."""
    return ratio(of["precision"], of["keys"]), ratio(of["recall"], of["keys"]), ratio(of["f1"], of["keys"])


def macro_of_means(of: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean precision over the keys where it counts, mean recall over its own, and the F1 of these two means."""
    precision, recall = ratio(of["precision"], of["precise"]), ratio(of["recall"], of["recalled"])
    return precision, recall, f1(precision, recall)


def named(name: str, values: tuple[Tensor, Tensor, Tensor], *, suffix: str = "") -> dict[str, Tensor]:
    """``<name>_precision<suffix>`` and so on."""
    return {f"{name}_{kind}{suffix}": value for kind, value in zip(("precision", "recall", "f1"), values, strict=True)}


def zeros(shape: tuple[int, ...] = ()) -> dict[str, Tensor]:
    """`SUMS` of no key, with room for several thresholds."""
    counts = ("precise", "recalled", "keys")
    return {name: torch.zeros(() if name in counts else shape, dtype=torch.float64) for name in SUMS}
