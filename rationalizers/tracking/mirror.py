"""A run of W&B that follows a run folder: what the folder says is logged, and nothing that it does not say.

W&B is a mirror, not the source. Epochs are read from ``metrics.jsonl`` after they were written, everything else from the finished
folder. Whatever goes wrong with W&B is a warning: training goes on, and so do its numbers.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from rationalizers.build import build
from rationalizers.fitting import CHECKPOINTS
from rationalizers.report.result import read_result
from rationalizers.run import partial_of, write_json
from rationalizers.source import ARTIFACT
from rationalizers.tracking.offline import COMPARED, IDENTITY, SUBFOLDER
from rationalizers.tracking.outage import remember
from rationalizers.tracking.rationales import rationale_table
from rationalizers.tracking.service import failures, open_tracked, said

if TYPE_CHECKING:
    from wandb import Artifact, Run

log = logging.getLogger(__name__)

# For resuming.
LEFT_OUT = (CHECKPOINTS, "last.ckpt", "*.writing")
MODES = ("online", "offline")


class Mirror(Callback):
    """Logs a run to W&B while it is trained, and its folder when it is finished.

    Args:
        project: of W&B.
        entity: user or team; ``None`` takes W&B's default.
        mode: ``online``, or ``offline``: into a local folder that ``wandb sync`` sends later.
        group: that the run is shown in; ``None`` names it after the folder of the runs, method and data.
        tags: of the run.
        timeout: seconds to wait for a server before the run is opened offline.
        upload_timeout: seconds to wait at the end for what is not uploaded yet.
        examples: rows of the table of test rationales.

    Raises:
        ValueError: ``mode`` is none of `MODES`, or a time is not positive.
    """

    def __init__(
        self,
        *,
        project: str,
        entity: str | None,
        mode: str,
        group: str | None,
        tags: Sequence[str],
        timeout: float,
        upload_timeout: float,
        examples: int,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"'mode' must be one of {', '.join(MODES)}, got {mode!r}; logger=none mirrors nothing")
        for name, seconds in (("timeout", timeout), ("upload_timeout", upload_timeout)):
            if seconds <= 0:
                raise ValueError(f"{name!r} must be a positive number of seconds, got {seconds}")
        self.mode, self.timeout, self.upload_timeout, self.examples = mode, timeout, upload_timeout, examples
        self.group = group
        self.facts = {"project": project, "entity": entity, "tags": list(tags), "job_type": "train"}
        self._folder = Path()
        self._config: Mapping[str, Any] = {}
        self._run: Run | None = None
        self._next = 0

    def follow(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Say which run is to be mirrored.

        Args:
            folder: of the run, in the making or finished.
            config: what its ``config.yaml`` says.
        """
        self._folder, self._config = folder, config

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the W&B run, in one process only."""
        if trainer.is_global_zero:
            self.open()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the epochs before this one; one that was interrupted, and will be repeated, is not among them."""
        if self._run is not None:
            with self._warning("cannot log epochs"):
                self._log_epochs(self._run, trainer.current_epoch)

    def open(self) -> None:
        """Open the W&B run of the folder: the one that its last training began, if there was one."""
        sweep = f"{self._folder.parent.name}/{self._config['method']}-{self._config['dataset']}"
        with self._warning("cannot open a run"):
            run = open_tracked(
                self._folder.parent,
                self._identity(),
                mode=self.mode,
                timeout=self.timeout,
                upload_timeout=self.upload_timeout,
                name=self._config["name"],
                config=dict(self._config),
                group=self.group or sweep,
                **self.facts,
            )
            self._run = run
            # The server has the epochs before this one, and takes none twice. A local run is told everything again.
            self._next = run.starting_step
            known = {"id": run.id, "entity": run.entity or None, "project": run.project, "url": run.url}
            write_json(self._folder / IDENTITY, known)
            log.info("W&B: %s is mirrored at %s", self._config["name"], run.url or run.settings.sync_dir)

    def complete(self) -> None:
        """Log what the finished folder says, and end the W&B run."""
        if self._run is not None:
            with self._warning("cannot log the finished run"):
                self._log_finished(self._run)
        self.close()

    def close(self, *, failed: bool = False) -> None:
        """End the W&B run, if one is open, with what was logged so far."""
        run, self._run = self._run, None
        if run is None:
            return
        folder = run.settings.sync_dir
        with self._warning(f"has not been sent everything; to send it: wandb sync {folder}"):
            try:
                run.finish(exit_code=int(failed))
            except TimeoutError as error:
                # The next run need not find out for itself.
                remember(self._folder.parent, run.settings.base_url, said(error))
                raise
            if run.offline:
                log.info("W&B: %s is in %s; to send it: wandb sync %s", self._config["name"], folder, folder)

    @contextmanager
    def _warning(self, what: str) -> Iterator[None]:
        """Warn where W&B fails, and leave it alone from then on."""
        try:
            yield
        except failures() as error:
            log.warning("W&B %s: %s; training goes on", what, said(error))
            self.close(failed=True)

    def _identity(self) -> str:
        """The name that W&B knows the run by, drawn when it is first mirrored; it stays in the folder, wherever that goes."""
        file = self._folder / IDENTITY
        if file.is_file():
            return str(json.loads(file.read_text("utf-8"))["id"])
        # Not derived from the folder: one that is trained again, or has a namesake on another machine, is another run.
        drawn = secrets.token_hex(8)
        write_json(file, {"id": drawn})
        return drawn

    def _log_epochs(self, run: Run, before: int | None) -> None:
        """Log epochs that W&B does not have yet, up to one that is still going on."""
        for row in _lines(self._folder / "metrics.jsonl"):
            if row["epoch"] >= self._next and (before is None or row["epoch"] < before):
                run.log(row, step=row["epoch"], commit=True)
                self._next = row["epoch"] + 1

    def _log_finished(self, run: Run) -> None:
        import wandb

        self._log_epochs(run, None)
        copy = Path(run.dir) / SUBFOLDER
        # Under its name it is complete, as a run folder is.
        shutil.copytree(self._folder, partial_of(copy), ignore=shutil.ignore_patterns(*LEFT_OUT))
        partial_of(copy).rename(copy)
        for pattern in COMPARED:
            for file in sorted(copy.glob(pattern)):
                run.save(file, base_path=run.dir, policy="now", glob=False)
        # After the last epoch, which would have the last word otherwise.
        run.summary.update(summary(self._folder))
        # Last what asks the server, where there is one, and fails if it has gone.
        shown: dict[str, Any] = {"rationales": rationale_table(_lines(copy / "rationales.jsonl"), examples=self.examples)}
        if (copy / "report.html").is_file():
            shown["report"] = wandb.Html(str(copy / "report.html"), inject=False)
        run.log(shown, step=self._next, commit=True)
        run.log_artifact(self._artifact(copy))

    def _artifact(self, copy: Path) -> Artifact:
        """The finished run folder, to be opened by `rationalizers.load_rationalizer`."""
        import wandb

        facts = {name: self._config[name] for name in ("method", "dataset", "seed", "format")}
        artifact = wandb.Artifact(re.sub(r"[^\w.-]", "-", self._config["name"]), type=ARTIFACT, metadata=facts)
        for file in sorted(copy.rglob("*")):
            if file.is_file():
                # Where it lies, in the folder of the W&B run: a copy in W&B's cache would be the third.
                artifact.add_file(str(file), file.relative_to(copy).as_posix(), policy="immutable", skip_cache=True)
        return artifact


@contextmanager
def mirrored(logger: Mapping[str, Any] | None, folder: Path, config: Mapping[str, Any]) -> Iterator[list[Mirror]]:
    """What mirrors the training within this context, for `rationalizers.fitting.fit`; at its end the folder is complete.

    Args:
        logger: a `Mirror` as it is configured; nothing is mirrored without.
        folder: of the run in the making.
        config: what its ``config.yaml`` says.
    """
    if not logger:
        yield []
        return
    mirror = build(logger, Mirror)
    mirror.follow(folder, config)
    try:
        yield [mirror]
        mirror.complete()
    except BaseException:
        mirror.close(failed=True)
        raise


def mirror_finished(logger: Mapping[str, Any], folder: Path) -> None:
    """Mirror a run that is finished: one that was not, or has been evaluated since.

    Args:
        logger: a `Mirror` as it is configured.
        folder: of the run.

    Raises:
        FileNotFoundError, ValueError: it is not a finished run.
    """
    mirror = build(logger, Mirror)
    mirror.follow(folder, read_result(folder).config)
    mirror.open()
    mirror.complete()


def summary(folder: Path) -> dict[str, Any]:
    """Final numbers of a finished run by name, such as ``test/accuracy``, ``val/loss`` of the chosen epoch, ``fit_seconds``."""
    metrics, timing = (json.loads((folder / name).read_text("utf-8")) for name in ("metrics.json", "timing.json"))
    splits = {f"{split}/{name}": value for split in ("val", "test") for name, value in metrics[split].items()}
    return {"best_epoch": metrics["best_epoch"], "epochs": metrics["epochs"], **splits, **timing}


def _lines(file: Path) -> list[dict[str, Any]]:
    """The lines of a file of JSON; none where there is no such file yet."""
    return [json.loads(line) for line in file.read_text("utf-8").split("\n") if line] if file.is_file() else []
