"""Molecules with targets in a table of SMILES strings: MoleculeNet, polymers, or anybody's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from graph.batch import Graph
from graph.data.corpus import GraphCorpus, GraphSource, measured
from graph.data.featurize import molecule_graph
from graph.data.splits import Rows, crossing, random_split, scaffold, scaffold_split, shares, size_split
from graph.data.tables import existing, line, numeric, read_table
from graph.data.targets import check_targets, numbers, yes_or_no
from graph.smiles import parse_smiles
from rationalizers.data.download import data_root
from rationalizers.extras import require

Kind = Literal["binary", "regression"]
Split = Literal["scaffold", "random", "canonical", "size"]
Invalid = Literal["error", "skip"]


class Molecules(GraphSource):
    """Molecules from ``<root>/<path>``, a table of comma-separated values with a header, plain or gzipped.

    ``Corpus.report`` holds, beside what `measured` counts, ``skipped`` (strings that are no molecules), ``duplicates`` (rows
    whose molecule was in an earlier one), ``duplicates_across_splits`` (molecules in more than one split) and, for questions,
    ``<split>/positive`` and ``<split>/unknown`` (entries).

    Args:
        path: of the table, below the root or absolute.
        smiles: column of SMILES strings.
        targets: columns to predict, empty cells where unknown; ``None`` takes all columns but ``smiles``.
        kind: ``binary`` targets are 0 or 1, those of a ``regression`` are numbers.
        split: ``scaffold``, ``size``, ``random`` rows, or random ``canonical`` molecules, so that duplicates stay together.
        val: share of the validation split.
        test: share of the test split; the rest is for training.
        seed: of a random split.
        transform: of the numbers of a regression, ``none`` or ``log10``; see `rationalizers.task.Regression`.
        standardize: the numbers of a regression by mean and standard deviation of the training split, after ``transform``.
        unit: of the numbers.
        invalid: what is no molecule is an ``error``, or ``skip`` it and count it.
        root: folder of all data; ``None`` is the environment variable ``RATIONALIZERS_DATA``, else the user's cache.
        origin: where the table can be had, for the error when it is not there.

    Raises:
        ValueError: an argument outside of these, or, with file and line, a cell that is not what it should be.
        FileNotFoundError: there is no such table.
        ImportError: the extra ``graph`` is not installed.
    """

    def __init__(
        self,
        *,
        path: str,
        smiles: str,
        targets: Sequence[str] | None,
        kind: Kind,
        split: Split = "scaffold",
        val: float = 0.1,
        test: float = 0.1,
        seed: int = 0,
        transform: str = "none",
        standardize: bool = False,
        unit: str = "",
        invalid: Invalid = "error",
        root: str | None = None,
        origin: str = "whoever published it",
    ) -> None:
        for name, given, known in (
            ("kind", kind, get_args(Kind)),
            ("split", split, get_args(Split)),
            ("invalid", invalid, get_args(Invalid)),
        ):
            if given not in known:
                raise ValueError(f"{name!r} must be one of {', '.join(known)}; got {given!r}")
        if kind == "binary" and (transform != "none" or standardize or unit):
            raise ValueError("'transform', 'standardize' and 'unit' are for numbers; leave them out where 'kind' is binary")
        self.path, self.smiles, self.targets, self.kind, self.split = path, smiles, targets, kind, split
        self.fractions, self.seed = shares(val=val, test=test), seed
        self.transform, self.standardize, self.unit, self.invalid = transform, standardize, unit, invalid
        self.root, self.origin = root, origin

    def load(self) -> GraphCorpus:
        """Read the table, make its molecules graphs, and split them."""
        path = existing(data_root(self.root) / self.path, origin=self.origin)
        table = read_table(path)
        if self.smiles not in table.columns:
            raise ValueError(f"{path} has no column {self.smiles!r} of SMILES strings; it has {', '.join(table.columns[:12])}")
        names = [name for name in table.columns if name != self.smiles] if self.targets is None else list(self.targets)
        y = numeric(table, names, path)
        places = [line(path, row) for row in range(len(table))]
        check_targets(y, names, binary=self.kind == "binary", transform=self.transform, places=places)
        rows, molecules = self._molecules(list(table[self.smiles]), places)
        canonical = canonical_smiles(molecules)
        split = self._split(molecules, canonical)
        splits = {
            name: [
                molecule_graph(table[self.smiles][rows[i]], molecule=molecules[i], y=y[rows[i]][None].float(), id=str(rows[i]))
                for i in members
            ]
            for name, members in split.items()
        }
        report = {
            "skipped": len(table) - len(rows),
            "duplicates": len(canonical) - len(set(canonical)),
            "duplicates_across_splits": crossing(canonical, split),
            **measured(splits),
        }
        return posed(
            splits, names, kind=self.kind, unit=self.unit, transform=self.transform, standardize=self.standardize, report=report
        )

    def _molecules(self, strings: Sequence[Any], places: Sequence[str]) -> tuple[list[int], list[Any]]:
        """The rows that are molecules, and these."""
        rows, molecules = [], []
        for row, smiles in enumerate(strings):
            try:
                molecules.append(parse_smiles(smiles if isinstance(smiles, str) else ""))
                rows.append(row)
            except ValueError as error:
                if self.invalid == "error":
                    raise ValueError(f"{places[row]}: column {self.smiles!r}: {error}, or give invalid=skip") from error
        return rows, molecules

    def _split(self, molecules: Sequence[Any], canonical: Sequence[str]) -> Rows:
        if self.split == "scaffold":
            return scaffold_split([scaffold(molecule) for molecule in molecules], fractions=self.fractions)
        if self.split == "size":
            return size_split([molecule.GetNumAtoms() for molecule in molecules], fractions=self.fractions)
        items: Sequence[Any] = canonical if self.split == "canonical" else range(len(molecules))
        return random_split(items, fractions=self.fractions, seed=self.seed)


class O2Perm(Molecules):
    """Oxygen permeability of 595 polymers in Barrer, of which GREA's authors published the table.

    "Graph Rationalization with Environment-based Augmentations", KDD 2022, https://arxiv.org/abs/2206.02886. Some polymers are
    there twice under different strings.

    Args:
        split: ``published`` is theirs, 60 % / 10 % / 30 % of the rows, with some polymers in more than one split; ``canonical``
            divides the different polymers in the same proportions.
        transform: ``none`` as in the paper, or ``log10``, since values range over eight decades.
        standardize: by mean and standard deviation of the training split, after ``transform``.
        invalid: what is no molecule is an ``error``, or ``skip`` it and count it.
        root: folder of all data; ``None`` is the environment variable ``RATIONALIZERS_DATA``, else the user's cache.

    Raises:
        ValueError: an unknown split.
    """

    def __init__(
        self,
        *,
        split: Literal["canonical", "published"] = "canonical",
        transform: str = "log10",
        standardize: bool = True,
        invalid: Invalid = "error",
        root: str | None = None,
    ) -> None:
        if split not in ("canonical", "published"):
            raise ValueError(f"'split' must be canonical or published, got {split!r}")
        super().__init__(
            path="polymers/o2_prop/raw/o2_raw.csv",
            smiles="SMILES",
            targets=["o2"],
            kind="regression",
            split="random" if split == "published" else "canonical",
            val=0.1,
            test=0.3,
            seed=42,
            transform=transform,
            standardize=standardize,
            unit="Barrer",
            invalid=invalid,
            root=root,
            origin="https://github.com/liugangcode/GREA (data/o2_prop/raw/o2_raw.csv)",
        )


def canonical_smiles(molecules: Sequence[Any]) -> list[str]:
    """One string for each molecule, the same for equal ones."""
    write = require("rdkit.Chem", extra="graph").MolToSmiles
    return [write(molecule) for molecule in molecules]


def posed(
    splits: Mapping[str, Sequence[Graph]],
    names: Sequence[str],
    *,
    kind: Kind,
    unit: str,
    transform: str,
    standardize: bool,
    report: Mapping[str, int | float],
) -> GraphCorpus:
    """The corpus with the task that its targets ``y [1, T]`` pose, scaled by those of the training split."""
    if kind == "regression":
        train = torch.cat([graph.y for graph in splits["train"]]) if splits["train"] else torch.zeros(0, len(names))
        task = numbers(names, train, unit=unit, transform=transform, standardize=standardize)
        return GraphCorpus(splits, task, report)
    return GraphCorpus(splits, yes_or_no(names), {**report, **answered(splits)})


def answered(splits: Mapping[str, Sequence[Graph]]) -> dict[str, int]:
    """``<split>/positive`` and ``<split>/unknown``: entries of binary targets."""
    report: dict[str, int] = {}
    for split, graphs in splits.items():
        if graphs:
            y: Tensor = torch.cat([graph.y for graph in graphs])
            report |= {f"{split}/positive": int(y.nansum()), f"{split}/unknown": int(y.isnan().sum())}
    return report
