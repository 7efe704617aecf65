"""Compare finished runs: ``python -m experiments.report runs=runs/demo`` prints a table and writes a page to open."""

from __future__ import annotations

from omegaconf import DictConfig

from experiments.command import command


@command("report")
def main(config: DictConfig) -> None:
    """Find the runs, compare them, say where the page is."""
    from dataclasses import replace
    from pathlib import Path

    from rationalizers.report import compare, find_runs, write_page
    from rationalizers.tracking.local import notes_on

    if config.wandb is None:
        folders, notes = find_runs(config.runs), notes_on(Path(config.runs))
    else:
        from rationalizers.encoders.states import cache_root
        from rationalizers.tracking.project import download_runs
        from rationalizers.tracking.service import connect

        folders, notes = download_runs(connect(), config.wandb, config.filters or {}, cache_root())
    found = compare(folders, dial=config.dial, evaluation=config.evaluation, split=config.split)
    found = replace(found, notes=(*notes, *found.notes))
    print(found.to_text(reference=config.reference))  # noqa: T201
    page = write_page(found, Path(config.page), reference=config.reference, examples=config.examples)
    print(f"report: {page}")  # noqa: T201
    if config.wandb_report is not None:
        from rationalizers.tracking.report import publish

        where = publish(found, config.wandb_report, page.with_name("wandb-report.json"), reference=config.reference)
        print(f"W&B report: {where}")  # noqa: T201


if __name__ == "__main__":
    main()
