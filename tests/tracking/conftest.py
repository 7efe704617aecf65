"""W&B in a folder of its own, without anybody's login, and started anew for every test."""

import pytest


@pytest.fixture
def tracked(tmp_path, monkeypatch):
    """The folder that W&B keeps its runs in."""
    import wandb

    for name in ("DIR", "CONFIG_DIR", "CACHE_DIR", "DATA_DIR"):
        place = tmp_path / "tracked" / name.lower()
        place.mkdir(parents=True)
        monkeypatch.setenv(f"WANDB_{name}", str(place))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_MODE", "WANDB_PROJECT", "WANDB_ENTITY"):
        monkeypatch.delenv(name, raising=False)
    wandb.teardown()
    yield tmp_path / "tracked" / "dir" / "wandb"
    wandb.teardown()
