"""Mirror finished runs to Weights & Biases: ``python -m experiments.mirror runs=runs/mine logger.project=rationales``."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from experiments.command import command


@command("mirror")
def main(config: DictConfig) -> None:
    """Mirror one run after the other, and say which; unfinished ones are left to their training."""
    from rationalizers.report import find_runs
    from rationalizers.run import PARTIAL
    from rationalizers.tracking.mirror import mirror_finished

    logger = OmegaConf.to_container(config.logger, resolve=True)
    for folder in find_runs(config.runs):
        if folder.name.endswith(PARTIAL):
            print(f"{folder} is unfinished and was left out")  # noqa: T201
        else:
            mirror_finished(logger, folder)  # type: ignore[arg-type]
            print(folder)  # noqa: T201


if __name__ == "__main__":
    main()
