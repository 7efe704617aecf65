"""Where a trained model comes from: a folder, the Hugging Face Hub or Weights & Biases, told apart by an explicit prefix.

====================================== ==============================================================================
source                                 is
====================================== ==============================================================================
``runs/rnp-toy_text-s0``               a run folder; never a request to a server, however it is mistyped
``hub:owner/name``, ``…@revision``     a repository of the Hugging Face Hub, of a branch, tag or commit
``wandb:entity/project/name:version``  an artifact of Weights & Biases of type ``rationalizer`` that holds a run folder
====================================== ==============================================================================

Of the latter two only what loading reads is fetched (`PARTS`): no checkpoint and nothing that may hold pickled objects. It stays
in the user's cache: that of huggingface_hub, and `rationalizers.encoders.states.cache_root`.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from rationalizers import __version__
from rationalizers.extras import require
from rationalizers.run import partial_of

HUB, WANDB = "hub:", "wandb:"
# What loading reads of a run folder, and what it must not find there.
PARTS = ("config.yaml", "model.safetensors", "assets/**")
PICKLED = ("*.ckpt", "*.bin", "*.pkl", "*.pickle", "*.pt", "*.pth", "*.joblib")
# Type of the artifacts of Weights & Biases that hold a run folder.
ARTIFACT = "rationalizer"

_NAME = r"[\w.-]*\w[\w.-]*"
_REPOSITORY = re.compile(rf"{_NAME}/{_NAME}")
_ARTIFACT = re.compile(rf"({_NAME}/{_NAME}/{_NAME}):({_NAME})")


def locate(source: str | Path) -> Path:
    """The folder of a source, which is fetched where it lies on a server.

    Args:
        source: a folder, ``hub:owner/name``, ``hub:owner/name@revision`` or ``wandb:entity/project/name:version``.

    Raises:
        ConnectionError: the server cannot be reached, or gives nothing.
        FileNotFoundError: there is no such folder or repository, or no run in it.
        ImportError: what asks the server is not installed.
        PermissionError: nobody is logged in.
        ValueError: a name of another form, or an artifact of another type.
    """
    if isinstance(source, Path):
        return source
    if source.startswith(HUB):
        name, at, revision = source.removeprefix(HUB).partition("@")
        if at and not revision:
            raise ValueError(f"{source!r} ends where a revision is expected; leave out the @, or name a branch, tag or commit")
        return from_hub(name, revision=revision or None)
    if source.startswith(WANDB):
        return from_wandb(source.removeprefix(WANDB))
    folder = Path(source)
    if not folder.exists() and not partial_of(folder).exists():
        if _REPOSITORY.fullmatch(source):
            raise FileNotFoundError(
                f"{source} is not a run folder: there is none of this name; a repository of the Hugging Face Hub is {HUB}{source}"
            )
        if re.match(r"\w{2,}:", source):
            raise FileNotFoundError(
                f"{source} is not a run folder; other sources are {HUB}owner/name and {WANDB}entity/project/name:version"
            )
    return folder


def from_hub(
    repository: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
) -> Path:
    """The run folder of a repository of the Hugging Face Hub; what was fetched before is there without a network, too.

    Args:
        repository: ``owner/name``.
        revision: a branch, tag or commit; ``None`` is the main branch.
        token: as in ``huggingface_hub.snapshot_download``, and so are the others.
        cache_dir: where it is kept.
        force_download: fetch what is there already, too.
        local_files_only: ask no server.

    Raises:
        ConnectionError, FileNotFoundError, ImportError, PermissionError, ValueError: as `locate`.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise ValueError(f"expected owner/name of a repository of the Hugging Face Hub, got {repository!r}")
    # httpx2 is what huggingface_hub asks with; some of its errors come through.
    hub, errors, httpx = (require(name, extra="text") for name in ("huggingface_hub", "huggingface_hub.errors", "httpx2"))
    said = f"{repository} (revision {revision})" if revision else repository
    try:
        found = hub.snapshot_download(
            repository,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            allow_patterns=list(PARTS),
            ignore_patterns=list(PICKLED),
            library_name="rationalizers",
            library_version=__version__,
        )
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(f"{repository} on the Hugging Face Hub has no revision {revision!r}") from error
    except errors.RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"the Hugging Face Hub shows no repository {repository}: it does not exist, or is private or gated; "
            "check the name, and log in if it is not public (hf auth login, or HF_TOKEN)"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        why, reason = "was not asked" if local_files_only else "cannot be reached", str(error).partition("\n")[0]
        raise ConnectionError(
            f"the Hugging Face Hub {why} and {said} is not in the cache; connect and load it once, or give a folder ({reason})"
        ) from error
    except httpx.HTTPError as error:
        if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
            raise PermissionError(
                f"the Hugging Face Hub does not give {said}; log in (hf auth login, or HF_TOKEN): {error}"
            ) from error
        raise ConnectionError(f"the Hugging Face Hub does not give {said}: {error}") from error
    folder = Path(found)
    if not (folder / "config.yaml").is_file():
        raise FileNotFoundError(
            f"{said} on the Hugging Face Hub holds no rationalizer: it has no config.yaml, as those of push_to_hub have"
        )
    return folder


def from_wandb(artifact: str) -> Path:
    """The run folder in an artifact of Weights & Biases; a numbered version that was fetched before needs no network.

    Args:
        artifact: ``entity/project/name:version``, where the version may be an alias as ``latest``.

    Raises:
        ConnectionError, FileNotFoundError, ImportError, PermissionError, ValueError: as `locate`.
    """
    parts = _ARTIFACT.fullmatch(artifact)
    if not parts:
        raise ValueError(f"expected entity/project/name:version of an artifact of Weights & Biases, got {artifact!r}")
    from rationalizers.encoders.states import cache_root

    name, version = parts.groups()
    kept = cache_root() / "wandb" / name
    # Versions with a number never change; an alias moves on and has to be asked for.
    if re.fullmatch(r"v\d+", version) and (kept / version).is_dir():
        return kept / version
    import wandb

    try:
        found = wandb.Api().artifact(artifact)
        folder: Path = kept / found.version
        if found.type != ARTIFACT:
            raise ValueError(f"{artifact} is an artifact of type {found.type!r}, expected {ARTIFACT!r}: a run folder")
        if not folder.is_dir():
            _fetch(found, folder, artifact)
    except wandb.errors.UsageError as error:
        raise PermissionError(f"{artifact} needs a login to Weights & Biases: wandb login, or WANDB_API_KEY ({error})") from error
    except wandb.errors.Error as error:
        raise ConnectionError(
            f"Weights & Biases does not give {artifact}: {error}; check the name, the network and whose key is used (wandb login)"
        ) from error
    return folder


def _fetch(artifact: Any, folder: Path, name: str) -> None:
    """Download what loading reads of an artifact; the folder appears when it is whole."""
    names = [each for each in artifact.manifest.entries if _wanted(each)]
    if "config.yaml" not in names:
        raise FileNotFoundError(f"{name} holds no run folder: it has no config.yaml")
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent)
    try:
        for each in names:
            artifact.get_entry(each).download(root=scratch)
        os.replace(scratch, folder)
    except OSError:
        if not folder.is_dir():  # else another process fetched the same meanwhile
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _wanted(name: str) -> bool:
    return any(fnmatch(name, part) for part in PARTS) and not any(fnmatch(name, pickled) for pickled in PICKLED)
