"""Train one model and write its run folder; a killed run, started again, ends as if it had never been killed."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar
from safetensors.torch import save_file
from torch import Tensor

from rationalizers.audit import leakage
from rationalizers.base import Rationalizer
from rationalizers.build import build, trusting
from rationalizers.data.export import export_run
from rationalizers.data.module import RationaleData
from rationalizers.encoders import Encoder
from rationalizers.featurizer import Explanation
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

log = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"


def train(config: Mapping[str, Any]) -> Path:
    """Train what ``config`` describes and return its run folder; a finished run is returned as it is.

    Args:
        config: plain primitives: ``name``, ``folder``, ``seed``, ``trust`` (package names), ``method`` (``name``, ``model``),
            ``data`` (``name``, ``module``) and ``trainer`` (arguments of Lightning's Trainer, ``patience`` in epochs, and
            ``monitor`` and ``mode``: the validation number that chooses the epoch, where it is ``min`` or ``max``). A model
            entry ``???`` is filled in with the data module's fact of that name.

    Raises:
        FileExistsError: the folder holds another run.
        ValueError: a ``???`` that the data module does not know.
    """
    folder = Path(config["folder"])
    described = describe(config)
    partial = open_run(folder, described)
    if partial is None:
        log.info("%s is finished already", folder)
        return folder
    with trusting(config["trust"]):
        data = build(described["data"], RationaleData)
        data.setup("fit")
        for name, count in data.report.items():
            log.info("%s: %s = %s", config["data"]["name"], name, count)
        described["model"] = fill(described["model"], data.facts())
        pl.seed_everything(config["seed"], verbose=False)
        model = build(described["model"], Rationalizer)
    write_config(partial, described)
    with warnings.catch_warnings():
        # Lightning 2.6 on torch 2.13: its own use of an old pytree class, said once for every loader.
        warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated", category=FutureWarning)
        # A folder with checkpoints is what resuming needs; Lightning fears that two runs share it.
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty", category=UserWarning)
        # A frozen encoder stays there on purpose; everything else was built a moment ago, in training mode.
        warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode", category=UserWarning)
        trainer = _fit(model, data, described, partial)
        _finish(model, data, trainer, partial, described["trainer"])
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


def _fit(model: Rationalizer, data: RationaleData, config: Mapping[str, Any], partial: Path) -> pl.Trainer:
    """Train until patience or epochs end, from the last finished epoch if there is one; leaves the best weights in place."""
    settings = dict(config["trainer"])
    patience, monitor, mode = (settings.pop(name) for name in ("patience", "monitor", "mode"))
    checkpoints = partial / CHECKPOINTS
    last, best = checkpoints / "last.ckpt", checkpoints / "best.ckpt"
    history = History(partial, seed=config["seed"])
    saving: dict[str, Any] = {
        "dirpath": checkpoints,
        "save_top_k": 1,
        "save_on_train_epoch_end": True,
        "enable_version_counter": False,
    }
    callbacks: list[Callback] = [
        Preparation(data),
        history,
        Patience(monitor, mode=mode, patience=patience, check_on_train_epoch_end=True),
        Checkpoint(filename="best", monitor=monitor, mode=mode, save_weights_only=True, **saving),
        Checkpoint(filename="last", **saving),
    ]
    if sys.stderr.isatty() and settings.get("enable_progress_bar", True):
        callbacks.append(RichProgressBar())
    else:
        settings["enable_progress_bar"] = False
    trainer = pl.Trainer(
        **settings,
        callbacks=callbacks,
        logger=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        deterministic=True,
    )
    if last.exists():
        log.info("resuming %s", partial)
    else:
        for module in model.modules():
            if isinstance(module, Encoder):
                module.initialize(data.featurizer.vocabulary)
    listening = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(model, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=True)
    except SystemExit as error:
        if not trainer.interrupted:
            raise
        # Lightning answers Ctrl-C with exit(1) and ignores the signal from then on.
        signal.signal(signal.SIGINT, listening)
        raise KeyboardInterrupt(f"interrupted; the same command resumes {partial}") from error
    model.load_state_dict(torch.load(best, weights_only=True)["state_dict"])
    return trainer


def _finish(model: Rationalizer, data: RationaleData, trainer: pl.Trainer, partial: Path, settings: Mapping[str, Any]) -> None:
    """Score the chosen epoch on the test split and write everything that a finished run has."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    history = next(callback for callback in callbacks if isinstance(callback, History))
    preparation = next(callback for callback in callbacks if isinstance(callback, Preparation))
    tested = dict(trainer.test(model, datamodule=data, verbose=False)[0])
    model.eval()  # Lightning gives the model back in training mode
    if model.leaks is not None:
        tested["test/leakage"] = leakage(model, data.batches("test"))
    choose = {"min": min, "max": max}[settings["mode"]]
    chosen = choose(history.rows, key=lambda row: row[settings["monitor"]])
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
    save_file(_weights(model), partial / "model.safetensors")
    seconds = history.seconds
    timing = {"fit_seconds": seconds, "seconds_per_epoch": seconds / max(1, len(history.rows))}
    if preparation.documents:
        timing |= {"encoding_seconds": preparation.seconds, "encoding_documents": preparation.documents}
    write_json(partial / "timing.json", timing)
    write_report(partial)


def _weights(model: Rationalizer) -> dict[str, Tensor]:
    """Every weight under one name, where parts share it under the first: safetensors' own choice differs from run to run."""
    own = {name for name, _ in chain(model.named_parameters(), model.named_buffers())}
    return {name: weight.contiguous() for name, weight in model.state_dict().items() if name in own}


class History(Callback):
    """Keeps one row per epoch, writes them to ``metrics.jsonl``, and starts every epoch from its own random state.

    The rows travel in the checkpoint, so that a resumed run continues them from the epoch that the checkpoint stands for.
    """

    def __init__(self, folder: Path, *, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.rows: list[dict[str, Any]] = []
        self.seconds = 0.0
        self._began = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._began = time.monotonic()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        """Reseed from (seed, epoch), after the loader has drawn its own seed: it does so at another moment when resumed."""
        if batch_idx == 0:
            pl.seed_everything((self.seed * 1_000_003 + trainer.current_epoch) % 2**32, verbose=False)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the row of this epoch."""
        self.seconds += time.monotonic() - self._began
        numbers = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row = {"epoch": trainer.current_epoch, **{name: numbers[name] for name in sorted(numbers)}}
        self.rows.append(row)
        write_atomically(self.folder / "metrics.jsonl", "".join(json.dumps(each) + "\n" for each in self.rows))
        shown = ("train/loss", "val/loss", "val/accuracy", "val/selected_share", "val/token_f1")
        log.info(
            "epoch %d of %s, %.0f s: %s",
            row["epoch"] + 1,
            trainer.max_epochs,
            self.seconds,
            ", ".join(f"{n} {row[n]:.3f}" for n in shown if n in row),
        )

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"rows": self.rows, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What a resumed run continues."""
        self.rows, self.seconds = list(state_dict["rows"]), state_dict["seconds"]


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


class Checkpoint(ModelCheckpoint):
    """A checkpoint that a resumed run finds again even if its folder was moved meanwhile."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The state with its paths in the folder where the run lies now."""
        assert self.dirpath is not None
        here = Path(self.dirpath)
        moved = {"dirpath": self.dirpath}
        for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
            if state_dict.get(name):
                moved[name] = str(here / Path(state_dict[name]).name)
        kept = {str(here / Path(path).name): score for path, score in state_dict.get("best_k_models", {}).items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": kept})


class Patience(EarlyStopping):
    """Early stopping that a resumed run remembers even if it was killed after its last epoch."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop before the first step if the checkpoint had run out of patience."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True
