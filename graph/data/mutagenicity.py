"""Mutagenicity, with the groups that make a molecule a mutagen."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graph.batch import Graph
from graph.data.corpus import GraphCorpus, GraphSource, measured
from graph.data.molecules import answered
from graph.data.splits import random_split, shares
from graph.data.tables import existing, numeric, read_table
from graph.data.targets import yes_or_no
from rationalizers.data.download import data_root

FILE = "tudataset/Mutagenicity_with_edge_gt.zip"
ORIGIN = "https://github.com/flyingdoog/PGExplainer (dataset/Mutagenicity.zip)"
# Chemical elements and valences, in the order of the file's numbers.
ELEMENTS = ("C", "O", "Cl", "H", "N", "F", "Br", "S", "P", "I", "Na", "K", "Li", "Ca")
VALENCES = (1, 2, 3)


class Mutagenicity(GraphSource):
    """4,337 molecules, mutagens or not, with their NO₂ and NH₂ groups, from ``<root>/tudataset/Mutagenicity_with_edge_gt.zip``.

    Kazius et al., "Derivation and Validation of Toxicophores for Mutagenicity Prediction", 2005,
    https://doi.org/10.1021/jm040835a, in the form of TUDataset, with the edges that "Parameterized Explainer for Graph Neural
    Network", 2020, https://arxiv.org/abs/2011.04573, takes for the truth. Nodes carry their element (`ELEMENTS`), hydrogens
    included, edges their valence. ``edge_evidence`` are the edges of such groups, ``field_evidence`` the nodes at their ends.
    Only mutagens that have such a group are annotated: what makes the others mutagens is not known, and a group in a molecule
    that is none is no reason for anything.

    Args:
        val: share of the validation split.
        test: share of the test split; the rest is for training.
        seed: of the split.
        root: folder of all data; ``None`` is the environment variable ``RATIONALIZERS_DATA``, else the user's cache.

    Raises:
        ValueError: shares that leave a split empty, or files that contradict each other.
        FileNotFoundError: the archive is not there.
        ImportError: the extra ``graph`` is not installed.
    """

    def __init__(self, *, val: float = 0.1, test: float = 0.1, seed: int = 0, root: str | None = None) -> None:
        self.fractions, self.seed, self.root = shares(val=val, test=test), seed, root

    def load(self) -> GraphCorpus:
        """Read and split."""
        path = existing(data_root(self.root) / FILE, origin=ORIGIN)
        files = _Archive(path)
        # PyG's reader of this format sorts and merges edges, so that their marks would belong to others.
        owner, nodes, labels = (files[stem][:, 0] for stem in ("graph_indicator", "node_labels", "graph_labels"))
        edges, kinds, marks = files["A"] - 1, files["edge_labels"][:, 0], files["edge_gt"][:, 0].bool()
        counts = torch.bincount(owner - 1, minlength=len(labels))
        if len(nodes) != len(owner) or len({len(edges), len(kinds), len(marks)}) > 1 or len(counts) != len(labels):
            raise ValueError(f"{path}: its files list different numbers of nodes, edges or graphs; get it again")
        if not bool((owner[1:] >= owner[:-1]).all()) or not bool((owner[edges[:, 0]] == owner[edges[:, 1]]).all()):
            raise ValueError(f"{path}: nodes should come graph by graph, and edges lie within one; get it again")
        first = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        order = torch.argsort(owner[edges[:, 0]], stable=True)
        size = torch.bincount(owner[edges[:, 0]] - 1, minlength=len(labels)).tolist()
        parts = (torch.split(nodes, counts.tolist()), *(torch.split(each[order], size) for each in (edges, kinds, marks)))
        graphs = [
            _graph(row, label, own - int(first[row]), element, kind, mark)
            for row, (label, element, own, kind, mark) in enumerate(zip(labels.tolist(), *parts, strict=True))
        ]
        rows = random_split(range(len(graphs)), fractions=self.fractions, seed=self.seed)
        splits = {split: [graphs[row] for row in members] for split, members in rows.items()}
        return GraphCorpus(splits, yes_or_no(["mutagen"]), {**measured(splits), **answered(splits)})


class _Archive:
    """The files of the archive as whole numbers ``[R, …]``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                self.content = {Path(name).name: archive.read(name) for name in archive.namelist()}
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path} is not a zip archive ({error}); get it again") from error

    def __getitem__(self, stem: str) -> Tensor:
        name = f"Mutagenicity_{stem}.txt"
        if name not in self.content:
            raise ValueError(f"{self.path} has no {name}; it has {', '.join(sorted(self.content))}")
        inside = self.path / name
        table: Any = read_table(io.BytesIO(self.content[name]), header=False, name=inside)
        return numeric(table, list(table.columns), inside, header=False).long()


def _graph(row: int, label: int, edges: Tensor, elements: Tensor, valences: Tensor, marks: Tensor) -> Graph:
    evidence = torch.zeros(len(elements), dtype=torch.bool)
    evidence[edges[marks].flatten()] = True
    mutagen = label == 0
    return Graph(
        x=elements[:, None],
        edge_index=edges.T.contiguous(),
        edge_attr=valences[:, None],
        y=torch.tensor([[float(mutagen)]]),
        id=str(row),
        field_evidence=evidence,
        edge_evidence=marks,
        annotated=torch.tensor([mutagen and bool(marks.any())]),
    )
