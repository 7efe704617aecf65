"""Train one model: ``python -m experiments.train method=rnp data=toy_text seed=0``; ``-m`` with lists trains several."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from experiments.command import command


@command("train")
def main(config: DictConfig) -> None:
    """Compose, train, say where the run folder is."""
    from pytorch_lightning.utilities import rank_zero_only

    from rationalizers.training import train

    plain = OmegaConf.to_container(config, resolve=True)
    folder = train(plain)  # type: ignore[arg-type]
    rank_zero_only(print)(folder)  # of several processes that torchrun starts, one is enough


if __name__ == "__main__":
    main()
