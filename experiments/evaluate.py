"""Score finished runs again: ``python -m experiments.evaluate runs=runs/demo`` prints one table over text and graphs."""

from __future__ import annotations

from typing import Any

import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="pkg://conf", config_name="evaluate")
def main(config: DictConfig) -> None:
    """Find the runs, score each on the split, print means with their floors."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf
    from rich.progress import track

    from rationalizers.evaluation import evaluate
    from rationalizers.report import compare_results, find_runs, read_results

    settings: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    runs, name = settings.pop("runs"), HydraConfig.get().runtime.choices["attribution"]
    roots = [runs] if isinstance(runs, str) else runs
    results, notes = read_results(folder for root in roots for folder in find_runs(root))
    scored = [
        result.with_test(evaluate(result.folder, **settings), explained_by=name)
        for result in track(results, description=f"scoring {settings['split']}", transient=True)
    ]
    print(compare_results(scored, notes=notes, split=settings["split"]).to_text())  # noqa: T201


if __name__ == "__main__":
    main()
