"""The base of every method: one contract, and the only place with steps, loss weights, phases and logging."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from rationalizers.absence import check_absence
from rationalizers.batch import Batch
from rationalizers.build import build
from rationalizers.language.sequence_rationale import TokenRationale
from rationalizers.metrics.scores import Scores
from rationalizers.parts import TrainingPart
from rationalizers.rationale import Rationale
from rationalizers.task import Task


@dataclass(frozen=True)
class Output:
    """What a forward pass returns, and all that it returns.

    Args:
        logits: the deployed prediction ``[B, C]``.
        rationale: what it was predicted from.
        terms: named scalar loss terms, unweighted; empty where the batch has no targets.
    """

    logits: Tensor
    rationale: Rationale
    terms: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Phase:
    """A stretch of training in which some parameter groups learn from a weighted sum of terms.

    Args:
        groups: names of the groups that learn; the others get no gradient.
        weights: weight of each term; a term that is not named does not count in this phase.
        period: how many steps or epochs the phase lasts before the next one begins.
    """

    groups: tuple[str, ...]
    weights: Mapping[str, float]
    period: int = 1


class Rationalizer(pl.LightningModule, ABC):
    """A model that predicts and points at what it predicted from.

    A method implements `forward` and `logits` and is otherwise a description: its parts, its terms, its phases. Training,
    weighting, logging, metrics and checkpoints are inherited. Constructors take plain primitives only, so that a run folder
    can describe its model as YAML; parts are built inside with `rationalizers.build.build`.

    Args:
        task: description of a `Task`.
        weights: weight of every term that the method returns, by name.
        optimizer: ``lr`` (a number, or one for each parameter group by name), and optionally ``name`` (``adam``, ``adamw``,
            ``sgd``), ``weight_decay``, ``schedule`` (``constant``, ``linear``, ``cosine``) and ``warmup`` (share of the steps).
        absence: what an unselected unit means to this model (see `rationalizers.absence`).
        sees_rest: why the deployed prediction is made from more than the rationale, or ``None`` where it is not. Predictions from
            the rationale alone are then reported beside it.

    Attributes:
        leaks: why logits under a forced mask can depend on unselected units, or ``None`` where they cannot.
        soft: why masks stay soft in evaluation, or ``None`` where they are 0 or 1.
        unit: what the units are called in the names of metrics, ``token`` or ``node``.
        coupled: terms that put examples of a batch together, as the paper has it, and so depend on who is in it.
        phase_unit: whether phase periods count ``epoch``s or ``step``s; or ``batch``, where each batch decides (`phase_of`).
    """

    leaks: ClassVar[str | None] = None
    soft: ClassVar[str | None] = None
    unit: ClassVar[str] = "token"
    coupled: ClassVar[tuple[str, ...]] = ()
    phase_unit: ClassVar[str] = "epoch"

    def __init__(
        self,
        *,
        task: Mapping[str, Any],
        weights: Mapping[str, float],
        optimizer: Mapping[str, Any],
        absence: str,
        sees_rest: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        check_absence(absence)
        self.task = build(task, Task)
        self.weights, self.absence, self.sees_rest = dict(weights), absence, sees_rest
        self.optimizer_config = OptimizerConfig(**optimizer)
        soft = self.soft is not None
        self.scores = nn.ModuleDict(
            {
                "val": Scores(self.task, unit=self.unit, soft=soft),
                "test": Scores(self.task, unit=self.unit, soft=soft, floors=True, whole=True, alone=sees_rest is not None),
            }
        )

    # The contract -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def forward(self, batch: Batch) -> Output:
        """The deployed prediction, its rationale, and the terms of the objective where the batch has targets."""

    @abstractmethod
    def logits(self, batch: Batch, mask: Tensor, *, absence: str | None = None) -> Tensor:
        """The prediction ``[B, C]`` under a forced mask ``[N]``: the one door for counterfactuals.

        Args:
            batch: the examples.
            mask: units that the predictor may see; fixed units are seen in any case.
            absence: what absent means here; ``None`` is the method's own.
        """

    def targets(self, batch: Batch) -> Sequence[tuple[TokenRationale, ...]] | None:
        """Of a method that predicts units of its input, too: the rationale of each of them, for every example; else ``None``."""
        return None

    def parameter_groups(self) -> dict[str, Iterable[nn.Parameter]]:
        """Named parameters that phases switch on and off; one group unless a method says otherwise."""
        return {"model": self.parameters()}

    def phases(self) -> Sequence[Phase]:
        """The phases in order, repeated until training ends; one that trains everything unless a method says otherwise."""
        return (Phase(tuple(self.parameter_groups()), self.weights),)

    # Training ---------------------------------------------------------------------------------------------------------

    def phase_at(self, count: int) -> Phase:
        """The phase that is active at a step or epoch: a pure function of the count, so that it survives a restart."""
        phases = self.phases()
        place = count % sum(phase.period for phase in phases)
        ends = accumulate(phase.period for phase in phases)
        return next(phase for phase, end in zip(phases, ends, strict=True) if place < end)

    def phase_of(self, batch: Batch) -> Phase:
        """The phase of the current step or epoch; a method whose batches decide it says here how."""
        return self.phase_at(self.global_step if self.phase_unit == "step" else self.current_epoch)

    def loss(self, terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
        """Σ weight · term over the terms of a phase.

        Raises:
            ValueError: a term without a weight anywhere, or a weight for a term that the method does not return.
        """
        known = {name for phase in self.phases() for name in phase.weights}
        if set(terms) != known:
            raise ValueError(
                f"{type(self).__name__} returns the terms {sorted(terms)}, its weights name {sorted(known)}; "
                "every term needs a weight (0 switches one off) and every weight a term"
            )
        return torch.stack([weight * terms[name] for name, weight in weights.items()]).sum()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Let only the groups of the active phase learn."""
        active = self.phase_of(batch).groups
        for name, parameters in self._groups.items():
            for parameter in parameters:
                parameter.requires_grad_(name in active)

    def on_train_end(self) -> None:
        """Give every group back as it was."""
        for parameters in self._groups.values():
            for parameter in parameters:
                parameter.requires_grad_(True)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The weighted loss of the active phase; logs it with every term.

        Where several processes share a batch it is multiplied by `TrainingPart.weight`, so that the mean of their gradients is
        the gradient of the mean over the batch; what is logged is that mean.
        """
        output = self(batch)
        loss = self.loss(output.terms, self.phase_of(batch).weights)
        named = {f"train/{name}": term.detach() for name, term in output.terms.items()}
        size, weight = batch.ptr.numel() - 1, 1.0
        part = getattr(self.trainer.train_dataloader, "batch_sampler", None)
        if isinstance(part, TrainingPart):
            # Lightning divides the examples of all processes by their number, in whole numbers.
            size, weight = part.sizes[batch_idx][0] * part.of, part.weight(batch_idx)
        self.log_dict(named, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, batch_size=size, prog_bar=True, sync_dist=True)
        return loss * weight

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Metrics of the deployed prediction."""
        self._update("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """The same with floors, and beside it the prediction on the whole input, which costs one more pass.

        Where the deployed prediction sees more than the rationale, also the one from the rationale alone.
        """
        self._update("test", batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> Output:
        """The output as it is."""
        output: Output = self(batch)
        return output

    def on_validation_epoch_end(self) -> None:
        """Log ``val/…``."""
        self._report("val")

    def on_test_epoch_end(self) -> None:
        """Log ``test/…``."""
        self._report("test")

    def _update(self, stage: str, batch: Batch) -> None:
        scores = self.scores[stage]
        assert isinstance(scores, Scores)
        output = self(batch)
        mask = output.rationale.mask
        whole, alone = (
            None if asked is None else self.task.predict(self.logits(batch, shown))
            for asked, shown in ((scores.whole, torch.ones_like(mask)), (scores.alone, mask))
        )
        scores.update(output.logits, output.rationale, batch, whole=whole, alone=alone)

    def _report(self, stage: str) -> None:
        scores = self.scores[stage]
        assert isinstance(scores, Scores)
        numbers = scores.compute()
        scores.reset()
        shown = ("loss", "accuracy", "token_f1", "selected_share")
        for name, value in numbers.items():
            self.log(f"{stage}/{name}", value, prog_bar=stage == "val" and name in shown, sync_dist=False)

    def configure_optimizers(self) -> Any:
        """One optimizer with a parameter group for each named group, and one learning-rate curve that counts its own steps."""
        # Only what learns at all takes part: a frozen embedding table stays frozen through every phase.
        self._groups = {
            name: [parameter for parameter in parameters if parameter.requires_grad]
            for name, parameters in self.parameter_groups().items()
        }
        owned = [parameter for parameters in self._groups.values() for parameter in parameters]
        if len({id(parameter) for parameter in owned}) != len(owned):
            raise ValueError(f"{type(self).__name__}.parameter_groups() names a parameter in two groups")
        optimizer = self.optimizer_config.build([{"params": p, "name": name} for name, p in self._groups.items()])
        curves = [self._curve(name) for name in self._groups]
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, curves)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _curve(self, group: str) -> Any:
        """Learning-rate factor of a group after ``step`` optimizer steps of the run, counting only the group's own.

        Where batches decide which groups learn, a group's own steps are spread over every epoch, and all steps count.
        """
        total_steps = int(self.trainer.estimated_stepping_batches)
        if self.phase_unit == "batch":
            return lambda step: self.optimizer_config.factor(step / max(1, total_steps))
        per_unit = 1 if self.phase_unit == "step" else max(1, total_steps // max(1, self.trainer.max_epochs or 1))

        def own_steps(step: int) -> int:
            cycle = sum(phase.period for phase in self.phases()) * per_unit
            active = [group in self.phase_at(unit).groups for unit in range(cycle // per_unit)]
            full, rest = divmod(step, cycle)
            units, part = divmod(rest, per_unit)
            return full * sum(active) * per_unit + sum(active[:units]) * per_unit + (part if rest and active[units] else 0)

        total = max(1, own_steps(total_steps))
        return lambda step: self.optimizer_config.factor(own_steps(step) / total)


@dataclass(frozen=True)
class OptimizerConfig:
    """An optimizer and its learning-rate curve.

    Args:
        lr: peak learning rate, or one for each parameter group by name.
        name: ``adam``, ``adamw`` or ``sgd``.
        weight_decay: of every parameter.
        schedule: ``constant``, ``linear`` (to zero) or ``cosine`` (to zero), after the warm-up.
        warmup: share of the steps with linearly rising rate, in [0, 1).

    Raises:
        ValueError: a value outside these ranges.
    """

    lr: float | Mapping[str, float]
    name: str = "adam"
    weight_decay: float = 0.0
    schedule: str = "constant"
    warmup: float = 0.0

    _KINDS: ClassVar[dict[str, type[torch.optim.Optimizer]]] = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "sgd": torch.optim.SGD,
    }
    _SCHEDULES: ClassVar[tuple[str, ...]] = ("constant", "linear", "cosine")

    def __post_init__(self) -> None:
        if self.name not in self._KINDS:
            raise ValueError(f"'optimizer.name' must be one of {', '.join(self._KINDS)}; got {self.name!r}")
        if self.schedule not in self._SCHEDULES:
            raise ValueError(f"'optimizer.schedule' must be one of {', '.join(self._SCHEDULES)}; got {self.schedule!r}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"'optimizer.warmup' is a share of the steps in [0, 1), got {self.warmup}")
        if not all(rate > 0 for rate in (self.lr.values() if isinstance(self.lr, Mapping) else (self.lr,))):
            raise ValueError(f"'optimizer.lr' must be positive, got {self.lr}")

    def build(self, groups: Sequence[dict[str, Any]]) -> torch.optim.Optimizer:
        """The optimizer over these parameter groups, each with its ``name``.

        Raises:
            ValueError: rates by name that do not name exactly these groups.
        """
        names = [group["name"] for group in groups]
        rates = self.lr if isinstance(self.lr, Mapping) else dict.fromkeys(names, self.lr)
        if set(rates) != set(names):
            raise ValueError(f"'optimizer.lr' must name the parameter groups {', '.join(names)}; got {', '.join(rates)}")
        with_rates = [{**group, "lr": rates[group["name"]]} for group in groups]
        return self._KINDS[self.name](with_rates, weight_decay=self.weight_decay)  # type: ignore[call-arg]

    def factor(self, progress: float) -> float:
        """Share of the peak rate when ``progress`` in [0, 1] of the group's own steps are done."""
        if progress < self.warmup:
            return progress / self.warmup
        rest = min(1.0, (progress - self.warmup) / (1 - self.warmup))
        return {"constant": 1.0, "linear": 1 - rest, "cosine": (1 + math.cos(math.pi * rest)) / 2}[self.schedule]
