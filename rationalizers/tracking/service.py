"""A run of W&B that is opened whether or not its server answers, and what can go wrong with it."""

from __future__ import annotations

import glob
import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rationalizers.tracking.outage import FILE, forget, remember, remembered

if TYPE_CHECKING:
    from wandb import Run

log = logging.getLogger(__name__)

# Seconds; what takes longer is not asked again and again.
QUICK = 1.0


def failures() -> tuple[type[Exception], ...]:
    """What W&B raises where it, its service process, its server or the disk fails; anything else is an error of ours."""
    from pydantic import ValidationError
    from wandb.errors import Error
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError, WandbAttachFailedError
    from wandb.sdk.lib.service.service_token import WandbServiceConnectionError
    from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError
    from wandb.sdk.mailbox.mailbox_handle import ServerResponseError

    service = (WandbApiFailedError, WandbAttachFailedError, WandbServiceConnectionError)
    # A TimeoutError, of uploads that took too long, is an OSError; a server's answer that makes no sense is a ValidationError.
    return (Error, OSError, ValidationError, HandleAbandonedError, MailboxClosedError, ServerResponseError, *service)


def said(error: Exception) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def open_tracked(runs: Path, *, mode: str, timeout: float, upload_timeout: float, **facts: Any) -> Run:
    """A run of W&B: on the server, or, where that does not answer or lets nobody in, in a local folder to be sent later.

    Args:
        runs: the folder that the run folder lies in; what a server's silence costs is paid once for all runs there.
        mode: ``online``, or ``offline``, which asks no server.
        timeout: seconds to wait for the server.
        upload_timeout: seconds to wait for uploads when the run ends.
        **facts: further arguments of ``wandb.init``.

    Raises:
        Exception: one of `failures`: not even a local run can be opened.
    """
    import wandb
    from wandb.errors import CommError, UsageError

    session = wandb.setup(wandb.Settings(silent=True)).settings
    server = session.base_url
    settings = wandb.Settings(
        silent=True,
        console="off",
        disable_code=True,
        init_timeout=timeout,
        login_timeout=timeout,
        finish_timeout=upload_timeout,
        finish_timeout_raises=True,
    )
    arguments: Mapping[str, Any] = {**facts, "settings": settings, "reinit": "create_new", "resume": "allow"}
    if mode == "online":
        outage = remembered(runs, server)
        if outage is not None:
            log.warning("W&B: %s; not asked again for an hour, unless %s is deleted", outage.said(), runs / FILE)
        else:
            before, began = _folders(session.wandb_dir, facts["id"]), time.monotonic()
            try:
                run = wandb.init(mode="online", **arguments)
            except (CommError, UsageError) as error:
                log.warning("W&B: no run can be opened at %s: %s", server, said(error))
                # A refusal is quick, and may end with the next login.
                if time.monotonic() - began > QUICK:
                    remember(runs, server, said(error))
                for folder in _folders(session.wandb_dir, facts["id"]) - before:
                    shutil.rmtree(folder)  # nothing was logged there
            else:
                forget(runs)
                return run
    return wandb.init(mode="offline", **arguments)


def _folders(root: str, id: str) -> set[str]:
    """The folders of a run that W&B keeps for what goes to the server."""
    return set(glob.glob(f"{glob.escape(root)}/run-*-{id}*"))
