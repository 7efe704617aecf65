"""From raw graphs to units: SMILES strings as the molecules of the Open Graph Benchmark, and graphs as they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch as PyGBatch
from torch_geometric.data import Data

from graph.batch import Graph
from graph.data.numbering import mixed, moved, renumbered
from graph.smiles import parse_smiles
from rationalizers.base import Output
from rationalizers.batch import Batch
from rationalizers.extras import require
from rationalizers.featurizer import Explanation, Featurizer
from rationalizers.parsing import read_json
from rationalizers.rewording import Reworded
from rationalizers.task import Task

# Names of the rows of each embedding table, in the order of the Open Graph Benchmark; anything else is the last row, which is
# kept free for it where ``None`` stands. "Open Graph Benchmark", 2020, https://arxiv.org/abs/2005.00687.
_ATOM: tuple[tuple[Any, ...], ...] = (
    (*range(1, 119), None),  # atomic number; the attachment point ``*`` of a polymer has number 0
    ("CHI_UNSPECIFIED", "CHI_TETRAHEDRAL_CW", "CHI_TETRAHEDRAL_CCW", "CHI_OTHER", None),
    (*range(11), None),  # neighbours, hydrogens included
    (*range(-5, 6), None),  # formal charge
    (*range(9), None),  # hydrogens
    (*range(5), None),  # radical electrons
    ("SP", "SP2", "SP3", "SP3D", "SP3D2", None),
    (False, True),  # aromatic
    (False, True),  # in a ring
)
_BOND: tuple[tuple[Any, ...], ...] = (
    ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC", None),
    ("STEREONONE", "STEREOZ", "STEREOE", "STEREOCIS", "STEREOTRANS", "STEREOANY"),
    (False, True),  # conjugated
)
ATOMS = tuple(len(names) for names in _ATOM)
BONDS = tuple(len(names) for names in _BOND)

FILE = "graph.json"
# What a raw graph may bring along, but a batch for prediction must not have or gets anew.
_NOT_INPUT = frozenset({"y", "batch", "ptr", "row"})


def molecule_graph(smiles: str, *, molecule: Any = None, **facts: Any) -> Graph:
    """A molecule as a graph: atoms are nodes, in the order of the string; a bond is two edges, one behind the other.

    Args:
        smiles: kept as ``source``.
        molecule: what `parse_smiles` made of it, where that is known.
        **facts: further keys of `Graph`, such as ``y`` and ``id``.

    Returns:
        ``x [N, 9]`` and ``edge_attr [E, 3]``, whose columns are rows of tables of `ATOMS` and `BONDS` rows.

    Raises:
        ValueError: RDKit cannot read the string, or it has no atoms.
    """
    molecule = parse_smiles(smiles) if molecule is None else molecule
    atom_rows, bond_rows = _tables()
    atoms = [_rows(atom_rows, _atom(atom)) for atom in molecule.GetAtoms()]
    bonds, kinds = [], []
    for bond in molecule.GetBonds():
        bonds.append((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))
        kinds.append(_rows(bond_rows, (bond.GetBondType(), bond.GetStereo(), bond.GetIsConjugated())))
    edge_index, edge_attr = both_ways(
        torch.tensor(bonds, dtype=torch.long).reshape(-1, 2).T, torch.tensor(kinds, dtype=torch.long).reshape(-1, len(BONDS))
    )
    return Graph(x=torch.tensor(atoms), edge_index=edge_index, edge_attr=edge_attr, source=smiles.strip(), **facts)


def both_ways(pairs: Tensor, kinds: Tensor) -> tuple[Tensor, Tensor]:
    """Every edge followed by its reverse: ``[2, M], [M, …] → [2, 2M], [2M, …]``."""
    edge_index = torch.stack([pairs, pairs.flip(0)], dim=-1).reshape(2, -1)
    return edge_index, kinds.repeat_interleave(2, 0)


class GraphFeaturizer(Featurizer):
    """Graphs that come as graphs: PyG's ``Data``, with categories or numbers on their nodes.

    Args:
        atoms: rows of the embedding table of each column of ``x [N, F]``, where nodes have categories.
        bonds: the same for ``edge_attr [E, K]``; ``None`` where edges have no features.
        features: columns of ``x``, where nodes have numbers.

    Raises:
        ValueError: not exactly one of ``atoms`` and ``features``, or a size below one.
    """

    def __init__(
        self,
        *,
        atoms: Sequence[int] | None = None,
        bonds: Sequence[int] | None = None,
        features: int | None = None,
    ) -> None:
        if (atoms is None) == (features is None):
            raise ValueError(f"give either 'atoms' or 'features', got atoms={atoms!r}, features={features!r}")
        for name, sizes in (("atoms", atoms), ("bonds", bonds), ("features", None if features is None else [features])):
            if sizes is not None and (not sizes or min(sizes) < 1):
                raise ValueError(f"{name!r} must be of at least one, got {sizes!r}; leave out what there is not")
        self.atoms, self.bonds, self.features = atoms, bonds, features

    def facts(self) -> dict[str, Any]:
        """``atoms``, ``bonds`` and ``features``; what these graphs do not have is ``None``."""
        return {
            "atoms": None if self.atoms is None else list(self.atoms),
            "bonds": None if self.bonds is None else list(self.bonds),
            "features": self.features,
        }

    def check(self, graph: Data, where: str) -> None:
        """Look whether a graph is one of those described.

        Args:
            graph: to look at.
            where: what to call it in an error.

        Raises:
            ValueError: it has no nodes, or features or edges other than described.
        """
        x, edge_index, edge_attr = (graph.get(name) for name in ("x", "edge_index", "edge_attr"))
        if not isinstance(x, Tensor) or not isinstance(edge_index, Tensor):
            raise ValueError(f"{where} must have 'x' [N, F] and 'edge_index' [2, E], got {graph}")
        if x.dim() != 2 or not x.shape[0]:
            raise ValueError(f"{where} must have 'x' [N, F] with at least one node, got {list(x.shape)}")
        if edge_index.dtype != torch.long or edge_index.dim() != 2 or edge_index.shape[0] != 2:
            raise ValueError(f"{where} must have 'edge_index' [2, E] long, got {list(edge_index.shape)} {edge_index.dtype}")
        if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < x.shape[0]:
            raise ValueError(f"{where} has edges between nodes that it does not have; it has {x.shape[0]}")
        if self.atoms is not None:
            _check_categories(x, self.atoms, "x", where)
        elif not x.is_floating_point() or x.shape[1] != self.features:
            raise ValueError(f"{where} must have 'x' [N, {self.features}] of floats, got {list(x.shape)} {x.dtype}")
        if (edge_attr is None) != (self.bonds is None):
            expected = "no edge features" if self.bonds is None else f"'edge_attr' [E, {len(self.bonds)}]"
            raise ValueError(
                f"{where} must have {expected}, got {'none' if edge_attr is None else list(edge_attr.shape)}; "
                "say in 'bonds' what edges have, or leave it null"
            )
        if edge_attr is not None and self.bonds is not None:
            _check_categories(edge_attr, self.bonds, "edge_attr", where)
            if edge_attr.shape[0] != edge_index.shape[1]:
                raise ValueError(f"{where} has {edge_index.shape[1]} edges and features of {edge_attr.shape[0]}")

    def batch(self, inputs: Sequence[Any], *, first: int = 0) -> Batch:
        """A batch from graphs, without targets; of other facts, those that every graph has."""
        for place, graph in enumerate(inputs, start=first):
            if not isinstance(graph, Data) or isinstance(graph, PyGBatch):
                raise TypeError(f"input {place} must be one graph (torch_geometric.data.Data), got {type(graph).__name__}")
            self.check(graph, f"input {place}")
        shared = set.intersection(*(set(graph.keys()) for graph in inputs)) - _NOT_INPUT if inputs else set()
        return Graph.collate(
            [
                Graph(**{"id": f"graph-{place}"} | {name: graph[name] for name in sorted(shared)})
                for place, graph in enumerate(inputs, start=first)
            ]
        )

    def explain(self, batch: Batch, output: Output, task: Task) -> list[Explanation]:
        """One `graph.explanation.GraphExplanation` for each graph of a batch."""
        # Explanations draw, which training does without.
        from graph.explanation import explain_graphs

        assert isinstance(batch, Graph)
        return explain_graphs(batch, output, task)

    def reworded(self, batch: Batch) -> Reworded:
        """The same graphs with their nodes numbered otherwise, in an order that row and place of a node decide."""
        graphs = batch.to("cpu")
        assert isinstance(graphs, Graph)
        order = mixed(graphs)
        return Reworded(batch=renumbered(graphs, order), source=order, edits=moved(graphs, order))

    def save(self, folder: Path) -> None:
        """Write the facts to ``graph.json``; there is nothing to learn."""
        (folder / FILE).write_text(json.dumps(self.facts(), indent=1), "utf-8")

    def load(self, folder: Path) -> None:
        """Compare with ``graph.json``.

        Raises:
            ValueError: it describes other graphs than this featurizer.
        """
        file = folder / FILE
        found = read_json(file, problem="expected a JSON object", remedy="copy the run again")
        if found != self.facts():
            raise ValueError(
                f"{file} describes other graphs than {type(self).__name__} makes: expected {self.facts()}, got {found}; "
                "open the run with the version that wrote it"
            )


class SmilesFeaturizer(GraphFeaturizer):
    """Molecules as SMILES strings, with the nine atom and three bond features of the Open Graph Benchmark.

    Atoms: atomic number, chirality, neighbours, formal charge, hydrogens, radical electrons, hybridization, aromatic, in a ring;
    bonds: type, stereochemistry, conjugated. Order and rows are those of its published tables, so that a model that was trained
    on them takes a string. Polymers are repeat units with attachment points ``*``.
    """

    def __init__(self) -> None:
        super().__init__(atoms=ATOMS, bonds=BONDS)

    def batch(self, inputs: Sequence[str], *, first: int = 0) -> Batch:
        """A batch of molecules from SMILES strings."""
        graphs = []
        for place, smiles in enumerate(inputs, start=first):
            try:
                graphs.append(molecule_graph(smiles, id=f"molecule-{place}"))
            except (TypeError, ValueError) as error:
                raise type(error)(f"input {place}: {error}") from error
        return Graph.collate(graphs)

    def reworded(self, batch: Batch) -> Reworded:
        """The same molecules by other SMILES strings, read again: atoms in another order, and what RDKit tells by that order.

        Which way round a stereocentre is tagged is told by the order of its neighbours, so that its row can become another one
        in the same molecule. Graphs that are not what their ``source`` is read as stay as they are.
        """
        graphs = batch.to("cpu")
        assert isinstance(graphs, Graph)
        named = graphs._store.get("source", [])
        sources = named if isinstance(named, list) else [named]
        wanted = mixed(graphs)
        parts, order = [], torch.arange(wanted.shape[0])
        for b, (start, end) in enumerate(pairwise(graphs.ptr.tolist())):
            x = graphs.x[start:end]
            found = _rewritten(sources[b], wanted[start:end] - start, x=x) if b < len(sources) else None
            if found is None:
                inside = (graphs.edge_index[0] >= start) & (graphs.edge_index[0] < end)
                parts.append(Graph(x=x, edge_index=graphs.edge_index[:, inside] - start, edge_attr=graphs.edge_attr[inside]))
            else:
                molecule, places = found
                parts.append(Graph(x=molecule.x, edge_index=molecule.edge_index, edge_attr=molecule.edge_attr))
                order[start:end] = start + places
        read = Graph.collate(parts)
        facts = {name: value for name, value in renumbered(graphs, order)._store.items() if name != "edge_evidence"}
        said = Graph(**(facts | {name: read[name] for name in ("x", "edge_index", "edge_attr")}))
        return Reworded(batch=said, source=order, edits=moved(graphs, order))


def _rewritten(smiles: str, order: Tensor, *, x: Tensor) -> tuple[Graph, Tensor] | None:
    """A molecule by a string that begins with another atom, and the old place of each atom; ``None`` if they are not the same.

    Args:
        smiles: as it was.
        order: wanted of its atoms ``[N]``; RDKit follows it as far as bonds let it.
        x: rows of its atoms as they were ``[N, 9]``.
    """
    _, chem = _rdkit()
    try:
        molecule = parse_smiles(smiles)
    except ValueError:
        return None  # published strings include some that no present RDKit reads
    if not molecule_graph(smiles, molecule=molecule).x.equal(x):
        return None
    renumbered = chem.RenumberAtoms(molecule, order.tolist())
    written = chem.MolToSmiles(renumbered, canonical=False)
    place = order[list(renumbered.GetPropsAsDict(True, True)["_smilesAtomOutputOrder"])]
    found = molecule_graph(written)
    # RDKit may read hydrogens or charges of its own string otherwise; that would be another molecule.
    alike = found.x.shape == x.shape and found.x[:, 0].equal(x[place, 0])
    return (found, place) if alike else None


@cache
def _rdkit() -> tuple[Any, Any]:
    return require("rdkit.rdBase", extra="graph"), require("rdkit.Chem", extra="graph")


@cache
def _tables() -> tuple[list[dict[Any, int]], list[dict[Any, int]]]:
    """The row of every value in its table, by RDKit's own values: to spell their names takes as long as all the rest."""
    _, chem = _rdkit()
    named = {**chem.ChiralType.names, **chem.HybridizationType.names, **chem.BondType.names, **chem.BondStereo.names}
    atoms, bonds = (
        [{named.get(name, name): row for row, name in enumerate(names)} for names in table] for table in (_ATOM, _BOND)
    )
    return atoms, bonds


def _atom(atom: Any) -> tuple[Any, ...]:
    return (
        atom.GetAtomicNum(),
        atom.GetChiralTag(),
        atom.GetTotalDegree(),
        atom.GetFormalCharge(),
        atom.GetTotalNumHs(),
        atom.GetNumRadicalElectrons(),
        atom.GetHybridization(),
        atom.GetIsAromatic(),
        atom.IsInRing(),
    )


def _rows(tables: Sequence[dict[Any, int]], values: Sequence[Any]) -> list[int]:
    return [rows.get(value, len(rows) - 1) for rows, value in zip(tables, values, strict=True)]


def _check_categories(values: Tensor, sizes: Sequence[int], name: str, where: str) -> None:
    if values.dtype != torch.long or values.dim() != 2 or values.shape[1] != len(sizes):
        raise ValueError(
            f"{where} must have {name!r} with {len(sizes)} columns of categories (long), got {list(values.shape)} {values.dtype}"
        )
    if not bool(((values >= 0) & (values < torch.tensor(sizes))).all()):
        raise ValueError(f"{where} has a category in {name!r} outside of its table; the tables have {list(sizes)} rows")
