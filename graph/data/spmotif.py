"""Spurious-Motif: a motif that decides the class, on a base that only seems to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from graph.batch import Graph
from graph.data.corpus import SPLITS, GraphCorpus, GraphSource, measured
from graph.data.targets import classes
from rationalizers.data.grammar import Dice
from rationalizers.extras import require

LABELS = ("cycle", "house", "crane")
BASES = ("tree", "ladder", "wheel")
# Edges of the motifs of five nodes; the base is tied to node 0.
MOTIFS = {
    "cycle": ((0, 1), (1, 2), (2, 3), (3, 4), (4, 0)),
    "house": ((1, 2), (2, 3), (3, 4), (4, 1), (0, 1), (0, 4)),
    "crane": ((1, 2), (2, 3), (3, 4), (4, 1), (0, 1), (0, 3)),
    "fan": ((0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (0, 2), (0, 3)),
}
SIZE = 5

Features = Literal["random", "constant"]
Edges = Literal["once", "both"]

# Streams of chance, by what they decide; none can disturb another.
_SHAPE, _EXTRA, _FEATURES = range(3)


@dataclass(frozen=True)
class Version:
    """What published generators of Spurious-Motif differ in.

    Args:
        per_class: graphs of each class in every split.
        extra: edges added at random, as a share of those that are there.
        crane: the motif of that name.
        fixed_trees: trees are of height 3 in all of validation, and under cycles in training too; otherwise their height is
            drawn there as everywhere. The size of a tree then gives the class away in training.
    """

    per_class: Mapping[str, int]
    extra: float = 0.05
    crane: str = "crane"
    fixed_trees: bool = False


VERSIONS: Mapping[str, Version] = {
    "paper": Version({"train": 3000, "val": 1000, "test": 2000}),
    "dir_head": Version({"train": 1000, "val": 1000, "test": 2000}, extra=0.0, crane="fan"),
    "gsat": Version({"train": 3000, "val": 1000, "test": 2000}, fixed_trees=True),
    "ciga": Version({"train": 3000, "val": 1000, "test": 1000}, fixed_trees=True),
}


class SpuriousMotif(GraphSource):
    """Graphs of a base (tree, ladder or wheel) and a motif (cycle, house or crane), of which the motif is the class.

    "Discovering Invariant Rationales for Graph Neural Networks", ICLR 2022, https://arxiv.org/abs/2201.12872. In training the
    base is that of the class with probability ``bias``, otherwise one of the two others; in validation and test all are alike,
    and bases are much larger in test. The motif's five nodes come after those of the base, to one of which an edge ties the
    motif's first. Extra edges between random nodes never lie within the motif. ``field_evidence`` are the nodes of the motif,
    ``edge_evidence`` the edges among them.

    Published results are of features that say nothing, with every edge in the one direction in which networkx happens to list it
    (the defaults); their generators are not seeded, so that each had another data set. Edges both ways and constant features
    are what one would use in practice, and much easier.

    The data are a function of the arguments, the same on every machine. The size of a split changes no other, and a smaller one
    is the beginning of a larger one, whose classes take turns. ``Corpus.report`` holds, beside what `measured` counts,
    ``<split>/agreement``: the share of graphs whose base is that of their class.

    Args:
        bias: probability that a training graph has the base of its class, from 1/3, which says nothing, to 1.
        version: ``paper`` (its counts, with the authors' generator of March 2022), ``dir_head`` (the same repository since
            September 2022), ``gsat`` or ``ciga`` (the generators of these papers); see `VERSIONS`.
        per_class: graphs of each class in the splits where it is not the version's.
        features: four ``random`` numbers in [0, 1] for each node, or one ``constant``.
        edges: each ``once``, or in ``both`` directions.
        seed: of everything, in [0, 2³²).

    Raises:
        ValueError: an argument outside of these.
        ImportError: networkx is not installed.
    """

    def __init__(
        self,
        *,
        bias: float,
        version: str = "paper",
        per_class: Mapping[str, int | None] | None = None,
        features: Features = "random",
        edges: Edges = "once",
        seed: int = 0,
    ) -> None:
        if not 1 / 3 - 1e-3 <= bias <= 1:
            raise ValueError(f"'bias' must be a probability from 1/3 to 1, got {bias}")
        for name, given, known in (
            ("version", version, tuple(VERSIONS)),
            ("features", features, get_args(Features)),
            ("edges", edges, get_args(Edges)),
        ):
            if given not in known:
                raise ValueError(f"{name!r} must be one of {', '.join(known)}; got {given!r}")
        if not 0 <= seed < 2**32:
            raise ValueError(f"'seed' must be a whole number in [0, 2³²), got {seed}")
        if unknown := set(per_class or {}) - set(SPLITS):
            raise ValueError(f"'per_class' must name {', '.join(SPLITS)}; got {', '.join(sorted(unknown))}")
        given_sizes = {split: size for split, size in (per_class or {}).items() if size is not None}
        self.bias, self.version, self.seed = bias, VERSIONS[version], seed
        self.features, self.edges = features, edges
        self.per_class = {**self.version.per_class, **given_sizes}
        if min(self.per_class.values()) < 1:
            raise ValueError(f"'per_class' must be at least 1 in every split, got {self.per_class}")

    def load(self) -> GraphCorpus:
        """Generate all splits."""
        splits, agreement = {}, {}
        for split in SPLITS:
            made = [self._graph(split, row) for row in range(len(LABELS) * self.per_class[split])]
            splits[split] = [graph for graph, _ in made]
            agreement[f"{split}/agreement"] = sum(agrees for _, agrees in made) / len(made)
        return GraphCorpus(splits, classes(LABELS), {**measured(splits), **agreement})

    def _graph(self, split: str, row: int) -> tuple[Graph, bool]:
        """A graph, and whether its base is that of its class."""

        def stream(purpose: int) -> Dice:
            return Dice(self.seed, SPLITS.index(split), purpose, row)

        label, dice = row % len(LABELS), stream(_SHAPE)
        base = self._base(split, label, dice)
        shape = _built(BASES[base], split, dice, fixed_tree=self._fixed_tree(split, label))
        nodes = shape.number_of_nodes()
        motif = LABELS[label] if LABELS[label] != "crane" else self.version.crane
        shape.add_edges_from((nodes + u, nodes + v) for u, v in MOTIFS[motif])
        shape.add_edge(nodes, dice.whole(0, nodes - 1))
        _tangle(shape, nodes, self.version.extra, stream(_EXTRA))
        n = nodes + SIZE
        edge_index = torch.tensor(list(shape.edges)).T.contiguous()  # [2, E]
        if self.edges == "both":
            edge_index = torch.cat([edge_index, edge_index.flip(0)], dim=1)
        evidence = torch.arange(n) >= nodes
        graph = Graph(
            x=self._features(n, stream(_FEATURES)),
            edge_index=edge_index,
            y=torch.tensor([label]),
            id=f"{split}-{row}",
            field_evidence=evidence,
            edge_evidence=evidence[edge_index].all(0),
        )
        return graph, base == label

    def _base(self, split: str, label: int, dice: Dice) -> int:
        if split != "train":
            return dice.whole(0, len(BASES) - 1)
        others = [base for base in range(len(BASES)) if base != label]
        return label if dice.flip(self.bias) else dice.one(others)

    def _fixed_tree(self, split: str, label: int) -> bool:
        return self.version.fixed_trees and (split == "val" or (split == "train" and LABELS[label] == "cycle"))

    def _features(self, n: int, dice: Dice) -> Tensor:
        if self.features == "constant":
            return torch.ones(n, 1)
        return torch.tensor([[dice.random() for _ in range(4)] for _ in range(n)])


def _built(base: str, split: str, dice: Dice, *, fixed_tree: bool) -> Any:
    """A base as a networkx graph, its nodes numbered from 0."""
    networkx = require("networkx", extra="graph")
    large = split == "test"
    if base == "tree":
        arity, height = dice.whole(2, 3), dice.whole(3, 5) if large else dice.whole(0, 2)
        return networkx.balanced_tree(arity, 3 if fixed_tree else height)
    if base == "ladder":
        return networkx.ladder_graph(dice.whole(30, 49) if large else dice.whole(8, 11))
    return networkx.wheel_graph(dice.whole(60, 79) if large else dice.whole(15, 19))


def _tangle(shape: Any, base: int, share: float, dice: Dice) -> None:
    """Add edges between random nodes that have none, except within the motif, which begins at node ``base``."""
    last = shape.number_of_nodes() - 1
    for _ in range(int(share * shape.number_of_edges())):
        u = v = 0
        while u == v or shape.has_edge(u, v):
            u, v = dice.whole(0, last), dice.whole(0, last)
        if u < base or v < base:
            shape.add_edge(u, v)
