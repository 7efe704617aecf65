"""Train one model and write its run folder; a killed run, started again, ends as if it had never been killed."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from rationalizers.audit import leakage
from rationalizers.base import Rationalizer
from rationalizers.build import build, trusting
from rationalizers.data.export import export_run
from rationalizers.data.module import RationaleData
from rationalizers.encoders import Encoder
from rationalizers.featurizer import Explanation
from rationalizers.fitting import CHECKPOINTS, History, fit, quiet, shared, started
from rationalizers.processes import first_before_others, launch, rank
from rationalizers.report import write_report
from rationalizers.run import (
    FORMAT,
    FROM_DATA,
    close_run,
    open_run,
    versions,
    write_atomically,
    write_config,
    write_json,
)
from rationalizers.tracking.mirror import mirrored
from rationalizers.weights import write_weights

log = logging.getLogger(__name__)


def train(config: Mapping[str, Any]) -> Path:
    """Train what ``config`` describes and return its run folder; a finished run is returned as it is.

    Where ``trainer`` asks for several devices, as many processes train it together (see ``docs/distributed.md``): those that
    this one is of, if it was started as one of several (``torchrun``, ``srun``), or else new ones. The first of them writes.

    Args:
        config: plain primitives: ``name``, ``folder``, ``seed``, ``trust`` (package names), ``method`` (``name``, ``model``),
            ``data`` (``name``, ``module``) and ``trainer`` (arguments of Lightning's Trainer, ``patience`` in epochs, and
            ``monitor`` and ``mode``: the validation number that chooses the epoch, where it is ``min`` or ``max``), and
            ``logger``, what mirrors the run (`rationalizers.tracking.mirror.Mirror`), where something does. A model entry
            ``???`` is filled in with the data module's fact of that name.

    Raises:
        FileExistsError: the folder holds another run.
        ValueError: a ``???`` that the data module does not know, or several devices that cannot share the training.
    """
    folder = Path(config["folder"])
    described = describe(config)
    strategy = shared(config["trainer"])
    if strategy is not None and started(strategy):
        strategy.setup_environment()
    first = rank() == 0
    with first_before_others():
        partial = open_run(folder, described)
    if partial is None:
        if first:
            log.info("%s is finished already", folder)
        return folder
    if strategy is not None and not started(strategy):
        try:
            launch(train, config, processes=strategy.num_processes)
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(f"interrupted; the same command resumes {partial}") from error
        return folder
    with trusting(config["trust"]):
        data = build(described["data"], RationaleData)
        with first_before_others():
            data.setup("fit")
        if strategy is not None:
            data.check_shared(strategy.world_size)
        for name, count in data.report.items() if first else ():
            log.info("%s: %s = %s", config["data"]["name"], name, count)
        described["model"] = fill(described["model"], data.facts())
        pl.seed_everything(config["seed"], verbose=False)
        model = build(described["model"], Rationalizer)
    if first:
        write_config(partial, described)
    preparation = Preparation(data)

    def begin() -> None:
        for module in model.modules():
            if isinstance(module, Encoder):
                module.initialize(data.featurizer.vocabulary)

    settings = described["trainer"]
    with quiet(), mirrored(config.get("logger"), partial, described) as mirrors:
        callbacks = [preparation, *mirrors]
        trainer, history = fit(model, data, settings, partial, seed=config["seed"], callbacks=callbacks, begin=begin)
        tested = dict(trainer.test(model, datamodule=data, verbose=False)[0])
        if first:
            _finish(model, data, tested, history, preparation, partial, settings)
    with first_before_others():
        if first:
            shutil.copy2(partial / CHECKPOINTS / "last.ckpt", partial / "last.ckpt")
            close_run(partial, folder)
            shutil.rmtree(folder / CHECKPOINTS)
    return folder


def describe(config: Mapping[str, Any]) -> dict[str, Any]:
    """What ``config.yaml`` of the run says."""
    module = dict(config["data"]["module"])
    return {
        "format": FORMAT,
        "name": config["name"],
        "method": config["method"]["name"],
        "dataset": config["data"]["name"],
        "seed": config["seed"],
        "trust": list(config["trust"]),
        "model": config["method"]["model"],
        "featurizer": module["featurizer"],
        "data": module,
        "trainer": dict(config["trainer"]),
        "versions": versions(),
    }


def fill(value: Any, facts: Mapping[str, Any], key: str = "model") -> Any:
    """The configuration with every ``???`` replaced by the data module's fact of that name."""
    if isinstance(value, Mapping):
        return {name: fill(item, facts, name) for name, item in value.items()}
    if isinstance(value, list):
        return [fill(item, facts, key) for item in value]
    if value == FROM_DATA:
        if key not in facts:
            raise ValueError(f"{key!r} is left to the data (???), which knows only {', '.join(sorted(facts))}; set it")
        return facts[key]
    return value


def _finish(
    model: Rationalizer,
    data: RationaleData,
    tested: dict[str, Any],
    history: History,
    preparation: Preparation,
    partial: Path,
    settings: Mapping[str, Any],
) -> None:
    """Write everything that a finished run has, with the scores of the chosen epoch on the test split."""
    model.eval()  # Lightning gives the model back in training mode
    if model.leaks is not None:
        tested["test/leakage"] = leakage(model, data.batches("test"))
    chosen = history.chosen(settings)
    write_json(
        partial / "metrics.json",
        {
            "best_epoch": chosen["epoch"],
            "epochs": len(history.rows),
            **{
                split: {name.removeprefix(f"{split}/"): value for name, value in row.items() if name.startswith(f"{split}/")}
                for split, row in (("val", chosen), ("test", tested))
            },
        },
    )
    examples: dict[int, Explanation] = {}
    for batch in data.batches("test"):
        with torch.no_grad():
            output = model(batch)
        found = data.featurizer.explain(batch, output, model.task)
        examples.update(zip(batch.index.tolist(), found, strict=True))
    lines = [json.dumps(examples[row].record(), ensure_ascii=False) for row in sorted(examples)]
    write_atomically(partial / "rationales.jsonl", "\n".join(lines) + "\n")
    export_run(partial)
    data.featurizer.save(partial / "assets")
    write_weights(model, partial)
    seconds = history.seconds
    timing = {"fit_seconds": seconds, "seconds_per_epoch": seconds / max(1, len(history.rows))}
    if preparation.documents:
        timing |= {"encoding_seconds": preparation.seconds, "encoding_documents": preparation.documents}
    write_json(partial / "timing.json", timing)
    write_report(partial)


class Preparation(Callback):
    """Lets every encoder prepare, when its weights are those that training begins or goes on with.

    What it took travels in the checkpoint; a resumed run finds most of the work done and adds what is left.

    Attributes:
        documents: how many were encoded.
        seconds: that took.
    """

    def __init__(self, data: RationaleData) -> None:
        self.data = data
        self.documents, self.seconds = 0, 0.0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning has restored the weights and moved them to their device by now."""
        for module in pl_module.modules():
            if isinstance(module, Encoder):
                # All examples, since parts are others in every epoch; those who come later find what the first has prepared.
                with first_before_others():
                    module.prepare(self.data.batches(split) for split in ("train", "val", "test"))
                if module.prepared:
                    self.documents += int(module.prepared["encoded"])
                    self.seconds += module.prepared["seconds"]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"documents": self.documents, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What a resumed run continues."""
        self.documents, self.seconds = state_dict["documents"], state_dict["seconds"]
