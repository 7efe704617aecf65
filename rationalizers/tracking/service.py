"""W&B's server, asked for a limited time; and a run that is opened whether or not it answers."""

from __future__ import annotations

import logging
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rationalizers.tracking.outage import FILE, forget, remember, remembered

if TYPE_CHECKING:
    from wandb import Run
    from wandb.apis.public import Api

log = logging.getLogger(__name__)


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


def said(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def connect(timeout: float = 20) -> Api:
    """What W&B answers questions with, when it has answered who is asking.

    Args:
        timeout: seconds to wait for an answer, a login at the terminal included.

    Raises:
        ConnectionError: no server answers, or nobody is logged in; says what to do.
    """
    import wandb

    server = _server(timeout)
    try:
        return wandb.Api(timeout=max(1, round(timeout)))
    except failures() as error:
        raise ConnectionError(f"W&B cannot be asked at {server}: {said(error)} (to log in: wandb login)") from error


def open_tracked(runs: Path, id: str, *, mode: str, timeout: float, upload_timeout: float, **facts: Any) -> Run:
    """A run of W&B: on the server, or, where that does not answer or lets nobody in, in a local folder to be sent later.

    Args:
        runs: the folder that the run folder lies in; what a server's silence costs is paid once for all runs there.
        id: of the run; the run has another one where the server broke off while it was opened.
        mode: ``online``, or ``offline``, which asks no server.
        timeout: seconds to wait for the server.
        upload_timeout: seconds to wait for uploads when the run ends.
        **facts: further arguments of ``wandb.init``.

    Raises:
        Exception: one of `failures`: not even a local run can be opened.
    """
    import wandb
    from wandb.errors import CommError, UsageError

    def opened(mode: str, id: str, seconds: float) -> Run:
        settings = wandb.Settings(
            silent=True,
            console="off",
            disable_code=True,
            init_timeout=seconds,
            finish_timeout=upload_timeout,
            finish_timeout_raises=True,
        )
        return wandb.init(mode=mode, id=id, settings=settings, reinit="create_new", resume="allow", **facts)  # type: ignore[arg-type]

    server = _server(timeout)
    outage = remembered(runs, server) if mode == "online" else None
    if outage is not None:
        log.warning("W&B: %s; not asked again for an hour, unless %s is deleted", outage.said(), runs / FILE)
    elif mode == "online":
        began = time.monotonic()
        try:
            # Asked before, since W&B's service cannot open a run offline that it could not open online.
            connect(timeout)
            asked = time.monotonic()
            run = opened("online", id, max(1.0, timeout - (asked - began)))
        except (CommError, UsageError, ConnectionError) as error:
            reason = said(error.__cause__ or error)
            log.warning("W&B: no run is opened at %s, but here: %s", server, reason)
            # A refusal is quick, and may end with the next login.
            if time.monotonic() - began > timeout / 2:
                remember(runs, server, reason)
            if not isinstance(error, ConnectionError):
                id = secrets.token_hex(8)
        else:
            forget(runs)
            return run
    return opened("offline", id, timeout)


def _server(timeout: float) -> str:
    """The address of W&B's server; W&B is set up, where it was not yet, to wait no longer for a login at the terminal."""
    import wandb

    address: str = wandb.setup(wandb.Settings(silent=True, login_timeout=timeout)).settings.base_url
    return address
