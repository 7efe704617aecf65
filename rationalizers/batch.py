"""The packed batch: what text and graphs share, units plus offsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from rationalizers.kernels.arguments import check_offsets, check_reach, check_whole
from rationalizers.segment import lengths, members, offsets, owners

Positions = Literal["fresh", "kept"]


@runtime_checkable
class Batch(Protocol):
    """What a method may ask of a batch; `Packed` is the one for text, a subclass of PyG's ``Data`` the one for graphs."""

    @property
    def units(self) -> Tensor:
        """Word or piece ids ``[N]``, or node features ``[N, F]``."""

    @property
    def ptr(self) -> Tensor:
        """Offsets ``[B+1]``: example ``b`` owns units ``ptr[b]`` to ``ptr[b+1]``."""

    @property
    def y(self) -> Any:
        """Targets ``[B, …]``, or ``None`` where they are unknown."""

    @property
    def position(self) -> Tensor:
        """Original place of each unit in its example, ``[N]``."""

    @property
    def fixed(self) -> Tensor:
        """Units that are always visible and never selectable, ``[N]`` bool."""

    @property
    def fields(self) -> Mapping[str, Tensor]:
        """Further facts per unit, ``[N]`` each; ``evidence`` is the human mask."""

    @property
    def labelled(self) -> Tensor:
        """Examples whose evidence a method may train on, ``[B]`` bool."""

    @property
    def annotated(self) -> Tensor:
        """Examples whose evidence is known, ``[B]`` bool."""

    @property
    def spans(self) -> Tensor | None:
        """Evidence intervals ``[S, 4]`` = example, start, end, group; ``None`` where units have no order."""

    @property
    def edge_index(self) -> Tensor | None:
        """Edges between units ``[2, E]``; ``None`` where units have an order instead."""

    @property
    def edge_evidence(self) -> Tensor | None:
        """Edges that people marked ``[E]`` bool; ``None`` where unknown."""

    @property
    def index(self) -> Tensor:
        """Row of each example in its split, ``[B]``."""

    def select(self, mask: Tensor, *, positions: Positions) -> Self:
        """The same examples with only the units where ``mask [N]`` is true."""

    def gather(self, index: Tensor, ptr: Tensor, *, positions: Positions, rows: Tensor | None = None) -> Self:
        """Copies of the examples ``rows [R]``, each with only its units of ``index [M]``; offsets ``[R+1]``."""

    def with_units(self, units: Tensor) -> Self:
        """The same batch with other units in the same places, ``[N, …]``."""

    def to(self, device: Any) -> Self:
        """The same batch on another device."""


@dataclass(frozen=True)
class Packed:
    """A batch of texts without padding.

    Args:
        units: ids ``[N]``.
        ptr: offsets ``[B+1]``, from 0 to N.
        y: class indices ``[B]``, or ``None``.
        position: original place of each unit in its example ``[N]``; counted from 0 where not given.
        fixed: always visible and never selectable ``[N]``, none where not given.
        fields: named facts per unit, ``[N]`` each (``evidence``, ``word``, ``sentence``, ``segment``, ``shortcut``).
        labelled: evidence may be trained on ``[B]``, none where not given.
        annotated: evidence is known ``[B]``, all where ``fields`` has ``evidence``.
        spans: evidence ``[S, 4]`` = example, start, end, group; offsets count units from the start of the example.
        index: row of each example in its split ``[B]``; counted from 0 where not given.
        words: display words of each example, which ``fields["word"]`` points into.
        ids: names of the examples.

    Raises:
        ValueError: a length or offset does not fit the others.
    """

    units: Tensor
    ptr: Tensor
    y: Tensor | None = None
    position: Tensor = None  # type: ignore[assignment]
    fixed: Tensor = None  # type: ignore[assignment]
    fields: Mapping[str, Tensor] = field(default_factory=dict)
    labelled: Tensor = None  # type: ignore[assignment]
    annotated: Tensor = None  # type: ignore[assignment]
    spans: Tensor = None  # type: ignore[assignment]
    index: Tensor = None  # type: ignore[assignment]
    words: tuple[tuple[str, ...], ...] = ()
    ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        units, ptr = self.units, self.ptr
        n, b = units.shape[0], ptr.numel() - 1
        if b < 0 or ptr.dim() != 1:
            raise ValueError(f"'ptr' must be a vector of B + 1 offsets, got shape {tuple(ptr.shape)}")
        # Batches are made on the CPU; looking at the values elsewhere would wait for the device.
        if ptr.is_cpu and (int(ptr[0]) != 0 or int(ptr[-1]) != n or bool((lengths(ptr) < 0).any())):
            raise ValueError(f"'ptr' must rise from 0 to N={n}, got {ptr.tolist()}")
        filled = {
            "position": torch.arange(n, device=units.device) - ptr[:-1][owners(ptr, n)] if self.position is None else None,
            "fixed": torch.zeros(n, dtype=torch.bool, device=units.device) if self.fixed is None else None,
            "labelled": torch.zeros(b, dtype=torch.bool, device=units.device) if self.labelled is None else None,
            "annotated": torch.full((b,), "evidence" in self.fields, device=units.device) if self.annotated is None else None,
            "spans": torch.zeros(0, 4, dtype=torch.long, device=units.device) if self.spans is None else None,
            "index": torch.arange(b, device=units.device) if self.index is None else None,
        }
        for name, value in filled.items():
            if value is not None:
                object.__setattr__(self, name, value)
        per_unit = {"position": self.position, "fixed": self.fixed, **self.fields}
        per_example = {"labelled": self.labelled, "annotated": self.annotated, "index": self.index}
        if self.y is not None:
            per_example["y"] = self.y
        for expected, named in ((n, per_unit), (b, per_example)):
            for name, tensor in named.items():
                if tensor.shape[0] != expected:
                    raise ValueError(f"{name!r} must have {expected} rows (B={b}, N={n}), got {tensor.shape[0]}")
        if self.spans.dim() != 2 or self.spans.shape[1] != 4:
            raise ValueError(f"'spans' must be [S, 4] = example, start, end, group; got {tuple(self.spans.shape)}")

    @property
    def edge_index(self) -> None:
        """Words have an order, no edges."""

    @property
    def edge_evidence(self) -> None:
        """Words have no edges."""

    def __len__(self) -> int:
        """Examples in the batch, B."""
        return self.ptr.numel() - 1

    def select(self, mask: Tensor, *, positions: Positions) -> Packed:
        """The same examples with only the units where ``mask [N]`` is true (compaction).

        Args:
            mask: units to keep, bool ``[N]``.
            positions: ``fresh`` numbers the kept units from 0 (absence ``compact``), ``kept`` leaves the original places
                (absence ``remove``).

        Raises:
            ValueError: ``mask`` is not bool ``[N]``.
        """
        if mask.dtype != torch.bool or mask.shape != self.units.shape[:1]:
            raise ValueError(f"'mask' must be bool [{self.units.shape[0]}], got {mask.dtype} {tuple(mask.shape)}")
        kept_before = offsets(mask.long())
        ptr = kept_before[self.ptr]
        base = self.ptr[self.spans[:, 0]]
        start, end = (kept_before[base + self.spans[:, i]] - kept_before[base] for i in (1, 2))
        spans = torch.stack([self.spans[:, 0], start, end, self.spans[:, 3]], dim=1)[end > start]
        return replace(
            self,
            units=self.units[mask],
            ptr=ptr,
            position=self.position[mask] if positions == "kept" else None,  # type: ignore[arg-type]
            fixed=self.fixed[mask],
            fields={name: values[mask] for name, values in self.fields.items()},
            spans=spans,
        )

    def gather(self, index: Tensor, ptr: Tensor, *, positions: Positions, rows: Tensor | None = None) -> Packed:
        """Copies of examples, each with only some of its units.

        Args:
            index: where the units of each copy come from, int64 ``[M]``, in the order of the text; as
                `rationalizers.kernels.perturb` gives it.
            ptr: offsets ``[R+1]`` of the copies.
            positions: as in `select`.
            rows: the example that each copy is of, int64 ``[R]``; all examples once, then all again where not given.

        Raises:
            TypeError: ``index``, ``ptr`` or ``rows`` is not int64.
            ValueError: what `copies_of` refuses.
        """
        n = self.units.shape[0]
        rows, owner = copies_of(self, index, ptr, rows)  # [R], [M]
        by_example = torch.argsort(self.spans[:, 0], stable=True)
        of_each = offsets(torch.bincount(self.spans[:, 0], minlength=len(self)))  # [B+1]
        copy, which = members(rows, of_each)  # [J], a span of each copy
        span = self.spans[by_example[which]]  # [J, 4]
        # Of each copy the units before a place are those that come from before it.
        place = (copy * n + self.ptr[span[:, 0]])[:, None] + span[:, 1:3]  # [J, 2]
        ends = torch.searchsorted(owner * n + index, place) - ptr[copy][:, None]
        spans = torch.cat([copy[:, None], ends, span[:, 3:]], dim=1)
        named = rows.tolist() if self.words or self.ids else []
        return replace(
            self,
            units=self.units[index],
            ptr=ptr,
            y=None if self.y is None else self.y[rows],
            position=self.position[index] if positions == "kept" else None,  # type: ignore[arg-type]
            fixed=self.fixed[index],
            fields={name: values[index] for name, values in self.fields.items()},
            labelled=self.labelled[rows],
            annotated=self.annotated[rows],
            spans=spans[ends[:, 1] > ends[:, 0]],  # [S', 4]
            index=self.index[rows],
            words=tuple(self.words[row] for row in named) if self.words else (),
            ids=tuple(self.ids[row] for row in named) if self.ids else (),
        )

    def with_units(self, units: Tensor) -> Packed:
        """The same batch with other units in the same places."""
        return replace(self, units=units)

    def to(self, device: Any, non_blocking: bool = False) -> Packed:
        """The same batch on another device."""

        def move(value: Any) -> Any:
            return value.to(device, non_blocking=non_blocking) if isinstance(value, Tensor) else value

        moved = {f.name: move(getattr(self, f.name)) for f in fields(self)}
        moved["fields"] = {name: move(values) for name, values in self.fields.items()}
        return Packed(**moved)

    @classmethod
    def collate(cls, batches: Sequence[Packed]) -> Packed:
        """One batch of all examples in order.

        Raises:
            ValueError: nothing to collate, or the parts disagree on their fields or on having targets.
        """
        if not batches:
            raise ValueError("'batches' must hold at least one batch, got none")
        names = set(batches[0].fields)
        for batch in batches:
            if set(batch.fields) != names:
                raise ValueError(f"batches disagree on fields: {sorted(names)} and {sorted(batch.fields)}")
        targets = [batch.y for batch in batches if batch.y is not None]
        if targets and len(targets) != len(batches):
            raise ValueError("some batches have targets 'y' and some have none; collate them apart")
        for name in ("words", "ids"):
            if len({bool(getattr(batch, name)) for batch in batches if len(batch)}) > 1:
                raise ValueError(f"some batches have {name!r} and some have none; collate them apart")
        first = offsets(torch.tensor([len(batch) for batch in batches]))
        moved = []
        for batch, start in zip(batches, first.tolist(), strict=False):
            spans = batch.spans.clone()
            spans[:, 0] += start
            moved.append(spans)

        def cat(name: str) -> Tensor:
            return torch.cat([getattr(batch, name) for batch in batches])

        return cls(
            units=cat("units"),
            ptr=offsets(torch.cat([lengths(batch.ptr) for batch in batches])),
            y=torch.cat(targets) if targets else None,
            position=cat("position"),
            fixed=cat("fixed"),
            fields={name: torch.cat([batch.fields[name] for batch in batches]) for name in batches[0].fields},
            labelled=cat("labelled"),
            annotated=cat("annotated"),
            spans=torch.cat(moved),
            index=cat("index"),
            words=tuple(words for batch in batches for words in batch.words),
            ids=tuple(name for batch in batches for name in batch.ids),
        )


def copies_of(batch: Batch, index: Tensor, ptr: Tensor, rows: Tensor | None) -> tuple[Tensor, Tensor]:
    """The example that each copy is of ``[R]``, and the copy that each unit belongs to ``[M]``.

    Args:
        batch: with B examples.
        index: where the units of each copy come from, ``[M]``.
        ptr: offsets ``[R+1]`` of the copies.
        rows: the examples ``[R]``; ``None`` is all once, then all again.

    Raises:
        TypeError: ``index``, ``ptr`` or ``rows`` is not int64.
        ValueError: offsets that do not fit the rows, or without those of no whole number of copies; or (on the CPU) rows that are
            no examples, offsets that do not rise from 0 to M, or units that are not those of their example in rising order.
    """
    check_whole(index=index)
    check_offsets(ptr)
    if index.dim() != 1:
        raise ValueError(f"'index' must be [M], got {tuple(index.shape)}; see rationalizers.kernels.perturb")
    examples, copies, m = batch.ptr.numel() - 1, ptr.numel() - 1, index.shape[0]
    if rows is None:
        if copies % examples if examples else copies:
            raise ValueError(f"'ptr' must be [c·B + 1] for whole copies of the B={examples} examples, got {copies + 1} offsets")
        rows = torch.arange(copies, device=ptr.device) % max(1, examples)
    else:
        check_whole(rows=rows)
        if rows.shape != (copies,):
            raise ValueError(f"'rows' must be [R={copies}], one for each copy; got {tuple(rows.shape)}")
        if rows.is_cpu and copies and (int(rows.min()) < 0 or int(rows.max()) >= examples):
            raise ValueError(f"'rows' must be of the B={examples} examples, got {int(rows.min())} to {int(rows.max())}")
    check_reach(ptr, m)
    owner = owners(ptr, m)  # [M]
    if index.is_cpu:
        own = (index >= batch.ptr[rows[owner]]) & (index < batch.ptr[1:][rows[owner]])
        rises = (index[1:] > index[:-1]) | (owner[1:] != owner[:-1])
        if not (bool(own.all()) and bool(rises.all())):
            raise ValueError("'index' must name units of the example that each copy is of, in rising order and none twice")
    return rows, owner
