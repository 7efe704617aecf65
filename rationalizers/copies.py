"""Predictions from copies of examples that show only some of their units, in few passes of little padding.

A copy is a row: the example it is of, and which of its units it shows. Where absent units leave nothing behind (`REMOVING`), a
copy is as long as what it shows; else it is as long as its example, and a mask says what it shows. Copies of any example and any
size go through the model together, sorted by length: an encoder that pads reads every pass at the length of its longest copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rationalizers.absence import check_absence
from rationalizers.base import Rationalizer
from rationalizers.batch import Batch, Positions
from rationalizers.segment import lengths, members, offsets, owners

# Absences of which nothing is left, so that a copy is an example of its own; with the places of its units.
REMOVING: dict[str, Positions] = {"compact": "fresh", "remove": "kept"}
# Of what a pass reads, so much may be padding, once it is large enough for its fixed costs not to matter.
PADDING, LARGE = 0.1, 8192


@dataclass(frozen=True)
class Copies:
    """Copies of the examples of a batch.

    Args:
        index: the units that each copy shows, ``[M]``, in rising order within a copy.
        ptr: offsets ``[R+1]``.
        rows: the example that each copy is of, ``[R]``.
    """

    index: Tensor
    ptr: Tensor
    rows: Tensor

    @classmethod
    def of_masks(cls, masks: Tensor, batch: Batch) -> Copies:
        """One copy of every example for each of some masks ``[c, N]`` bool, all examples of the first mask first."""
        shown = masks | batch.fixed
        examples = batch.ptr.numel() - 1
        before = torch.nn.functional.pad(shown.long().cumsum(1), (1, 0))  # [c, N+1]
        size = before[:, batch.ptr[1:]] - before[:, batch.ptr[:-1]]  # [c, B]
        rows = torch.arange(examples, device=masks.device).repeat(masks.shape[0])
        return cls(torch.nonzero(shown)[:, 1], offsets(size.flatten()), rows)

    @classmethod
    def cat(cls, parts: list[Copies]) -> Copies:
        """Several one after the other."""
        size = torch.cat([lengths(part.ptr) for part in parts])
        return cls(torch.cat([part.index for part in parts]), offsets(size), torch.cat([part.rows for part in parts]))

    def take(self, places: Tensor) -> Copies:
        """Some of them, by their places ``[R']``."""
        _, unit = members(places, self.ptr)
        return Copies(self.index[unit], offsets(lengths(self.ptr)[places]), self.rows[places])


def passes(size: Tensor, *, units: int) -> Iterator[Tensor]:
    """Places ``[r]`` of copies that go through a model together, the longest first.

    A pass reads at most ``units`` units, padding included, or one copy; and at most `PADDING` of it is padding, unless it is
    smaller than `LARGE`.

    Args:
        size: of every copy, ``[R]``.
        units: at most in one pass.
    """
    order = torch.argsort(size, descending=True, stable=True)
    sizes = size[order].tolist()
    first = read = 0
    for place, each in enumerate(sizes):
        padded = sizes[first] * (place + 1 - first)
        full = padded > units or (padded - read - each > PADDING * padded and sizes[first] * (place - first) >= LARGE)
        if full and place > first:
            yield order[first:place]
            first, read = place, 0
        read += each
    if sizes:
        yield order[first:]


def check_asked(model: Rationalizer, *, absence: str, units: int) -> None:
    """Raise ``ValueError`` for what `logits` refuses."""
    check_absence(absence)
    if model.training:
        raise ValueError("counterfactual predictions are made in evaluation mode; call model.eval() first")
    if units < 1:
        raise ValueError(f"'units' must be positive, got {units}")


def predict(model: Rationalizer, batch: Batch, copies: Copies, *, absence: str, units: int = 65_536) -> Tensor:
    """Predictions ``[R, C]``, as `Task.predict` has them, from each of some copies; arguments as for `logits`."""
    return model.task.predict(logits(model, batch, copies, absence=absence, units=units))


@torch.no_grad()
def logits(model: Rationalizer, batch: Batch, copies: Copies, *, absence: str, units: int = 65_536) -> Tensor:
    """Logits ``[R, C]`` of each of some copies; fixed units are always shown.

    Args:
        model: in evaluation mode.
        batch: the examples.
        copies: of them.
        absence: what it means that a unit is not shown.
        units: how many may be read in one pass, padding included.

    Raises:
        ValueError: the model is in training mode, ``absence`` is unknown, or ``units`` is not positive.
    """
    check_asked(model, absence=absence, units=units)
    removed = absence in REMOVING
    size = lengths(copies.ptr) if removed else lengths(batch.ptr)[copies.rows]
    found, places = [], list(passes(size, units=units))
    for place in places:
        some = copies.take(place)
        if removed:
            shown = batch.gather(some.index, some.ptr, positions=REMOVING[absence], rows=some.rows)
            mask = torch.ones(some.index.shape[0], device=batch.ptr.device)
        else:
            _, unit = members(some.rows, batch.ptr)
            whole = offsets(lengths(batch.ptr)[some.rows])
            shown = batch.gather(unit, whole, positions="kept", rows=some.rows)
            owner = owners(some.ptr, some.index.shape[0])
            mask = torch.zeros(unit.shape[0], device=batch.ptr.device)
            mask[whole[owner] + some.index - batch.ptr[some.rows[owner]]] = 1
        found.append(model.logits(shown, mask, absence=absence))
    if not found:
        return torch.zeros(0, model.task.outputs, device=batch.ptr.device)
    in_order_of_size = torch.cat(found)
    return torch.empty_like(in_order_of_size).index_copy(0, torch.cat(places), in_order_of_size)
