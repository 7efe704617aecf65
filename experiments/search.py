"""Search hyper-parameters: ``python -m experiments.search 'method.model.optimizer.lr=tag(log, interval(1e-4, 1e-2))' trials=20``.

Each trial is a run; which is best, a validation number says. A search that was killed goes on, with as many trials in all.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from experiments.command import command
from experiments.search_space import ending, gathered, label_of, overrides_of, space_of

log = logging.getLogger("rationalizers.search")

# What may differ between two calls that go on with one search, or is part of its identity already.
OWN = ("folder", "runs", "trials", "space", "proposal_seed", "logger")


@command("search", read=gathered)
def main(config: DictConfig) -> None:
    """Try what is proposed, and say what was best.

    Raises:
        SystemExit: what is asked for cannot be searched, or a trial failed.
    """
    from rationalizers.search import Search, check_monitor, value_of
    from rationalizers.sweep import attempt

    plain: Any = OmegaConf.to_container(config, resolve=True)
    count, runs, monitor = plain["trials"], Path(plain["runs"]), plain["trainer"]["monitor"]
    # As they were written: a ${…} among them is each trial's own.
    asked = [str(each) for each in OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)]
    try:
        check_monitor(monitor)
        space = space_of(plain["space"])
        for name, distribution in space.items():
            for value in ending(distribution):
                _trial(asked, {name: value})  # what does not exist is found before anything is trained
        same = {name: value for name, value in plain.items() if name not in OWN}
        search = Search(runs, space, mode=plain["trainer"]["mode"], seed=plain["proposal_seed"], asked=same)
    except (HydraException, ImportError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error
    ended, begun = search.counts()
    print(f"{count} trials: {ended} ended already, {begun} to be resumed, {max(0, count - ended - begun)} to be tried")  # noqa: T201
    for proposal in search.proposals(count):
        trial = _trial(asked, proposal.values)
        value = value_of(Path(trial["folder"]), monitor) if attempt(trial) else None
        search.tell(proposal, value)
        best = search.best()
        log.info(
            "trial %d: %s: %s = %s, best %s",
            proposal.number,
            " ".join(overrides_of(proposal.values)),
            monitor,
            "failed" if value is None else f"{value:.4g}",
            "none yet" if best is None else f"{best[1]:.4g}",
        )
    failed = [Path(_trial(asked, proposal.values)["folder"]) for proposal, value in search.tried() if value is None]
    print(_summary(search, asked, plain, failed))  # noqa: T201
    if failed:
        raise SystemExit(1)


def _trial(asked: Sequence[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the run that tries some values, in a folder that is named by them."""
    config = compose("search", [*asked, *overrides_of(values)])
    config.name = f"{config.name}-{label_of(values)}"
    plain: Any = OmegaConf.to_container(config, resolve=True)
    return plain


def _summary(search: Any, asked: Sequence[str], plain: Mapping[str, Any], failed: Sequence[Path]) -> str:
    """What was best, where it is, how it is trained with other seeds, and what failed."""
    from rationalizers.sweep import failure_of, reason_of

    lines = []
    for folder in failed:
        reason = reason_of(folder)
        lines.append(
            f"failed: {folder.name}: {reason} (all of it in {failure_of(folder)})"
            if reason
            else f"failed: {folder.name}: {plain['trainer']['monitor']} is not a number"
        )
    best = search.best()
    if best is None:
        return "\n".join([*lines, "no trial succeeded"])
    proposal, value = best
    found = overrides_of(proposal.values)
    left_out = ("trials", "space", "proposal_seed", "runs", "seed")
    kept = [each for each in asked if each.partition("=")[0] not in left_out]
    seeds = ",".join(str(plain["seed"] + more) for more in (1, 2, 3))
    again = ["rationalize-sweep", *kept, *found, f"seed={seeds}", f"runs={plain['runs']}-best"]
    return "\n".join(
        [
            *lines,
            f"best {plain['trainer']['monitor']}: {value:.4g}, of {len(search.tried())} trials",
            f"with: {shlex.join(found)}",
            f"run: {_trial(asked, proposal.values)['folder']}",
            f"with other seeds: {shlex.join(again)}",
        ]
    )


if __name__ == "__main__":
    main()
