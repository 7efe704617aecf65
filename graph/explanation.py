"""An explained graph: what a trained rationalizer says about one molecule or other graph."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch

from graph.batch import Graph
from graph.draw import MARKED, SELECTED, graph_svg, molecule_svg
from graph.smiles import parse_smiles
from rationalizers.base import Output
from rationalizers.extras import require
from rationalizers.featurizer import Explanation
from rationalizers.report.highlight import Pictures, explanation_html
from rationalizers.report.record import is_count, is_number
from rationalizers.segment import owners
from rationalizers.task import BinaryTasks, Classification, Regression, Task

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup
    from torch_geometric.explain import Explanation as PyGExplanation


@dataclass(frozen=True)
class GraphExplanation(Explanation):
    """Prediction and rationale of a graph; shows itself drawn in a notebook.

    Args:
        id: name of the example.
        source: SMILES string, or empty.
        nodes: a name for each node: the symbol of its atom, or its number.
        edges: pairs of nodes, in the order of the data.
        mask: of each node, in [0, 1].
        scores: of each node, before thresholding.
        probabilities: of each class; empty where numbers, or several questions, are answered.
        values: by target: a number in the data's units, or the probability of yes; empty where there are classes.
        unit: of the values; empty for probabilities.
        label: true class, where known.
        truth: true values by target, ``None`` where unknown.
        evidence: nodes that people or a rule marked; ``None`` where unknown.
    """

    id: str
    source: str
    nodes: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    mask: tuple[float, ...]
    scores: tuple[float, ...]
    probabilities: Mapping[str, float] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    unit: str = ""
    label: str | None = None
    truth: Mapping[str, float | None] = field(default_factory=dict)
    evidence: tuple[int, ...] | None = None

    @property
    def prediction(self) -> str | Mapping[str, float]:
        """The most probable class, or the values by target."""
        return max(self.probabilities, key=lambda name: self.probabilities[name]) if self.probabilities else self.values

    @property
    def rationale(self) -> tuple[int, ...]:
        """Nodes with mask above one half."""
        return tuple(node for node, mask in enumerate(self.mask) if mask > 0.5)

    @property
    def svg(self) -> Markup:
        """The graph with its nodes shaded by their scores, as an element of a page."""
        return picture(self.record())

    def to_frame(self) -> pd.DataFrame:
        """One row per node: ``node``, ``mask``, ``score``, and ``evidence`` where known.

        Raises:
            ImportError: pandas is not installed.
        """
        pandas = require("pandas", extra="report")
        columns: dict[str, Any] = {"node": self.nodes, "mask": self.mask, "score": self.scores}
        if self.evidence is not None:
            columns["evidence"] = [node in self.evidence for node in range(len(self.nodes))]
        frame: pd.DataFrame = pandas.DataFrame(columns)
        return frame

    def to_pyg(self) -> PyGExplanation:
        """The explanation as PyG has it: ``node_mask [N, 1]`` and ``edge_index [2, E]``."""
        from torch_geometric.explain import Explanation as PyGExplanation

        return PyGExplanation(
            node_mask=torch.tensor(self.mask)[:, None],
            edge_index=torch.tensor(self.edges, dtype=torch.long).reshape(-1, 2).T,
        )

    def record(self) -> dict[str, Any]:
        """One line of ``rationales.jsonl``."""
        known = set(self.edges)
        return {
            "_target_": f"{GraphPictures.__module__}.{GraphPictures.__name__}",
            "id": self.id,
            "source": self.source,
            "words": list(self.nodes),
            "edges": [list(edge) for edge in self.edges if edge[0] < edge[1] or edge[::-1] not in known],
            "query": [],
            "selected": [[node, node + 1] for node in self.rationale],
            "mask": [round(value, 4) for value in self.mask],
            "scores": [round(score, 4) if math.isfinite(score) else None for score in self.scores],
            "evidence": None if self.evidence is None else [[node, node + 1, 0] for node in self.evidence],
            "label": self.label,
            "prediction": self.prediction if self.probabilities else None,
            "probabilities": {name: round(value, 6) for name, value in self.probabilities.items()},
            "values": {name: float(f"{value:.6g}") for name, value in self.values.items()},
            "truth": dict(self.truth),
            "unit": self.unit,
            "fields": {},
        }

    def _repr_html_(self) -> str:
        html: str = explanation_html(self.record())
        return html


class GraphPictures(Pictures):
    """Draws the lines of ``rationales.jsonl`` that `GraphExplanation` wrote."""

    unit = "nodes"

    def draw(self, record: Mapping[str, Any]) -> Markup:
        """The model's view, and beside it what people marked, where that is known."""
        _check(record)
        markup = require("markupsafe", extra="report").Markup
        shown = [picture(record)]
        if record["evidence"]:
            gold = {node for start, end, *_ in record["evidence"] for node in range(start, end)}
            shown.append(_draw(record, [float(node in gold) for node in range(len(record["words"]))], "evidence", MARKED))
        drawn: Markup = markup('<div class="drawings">{}</div>').format(markup("").join(shown))
        return drawn


def _check(record: Mapping[str, Any]) -> None:
    """Raise unless a line has what a graph has beyond a text."""
    nodes = len(record["words"])
    edges, mask, source = (record.get(name) for name in ("edges", "mask", "source"))
    if not isinstance(mask, list) or len(mask) != nodes or not all(map(is_number, mask)):
        raise ValueError(f"'mask' should have a number for each of {nodes} nodes; train again, or get the run again")
    if not isinstance(source, str):
        raise ValueError(f"'source' should be a SMILES string or empty, got {source!r}; train again, or get the run again")
    if not isinstance(edges, list) or not all(
        isinstance(edge, list) and len(edge) == 2 and all(is_count(node) and node < nodes for node in edge) for edge in edges
    ):
        raise ValueError(f"'edges' should be pairs of nodes below {nodes}; train again, or get the run again")


def picture(record: Mapping[str, Any]) -> Markup:
    """The graph of a record with its nodes shaded between its lowest and highest score."""
    finite = [score for score in record["scores"] if score is not None]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    if high > low:
        weights = [0.0 if score is None else (score - low) / (high - low) for score in record["scores"]]
    else:  # nothing stands out: what is selected, all alike
        weights = [float(mask > 0.5) for mask in record["mask"]]
    return _draw(record, weights, "model rationale", SELECTED)


def explain_graphs(batch: Graph, output: Output, task: Task) -> list[Explanation]:
    """One `GraphExplanation` for each graph of a batch.

    Raises:
        TypeError: a kind of task whose numbers have no reading here.
    """
    predictions = task.predict(output.logits.detach()).cpu()
    rationale = output.rationale.detach()
    mask, scores = rationale.mask.cpu(), rationale.scores.cpu()
    edge_index, ptr, n = batch.edge_index.cpu(), batch.ptr.cpu(), batch.x.shape[0]
    graphs = owners(ptr, n)[edge_index[0]]
    evidence = batch.fields["evidence"].cpu() if "evidence" in batch.fields else None
    annotated, y = batch.annotated.tolist(), None if batch.y is None else batch.y.cpu()
    found: list[Explanation] = []
    for b, (start, end) in enumerate(pairwise(ptr.tolist())):
        source = _text(batch, "source", b)
        known = evidence is not None and annotated[b]
        found.append(
            GraphExplanation(
                id=_text(batch, "id", b) or str(int(batch.index[b])),
                source=source,
                nodes=_symbols(source, end - start),
                edges=tuple((u, v) for u, v in (edge_index[:, graphs == b] - start).T.tolist()),
                mask=tuple(mask[start:end].tolist()),
                scores=tuple(scores[start:end].tolist()),
                evidence=tuple(torch.nonzero(evidence[start:end]).flatten().tolist()) if known and evidence is not None else None,
                **_said(predictions[b].tolist(), None if y is None else y[b], task),
            )
        )
    return found


def _said(numbers: Sequence[float], y: torch.Tensor | None, task: Task) -> dict[str, Any]:
    """What was predicted and what is true, by kind of task."""
    if isinstance(task, Classification):
        probabilities = dict(zip(task.names, numbers, strict=True))
        return {"probabilities": probabilities, "label": None if y is None else task.names[int(y)]}
    if not isinstance(task, (BinaryTasks, Regression)):
        raise TypeError(f"a graph's {type(task).__name__} has no reading; expected Classification, BinaryTasks or Regression")
    truth = [None] * len(numbers) if y is None else [None if math.isnan(value) else value for value in y.tolist()]
    if isinstance(task, BinaryTasks) and task.outputs == 1:
        yes, no = task.names[0], f"not {task.names[0]}"
        label = None if truth[0] is None else yes if truth[0] > 0.5 else no
        return {"probabilities": {yes: numbers[0], no: 1 - numbers[0]}, "label": label}
    return {
        "values": dict(zip(task.names, numbers, strict=True)),
        "truth": dict(zip(task.names, truth, strict=True)),
        "unit": task.unit if isinstance(task, Regression) else "",
    }


def _draw(record: Mapping[str, Any], weights: Sequence[float], what: str, color: tuple[float, float, float]) -> Markup:
    title = f"{record['source'] or record['id']}: {what}"
    if record["source"]:
        return molecule_svg(record["source"], weights, title=title, color=color)
    return graph_svg(len(weights), [(u, v) for u, v in record["edges"]], weights, title=title)


def _symbols(source: str, count: int) -> tuple[str, ...]:
    """The symbol of each atom of a SMILES string; numbers where there is none."""
    if not source:
        return tuple(str(node) for node in range(count))
    return tuple(atom.GetSymbol() for atom in parse_smiles(source).GetAtoms())


def _text(batch: Graph, name: str, b: int) -> str:
    """A name of one graph, which PyG keeps as a list in a batch."""
    found = batch._store.get(name, "")
    return str(found if isinstance(found, str) else found[b])
