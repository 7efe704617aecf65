"""Score finished runs again: ``python -m experiments.evaluate runs=runs/demo`` prints one table over text and graphs."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="pkg://conf", config_name="evaluate")
def main(config: DictConfig) -> None:
    """Find the runs, score each on the split, print means with their floors."""
    from rich.progress import track

    from rationalizers.evaluation import evaluate
    from rationalizers.report import compare_results, find_runs, read_results

    roots = [config.runs] if isinstance(config.runs, str) else list(config.runs)
    results, notes = read_results(folder for root in roots for folder in find_runs(root))
    scored = [
        result.with_test(evaluate(result.folder, split=config.split, trust=list(config.trust), device=config.device))
        for result in track(results, description=f"scoring {config.split}", transient=True)
    ]
    print(compare_results(scored, notes=notes, split=config.split).to_text())  # noqa: T201


if __name__ == "__main__":
    main()
