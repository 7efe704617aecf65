"""Copies of labelled examples in which other units stand where shortcuts were discovered (Yue et al., 2024).

Labels and evidence stay, so that a model which is trained on the copies too has less reason to rely on the shortcuts. From
"Towards Faithful Explanations: Boosting Rationalization with Shortcuts Discovery", https://arxiv.org/abs/2403.07955, of whose
authors there are copies (`Released`), but not the code that made them. `RandomSpans` and `NearestStates` do what these show: runs
of text from anywhere in the training set, and single units retrieved by their states, among which a unit never retrieves itself.

Letters: ``N`` units of all labelled examples, ``Q`` of them to be replaced, ``K`` that may replace them, ``D`` width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from rationalizers.batch import Packed
from rationalizers.build import trusted
from rationalizers.encoders import Encoder
from rationalizers.load import load_rationalizer
from rationalizers.segment import lengths, offsets, owners, segment_runs

# Distances that are held at once; an eighth of a gigabyte.
DISTANCES = 2**25


@dataclass(frozen=True)
class Material:
    """What copies are made of; every `Packed` is one example.

    Args:
        labelled: labelled training examples, with ``fields["discovered"]``.
        others: the other training examples.
        further: splits of the corpus beyond ``train``, ``val`` and ``test``.
        run: run folder whose model discovered the shortcuts, or ``None``.
        seed: of what is drawn.
        vocabulary: the name of each unit.
    """

    labelled: Sequence[Packed]
    others: Sequence[Packed]
    further: Mapping[str, Sequence[Packed]]
    run: Path | None
    seed: int
    vocabulary: Sequence[str]


class Augmentation(ABC):
    """Makes one copy of every labelled example.

    Attributes:
        flags: whether the copies are still ``discovered``, so that a method goes on to treat what stands there as shortcuts.
    """

    flags: bool

    def copies(self, material: Material) -> list[Packed]:
        """One copy of each labelled example, in their order; only units with ``fields["discovered"]`` differ.

        An example without any is copied as it is. Copies have no ``words``, which would say what no longer stands there.

        Raises:
            ValueError: ``discovered`` is missing, or marks evidence or fixed units; or there is nothing to replace it with.
        """
        rows = material.labelled
        if not rows:
            return []
        batch = Packed.collate(rows)
        units = self.units(batch, _discovered(batch), material)  # [N]
        found = []
        for row, own in zip(rows, torch.split(units, lengths(batch.ptr).tolist()), strict=True):
            marked = row.fields["discovered"]
            kept = marked if self.flags else marked.masked_fill(marked > 0, 0)
            found.append(replace(row, units=own, words=(), fields={**row.fields, "discovered": kept}))
        return found

    @abstractmethod
    def units(self, batch: Packed, discovered: Tensor, material: Material) -> Tensor:
        """The units of the copies ``[N]``.

        Args:
            batch: all labelled examples, at least one.
            discovered: which of their units shall differ, ``[N]`` bool.
            material: where the others come from.
        """


class RandomSpans(Augmentation):
    """Overwrites every maximal run of discovered units by as many consecutive units from elsewhere in the training set.

    A run is drawn uniformly from all places, of labelled and other examples of any class, where so many units in a row are not
    fixed, except its own place. The copies are not ``discovered`` any more.
    """

    flags = False

    def units(self, batch: Packed, discovered: Tensor, material: Material) -> Tensor:
        """As `Augmentation.units`."""
        rows = [*material.labelled, *material.others]
        text, fixed = torch.cat([row.units for row in rows]), torch.cat([row.fixed for row in rows])
        ptr = offsets(torch.tensor([row.units.shape[0] for row in rows]))
        # Labelled examples come first, so that their units have the same places here as in the batch.
        runs = segment_runs(discovered, batch.ptr)  # [R, 2]
        source = _elsewhere(runs, _room(~fixed, ptr), seed=material.seed)  # [R]
        place = torch.nonzero(discovered).flatten()  # [Q]
        run = owners(offsets(runs[:, 1] - runs[:, 0]), place.numel())  # [Q]
        return batch.units.index_put((place,), text[place - runs[run, 0] + source[run]])


class NearestStates(Augmentation):
    """Replaces every discovered unit by the unit in the most similar context, to the model that discovered it.

    That is the unit of the nearest state (smallest ‖h − h'‖₂) among those of labelled examples that are neither evidence nor
    fixed. Units of the same example are left out, whose states have seen the one to be replaced, and so is the same unit, which
    would change nothing. The copies are still ``discovered``.

    Args:
        neighbours: of the nearest so many, one is drawn uniformly.
        batch_size: examples whose states are computed at a time.
        device: where states are computed and compared.

    The run may use classes of the packages that are trusted where this is built (`rationalizers.build.trusting`), and no others:
    a configuration that came with somebody's run cannot extend them.

    Raises:
        ValueError: a number below 1.
    """

    flags = True

    def __init__(self, *, neighbours: int = 1, batch_size: int = 16, device: str = "cpu") -> None:
        for name, value in (("neighbours", neighbours), ("batch_size", batch_size)):
            if value < 1:
                raise ValueError(f"{name!r} must be at least 1, got {value}")
        self.neighbours, self.batch_size, self.device, self.trust = neighbours, batch_size, device, trusted()

    @torch.no_grad()
    def units(self, batch: Packed, discovered: Tensor, material: Material) -> Tensor:
        """As `Augmentation.units`.

        Raises:
            FileNotFoundError: as `rationalizers.load.load_rationalizer`.
            ValueError: there is no run, its units are others, or its model has no encoder of whole examples; or a unit has no
                neighbour.
        """
        encoder, rows = self._encoder(material), material.labelled
        parts = [Packed.collate(rows[first : first + self.batch_size]) for first in range(0, len(rows), self.batch_size)]
        states = torch.cat([encoder.states(part.to(self.device)) for part in parts])  # [N, D]
        place = torch.nonzero(discovered).flatten()  # [Q]
        source = self._nearest(states, batch, place, torch.Generator().manual_seed(material.seed))  # [Q]
        return batch.units.index_put((place,), batch.units[source])

    def _encoder(self, material: Material) -> Encoder:
        """What computes the states: the generator's encoder, in evaluation mode."""
        if material.run is None:
            raise ValueError(
                "NearestStates compares the states of the model that discovered the shortcuts; name its run: "
                "data.module.shortcuts=<run folder>"
            )
        trained = load_rationalizer(material.run, trust=self.trust, device=self.device)
        if (known := tuple(trained.featurizer.vocabulary)) != tuple(material.vocabulary):
            raise ValueError(
                f"{material.run}: its vocabulary of {len(known)} units must be that of the examples, which has "
                f"{len(material.vocabulary)} and is another; train both on the same corpus with the same featurizer"
            )
        encoder = getattr(trained.model, "generator", None)
        if not isinstance(encoder, Encoder):
            raise ValueError(
                f"{material.run}: NearestStates needs a model whose 'generator' is an Encoder, such as method=fr or method=rnp; "
                f"got {type(trained.model).__name__}"
            )
        return encoder

    def _nearest(self, states: Tensor, batch: Packed, asked: Tensor, draw: torch.Generator) -> Tensor:
        """Where the unit that replaces each unit ``asked [Q]`` stands, ``[Q]``."""
        known = torch.nonzero(~batch.fields["evidence"].bool() & ~batch.fixed).flatten()  # [K]
        owner, among = owners(batch.ptr, batch.units.shape[0]), states[known.to(states.device)]  # [N], [K, D]
        found = [asked[:0]]
        # What is left out differs from unit to unit and may be most of what is near (the same word elsewhere), so that an index
        # would have to be asked for ever more neighbours; all distances are few enough.
        for some in torch.split(asked, max(1, DISTANCES // max(1, known.numel()))):
            barred = (owner[some, None] == owner[known]) | (batch.units[some, None] == batch.units[known])  # [q, K]
            distance = torch.cdist(states[some.to(states.device)], among)
            distance.masked_fill_(barred.to(states.device), torch.inf)
            nearest, rank = (each.cpu() for each in distance.topk(min(self.neighbours, known.numel()), largest=False))
            count = nearest.isfinite().sum(1)  # [q]
            if bool((count == 0).any()):
                raise ValueError(
                    f"example {batch.ids[int(owner[some[count == 0][0]])]!r}: a discovered unit has no neighbour, which would be "
                    f"another unit of another labelled example that is no evidence; {len(batch)} examples are labelled, see "
                    "data.module.labelled_share"
                )
            found.append(known[rank.gather(1, _below(count, draw)[:, None])[:, 0]])
        return torch.cat(found)


class Released(Augmentation):
    """Copies that come with the corpus, as a split of it whose examples have the names of those that they are of.

    Args:
        split: which.
        flags: whether the copies are still ``discovered``.
    """

    def __init__(self, *, split: str, flags: bool) -> None:
        self.split, self.flags = split, flags

    def units(self, batch: Packed, discovered: Tensor, material: Material) -> Tensor:
        """As `Augmentation.units`; fixed units are those of the originals.

        Raises:
            ValueError: the corpus has no such split, no copy of an example or several, or one that differs from it in more than
                its discovered units.
        """
        if self.split not in material.further:
            raise ValueError(
                f"'split' must be one of the corpus beyond train, val and test, of which it has {sorted(material.further)}; got "
                f"{self.split!r}. Copies of any corpus: augmentation@data.module.augmentation=[random,semantic]"
            )
        released = material.further[self.split]
        by_name = {row.ids[0]: row for row in released}
        if len(by_name) < len(released):
            raise ValueError(f"split {self.split!r} has {len(released)} copies with {len(by_name)} names; each needs its own")
        rows = zip(material.labelled, torch.split(discovered, lengths(batch.ptr).tolist()), strict=True)
        return torch.cat([self._copied(row, by_name.get(row.ids[0]), marked) for row, marked in rows])

    def _copied(self, row: Packed, copy: Packed | None, discovered: Tensor) -> Tensor:
        """The units of a copy, once it is known to be one."""
        if copy is None:
            raise ValueError(f"split {self.split!r} has no copy of example {row.ids[0]!r}")
        place = f"split {self.split!r}, copy of example {row.ids[0]!r}"
        if copy.units.shape != row.units.shape:
            raise ValueError(f"{place}: expected its {row.units.shape[0]} units, got {copy.units.shape[0]}")
        if not (copy.fields["evidence"].equal(row.fields["evidence"]) and copy.spans.equal(row.spans)):
            raise ValueError(f"{place}: expected its evidence, got other")
        if row.y is None or copy.y is None or not copy.y.equal(row.y):
            raise ValueError(f"{place}: expected its label, got another")
        units = torch.where(row.fixed, row.units, copy.units)
        if other := torch.nonzero((units != row.units) & ~discovered).flatten().tolist():
            raise ValueError(
                f"{place}: expected other units only where shortcuts were discovered, got {len(other)} elsewhere, first unit "
                f"{other[0]}; released copies go with the released shortcuts: data.module.shortcuts=null"
            )
        return units


def _discovered(batch: Packed) -> Tensor:
    """Which units were discovered, ``[N]`` bool, once they are known to be neither evidence nor fixed."""
    if "discovered" not in batch.fields:
        raise ValueError(
            "copies need the shortcuts of labelled examples, fields['discovered']; name the run whose model discovered them, "
            "data.module.shortcuts=<run folder>, or take a corpus that comes with them"
        )
    found = batch.fields["discovered"] > 0
    wrong = torch.nonzero(found & (batch.fields["evidence"].bool() | batch.fixed)).flatten()
    if wrong.numel():
        name = batch.ids[int(owners(batch.ptr, found.shape[0])[wrong[0]])]
        raise ValueError(
            f"example {name!r}: expected units that are neither evidence nor fixed to be 'discovered', got {wrong.numel()} that "
            "are; discover the shortcuts of this corpus anew"
        )
    return found


def _room(free: Tensor, ptr: Tensor) -> Tensor:
    """Free units in a row from each unit on, within its example, ``[N]``: 0 where it is not ``free [N]`` itself."""
    runs = segment_runs(free, ptr)  # [R, 2]
    run = owners(offsets(runs[:, 1] - runs[:, 0]), int(free.sum()))
    place = torch.nonzero(free).flatten()
    return torch.zeros(free.shape[0], dtype=torch.long).index_put((place,), runs[run, 1] - place)


def _elsewhere(runs: Tensor, room: Tensor, *, seed: int) -> Tensor:
    """Where a run of the same length begins for each of ``runs [R, 2]``, drawn uniformly from all but its own place, ``[R]``."""
    draw = torch.Generator().manual_seed(seed)
    begin, size = runs[:, 0], runs[:, 1] - runs[:, 0]
    found = torch.empty_like(begin)
    for each in torch.unique(size).tolist():
        places, rows = torch.nonzero(room >= each).flatten(), torch.nonzero(size == each).flatten()
        if places.numel() < 2:
            raise ValueError(
                f"nowhere else in the training set are {each} units in a row, to overwrite a shortcut of that length with; "
                "discover shorter ones, or take augmentation@data.module.augmentation=[semantic]"
            )
        # One place fewer, and from its own on everything one later.
        rank = _below(torch.full_like(rows, places.numel() - 1), draw)
        found[rows] = places[rank + (rank >= torch.searchsorted(places, begin[rows]))]
    return found


def _below(count: Tensor, draw: torch.Generator) -> Tensor:
    """A whole number from 0 to below each ``count [R]``, drawn uniformly, ``[R]``."""
    return (torch.rand(count.shape[0], generator=draw, dtype=torch.float64) * count).long()
