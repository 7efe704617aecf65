"""BA-2motifs: random graphs with a cycle or a house."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

from graph.batch import Graph
from graph.data.corpus import GraphCorpus, GraphSource, measured
from graph.data.featurize import both_ways
from graph.data.splits import random_split, shares
from graph.data.spmotif import SIZE
from graph.data.tables import existing
from graph.data.targets import classes
from rationalizers.data.download import data_root
from rationalizers.data.records import broken, records, value

FILE = "graph_synthetic/ba_2motifs.jsonl.gz"
ORIGIN = "https://github.com/flyingdoog/PGExplainer (dataset/BA-2motif.pkl), as lines of num_nodes, edges and label"
LABELS = ("cycle", "house")


class BA2Motifs(GraphSource):
    """1,000 Barabási-Albert graphs of 20 nodes, each tied to a cycle or a house of five, from ``<root>/graph_synthetic``.

    "Parameterized Explainer for Graph Neural Network", 2020, https://arxiv.org/abs/2011.04573. Nodes carry a constant, edges go
    both ways. ``field_evidence`` are the last five nodes, the motif, ``edge_evidence`` the edges among them. In 40 graphs the
    generator tied the motif to itself, so that it hangs on nothing: the edge is a loop; ``Corpus.report`` counts them as
    ``loops``, and they are left out.

    Args:
        val: share of the validation split.
        test: share of the test split; the rest is for training.
        seed: of the split.
        root: folder of all data; ``None`` is the environment variable ``RATIONALIZERS_DATA``, else the user's cache.

    Raises:
        ValueError: shares that leave a split empty; or, with file and line, a graph that is none.
        FileNotFoundError: the file is not there.
        ImportError: the extra ``graph`` is not installed.
    """

    def __init__(self, *, val: float = 0.1, test: float = 0.1, seed: int = 0, root: str | None = None) -> None:
        self.fractions, self.seed, self.root = shares(val=val, test=test), seed, root

    def load(self) -> GraphCorpus:
        """Read and split."""
        path = existing(data_root(self.root) / FILE, origin=ORIGIN)
        loops: Counter[str] = Counter()
        graphs = [_graph(record, where, str(row), loops) for row, (where, record) in enumerate(records(path, Counter()))]
        rows = random_split(range(len(graphs)), fractions=self.fractions, seed=self.seed)
        splits = {split: [graphs[row] for row in members] for split, members in rows.items()}
        return GraphCorpus(splits, classes(LABELS), {"loops": loops["loops"], **measured(splits)})


def _graph(record: dict[str, Any], where: str, name: str, met: Counter[str]) -> Graph:
    nodes, label = value(record, "num_nodes", where, int), value(record, "label", where, int)
    listed: list[Any] = value(record, "edges", where, list)
    if label not in range(len(LABELS)):
        raise broken(where, f"'label' should be 0 or 1, got {label}")
    if not all(isinstance(pair, list) and len(pair) == 2 and all(node in range(nodes) for node in pair) for pair in listed):
        raise broken(where, f"'edges' should be pairs of the {nodes} nodes")
    pairs = [pair for pair in listed if pair[0] != pair[1]]
    met["loops"] += len(listed) - len(pairs)
    edge_index, _ = both_ways(torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T, torch.zeros(len(pairs)))
    evidence = torch.arange(nodes) >= nodes - SIZE
    return Graph(
        x=torch.ones(nodes, 1),
        edge_index=edge_index,
        y=torch.tensor([label]),
        id=name,
        field_evidence=evidence,
        edge_evidence=evidence[edge_index].all(0),
    )
