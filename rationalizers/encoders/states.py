"""States that are computed once and kept on disk, one file per example.

The folder comes from the environment, never from a run's configuration: opening a stranger's run writes nothing.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from rationalizers.batch import Batch, Packed
from rationalizers.extras import require
from rationalizers.segment import lengths

ROOT_VARIABLE = "RATIONALIZERS_CACHE"
NAME = "states"

log = logging.getLogger(__name__)


def cache_root() -> Path:
    """The folder of everything that can be computed again: ``RATIONALIZERS_CACHE``, else the user's cache folder.

    Raises:
        ImportError: it is not set and pooch, which knows the cache folder, is not installed.
    """
    return Path(os.environ.get(ROOT_VARIABLE) or require("pooch", extra="data").os_cache("rationalizers")).expanduser()


def content_keys(batch: Batch) -> list[str]:
    """A name for the content of each example, ``B`` of them: SHA-256 of its units, positions and fixed flags."""
    units, position, fixed = (each.cpu().contiguous().numpy() for each in (batch.units, batch.position, batch.fixed))
    bounds = batch.ptr.tolist()
    keys = []
    for start, end in itertools.pairwise(bounds):
        key = hashlib.sha256(f"{units.dtype} {end - start} ".encode())
        for part in (units, position, fixed):
            key.update(part[start:end].tobytes())
        keys.append(key.hexdigest())
    return keys


def separate(batch: Batch) -> dict[str, Packed]:
    """The non-empty examples of a batch by content, with only what an encoder looks at."""
    parts = (torch.split(each.cpu(), lengths(batch.ptr).tolist()) for each in (batch.units, batch.position, batch.fixed))
    return {
        key: Packed(units=units.clone(), ptr=torch.tensor([0, len(units)]), position=position.clone(), fixed=fixed.clone())
        for key, units, position, fixed in zip(content_keys(batch), *parts, strict=True)
        if len(units)
    }


def in_batches(examples: Mapping[str, Packed], *, places: int) -> Iterator[tuple[list[str], Packed]]:
    """Examples with their keys, in batches of at most ``places`` units or one example, the longest first."""
    left = sorted(examples, key=lambda key: -examples[key].units.numel())
    while left:
        count = max(1, places // examples[left[0]].units.numel())
        keys, left = left[:count], left[count:]
        yield keys, Packed.collate([examples[key] for key in keys])


class StateCache:
    """States of examples in ``<cache root>/states/<encoder>/<xx>/<content>.safetensors``, as 16-bit floats.

    Files are written beside their place and renamed, so that several processes may fill it at once.

    Args:
        encoder: key of the encoder; it names everything that a state depends on beside the example.
        width: size D of a state.
    """

    def __init__(self, encoder: str, *, width: int) -> None:
        self.folder, self.width = cache_root() / "states" / encoder, width

    def path(self, key: str) -> Path:
        """The file of an example."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def has(self, key: str) -> bool:
        """Whether there is a file for an example, be it whole or not."""
        return self.path(key).is_file()

    def read(self, key: str, units: int) -> Tensor | None:
        """States ``[units, D]`` of an example, 16 bits; ``None`` where there are none, or with a warning no usable ones."""
        path = self.path(key)
        try:
            found = load(path.read_bytes()).get(NAME)
        except FileNotFoundError:
            return None
        except SafetensorError as error:
            log.warning("%s is not a whole safetensors file (%s); its states are computed again", path, error)
            return None
        if found is None or found.dtype != torch.float16 or found.shape != (units, self.width):
            log.warning("%s does not hold states [%d, %d]; they are computed again", path, units, self.width)
            return None
        return found

    def write(self, key: str, states: Tensor) -> int:
        """Keep the states ``[n, D]`` of an example; returns the bytes of its file.

        Raises:
            OSError: the folder cannot be written to; names it and the variable that chooses another.
        """
        path = self.path(key)
        content = save({NAME: states.to("cpu", torch.float16).contiguous()})
        unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(content)
            os.replace(unfinished, path)
        except OSError as error:
            _forget(unfinished)
            raise OSError(
                error.errno,
                f"cannot write to the cache of states {self.folder} ({error.strerror}); make room, or set {ROOT_VARIABLE} to "
                "another folder",
            ) from error
        return len(content)

    def write_all(self, keys: Sequence[str], states: Sequence[Tensor]) -> int:
        """Keep the states of several examples; returns the bytes of their files."""
        return sum(self.write(key, each) for key, each in zip(keys, states, strict=True))


def _forget(path: Path) -> None:
    """Remove a file if it is there and can be removed; the reason why it was being written is already known to fail."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s is left behind (%s)", path, error)
