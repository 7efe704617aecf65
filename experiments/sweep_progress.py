"""What Hydra calls before and after all trainings of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from rationalizers.sweep import Job, Sweep, Watch


class Progress(Callback):
    """Plans a sweep, tells how far it is, and ends with what failed and why."""

    watch: Watch | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What goes along to where a training runs: nothing, for only the process that began the sweep watches it."""
        return {}

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Find out what will be trained, and say so.

        Raises:
            SystemExit: two trainings would share a folder.
        """
        try:
            sweep = Sweep(planned(config))
        except ValueError as error:
            # Hydra only warns of what a callback raises, unless it is this.
            raise SystemExit(f"error: {error}") from error
        print(sweep.plan())  # noqa: T201
        self.watch = Watch(sweep)
        self.watch.__enter__()

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Say what became of it.

        Raises:
            SystemExit: a training failed.
        """
        assert self.watch is not None
        self.watch.__exit__()
        print(self.watch.sweep.summary())  # noqa: T201
        if self.watch.sweep.failed():
            raise SystemExit(1)


def planned(config: DictConfig) -> list[Job]:
    """Every training that Hydra will start, from the overrides of the command line and of ``hydra.sweeper.params``."""
    loader = GlobalHydra.instance().config_loader()
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    # As they were written: a ${…} among them is each training's own.
    asked = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    assert isinstance(asked, list)
    given = OverridesParser.create(config_loader=loader).parse_overrides([*params, *map(str, asked)])
    (batch,) = BasicSweeper.split_arguments(given, max_batch_size=None)
    jobs = []
    for overrides in batch:
        composed = loader.load_sweep_config(config, overrides)
        jobs.append(Job(" ".join(overrides), Path(composed.folder), int(composed.trainer.max_epochs)))
    return jobs
