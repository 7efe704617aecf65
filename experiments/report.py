"""Compare finished runs: ``python -m experiments.report runs=runs/demo`` prints a table and writes a page to open."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="pkg://conf", config_name="report")
def main(config: DictConfig) -> None:
    """Find the runs, compare them, say where the page is."""
    from pathlib import Path

    from rationalizers.report import compare, find_runs, write_comparison

    folders = find_runs(config.runs)
    print(compare(folders, dial=config.dial).to_text(reference=config.reference))  # noqa: T201
    page = write_comparison(folders, Path(config.page), reference=config.reference, examples=config.examples, dial=config.dial)
    print(f"report: {page}")  # noqa: T201


if __name__ == "__main__":
    main()
