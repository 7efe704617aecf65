"""Molecules of the Open Graph Benchmark from its own files, with its own features and splits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from graph.batch import Graph
from graph.data.corpus import GraphCorpus, GraphSource, measured
from graph.data.featurize import ATOMS, BONDS, both_ways
from graph.data.molecules import Kind, posed
from graph.data.tables import existing, numeric, read_table
from graph.data.targets import check_targets
from rationalizers.data.download import data_root

# Kind of target and its unit.
SETS: Mapping[str, tuple[Kind, str]] = {
    "bace": ("binary", ""),
    "bbbp": ("binary", ""),
    "clintox": ("binary", ""),
    "esol": ("regression", "log mol/L"),
    "freesolv": ("regression", "kcal/mol"),
    "hiv": ("binary", ""),
    "lipo": ("regression", "logD"),
    "muv": ("binary", ""),
    "sider": ("binary", ""),
    "tox21": ("binary", ""),
    "toxcast": ("binary", ""),
}


class OGB(GraphSource):
    """A set ``ogbg-mol…`` from ``<root>/ogb/ogbg_mol<name>``, split by scaffold as the benchmark splits it.

    "Open Graph Benchmark: Datasets for Machine Learning on Graphs", 2020, https://arxiv.org/abs/2005.00687. The folder is the
    unpacked archive of the benchmark: ``raw`` with nodes, edges and labels, ``mapping/mol.csv.gz`` with the SMILES strings and
    ``split/scaffold``. Graphs are those of ``raw``, with each bond in both directions; `graph.data.featurize.molecule_graph`
    makes the same of the strings, up to what RDKit has changed since.

    Args:
        name: bace, bbbp, esol, freesolv, clintox, hiv, lipo, muv, sider, tox21 or toxcast.
        standardize: the numbers of a regression by mean and standard deviation of the training split.
        root: folder of all data; ``None`` is the environment variable ``RATIONALIZERS_DATA``, else the user's cache.

    Raises:
        ValueError: an unknown name, ``standardize`` where nothing is a number, or files that contradict each other.
        FileNotFoundError: the set or one of its files is not there.
        ImportError: the extra ``graph`` is not installed.
    """

    def __init__(self, *, name: str, standardize: bool = False, root: str | None = None) -> None:
        if name not in SETS:
            raise ValueError(f"'name' must be one of {', '.join(SETS)}; got {name!r}")
        self.kind, self.unit = SETS[name]
        if standardize and self.kind == "binary":
            raise ValueError(f"'standardize' is for numbers; leave it out for {name}")
        self.name, self.standardize, self.root = name, standardize, root

    def load(self) -> GraphCorpus:
        """Read all tables."""
        folder = data_root(self.root) / "ogb" / f"ogbg_mol{self.name}"
        mapping = read_table(self._file(folder, "mapping/mol.csv.gz"))
        names = [column for column in mapping.columns if column not in ("smiles", "mol_id")]
        if len(names) == len(mapping.columns):
            raise ValueError(f"{folder / 'mapping/mol.csv.gz'} has neither a column 'smiles' nor 'mol_id'; unpack the set again")
        y = self._numbers(folder, "raw/graph-label.csv.gz")
        places = [f"{folder / 'raw/graph-label.csv.gz'}:{row + 1}" for row in range(len(y))]
        if y.shape != (len(mapping), len(names)):
            raise ValueError(f"{folder} has {tuple(y.shape)} labels for {len(mapping)} molecules and {len(names)} targets")
        check_targets(y, names, binary=self.kind == "binary", transform="none", places=places)
        graphs = self._graphs(folder, list(mapping["smiles"]), y.float())
        splits = {}
        for split, stem in (("train", "train"), ("val", "valid"), ("test", "test")):
            file = f"split/scaffold/{stem}.csv.gz"
            rows = self._numbers(folder, file)[:, 0].long().tolist()
            if not all(0 <= row < len(graphs) for row in rows):
                raise ValueError(f"{folder / file} names molecules that are not there; there are {len(graphs)}")
            splits[split] = [graphs[row] for row in rows]
        return posed(
            splits,
            names,
            kind=self.kind,
            unit=self.unit,
            transform="none",
            standardize=self.standardize,
            report=measured(splits),
        )

    def _graphs(self, folder: Path, smiles: list[str], y: Tensor) -> list[Graph]:
        x, pairs, kinds = (self._numbers(folder, f"raw/{stem}.csv.gz").long() for stem in ("node-feat", "edge", "edge-feat"))
        nodes, edges = (self._numbers(folder, f"raw/num-{stem}-list.csv.gz")[:, 0].long() for stem in ("node", "edge"))
        if (len(nodes), len(edges)) != (len(y), len(y)) or int(nodes.sum()) != len(x) or int(edges.sum()) != len(pairs):
            raise ValueError(f"{folder / 'raw'} counts other nodes or edges than it lists; unpack the set again")
        if x.shape[1] != len(ATOMS) or kinds.shape != (len(pairs), len(BONDS)):
            raise ValueError(
                f"{folder / 'raw'} should have {len(ATOMS)} features for each atom and {len(BONDS)} for each bond, got "
                f"{list(x.shape)} and {list(kinds.shape)} for {len(pairs)} bonds"
            )
        graphs = []
        bonds_of = edges.tolist()
        parts = (torch.split(x, nodes.tolist()), torch.split(pairs, bonds_of), torch.split(kinds, bonds_of))
        for row, (own, bonds, types) in enumerate(zip(*parts, strict=True)):
            edge_index, edge_attr = both_ways(bonds.T, types)
            facts = {"y": y[row : row + 1], "id": str(row), "source": str(smiles[row]).strip()}
            graphs.append(Graph(x=own, edge_index=edge_index, edge_attr=edge_attr, **facts))
        return graphs

    def _numbers(self, folder: Path, name: str) -> Tensor:
        path = self._file(folder, name)
        table = read_table(path, header=False)
        return numeric(table, list(table.columns), path, header=False)

    def _file(self, folder: Path, name: str) -> Path:
        # The archive unpacks to a folder of the set's short name.
        address = f"http://snap.stanford.edu/ogb/data/graphproppred/csv_mol_download/{self.name}.zip"
        existing(folder, origin=f"{address}, unpacked and called {folder.name}")
        return existing(folder / name, origin=address)
