"""Seconds of a whole training step with our operators and without: ``make bench BENCH=steps``.

Noise injection on random weights of BERT's size, and GREA on random graphs of HIV's size. Contenders are processes of their own:
``ours``; on a CUDA device ``no twins``, the operators in torch; and ``eager``, formulas of torch that autograd follows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from experiments.benchmark import Measured
from experiments.contender import Contender, Turn

if TYPE_CHECKING:
    from graph.batch import Graph
    from rationalizers.base import Rationalizer
    from rationalizers.batch import Packed

OURS, NO_TWINS, EAGER = "ours", "no twins", "eager"


class StepBenchmark:
    """Training steps of `rationalizers.methods.noise.Noise` and `graph.methods.grea.GREA`.

    Args:
        noise: arguments of `noise_step`.
        grea: arguments of `grea_step`.
        rounds: of each method, by name, after a first one that warms up.
        alone: methods whose contenders run one after the other, since memory holds one at a time.
        threads: on the CPU.
    """

    def __init__(
        self,
        *,
        noise: Mapping[str, Any],
        grea: Mapping[str, Any],
        rounds: Mapping[str, int],
        alone: Sequence[str],
        threads: int,
    ) -> None:
        self.settings = {"noise": dict(noise), "grea": dict(grea)}
        self.rounds, self.alone, self.threads = dict(rounds), tuple(alone), threads

    def measure(self, *, rounds: int, threads: int) -> Measured:
        """Let the contenders of each method take turns; both arguments are overruled by the benchmark's own."""
        import torch

        cuda = torch.cuda.is_available()
        measured = Measured(threads=self.threads, facts={"device": torch.cuda.get_device_name() if cuda else "cpu"})
        for method, settings in self.settings.items():
            names = [OURS, *([NO_TWINS] if cuda else []), EAGER]
            turns = self._turns(method, names, settings)
            measured.add(turns, title=f"a training step of {method}")
            for name in names[1:]:
                measured.ratios[f"{method}_{name.replace(' ', '_')}"] = measured.ratio(f"{method}, {name}", f"{method}, {OURS}")
            losses = [turns[f"{method}, {name}"][0]["loss"] for name in names]
            measured.notes.append(f"{method}: first loss {', '.join(f'{loss:.6f}' for loss in losses)} ({', '.join(names)})")
        return measured

    def _turns(self, method: str, names: Sequence[str], settings: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
        from rich.progress import track

        turns: dict[str, list[dict[str, Any]]] = {f"{method}, {name}": [] for name in names}
        # Contenders of which one alone fills the memory do not take turns but come one after the other.
        for some in [[name] for name in names] if method in self.alone else [names]:
            with ExitStack() as stack:
                started = {name: stack.enter_context(self._contender(method, name, settings)) for name in some}
                for _ in track(range(self.rounds[method] + 1), description=method, transient=True):
                    for name, contender in started.items():
                        turns[f"{method}, {name}"].append(contender.turn())
        # The first turn warms up; its loss is of the weights that all contenders begin with.
        return {
            name: [{**turn, "loss": each[0]["loss"], "seconds": turn["step"]} for turn in each[1:]]
            for name, each in turns.items()
        }

    def _contender(self, method: str, name: str, settings: Mapping[str, Any]) -> Contender:
        return Contender(f"experiments.step_benchmark:{method}", {**settings, "paths": name}, threads=self.threads)


@contextmanager
def eager_formulas() -> Iterator[None]:
    """Let what calls an operator call the formula that defines it, so that autograd does the rest."""
    from rationalizers.kernels.blend import blend_reference
    from rationalizers.kernels.segment_topk import segment_topk_reference
    from rationalizers.kernels.split_pool import split_pool_reference
    from rationalizers.kernels.swap_grid import swap_grid_dense

    places = {
        "rationalizers.absence.blend": lambda x, mask, fill=None: blend_reference(x, mask, fill),
        "rationalizers.methods.a2r.split_pool": split_pool_reference,
        "rationalizers.rationale.segment_topk": segment_topk_reference,
        "graph.methods.grea.split_pool": split_pool_reference,
        "graph.predictor.swap_grid": swap_grid_dense,
    }
    with ExitStack() as stack:
        for place, formula in places.items():
            stack.enter_context(mock.patch(place, formula))
        yield


def noise(*, paths: str, layers: int, width: int, heads: int, examples: int, units: int) -> Callable[[], Turn]:
    """Steps of noise injection on one batch of random words of one or two pieces.

    Args:
        paths: ``ours``, ``no twins`` or ``eager``.
        layers: of both networks.
        width: of a state.
        heads: of attention.
        examples: in the batch.
        units: of each example, among them a first and a last fixed one.
    """
    import torch

    from rationalizers.methods.noise import Noise
    from rationalizers.rewriting import Replacements
    from rationalizers.segment import offsets

    torch.manual_seed(0)
    vocabulary = 30522
    encoder = {
        "_target_": "rationalizers.encoders.PretrainedEncoder",
        "pretrained": "random",
        "architecture": {
            "model_type": "bert",
            "vocab_size": vocabulary,
            "hidden_size": width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "intermediate_size": 4 * width,
        },
        "vocabulary": vocabulary,
        "mask_id": 103,
        "max_length": units,
    }

    def build() -> Turn:
        torch.manual_seed(0)
        model = Noise(
            task={"_target_": "rationalizers.task.Classification", "labels": ["NEG", "POS"]},
            generator=encoder,
            predictor=encoder,
            weights={"task": 1.0, "attention": 1.0, "agreement": 0.1, "replaced": 0.0},
            optimizer={"lr": 2e-5},
            level="unit",
            pooling="first",
        )
        words = 1000
        model.replacements = Replacements(
            torch.full((words,), 1 / words), torch.randint(200, vocabulary, (words,)), offsets(torch.ones(words).long())
        )
        return turn(model, texts(examples, units, vocabulary), paths)

    return build


def grea(*, paths: str, graphs: int, nodes: int, width: int, layers: int, dropout: float) -> Callable[[], Turn]:
    """Steps of both of GREA's players at once on one batch of random graphs with one yes-or-no question.

    Args:
        paths: ``ours``, ``no twins`` or ``eager``.
        graphs: in the batch.
        nodes: of a graph, on average.
        width: of a state.
        layers: of the predictor's encoder; the separator's has two.
        dropout: of the encoders and of the predictor.
    """
    import torch

    from graph.data.featurize import ATOMS, BONDS
    from graph.methods.grea import GREA

    def build() -> Turn:
        torch.manual_seed(0)
        model = GREA(
            task={"_target_": "rationalizers.task.BinaryTasks", "targets": ["HIV_active"]},
            encoder={
                "_target_": "graph.encoders.GIN",
                "hidden": width,
                "layers": layers,
                "dropout": dropout,
                "virtual_node": True,
                "features": None,
                "atoms": list(ATOMS),
                "bonds": list(BONDS),
            },
            separator={"layers": 2},
            weights={"task": 1.0, "swap": 1.0, "size": 1.0},
            optimizer={"lr": 1e-3},
            gamma=0.4,
            alternate=None,
            dropout=dropout,
        )
        return turn(model, molecules(graphs, nodes), paths)

    return build


def turn(model: Rationalizer, batch: Packed | Graph, paths: str) -> Turn:
    """A forward and backward pass and a step of the optimizer, by what ``paths`` names; its seconds are the fact ``step``."""
    import torch

    from rationalizers.kernels.twin import references_only

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device).train()
    batch = batch.to(device)
    if getattr(model, "replacements", None) is not None:
        model.replacements = model.replacements.to(device)
    groups = [{"params": list(parameters), "name": name} for name, parameters in model.parameter_groups().items()]
    optimizer = model.optimizer_config.build(groups)
    settled = {OURS: ExitStack, NO_TWINS: references_only, EAGER: eager_formulas}[paths]

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    def step() -> dict[str, float]:
        wait()
        began = time.perf_counter()
        with settled():
            optimizer.zero_grad()
            loss = model.loss(model(batch).terms, model.weights)
            loss.backward()
            optimizer.step()
        wait()
        return {"step": time.perf_counter() - began, "loss": float(loss.detach())}

    return step


def texts(examples: int, units: int, vocabulary: int) -> Packed:
    """Random words of one or two pieces, between two fixed units."""
    import torch

    from rationalizers.batch import Packed
    from rationalizers.segment import offsets

    n = examples * units
    fixed = torch.zeros(examples, units, dtype=torch.bool)
    fixed[:, [0, -1]] = True
    word = ((torch.rand(examples, units) < 0.8) | fixed).long().cumsum(1).masked_fill(fixed, -1)
    return Packed(
        units=torch.randint(200, vocabulary, (n,)),
        ptr=offsets(torch.full((examples,), units)),
        y=torch.randint(2, (examples,)),
        fixed=fixed.flatten(),
        fields={"word": word.flatten(), "replaceable": torch.rand(n).masked_fill(fixed.flatten(), 0.0)},
    )


def molecules(graphs: int, nodes: int) -> Graph:
    """Chains with some rings, whose atoms and bonds have random categories."""
    import torch

    from experiments.kernel_benchmark import lengths_of
    from graph.batch import Graph
    from graph.data.featurize import ATOMS, BONDS

    made = []
    for size in lengths_of(graphs, nodes).clamp(min=2).tolist():
        chain = torch.stack([torch.arange(size - 1), torch.arange(1, size)])
        rings = torch.randint(size, (2, max(1, size // 8)))
        edges = torch.cat([chain, rings], 1)
        bonds = torch.stack([torch.randint(count, (edges.shape[1],)) for count in BONDS], 1)
        made.append(
            Graph(
                x=torch.stack([torch.randint(count, (size,)) for count in ATOMS], 1),
                edge_index=torch.cat([edges, edges.flip(0)], 1),
                edge_attr=torch.cat([bonds, bonds]),
                y=torch.randint(2, (1, 1)).float(),
            )
        )
    return Graph.collate(made)
