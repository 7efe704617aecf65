"""Time and memory of GREA: environment replacement against all rows of its grid, a whole epoch against torch-molecule's.

``make bench BENCH=grea`` measures every contender in a process of its own (on Linux, which says how much memory a process had
at most). ``make bench BENCH=grea_dense_term`` only times the replacement, in one process.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from experiments.benchmark import Benchmark, Measured
from experiments.contender import Contender, Turn

DENSE, STREAMED = "dense grid", "swap_grid"
PEER, OURS = "torch-molecule", "ours"


def replacement_step(contender: str, *, batch_size: int, width: int, outputs: int, dropout: float) -> Callable[[], float]:
    """Forward and backward of the predictor on every rationale and on every rationale beside every environment; returns the loss.

    Args:
        contender: ``dense grid`` forms all rows, ``swap_grid`` does not; weights and data are the same.
        batch_size: graphs, B.
        width: of a pooled state, D; the hidden layer has 2D.
        outputs: targets of a graph, T.
        dropout: of the hidden layer.
    """
    import torch

    from graph.predictor import GraphPredictor
    from rationalizers.task import Regression

    torch.manual_seed(0)
    rationale, environment = (torch.randn(batch_size, width, requires_grad=True) for _ in range(2))
    y = torch.randn(batch_size, outputs)
    task = Regression(targets=[str(target) for target in range(outputs)])
    predictor = GraphPredictor(width, outputs=outputs, dropout=dropout)
    learnt = [rationale, environment, *predictor.parameters()]

    def dense() -> torch.Tensor:
        rows = (rationale[:, None] + environment).flatten(0, 1)  # [B², D]
        return task.loss(predictor(rows), y.repeat_interleave(batch_size, 0))

    def streamed() -> torch.Tensor:
        return predictor.swap_loss(rationale, environment, y, task)

    term = {DENSE: dense, STREAMED: streamed}[contender]

    def step() -> float:
        loss = task.loss(predictor(rationale), y) + term()
        torch.autograd.grad(loss, learnt)
        return loss.item()

    return step


def replacement(*, contender: str, batch_size: int, width: int, outputs: int, dropout: float) -> Callable[[], Turn]:
    """`replacement_step` for a process of its own; see `experiments.contender.Contender`."""
    # What torch allocates once, whatever the size, is not part of the term.
    replacement_step(contender, batch_size=2, width=width, outputs=outputs, dropout=dropout)()
    step = replacement_step(contender, batch_size=batch_size, width=width, outputs=outputs, dropout=dropout)
    return lambda: lambda: {"loss": step()}


def grea_dense_term(*, batch_size: int, width: int, outputs: int, dropout: float) -> Benchmark:
    """`replacement_step` of both contenders, without dropout and with it.

    Args:
        batch_size: graphs, B.
        width: of a pooled state, D; the hidden layer has 2D.
        outputs: targets of a graph, T.
        dropout: of the hidden layer in the second pair of contenders; the first has none.
    """
    size = {"batch_size": batch_size, "width": width, "outputs": outputs}
    return Benchmark(
        contenders={
            f"{name}{suffix}": replacement_step(name, dropout=rate, **size)
            for suffix, rate in (("", 0.0), (", dropout", dropout))
            for name in (DENSE, STREAMED)
        },
        headlines={
            "dense_term": (DENSE, STREAMED),
            "dense_term_dropout": (f"{DENSE}, dropout", f"{STREAMED}, dropout"),
        },
    )


class GREABenchmark:
    """GREA on O2Perm with the published split: the replacement term, and the training pass of an epoch.

    Args:
        batch_size: graphs in a batch, B.
        batch_sizes: smallest and largest B of the sweep, which doubles in between.
        width: of a state.
        layers: of the predictor's encoder; the separator's has two.
        gamma: share of the nodes that the rationale is to have.
        dropout: of both encoders.
        predictor_dropout: of the predictor where it has any; where both libraries are compared it has none.
        alternate: epochs of the separator and of the predictor where they take turns.
        threads: of every contender.
        patience: seconds; a contender of the sweep that needs longer for its first turn has no further one.
        peers_python: interpreter of the environment with torch-molecule, which ``make peers`` makes.
    """

    def __init__(
        self,
        *,
        batch_size: int,
        batch_sizes: Sequence[int],
        width: int,
        layers: int,
        gamma: float,
        dropout: float,
        predictor_dropout: float,
        alternate: Sequence[int],
        threads: int,
        patience: float,
        peers_python: str,
    ) -> None:
        self.batch_size, self.width, self.predictor_dropout = batch_size, width, predictor_dropout
        self.batch_sizes, self.alternate = list(batch_sizes), list(alternate)
        self.threads, self.patience, self.peers = threads, patience, Path(peers_python)
        self.model = {"batch_size": batch_size, "width": width, "layers": layers, "gamma": gamma, "dropout": dropout}

    def measure(self, *, rounds: int, threads: int) -> Measured:
        """Let the contenders take turns; ``threads`` is overruled by the benchmark's own."""
        measured = Measured(threads=self.threads)
        self._measure_term(measured, rounds)
        self._measure_epoch(measured, rounds)
        self._sweep(measured, rounds)
        return measured

    def _measure_term(self, measured: Measured, rounds: int) -> None:
        names = {
            f"{name}{suffix}": self._term(name, self.batch_size, rate)
            for suffix, rate in (("", 0.0), (", dropout", self.predictor_dropout))
            for name in (DENSE, STREAMED)
        }
        turns = self._take_turns(names, rounds)
        measured.add(turns, title=f"predictor and replacement term, B = {self.batch_size}")
        losses = [turns[name][-1]["loss"] for name in (DENSE, STREAMED)]
        difference = abs(losses[1] - losses[0]) / abs(losses[0])
        measured.notes.append(f"loss {losses[0]:.7f} and {losses[1]:.7f}, relative difference {difference:.1e}")
        measured.facts["loss_relative_difference"] = difference
        for suffix in ("", ", dropout"):
            share = turns[STREAMED + suffix][-1]["megabytes"] / turns[DENSE + suffix][-1]["megabytes"]
            measured.notes.append(f"{STREAMED}{suffix} needs {share:.4f} of the extra memory of {DENSE}{suffix}")
        measured.ratios["dense_term"] = measured.ratio(DENSE, STREAMED)
        measured.ratios["dense_term_dropout"] = measured.ratio(f"{DENSE}, dropout", f"{STREAMED}, dropout")

    def _measure_epoch(self, measured: Measured, rounds: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            whole, parts = {OURS: self._ours()}, {f"{OURS}, in parts": self._ours(parts=True)}
            if self.peers.is_file():
                from experiments.grea_epoch import training_molecules

                file = Path(folder) / "molecules.json"
                file.write_text(json.dumps(training_molecules()), "utf-8")
                whole = {PEER: self._peer(file, parts=False), **whole}
                parts[f"{PEER}, in parts"] = self._peer(file, parts=True)
                measured.notes.append(
                    f"{PEER}: its grid is its predictor on all rows; forming them, and their loss, is in the rest"
                )
            else:
                measured.notes.append(f"without {PEER}, since there is no {self.peers}; install it with: make peers")
            whole[f"{OURS}, dropout"] = self._ours(predictor_dropout=self.predictor_dropout)
            turns = self._take_turns(whole, rounds)
            # For information, hence fewer turns.
            few = min(rounds, 2)
            divided = self._take_turns({**parts, f"{OURS}, alternating": self._ours(alternate=self.alternate)}, few)
        measured.add({**turns, **divided}, title="training pass of an epoch (alternating: mean of a cycle)")
        if PEER in turns:
            measured.ratios["torch_molecule_epoch"] = measured.ratio(PEER, OURS)
            measured.facts["versions"] = {PEER: turns[PEER][-1]["version"]}
        for name in parts:
            self._divide(measured, name, divided[name])

    def _divide(self, measured: Measured, name: str, turns: list[dict[str, Any]]) -> None:
        """Say what the parts of an epoch take, and how much faster it could be if the grid took nothing."""
        whole = median(turn["seconds"] for turn in turns)
        shares = {part: median(turn["parts"][part] for turn in turns) for part in turns[0]["parts"]}
        shares["rest"] = whole - sum(shares.values())
        limit = whole / (whole - shares["grid"])
        listed = ", ".join(f"{part} {seconds:.3f} s ({seconds / whole:.0%})" for part, seconds in shares.items())
        measured.notes.append(f"{name}: {listed}; Amdahl limit if only its grid were free {limit:.2f}")
        measured.facts[name] = {**shares, "amdahl_limit": limit}

    def _sweep(self, measured: Measured, rounds: int) -> None:
        smallest, largest = self.batch_sizes
        turns: dict[str, list[dict[str, Any]]] = {}
        for name in (DENSE, STREAMED):
            size, needed = smallest, 0.0
            while size <= largest:
                # Twice the batch, four times the grid.
                if 4 * needed > _available():
                    measured.notes.append(f"{name}, B = {size}: left out, would need some {4 * needed:.0f} MB")
                    break
                key = f"{name}, B = {size}"
                found = self._take_turns({key: self._term(name, size, 0.0)}, rounds, patience=self.patience)[key]
                if len(found) == 1 < rounds:
                    measured.notes.append(f"{key}: one turn only, the first, which took more than {self.patience:g} s")
                turns[key], needed, size = found, found[-1]["megabytes"], 2 * size
        measured.add(turns, title="predictor and replacement term, over B")

    def _take_turns(
        self, contenders: Mapping[str, tuple[str, Mapping[str, Any], Path | None]], rounds: int, *, patience: float = float("inf")
    ) -> dict[str, list[dict[str, Any]]]:
        """Turns after a first one to warm up, or that alone if it takes longer than ``patience``; seconds are of one epoch."""
        from rich.progress import track

        turns: dict[str, list[dict[str, Any]]] = defaultdict(list)
        with ExitStack() as stack:
            started = {}
            for name, (prepare, settings, python) in contenders.items():
                interpreter = {} if python is None else {"python": python}
                contender = Contender(f"experiments.{prepare}", settings, threads=self.threads, **interpreter)
                started[name] = stack.enter_context(contender)
            first = {name: contender.turn() for name, contender in started.items()}
            for _ in track(range(rounds), description=", ".join(contenders), transient=True):
                for name, contender in started.items():
                    if first[name]["seconds"] <= patience:
                        turn = contender.turn()
                        turns[name].append({**turn, "seconds": turn["seconds"] / turn.get("epochs", 1)})
        return {name: turns[name] or [first[name]] for name in contenders}

    def _term(self, contender: str, batch_size: int, dropout: float) -> tuple[str, Mapping[str, Any], None]:
        settings = {"contender": contender, "batch_size": batch_size, "width": self.width, "outputs": 1, "dropout": dropout}
        return "grea_benchmark:replacement", settings, None

    def _ours(
        self, *, predictor_dropout: float = 0.0, alternate: Sequence[int] | None = None, parts: bool = False
    ) -> tuple[str, Mapping[str, Any], None]:
        settings = {**self.model, "predictor_dropout": predictor_dropout, "alternate": alternate, "parts": parts}
        return "grea_epoch:ours", settings, None

    def _peer(self, molecules: Path, *, parts: bool) -> tuple[str, Mapping[str, Any], Path]:
        return "grea_epoch:torch_molecule", {**self.model, "molecules": str(molecules), "parts": parts}, self.peers


def _available() -> float:
    """Megabytes that the machine could still give."""
    lines = Path("/proc/meminfo").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable:"))
