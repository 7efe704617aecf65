"""Train a language model to do without words: ``python -m experiments.tune tuning=passages seed=0``; ``-m`` trains several."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from experiments.command import command


@command("tune")
def main(config: DictConfig) -> None:
    """Compose, train, say where the folder is."""
    from rationalizers.tuning import tune

    plain = OmegaConf.to_container(config, resolve=True)
    print(tune(plain))  # type: ignore[arg-type]  # noqa: T201


if __name__ == "__main__":
    main()
