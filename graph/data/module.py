"""The data module of graphs: splits as batches, in an order that is a pure function of seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from graph.batch import Graph
from graph.data.corpus import SPLITS, GraphSource
from graph.data.featurize import GraphFeaturizer
from rationalizers.build import build
from rationalizers.data.module import RationaleData
from rationalizers.data.sampling import Rows, drawn


class GraphData(RationaleData):
    """Graphs of a source as batches.

    Args:
        source: description of a `GraphSource`.
        featurizer: description of the `GraphFeaturizer` that knows what nodes and edges carry, and makes the same of raw input.
        batch_size: graphs in a batch.
        labelled_share: share of the annotated training graphs whose evidence may be trained on, in [0, 1].
        seed: of the order of training batches and of the labelled graphs.

    Raises:
        ValueError: a share or size outside these; in `setup`, a split without graphs, or graphs that the featurizer does not
            describe.
    """

    # Batch normalization.
    least = 2

    def __init__(
        self,
        *,
        source: Mapping[str, Any],
        featurizer: Mapping[str, Any],
        batch_size: int,
        labelled_share: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"'batch_size' must be at least 1, got {batch_size}")
        if not 0 <= labelled_share <= 1:
            raise ValueError(f"'labelled_share' must be in [0, 1], got {labelled_share}")
        self.source, self.graphs = build(source, GraphSource), build(featurizer, GraphFeaturizer)
        self.batch_size, self.labelled_share, self.seed = batch_size, labelled_share, seed
        self.splits: dict[str, Sequence[Graph]] = {}

    def setup(self, stage: str | None = None) -> None:
        """Read or generate the graphs, number them and choose the labelled ones; once."""
        if self.splits:
            return
        corpus = self.source.load()
        for split in SPLITS:
            if not corpus.splits.get(split):
                raise ValueError(f"the source has no graphs in its split {split!r}; it has {sorted(corpus.splits)}")
            for row, graph in enumerate(corpus.splits[split]):
                self.graphs.check(graph, f"graph {row} of {split}")
        self.featurizer, self.task, self.report = self.graphs, corpus.task, corpus.report
        labelled = self._labelled(corpus.splits["train"])
        for split, graphs in corpus.splits.items():
            for row, graph in enumerate(graphs):
                graph["row"] = torch.tensor([row])
                graph["labelled"] = torch.tensor([split == "train" and row in labelled])
        self.splits = dict(corpus.splits)

    def batches(self, split: str, *, epoch: int = 0) -> DataLoader[Any]:
        """Batches in random order for ``train``, see `Shuffled`; as they come otherwise."""
        graphs = self.splits[split]
        if split == "train":
            sampler: Sampler[list[int]] = Shuffled(len(graphs), batch_size=self.batch_size, seed=self.seed, epoch=epoch)
            return DataLoader(Rows(graphs), batch_sampler=sampler, collate_fn=Graph.collate)
        return DataLoader(Rows(graphs), batch_size=self.batch_size, collate_fn=Graph.collate)

    def _labelled(self, graphs: Sequence[Graph]) -> set[int]:
        annotated = [
            row
            for row, graph in enumerate(graphs)
            if bool(graph.annotated) and "evidence" in graph.fields and bool(graph.fields["evidence"].any())
        ]
        return drawn(annotated, share=self.labelled_share, seed=self.seed)


class Shuffled(Sampler[list[int]]):
    """Batches in an order that is a pure function of seed and epoch, so that a killed epoch can be replayed.

    A last batch of a single graph joins the one before it, unless all batches are such: batch normalization cannot be trained on
    one row, and what replaces environments needs a second graph.

    Args:
        size: graphs to order.
        batch_size: graphs in a batch.
        seed: of the order.
        epoch: of the order.
    """

    def __init__(self, size: int, *, batch_size: int, seed: int, epoch: int) -> None:
        self.size, self.batch_size, self.seed, self.epoch = size, batch_size, seed, epoch

    def __len__(self) -> int:
        joined = self.batch_size > 1 and self.size > self.batch_size and self.size % self.batch_size == 1
        return -(-self.size // self.batch_size) - joined

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.size, generator=generator).tolist()
        for place in range(len(self)):
            # All that is left goes into the last one.
            end = (place + 1) * self.batch_size if place < len(self) - 1 else self.size
            yield order[place * self.batch_size : end]
