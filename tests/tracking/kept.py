"""What W&B kept, when its service has written all of it."""

from __future__ import annotations

from pathlib import Path


def kept_by(tracked: Path) -> list[Path]:
    """The folders of runs; the service is ended before, since it may still be writing when a run has ended."""
    import wandb

    from rationalizers.tracking.local import kept_runs

    wandb.teardown()
    return kept_runs(tracked)
