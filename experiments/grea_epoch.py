"""The training pass of an epoch of GREA, here and in torch-molecule, whole and in parts.

What is timed: batches made of graphs in memory, forward, backward, optimizer step. Each function is the ``prepare`` of a
`experiments.contender.Contender`, `torch_molecule` of one whose environment holds torch-molecule and nothing of this project.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from experiments.contender import Turn


class Clock:
    """Seconds spent in parts of a model, forward and backward.

    Attributes:
        seconds: by name of the part, until now.
    """

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def time(self, name: str, call: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """``call(*inputs)``, timed now and when its gradient is asked for.

        Args:
            name: of the part.
            call: has one tensor as its result, and may learn parameters that are not among its inputs.
            inputs: that its gradient flows back to.
        """
        anchor = torch.zeros((), requires_grad=True)  # a part whose inputs need no gradient may have parameters that do
        out: Tensor = _Timed.apply(self.seconds, name, call, anchor, *inputs)  # type: ignore[no-untyped-call]
        return out


class _Timed(torch.autograd.Function):
    """A piece of the graph that is walked backward at one go, between two looks at the clock."""

    @staticmethod
    def forward(
        ctx: Any, seconds: Counter[str], name: str, call: Callable[..., Tensor], anchor: Tensor, *inputs: Tensor
    ) -> Tensor:
        ctx.seconds, ctx.name = seconds, name
        ctx.inputs = [each.detach().requires_grad_(each.requires_grad) for each in inputs]
        began = time.perf_counter()
        with torch.enable_grad():
            ctx.out = call(*ctx.inputs)
        seconds[name] += time.perf_counter() - began
        out: Tensor = ctx.out.detach()
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        began = time.perf_counter()
        torch.autograd.backward(ctx.out, grad)
        ctx.seconds[ctx.name] += time.perf_counter() - began
        return None, None, None, None, *(each.grad for each in ctx.inputs)


def in_parts(model: Any) -> Clock:
    """Time both encoders and the replacement term of a `graph.methods.grea.GREA` from now on: ``encoders``, ``grid``."""
    clock = Clock()
    for encoder in (model.separator, model.encoder):
        encoder.states = lambda batch, states=encoder.states: clock.time("encoders", lambda: states(batch))
    swap_loss = model.predictor.swap_loss
    model.predictor.swap_loss = lambda rationale, environment, *others, **named: clock.time(
        "grid", lambda r, e: swap_loss(r, e, *others, **named), rationale, environment
    )
    return clock


def ours(
    *,
    batch_size: int,
    width: int,
    layers: int,
    gamma: float,
    dropout: float,
    predictor_dropout: float,
    alternate: Sequence[int] | None,
    parts: bool,
) -> Callable[[], Turn]:
    """Epochs of `graph.methods.grea.GREA` on O2Perm: one, or as many as its players need to have taken their turns.

    Args:
        batch_size: graphs in a batch.
        width: of a state.
        layers: of the predictor's encoder; the separator's has two.
        gamma: share of the nodes that the rationale is to have.
        dropout: of both encoders.
        predictor_dropout: of the predictor.
        alternate: epochs of the separator and of the predictor; ``None`` trains both in each step.
        parts: report seconds of `in_parts`.
    """
    from graph.data.module import GraphData
    from graph.methods.grea import GREA

    data = GraphData(
        source={"_target_": "graph.data.molecules.O2Perm", "split": "published"},
        featurizer={"_target_": "graph.data.featurize.SmilesFeaturizer"},
        batch_size=batch_size,
    )
    data.setup()
    facts = data.facts()

    def build() -> Turn:
        torch.manual_seed(0)
        shape = {"hidden": width, "layers": layers, "dropout": dropout, "virtual_node": True, "features": None}
        known = {name: facts[name] for name in ("atoms", "bonds")}
        model = GREA(
            task=facts["task"],
            encoder={"_target_": "graph.encoders.GIN", **shape, **known},
            separator={"layers": 2},
            weights={"task": 1.0, "swap": 1.0, "size": 1.0},
            optimizer={"lr": 1e-3},
            gamma=gamma,
            alternate=alternate,
            dropout=predictor_dropout,
        )
        groups = {name: list(parameters) for name, parameters in model.parameter_groups().items()}
        optimizer = model.optimizer_config.build([{"params": each, "name": name} for name, each in groups.items()])
        clock = in_parts(model) if parts else Clock()
        epochs = 0

        def epoch(number: int) -> float:
            phase = model.phase_at(number)
            for name, parameters in groups.items():
                for parameter in parameters:
                    parameter.requires_grad_(name in phase.groups)
            losses = []
            for batch in data.batches("train", epoch=number):
                optimizer.zero_grad()
                loss = model.loss(model(batch).terms, phase.weights)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            return sum(losses) / len(losses)

        def turn() -> dict[str, Any]:
            nonlocal epochs
            clock.seconds.clear()
            cycle = sum(phase.period for phase in model.phases())
            loss = [epoch(epochs + number) for number in range(cycle)][-1]
            epochs += cycle
            return {"loss": loss, "epochs": cycle, "parts": dict(clock.seconds)}

        model.train()
        return turn

    return build


def training_molecules() -> dict[str, list[Any]]:
    """SMILES strings and targets that `ours` trains on, the latter as its task scales them."""
    from graph.data.molecules import O2Perm
    from rationalizers.build import build
    from rationalizers.task import Task

    corpus = O2Perm(split="published").load()
    train, task = corpus.splits["train"], build(corpus.task, Task)
    return {"smiles": [graph.source for graph in train], "targets": task.targets(torch.cat([g.y for g in train])).tolist()}


def torch_molecule(
    *, molecules: str, batch_size: int, width: int, layers: int, gamma: float, dropout: float, parts: bool
) -> Callable[[], Turn]:
    """Epochs of torch-molecule's ``GREAMolecularPredictor``: its model, its loader, its training loop, after its own set-up.

    Args:
        molecules: file with what `training_molecules` returns, as JSON.
        batch_size: graphs in a batch.
        width: of a state.
        layers: of the predictor's encoder; the separator's has two.
        gamma: share of the nodes that the rationale is to have.
        dropout: of both encoders; its predictor has none.
        parts: report the seconds of its predictor on all rows of the grid, as ``grid``; forming the rows, and the loss over their
            predictions, are not among them.
    """
    from importlib.metadata import version

    from torch_geometric.loader import DataLoader
    from torch_molecule.predictor.grea import GREAMolecularPredictor

    given = json.loads(Path(molecules).read_text("utf-8"))
    theirs = GREAMolecularPredictor(
        num_task=1,
        task_type="regression",
        gamma=gamma,
        num_layer=layers,
        hidden_size=width,
        gnn_type="gin-virtual",
        drop_ratio=dropout,
        batch_size=batch_size,
        device="cpu",
    )
    checked, targets = theirs._validate_inputs(given["smiles"], given["targets"])
    graphs = theirs._convert_to_pytorch_data(checked, targets)

    def build() -> Turn:
        torch.manual_seed(0)
        theirs._initialize_model(theirs.model_class)
        theirs.model.initialize_parameters()
        optimizer, _ = theirs._setup_optimizers()
        loader = DataLoader(graphs, batch_size=batch_size, shuffle=True)
        clock = Clock()
        if parts:
            theirs.model.predictor = _LargeTimed(theirs.model.predictor, clock, more_rows_than=batch_size)

        def turn() -> dict[str, Any]:
            clock.seconds.clear()
            losses = theirs._train_epoch(loader, optimizer, 0)
            return {
                "loss": sum(losses) / len(losses),
                "epochs": 1,
                "parts": dict(clock.seconds),
                "version": version("torch-molecule"),
            }

        return turn

    return build


class _LargeTimed(nn.Module):
    """A predictor that is timed where it is given the grid and not the rationales alone."""

    def __init__(self, predictor: nn.Module, clock: Clock, *, more_rows_than: int) -> None:
        super().__init__()
        self.predictor, self.clock, self.rows = predictor, clock, more_rows_than

    def forward(self, h: Tensor) -> Tensor:
        """As the predictor itself."""
        out: Tensor = self.clock.time("grid", self.predictor, h) if h.shape[0] > self.rows else self.predictor(h)
        return out
