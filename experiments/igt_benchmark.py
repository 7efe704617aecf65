"""Time and memory of graph methods as graphs grow: ``make bench BENCH=igt``.

Epochs of GREA and of both levels of the invariant graph transformer over the same number of random graphs, each method and size
in a process of its own. How a cost grows is told by an exponent between large sizes: 1 is linear, 2 quadratic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Any

from experiments.benchmark import Measured
from experiments.contender import Contender, Turn

if TYPE_CHECKING:
    from graph.batch import Graph

# What is special about each method; both players of GREA learn in each step, those of the others in turn.
METHODS: Mapping[str, Mapping[str, Any]] = {
    "grea": {
        "_target_": "graph.methods.grea.GREA",
        "separator": {"layers": 2},
        "weights": {"task": 1.0, "swap": 1.0, "size": 1.0},
        "gamma": 0.4,
        "alternate": None,
    },
    "igt_node": {
        "_target_": "graph.methods.igt.IGT",
        "weights": {"task": 1.0, "swap": 1.0, "mixing": 1.0, "size": 0.0},
    },
    "igt_virtual": {
        "_target_": "graph.methods.igt.IGT",
        "weights": {"task": 1.0, "swap": 1.0, "mixing": 1.0, "size": 0.0},
        "virtual_nodes": 16,
    },
}


class SizeBenchmark:
    """Training epochs over graphs of rising size.

    Args:
        nodes: of the smallest and of the largest graphs; sizes double in between.
        graphs: in an epoch.
        batch_size: graphs at a time.
        width: of a state.
        layers: of the encoder, and of GREA's predictor; GREA's separator has two more.
        threads: of each process.
    """

    def __init__(self, *, nodes: Sequence[int], graphs: int, batch_size: int, width: int, layers: int, threads: int) -> None:
        smallest, largest = nodes
        doubled = [smallest * 2**power for power in range(math.ceil(math.log2(largest / smallest)))]
        self.nodes, self.threads = (*doubled, largest), threads
        self.shared = {"graphs": graphs, "batch_size": batch_size, "width": width, "layers": layers}

    def measure(self, *, rounds: int, threads: int) -> Measured:
        """Let the methods take turns at each size, after one that warms up; ``threads`` is overruled by the benchmark's own."""
        from rich.progress import track

        measured = Measured(threads=self.threads)
        for nodes in track(self.nodes, description="nodes", transient=True):
            turns: dict[str, list[dict[str, Any]]] = {_named(name, nodes): [] for name in METHODS}
            with ExitStack() as stack:
                started = {name: stack.enter_context(self._contender(name, nodes)) for name in METHODS}
                for round_ in range(rounds + 1):
                    for name, contender in started.items():
                        turn = contender.turn()
                        if round_:
                            turns[_named(name, nodes)].append(turn)
            measured.add(turns, title=f"an epoch over graphs of {nodes} nodes")
        for name in METHODS:
            seconds = [median(measured.seconds[_named(name, nodes)]) for nodes in self.nodes]
            megabytes = [measured.megabytes[_named(name, nodes)] for nodes in self.nodes]
            measured.facts[name] = {"nodes": self.nodes, "seconds": seconds, "megabytes": megabytes}
            for what, costs in (("time", seconds), ("memory", megabytes)):
                measured.ratios[f"{name}_{what}_exponent"] = exponent(self.nodes, costs)
        return measured

    def _contender(self, method: str, nodes: int) -> Contender:
        settings = {**self.shared, "method": method, "nodes": nodes}
        return Contender("experiments.igt_benchmark:epochs", settings, threads=self.threads)


def exponent(sizes: Sequence[int], costs: Sequence[float]) -> float:
    """The power of the size that a cost grows with, between the largest size and the next that is at most half of it."""
    half = max(place for place, size in enumerate(sizes) if 2 * size <= sizes[-1])
    return math.log(costs[-1] / costs[half]) / math.log(sizes[-1] / sizes[half])


def epochs(*, method: str, nodes: int, graphs: int, batch_size: int, width: int, layers: int) -> Callable[[], Turn]:
    """Training epochs of one method over random graphs of one size; each turn is an epoch.

    Args:
        method: of `METHODS`.
        nodes: of each graph.
        graphs: in an epoch.
        batch_size: graphs at a time.
        width: of a state.
        layers: of the encoder.
    """
    import torch

    from graph.batch import Graph
    from graph.data.featurize import ATOMS, BONDS
    from rationalizers.base import Rationalizer
    from rationalizers.build import build

    torch.manual_seed(0)
    rows = [random_graph(nodes, sizes=(ATOMS, BONDS)) for _ in range(graphs)]
    batches = [Graph.collate(rows[start : start + batch_size]) for start in range(0, graphs, batch_size)]

    def begin() -> Turn:
        torch.manual_seed(0)
        encoder = {
            "_target_": "graph.encoders.GIN",
            "atoms": list(ATOMS),
            "bonds": list(BONDS),
            "features": None,
            "hidden": width,
            "layers": layers,
            "dropout": 0.3,
        }
        task = {"_target_": "rationalizers.task.BinaryTasks", "targets": ["active"]}
        model = build({"task": task, "encoder": encoder, "optimizer": {"lr": 1e-3}, **METHODS[method]}, Rationalizer).train()
        groups = {name: list(parameters) for name, parameters in model.parameter_groups().items()}
        optimizer = model.optimizer_config.build([{"params": each, "name": name} for name, each in groups.items()])
        steps = 0

        def turn() -> dict[str, Any]:
            nonlocal steps
            losses = []
            for batch in batches:
                phase = model.phase_at(steps)
                steps += 1
                for name, parameters in groups.items():
                    for parameter in parameters:
                        parameter.requires_grad_(name in phase.groups)
                optimizer.zero_grad()
                loss = model.loss(model(batch).terms, phase.weights)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            return {"loss": sum(losses) / len(losses)}

        return turn

    return begin


def random_graph(nodes: int, *, sizes: tuple[Sequence[int], Sequence[int]]) -> Graph:
    """A ring with a chord for every fifth node, so that edges grow with nodes as in molecules.

    Args:
        nodes: of the graph.
        sizes: values of each categorical feature of nodes, and of edges.
    """
    import torch

    from graph.batch import Graph

    ring = torch.arange(nodes)
    chords = torch.randint(nodes, (2, nodes // 5))
    one_way = torch.cat([torch.stack([ring, ring.roll(-1)]), chords], 1)
    features = [
        torch.stack([torch.randint(size, (count,)) for size in each], 1)
        for each, count in zip(sizes, (nodes, one_way.shape[1]), strict=True)
    ]
    return Graph(
        x=features[0],
        edge_index=torch.cat([one_way, one_way.flip(0)], 1),
        edge_attr=torch.cat([features[1], features[1]]),
        y=torch.randint(2, (1, 1)).float(),
    )


def _named(method: str, nodes: int) -> str:
    return f"{method}, {nodes} nodes"
