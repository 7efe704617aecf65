"""Train a language model to do without words: ``python -m experiments.tune tuning=passages seed=0``; ``-m`` trains several."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig, OmegaConf


@hydra.main(version_base="1.3", config_path="pkg://conf", config_name="tune")
def main(config: DictConfig) -> None:
    """Compose, train, say where the folder is."""
    from rationalizers.tuning import tune

    plain = OmegaConf.to_container(config, resolve=True)
    print(tune(plain))  # type: ignore[arg-type]  # noqa: T201


if __name__ == "__main__":
    main()
