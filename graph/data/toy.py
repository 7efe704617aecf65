"""Generated graphs whose evidence is known exactly, with a dial for a shortcut."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from graph.batch import Graph
from graph.data.corpus import SPLITS, GraphCorpus, GraphSource, measured
from graph.data.featurize import both_ways
from graph.data.spmotif import MOTIFS, SIZE
from graph.data.targets import classes
from rationalizers.data.grammar import Dice

NEUTRAL = 4

# Streams of chance, by what they decide; none can disturb another.
_LABEL, _SHAPE, _TYPES, _SHORTCUT, _ORDER = range(5)


class ToyGraphs(GraphSource):
    """Random trees, each tied to a motif of five nodes that decides the class, with the truth about every node and edge.

    A tree grows by tying each new node to one of those before it, all alike; one of its nodes is tied to one of the motif's.
    Nodes have a type, ``x [N, 1]``, one of four that say nothing. Cycle and house, the default, are told apart by an edge; house
    and crane have the same number of nodes and edges and the same degrees, and are much harder. ``field_evidence`` are the nodes
    of the motif, ``edge_evidence`` the edges among them.

    The shortcut is a fifth or further type, one for each class, on a few nodes of the tree (``field_shortcut``, 0 or 1): that of
    the graph's own class with probability ``shortcut``, else another's. It is drawn apart from all else: corpora that differ
    only in the dials have the same graphs except for these types, and a graph that agrees at some value of the dial agrees at
    all larger ones. The size of a split changes no other split, and a smaller split is the beginning of a larger one. Nodes are
    numbered at random, and edges go both ways.

    ``Corpus.report`` holds, beside what `measured` counts, ``<split>/shortcut_agreement`` where there are shortcuts.

    Args:
        train: graphs in this split.
        val: graphs in this split.
        test: graphs in this split.
        seed: of everything, in [0, 2³²).
        motifs: a class each: cycle, house, crane or fan.
        nodes: fewest and most nodes of a graph.
        shortcut: probability that the shortcut of a training graph agrees with its class; one over the number of classes says
            nothing.
        shortcut_val: the same for validation; ``None`` takes ``shortcut``, since validation is drawn like training in practice
            and choosing a model by it can be fooled just as well.
        shortcut_test: the same for testing.
        shortcuts_per_graph: nodes with the shortcut's type; 0 for none.

    Raises:
        ValueError: an argument is outside of these bounds.
    """

    def __init__(
        self,
        *,
        train: int = 600,
        val: int = 200,
        test: int = 200,
        seed: int = 0,
        motifs: Sequence[str] = ("cycle", "house"),
        nodes: Sequence[int] = (15, 25),
        shortcut: float = 0.5,
        shortcut_val: float | None = None,
        shortcut_test: float = 0.5,
        shortcuts_per_graph: int = 2,
    ) -> None:
        if len(set(motifs)) != len(motifs) or len(motifs) < 2 or not set(motifs) <= set(MOTIFS):
            raise ValueError(f"'motifs' must be at least two different ones of {', '.join(MOTIFS)}; got {list(motifs)}")
        if len(nodes) != 2 or not SIZE + 1 <= nodes[0] <= nodes[1]:
            raise ValueError(f"'nodes' must be the fewest, at least {SIZE + 1}, and the most; got {list(nodes)}")
        if not 0 <= shortcuts_per_graph <= nodes[0] - SIZE:
            raise ValueError(f"'shortcuts_per_graph' must be from 0 to {nodes[0] - SIZE}, got {shortcuts_per_graph}")
        if not 0 <= seed < 2**32:
            raise ValueError(f"'seed' must be a whole number in [0, 2³²), got {seed}")
        self.sizes = {"train": train, "val": val, "test": test}
        self.shortcut = {
            "train": shortcut,
            "val": shortcut if shortcut_val is None else shortcut_val,
            "test": shortcut_test,
        }
        for split in SPLITS:
            if self.sizes[split] < 1:
                raise ValueError(f"{split!r} must be at least 1 graph, got {self.sizes[split]}")
            if not 0 <= self.shortcut[split] <= 1:
                raise ValueError(f"the shortcut of {split} must be a probability, got {self.shortcut[split]}")
        self.seed, self.motifs, self.nodes = seed, tuple(motifs), tuple(nodes)
        self.shortcuts_per_graph = shortcuts_per_graph

    @property
    def types(self) -> int:
        """Types of nodes: those that say nothing, and a shortcut for each class."""
        return NEUTRAL + len(self.motifs)

    def load(self) -> GraphCorpus:
        """Generate all splits."""
        splits = {split: [self._graph(split, row) for row in range(size)] for split, size in self.sizes.items()}
        report = measured(splits)
        if self.shortcuts_per_graph:
            for split, graphs in splits.items():
                agree = sum(bool((graph.x[:, 0] == NEUTRAL + graph.y).any()) for graph in graphs)
                report[f"{split}/shortcut_agreement"] = agree / len(graphs)
        return GraphCorpus(splits, classes(self.motifs), report)

    def _graph(self, split: str, row: int) -> Graph:
        def stream(purpose: int, number: int = row) -> Dice:
            return Dice(self.seed, SPLITS.index(split), purpose, number)

        # Neighbouring graphs take all classes in random order: balanced without a pattern in the order.
        count = len(self.motifs)
        label = stream(_LABEL, row // count).shuffled(range(count))[row % count]
        shape = stream(_SHAPE)
        n = shape.whole(*self.nodes)
        base = n - SIZE
        pairs = [(node, shape.whole(0, node - 1)) for node in range(1, base)]
        pairs += [(base + u, base + v) for u, v in MOTIFS[self.motifs[label]]]
        pairs.append((base + shape.whole(0, SIZE - 1), shape.whole(0, base - 1)))
        types = stream(_TYPES)
        kinds = [types.whole(0, NEUTRAL - 1) for _ in range(n)]
        marked = self._marked(base, stream(_SHORTCUT), kinds, label, self.shortcut[split])
        order = torch.tensor(stream(_ORDER).shuffled(range(n)))  # new number of each node
        x, evidence, shortcut = (torch.empty(n, dtype=dtype) for dtype in (torch.long, torch.bool, torch.long))
        x[order], evidence[order], shortcut[order] = torch.tensor(kinds), torch.arange(n) >= base, torch.tensor(marked)
        edge_index, _ = both_ways(order[torch.tensor(pairs).T], order.new_zeros(len(pairs)))
        return Graph(
            x=x[:, None],
            edge_index=edge_index,
            y=torch.tensor([label]),
            id=f"{split}-{row}",
            field_evidence=evidence,
            field_shortcut=shortcut,
            edge_evidence=evidence[edge_index].all(0),
        )

    def _marked(self, base: int, dice: Dice, kinds: list[int], label: int, agreement: float) -> list[int]:
        """Give some nodes of the tree the shortcut's type, and say which: 1, others 0."""
        agrees = dice.flip(agreement)
        other = dice.one([each for each in range(len(self.motifs)) if each != label])
        chosen = dice.shuffled(range(base))[: self.shortcuts_per_graph]
        for node in chosen:
            kinds[node] = NEUTRAL + (label if agrees else other)
        return [int(node in chosen) for node in range(len(kinds))]
