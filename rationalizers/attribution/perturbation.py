"""Attribution by perturbation: what happens to a prediction when units are absent.

All explain f, the logit of what the model predicts, and treat it as a black box behind the forced mask: what absent means is an
argument (`rationalizers.absence`). The baseline is the input without all that can be selected; fixed units are in every copy.

What captum (https://captum.ai) does over padded masks ``[B, L]`` these do over packed copies (`rationalizers.copies`): only
real units are ever left out, copies of all examples and of any size go through the model together, and under the absences that
remove units they are as short as what is left. The results are those of captum's ``FeatureAblation`` and
``ShapleyValueSampling``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from rationalizers.absence import check_absence
from rationalizers.attribution.base import Attribution
from rationalizers.base import Rationalizer
from rationalizers.batch import Batch
from rationalizers.copies import REMOVING, Copies, logits, passes
from rationalizers.segment import lengths, members, offsets, owners, segment_sum

# Of copies [M] and units [M], which units are there, [M] bool.
Shown = Callable[[Tensor, Tensor], Tensor]


class Perturbation(Attribution):
    """Asks a model for its prediction without some units.

    Args:
        share: as in `Attribution`.
        absence: what it means that a unit is absent (see `rationalizers.absence`).
        units: how many may be read in one pass.

    Raises:
        ValueError: a share outside (0, 1], an unknown absence, or ``units`` that are not positive.
    """

    def __init__(self, *, share: float, absence: str = "zero", units: int = 16_384) -> None:
        super().__init__(share=share)
        check_absence(absence)
        if units < 1:
            raise ValueError(f"'units' must be positive, got {units}")
        self.absence, self.units = absence, units

    @torch.no_grad()
    def outcomes(self, model: Rationalizer, batch: Batch, target: Tensor, *, rows: Tensor, size: Tensor, shown: Shown) -> Tensor:
        """What f is on each of some copies, ``[R]``.

        Args:
            model: in evaluation mode.
            batch: the examples.
            target: the column of the logits that is explained, of each example ``[B]``.
            rows: the example that each copy is of, ``[R]``.
            size: units that each copy shows, with fixed ones, ``[R]``.
            shown: says of copies (their places in ``rows``) and units which of the units are there; asked pass by pass, so that
                memory holds the units of one pass only.
        """
        read = size if self.absence in REMOVING else lengths(batch.ptr)[rows]
        found = torch.zeros(rows.shape, dtype=torch.get_default_dtype(), device=rows.device)
        for places in passes(read, units=self.units):
            some = rows[places]
            copy, unit = members(some, batch.ptr)
            there = shown(places[copy], unit) | batch.fixed[unit]
            ptr = offsets(torch.bincount(copy[there], minlength=places.numel()))
            predicted = logits(model, batch, Copies(unit[there], ptr, some), absence=self.absence, units=self.units)
            found[places] = predicted.gather(1, target[some][:, None])[:, 0].to(found.dtype)
        return found


class FeatureAblation(Perturbation):
    """Leave one out: Understanding Neural Networks through Representation Erasure (Li, Monroe, Jurafsky, 2016).

        a_v = f(x) − f(x without v)

    https://arxiv.org/abs/1612.08220. In (−∞, ∞): what f loses with the unit while all others are there, so that of two units that
    say the same neither may count. Reads Σ_b (n_b + 1) copies.

    Args:
        share: as in `Attribution`.
        absence: as in `Perturbation`.
        units: as in `Perturbation`.

    Raises:
        ValueError: as `Perturbation`.
    """

    def scores(self, model: Rationalizer, batch: Batch, target: Tensor) -> Tensor:
        """The fall of f without each unit, ``[N]``; zero for fixed ones."""
        free = torch.nonzero(~batch.fixed).flatten()  # [S]
        row, each = owners(batch.ptr, batch.fixed.shape[0])[free], torch.arange(batch.ptr.numel() - 1, device=free.device)
        rows = torch.cat([row, each])
        gone = torch.cat([free, torch.full_like(each, -1)])  # after the copies without a unit, the whole examples
        found = self.outcomes(
            model,
            batch,
            target,
            rows=rows,
            size=lengths(batch.ptr)[rows] - (gone >= 0).long(),
            shown=lambda copy, unit: unit != gone[copy],
        )
        without, whole = found[: free.numel()], found[free.numel() :]
        return without.new_zeros(batch.fixed.shape).index_put((free,), whole[row] - without)


class ShapleySampling(Perturbation):
    """Polynomial Calculation of the Shapley Value Based on Sampling (Castro, Gómez, Tejada, 2009).

        a_v = mean over permutations π of f(units up to v in π) − f(units before v in π)

    https://doi.org/10.1016/j.cor.2008.04.004, in An Efficient Explanation of Individual Classifications using Game Theory
    (Štrumbelj, Kononenko, 2010, https://jmlr.org/papers/v11/strumbelj10a.html) for predictions. In (−∞, ∞). Within an example
    attributions add up to f(x) − f(∅) for any number of samples; with more they approach Shapley values. Reads
    Σ_b (samples · (n_b − 1) + 2) copies.

    Permutations are drawn from ``seed`` and the row of an example in its split, so that they do not depend on its company.

    Args:
        share: as in `Attribution`.
        samples: permutations of each example.
        seed: of the permutations.
        absence: as in `Perturbation`.
        units: as in `Perturbation`.

    Raises:
        ValueError: as `Perturbation`, fewer than one sample, or a negative seed.
    """

    def __init__(self, *, share: float, samples: int = 25, seed: int = 0, absence: str = "zero", units: int = 16_384) -> None:
        super().__init__(share=share, absence=absence, units=units)
        check_draws(samples, seed)
        self.samples, self.seed = samples, seed

    def scores(self, model: Rationalizer, batch: Batch, target: Tensor) -> Tensor:
        """The mean change of f that each unit makes, ``[N]``; zero for fixed ones."""
        rank = self.ranks(batch)  # [P, N]
        free = torch.nonzero(~batch.fixed).flatten()  # [S]
        row = owners(batch.ptr, rank.shape[1])[free]  # [S]
        ptr = offsets((~batch.fixed).long())[batch.ptr]  # [B+1], of selectable units
        count = lengths(ptr)[row]
        # Place q of an example stands for the copy with its first `last` + 1 units in the order of a permutation.
        last = torch.arange(free.numel(), device=free.device) - ptr[:-1][row]
        partial = torch.nonzero(last < count - 1).flatten()  # the copies that are not whole, of each permutation
        each = torch.arange(batch.ptr.numel() - 1, device=free.device)
        # After those, of each example the one without all and the whole one, which all permutations share.
        rows = torch.cat([row[partial].repeat(self.samples), each, each])
        upto = torch.cat([last[partial].repeat(self.samples), torch.full_like(each, -1), lengths(ptr) - 1])
        order = torch.arange(self.samples, device=free.device).repeat_interleave(partial.numel())
        order = torch.nn.functional.pad(order, (0, 2 * each.numel()))
        found = self.outcomes(
            model,
            batch,
            target,
            rows=rows,
            size=upto + 1 + segment_sum(batch.fixed.long(), batch.ptr)[rows],
            shown=lambda copy, unit: rank[order[copy], unit] <= upto[copy],
        )
        ends: Tensor = found[-2 * each.numel() :]
        none, whole = ends[: each.numel()], ends[each.numel() :]
        reached = whole[row].repeat(self.samples, 1)  # [P, S]
        reached[:, partial] = found[: -2 * each.numel()].view(self.samples, -1)
        before = torch.where(last == 0, none[row], torch.nn.functional.pad(reached[:, :-1], (1, 0)))  # [P, S]
        added = (reached - before).gather(1, ptr[:-1][row] + rank[:, free])
        return added.new_zeros(batch.fixed.shape).index_put((free,), added.mean(0))

    def ranks(self, batch: Batch) -> Tensor:
        """Place of each selectable unit in each permutation of those of its example, ``[P, N]``; 0 where fixed."""
        rank = torch.zeros(self.samples, batch.fixed.shape[0], dtype=torch.long)
        for draw, units in draws(batch, seed=self.seed):
            places = np.tile(np.arange(units.numel()), (self.samples, 1))
            rank[:, units] = torch.from_numpy(draw.permuted(places, axis=1))
        return rank.to(batch.ptr.device)


def check_draws(samples: int, seed: int) -> None:
    """Raise unless there is something to draw, from a seed that there is."""
    if samples < 1:
        raise ValueError(f"'samples' must be at least 1, got {samples}")
    if seed < 0:
        raise ValueError(f"'seed' must not be negative, got {seed}")


def draws(batch: Batch, *, seed: int) -> Iterator[tuple[np.random.Generator, Tensor]]:
    """Of each example its own source of randomness and its selectable units, on the CPU."""
    bounds, fixed = batch.ptr.tolist(), batch.fixed.cpu()
    for row, (first, end) in zip(batch.index.tolist(), itertools.pairwise(bounds), strict=True):
        yield np.random.default_rng([seed, row]), first + torch.nonzero(~fixed[first:end]).flatten()
