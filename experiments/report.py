"""Compare finished runs: ``python -m experiments.report runs=runs/demo`` prints a table and writes a page to open."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from experiments.command import command


@command("report")
def main(config: DictConfig) -> None:
    """Find the runs, compare them, say where the page and the tables are."""
    from dataclasses import replace
    from pathlib import Path

    from omegaconf import OmegaConf

    from rationalizers.report import compare, find_runs, home_of, write_page, write_tables
    from rationalizers.tracking.local import notes_on

    asked: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    if config.wandb is None:
        folders, notes = find_runs(asked["runs"]), notes_on(asked["runs"])
        home = home_of(asked["runs"], folders)
    else:
        from rationalizers.encoders.states import cache_root
        from rationalizers.tracking.project import download_runs
        from rationalizers.tracking.service import connect

        folders, notes = download_runs(connect(), config.wandb, asked["filters"] or {}, cache_root())
        home = Path()
    found = compare(folders, dial=config.dial, evaluation=config.evaluation, split=config.split)
    found = replace(found, notes=(*notes, *found.notes))
    print(found.to_text(reference=config.reference))  # noqa: T201
    place = config.page or home / "comparison.html"
    page = write_page(found, place, reference=config.reference, examples=config.examples)
    print(f"report: {page}")  # noqa: T201
    if config.tables is not None:
        written = write_tables(found, config.tables, reference=config.reference)
        print(f"tables: {len(written)} files in {config.tables}")  # noqa: T201
    if config.wandb_report is not None:
        from rationalizers.tracking.report import publish

        where = publish(found, config.wandb_report, page.with_name("wandb-report.json"), reference=config.reference)
        print(f"W&B report: {where}")  # noqa: T201


if __name__ == "__main__":
    main()
