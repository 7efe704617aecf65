"""Finished runs of a W&B project, brought here for a comparison."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from rationalizers.tracking.offline import COMPARED, SUBFOLDER

if TYPE_CHECKING:
    from wandb.apis.public import Api, File

log = logging.getLogger(__name__)


def download_runs(api: Api, project: str, filters: Mapping[str, Any], cache: Path) -> tuple[list[Path], list[str]]:
    """Bring the runs of a project here, without their weights; what is here and still the same is not brought again.

    Args:
        api: of W&B (`connect`).
        project: ``entity/project``.
        filters: which runs, in the query language of MongoDB that W&B takes, as ``{"group": "mine/rnp-toy_text"}``.
        cache: the folder to bring them to.

    Returns:
        run folders, and a note about every run that has none.

    Raises:
        ValueError: ``project`` is not of that form, there is no such project, or no run matches.
        ConnectionError: the server stopped answering.
    """
    from wandb.errors import Error

    if project.count("/") != 1 or not all(project.split("/")):
        raise ValueError(f"'wandb' must be entity/project, got {project!r}")
    folders, notes = [], []
    try:
        # Lazy: the server is asked here, and says here what it does not know.
        runs = list(api.runs(project, filters=dict(filters)))
        for run in runs:
            target = cache / "wandb" / project / run.id
            found = [file for file in run.files() if _compared(file.name)]
            if any(file.name == f"{SUBFOLDER}/metrics.json" for file in found):
                for file in found:
                    _bring(file, target)
                folders.append(target / SUBFOLDER)
            else:
                notes.append(f"{run.name} ({run.state}) was left out: no finished run folder is among its files on W&B.")
    except ValueError as error:
        raise ValueError(f"W&B knows no {project!r}: {error}") from error
    except (Error, OSError) as error:
        raise ConnectionError(f"{project} cannot be read from W&B: {' '.join(str(error).split())}") from error
    if not folders:
        asked = f" that match {dict(filters)}" if filters else ""
        raise ValueError(" ".join([f"{project} has no finished runs{asked} ({len(runs)} others).", *notes]))
    return folders, notes


def _compared(name: str) -> bool:
    """Whether a file is one that a comparison reads, in the place where a `Mirror` puts it; names come from strangers."""
    path = PurePosixPath(name)
    return (
        path.parts[:1] == (SUBFOLDER,)
        and ".." not in path.parts
        and "\\" not in name
        and any(fnmatchcase(str(path.relative_to(SUBFOLDER)), pattern) for pattern in COMPARED)
    )


def _bring(file: File, target: Path) -> None:
    here = target / file.name
    if here.is_file() and base64.b64encode(hashlib.md5(here.read_bytes(), usedforsecurity=False).digest()).decode() == file.md5:
        return
    log.info("W&B: %s to %s", file.name, target)
    file.download(root=str(target), replace=True).close()
