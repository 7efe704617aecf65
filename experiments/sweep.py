"""Train several models: ``python -m experiments.sweep method=rnp,noise seed=0,1,2 runs=runs/mine launcher=joblib``.

Finished trainings are left out, begun ones go on, failed ones are tried again; one that fails does not stop the others. With
``trainer=ddp`` each starts a process for every device; see ``docs/distributed.md`` before you add ``launcher=joblib`` to it.
"""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from experiments.command import command


@command("sweep")
def main(config: DictConfig) -> bool:
    """Train one of them; `experiments.sweep_progress.Progress` plans all, and says at the end what became of them."""
    from rationalizers.sweep import attempt

    plain = OmegaConf.to_container(config, resolve=True)
    return attempt(plain)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
