"""A search of hyper-parameters as a study in a file, which goes on where it was killed.

What is proposed depends on the seed, on how many were proposed before, and on what these were worth, and on nothing else: a
search that was killed and started again proposes what it would have proposed. Proposals are those of tree-structured Parzen
estimators (Bergstra et al., 2011, https://papers.nips.cc/paper/4443-algorithms-for-hyper-parameter-optimization), the first
ten at random, by Optuna.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rationalizers.extras import require
from rationalizers.run import difference

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

STUDY = "study.db"


@dataclass(frozen=True)
class Proposal:
    """Values to try.

    Args:
        number: of the trial in the study.
        values: by the names of the space.
    """

    number: int
    values: Mapping[str, Any]


class Search:
    """A study, created or found again in ``folder``.

    Args:
        folder: where ``study.db`` lies.
        space: what may be proposed for each name.
        mode: ``min`` or ``max``: which values are better.
        seed: of the proposals.
        asked: what else makes two searches the same, in plain primitives.

    Raises:
        ImportError: Optuna is not installed.
        ValueError: nothing to search, or the file holds another search, named by the first difference.
    """

    def __init__(
        self, folder: Path, space: Mapping[str, BaseDistribution], *, mode: str, seed: int, asked: Mapping[str, Any]
    ) -> None:
        if not space:
            raise ValueError("a search needs a range, such as 'method.model.optimizer.lr=tag(log, interval(1e-4, 1e-2))'")
        self._optuna = require("optuna", extra="search")
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        self.space, self.mode, self.seed = dict(space), mode, seed
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / STUDY
        direction = {"min": "minimize", "max": "maximize"}[mode]
        ours = {"mode": mode, "seed": seed, "space": {name: _said(each) for name, each in space.items()}, "asked": dict(asked)}
        self._study = self._optuna.create_study(
            storage=f"sqlite:///{self.file}", study_name="search", direction=direction, load_if_exists=True
        )
        theirs = self._study.user_attrs.get("search")
        if theirs is None:
            self._study.set_user_attr("search", ours)
        elif found := difference(ours, theirs):
            raise ValueError(
                f"{self.file} holds another search: {found}. Give this one another folder (runs=…), or delete that file"
            )

    def proposals(self, count: int) -> Iterator[Proposal]:
        """What is to be tried: what was begun, then something new until there were ``count``; `tell` each before the next."""
        for trial in self._trials():
            if trial.state == self._optuna.trial.TrialState.RUNNING:
                yield Proposal(trial.number, trial.params)
        while (place := len(self._trials())) < count:
            # As many as there are places, each with numbers of its own: what a sampler drew before it was killed does not matter.
            drawn = int(np.random.SeedSequence((self.seed, place)).generate_state(1)[0])
            self._study.sampler = self._optuna.samplers.TPESampler(seed=drawn)
            trial = self._study.ask(self.space)
            yield Proposal(trial.number, trial.params)

    def tell(self, proposal: Proposal, value: float | None) -> None:
        """Keep what a proposal was worth; ``None`` or not a number where it failed."""
        if value is None or math.isnan(value):
            self._study.tell(proposal.number, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(proposal.number, value)

    def tried(self) -> list[tuple[Proposal, float | None]]:
        """What was proposed, in order, each with what it was worth; ``None`` where it failed or has not ended."""
        return [(Proposal(trial.number, trial.params), trial.value) for trial in self._trials()]

    def counts(self) -> tuple[int, int]:
        """How many proposals have ended, one way or the other, and how many were only begun."""
        ended = [trial.state.is_finished() for trial in self._trials()]
        return sum(ended), len(ended) - sum(ended)

    def best(self) -> tuple[Proposal, float] | None:
        """The best proposal, the first of equals, and what it was worth; ``None`` where all failed."""
        known = [(proposal, value) for proposal, value in self.tried() if value is not None]
        return {"min": min, "max": max}[self.mode](known, key=lambda each: each[1]) if known else None

    def _trials(self) -> list[FrozenTrial]:
        """Trials that got as far as having values; one that was killed before is as if it had not been."""
        return [trial for trial in self._study.get_trials(deepcopy=False) if trial.params.keys() == self.space.keys()]


def check_monitor(monitor: str) -> None:
    """Raise unless a number is one of validation.

    Raises:
        ValueError: it is not.
    """
    if not monitor.startswith("val/"):
        raise ValueError(f"a search is judged by a validation number, got trainer.monitor={monitor}; set it to one of val/…")


def value_of(folder: Path, monitor: str) -> float:
    """The validation number of the chosen epoch of a finished run.

    Args:
        folder: of the run.
        monitor: its name, ``val/…``.

    Raises:
        ValueError: not a validation number.
    """
    check_monitor(monitor)
    numbers = json.loads((folder / "metrics.json").read_text("utf-8"))["val"]
    return float(numbers[monitor.removeprefix("val/")])


def _said(distribution: BaseDistribution) -> dict[str, Any]:
    """A distribution as plain primitives."""
    return {"name": type(distribution).__name__, **json.loads(json.dumps(distribution._asdict()))}
