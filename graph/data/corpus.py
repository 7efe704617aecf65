"""Graphs in three splits, before they are batched."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from graph.batch import Graph

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class GraphCorpus:
    """Graphs in three splits, with the task they pose and what the reader met on the way.

    Args:
        splits: ``train``, ``val`` and ``test``; every graph is a batch of one with ``y``, and all carry the same facts.
        task: description of a `rationalizers.task.Task`.
        report: counts worth telling a reader (what was skipped, generator settings as they came out), by name.
    """

    splits: Mapping[str, Sequence[Graph]]
    task: dict[str, Any]
    report: Mapping[str, int | float] = field(default_factory=dict)


class GraphSource(ABC):
    """Anything that yields a corpus of graphs; subclasses are named by ``_target_`` under ``data.source``."""

    @abstractmethod
    def load(self) -> GraphCorpus:
        """Read or generate the corpus."""


def measured(splits: Mapping[str, Sequence[Graph]]) -> dict[str, int | float]:
    """What every split holds, counted from its graphs, as ``<split>/<fact>``.

    ``graphs``, ``mean_nodes`` and ``mean_edges`` (columns of ``edge_index``); where there is evidence, ``annotated`` graphs and
    ``evidence``, its share of their nodes.
    """
    report: dict[str, int | float] = {}
    for split, graphs in splits.items():
        if not graphs:
            continue
        nodes = torch.tensor([graph.x.shape[0] for graph in graphs])
        report[f"{split}/graphs"] = len(graphs)
        report[f"{split}/mean_nodes"] = float(nodes.double().mean())
        report[f"{split}/mean_edges"] = sum(graph.edge_index.shape[1] for graph in graphs) / len(graphs)
        if "evidence" in graphs[0].fields:
            known = [graph.fields["evidence"] for graph in graphs if bool(graph.annotated)]
            report[f"{split}/annotated"] = len(known)
            if known:
                report[f"{split}/evidence"] = float(torch.cat(known).double().mean())
    return report
