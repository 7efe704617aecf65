"""Compare finished runs: ``python -m experiments.report runs=runs/demo`` prints a table and writes a page to open."""

from __future__ import annotations

from omegaconf import DictConfig

from experiments.command import command


@command("report")
def main(config: DictConfig) -> None:
    """Find the runs, compare them, say where the page is."""
    from pathlib import Path

    from rationalizers.report import compare, find_runs, write_page

    found = compare(find_runs(config.runs), dial=config.dial, evaluation=config.evaluation, split=config.split)
    print(found.to_text(reference=config.reference))  # noqa: T201
    page = write_page(found, Path(config.page), reference=config.reference, examples=config.examples)
    print(f"report: {page}")  # noqa: T201


if __name__ == "__main__":
    main()
