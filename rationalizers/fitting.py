"""One training in a folder: resumed where it was killed, its epochs on record, the best one chosen in validation."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar
from pytorch_lightning.strategies import DDPStrategy

from rationalizers.processes import broadcast_buffers
from rationalizers.run import write_atomically

log = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
# All of them mean `shared` here.
STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true")
# Keeps the draws of processes, and those of neighbouring seeds, apart.
STRIDE = 15_485_863
SHOWN = ("train/loss", "val/loss", "val/accuracy", "val/selected_share", "val/token_f1", "val/perplexity")


def shared(settings: Mapping[str, Any]) -> DDPStrategy | None:
    """How several processes train one model; ``None`` where these settings are for one alone.

    Args:
        settings: as `fit` takes them.

    Raises:
        ValueError: settings that only one process can have.
    """
    siblings = _siblings()
    if settings.get("devices", "auto") == 1 and settings.get("num_nodes", 1) == siblings == 1:
        return None
    places: dict[str, Any] = {name: settings[name] for name in ("accelerator", "devices", "num_nodes") if name in settings}
    if siblings == 1 and SLURMEnvironment.detect():
        # A job of one task starts its processes itself, of which Lightning would take the task for the only one.
        places["plugins"] = [LightningEnvironment()]
    found = pl.Trainer(**places, strategy="auto", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    if found.world_size == siblings == 1:
        return None
    if found.world_size == 1:
        raise ValueError(
            f"this is one of {siblings} processes, which would all train the same alone; set trainer.devices to how many of them "
            "are on this machine, or start one"
        )
    strategy = settings.get("strategy", "auto")
    if strategy not in STRATEGIES:
        raise ValueError(
            f"'trainer.strategy' must be 'ddp' or 'auto' on {found.world_size} devices, whose parts of a batch are weighed for "
            f"it; got {strategy!r}"
        )
    if settings.get("sync_batchnorm"):
        raise ValueError(
            "'trainer.sync_batchnorm' cannot be true: nodes that stand for several, and rows of a grid that is never formed, are "
            "normalized in ways that torch's SyncBatchNorm does not know; every process normalizes its own part"
        )
    if not isinstance(found.strategy, DDPStrategy):
        raise ValueError(f"'trainer.accelerator' has no DDP, only {type(found.strategy).__name__}; set trainer.devices=1")
    if found.num_nodes > 1 and not started(found.strategy):
        raise ValueError(f"'trainer.num_nodes' is {found.num_nodes}; start the command on each of them, by torchrun or srun")
    return found.strategy


def _siblings() -> int:
    """How many processes torchrun or srun has started, this one among them; one where it is alone."""
    if "LOCAL_RANK" in os.environ:
        return int(os.environ.get("WORLD_SIZE", "1"))
    return int(os.environ["SLURM_NTASKS"]) if SLURMEnvironment.detect() else 1


def started(strategy: DDPStrategy) -> bool:
    """Whether this is one of the processes already, and not one that has to start them."""
    assert strategy.cluster_environment is not None  # the trainer has found it
    return strategy.cluster_environment.creates_processes_externally


def fit(
    model: pl.LightningModule,
    data: pl.LightningDataModule,
    settings: Mapping[str, Any],
    folder: Path,
    *,
    seed: int,
    callbacks: Sequence[Callback] = (),
    begin: Callable[[], None] | None = None,
) -> tuple[pl.Trainer, History]:
    """Train until patience or epochs end, from the last finished epoch if there is one; leaves the best weights in place.

    Args:
        model: that learns.
        data: that it learns from; its loaders are asked for anew every epoch.
        settings: arguments of Lightning's Trainer, ``patience`` in epochs, ``monitor`` and ``mode``.
        folder: of the run in the making; checkpoints go to a folder below it.
        seed: every epoch starts from the random state that this seed and its number give.
        callbacks: called before those of its own.
        begin: called where training does not go on, before the first epoch.

    Raises:
        KeyboardInterrupt: interrupted; says what to do.
        ValueError: the last checkpoint holds what may be code; names it.
    """
    settings = dict(settings)
    if shared(settings) is not None:
        # Which parameters a step uses depends on phases, and may depend on the examples of a part. Buffers are told once an
        # epoch, by `History`: DDP would do it with every batch, and wait for processes that have fewer batches to evaluate.
        settings["strategy"] = DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)
    patience, monitor, mode = (settings.pop(name) for name in ("patience", "monitor", "mode"))
    checkpoints = folder / CHECKPOINTS
    last, best = checkpoints / "last.ckpt", checkpoints / "best.ckpt"
    history = History(folder, seed=seed)
    saving: dict[str, Any] = {
        "dirpath": checkpoints,
        "save_top_k": 1,
        "save_on_train_epoch_end": True,
        "enable_version_counter": False,
    }
    every: list[Callback] = [
        *callbacks,
        history,
        Patience(monitor, mode=mode, patience=patience, check_on_train_epoch_end=True),
        Checkpoint(filename="best", monitor=monitor, mode=mode, save_weights_only=True, **saving),
        Checkpoint(filename="last", **saving),
    ]
    if sys.stderr.isatty() and settings.get("enable_progress_bar", True):
        every.append(RichProgressBar())
    else:
        settings["enable_progress_bar"] = False
    trainer = pl.Trainer(
        **settings,
        callbacks=every,
        logger=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        deterministic=True,
        use_distributed_sampler=False,  # data modules know their part
    )
    if last.exists():
        if trainer.is_global_zero:
            log.info("resuming %s", folder)
    elif begin is not None:
        begin()
    listening = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(model, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=True)
    except UnpicklingError as error:
        raise ValueError(
            f"{last} is not a checkpoint of ours: it holds objects other than numbers and text, or none; nothing in it was "
            f"executed. Delete {folder} to train anew"
        ) from error
    except SystemExit as error:
        if not trainer.interrupted:
            raise
        # Lightning answers Ctrl-C with exit(1) and ignores the signal from then on.
        signal.signal(signal.SIGINT, listening)
        raise KeyboardInterrupt(f"interrupted; the same command resumes {folder}") from error
    model.load_state_dict(torch.load(best, weights_only=True)["state_dict"])
    return trainer, history


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of Lightning that mean nothing here."""
    with warnings.catch_warnings():
        # Lightning 2.6 on torch 2.13: its own use of an old pytree class, said once for every loader.
        warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated", category=FutureWarning)
        # A folder with checkpoints is what resuming needs; Lightning fears that two runs share it.
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty", category=UserWarning)
        # A frozen encoder stays there on purpose; everything else was built a moment ago, in training mode.
        warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode", category=UserWarning)
        # torch 2.13 has another name for it, which torch 2.11 does not know.
        warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated", category=FutureWarning)
        # The numbers of a split are those of all processes before they are logged.
        warnings.filterwarnings("ignore", message=r"It is recommended to use .*sync_dist=True", category=UserWarning)
        yield


class History(Callback):
    """Keeps one row per epoch, writes them to ``metrics.jsonl``, and starts every epoch from its own random state.

    The rows travel in the checkpoint, so that a resumed run continues them from the epoch that the checkpoint stands for. Of
    several processes, each has its own random state, and the first one writes.
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
            number = self.seed * 1_000_003 + trainer.current_epoch + trainer.global_rank * STRIDE
            pl.seed_everything(number % 2**32, verbose=False)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Evaluate, and keep, one model: that with the running statistics of the first process."""
        broadcast_buffers(pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the row of this epoch."""
        self.seconds += time.monotonic() - self._began
        numbers = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row = {"epoch": trainer.current_epoch, **{name: numbers[name] for name in sorted(numbers)}}
        self.rows.append(row)
        if not trainer.is_global_zero:
            return
        write_atomically(self.folder / "metrics.jsonl", "".join(json.dumps(each) + "\n" for each in self.rows))
        log.info(
            "epoch %d of %s, %.0f s: %s",
            row["epoch"] + 1,
            trainer.max_epochs,
            self.seconds,
            ", ".join(f"{n} {row[n]:.3f}" for n in SHOWN if n in row),
        )

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"rows": self.rows, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What a resumed run continues."""
        self.rows, self.seconds = list(state_dict["rows"]), state_dict["seconds"]

    def chosen(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The row of the epoch that ``monitor`` and ``mode`` choose."""
        choose = {"min": min, "max": max}[settings["mode"]]
        row: dict[str, Any] = choose(self.rows, key=lambda row: row[settings["monitor"]])
        return row


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
