"""Compare finished runs: ``python -m experiments.report runs=runs/demo`` prints a table and writes a page to open."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from experiments.command import command


@command("report")
def main(config: DictConfig) -> None:
    """Find the runs, compare them, say where the page and the tables are."""
    from omegaconf import OmegaConf

    from rationalizers.report import compare, find_runs, home_of, write_page, write_tables

    asked: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    folders = find_runs(asked["runs"])
    found = compare(folders, dial=config.dial, evaluation=config.evaluation, split=config.split)
    print(found.to_text(reference=config.reference))  # noqa: T201
    place = config.page or home_of(asked["runs"], folders) / "comparison.html"
    page = write_page(found, place, reference=config.reference, examples=config.examples)
    print(f"report: {page}")  # noqa: T201
    if config.tables is not None:
        written = write_tables(found, config.tables, reference=config.reference)
        print(f"tables: {len(written)} files in {config.tables}")  # noqa: T201


if __name__ == "__main__":
    main()
