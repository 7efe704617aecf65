"""Evaluate finished runs: ``python -m experiments.evaluate run=runs/rnp-toy_text-s0``, or ``runs=…`` for all below a folder."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from experiments.command import command
from experiments.eraser_scores import KEYS, as_overrides, score_file

if TYPE_CHECKING:
    from rich.progress import Progress


def main() -> None:
    """Score what the command line names: runs, or a prediction file in ERASER's format."""
    sys.argv[1:] = as_overrides(sys.argv[1:])
    score()


@command("evaluate")
def score(config: DictConfig) -> None:
    """Find the runs, evaluate each, add to its numbers and its report, print means with their floors."""
    if score_file(config):
        return
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from rationalizers.evaluation import evaluate
    from rationalizers.evaluation.scoring import OWN
    from rationalizers.report import compare_results, find_runs, read_results, write_report

    settings: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    for key in KEYS:
        settings.pop(key, None)
    settings.setdefault("attribution", None)  # a group that nothing was chosen from leaves no key
    run, runs = settings.pop("run"), settings.pop("runs")
    chosen = HydraConfig.get().runtime.choices["attribution"]
    name = OWN if settings["attribution"] is None else chosen
    results, notes = read_results(find_runs(run or runs))
    scored = []
    with bars() as bar:
        every = bar.add_task("runs", total=len(results))
        for result in results:
            each = bar.add_task(f"{result.name}, {name}")
            found = evaluate(
                result.folder,
                explained_by=name,
                progress=lambda done, total, task=each: bar.update(task, completed=done, total=total),  # type: ignore[misc]
                **settings,
            )
            write_report(result.folder)
            scored.append(result.with_evaluation(found))
            notes += [f"{result.name}: {note}" for note in found.notes]
            bar.remove_task(each)
            bar.advance(every)
    print(compare_results(scored, notes=notes, split=settings["split"]).to_text())  # noqa: T201


def bars() -> Progress:
    """Progress of runs and of the batches of each, on the error stream."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


if __name__ == "__main__":
    main()
