"""Texts for language models, in splits: one text each, or a source and its translation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rationalizers.build import build
from rationalizers.data.download import ROOT_VARIABLE, data_root
from rationalizers.data.records import BAD_GZIP, broken, open_plain_or_gzip, records, value

SPLITS = ("train", "val", "test")
# One text, or a source and a target.
Text = tuple[str, ...]


class TextCorpus(ABC):
    """Anything that yields texts; named by ``_target_`` under ``data.corpus``."""

    @abstractmethod
    def texts(self) -> Mapping[str, Sequence[Text]]:
        """Those of ``train``, ``val`` and ``test``.

        Raises:
            FileNotFoundError: a file is not there; says where it was looked for.
            ValueError: a file is not what it should be, named with its line.
        """


class TextFiles(TextCorpus):
    """Files of texts: of a ``.jsonl`` the field ``text`` of every line, of any other the whole; all may end in ``.gz``.

    Args:
        train: paths, absolute or beginning with ``.`` or ``~``, else below the folder of all data.
        val: likewise.
        test: likewise.
        root: folder of all data; ``None`` is the environment variable ``RATIONALIZERS_DATA``, else the user's cache.
    """

    def __init__(
        self, *, train: Sequence[str] = (), val: Sequence[str] = (), test: Sequence[str] = (), root: str | None = None
    ) -> None:
        self.files, self.root = {"train": train, "val": val, "test": test}, root

    def texts(self) -> dict[str, list[Text]]:
        """Of each split, those of its files in their order."""
        return {
            split: [(text,) for file in files for text in _texts(located(file, self.root))] for split, files in self.files.items()
        }


class ParallelFiles(TextCorpus):
    """Two files with a sentence on every line, one the translation of the other.

    Args:
        train: paths of source and target; see `TextFiles`.
        val: likewise.
        test: likewise.
        root: see `TextFiles`.

    Raises:
        ValueError: not two paths.
    """

    def __init__(self, *, train: Sequence[str], val: Sequence[str], test: Sequence[str], root: str | None = None) -> None:
        self.files, self.root = {"train": train, "val": val, "test": test}, root
        for split, files in self.files.items():
            if len(files) != 2:
                raise ValueError(f"{split!r} must be the paths of source and target, got {list(files)}")

    def texts(self) -> dict[str, list[Text]]:
        """Pairs of lines; where one is empty, neither counts."""
        return {split: self._pairs(*(located(file, self.root) for file in files)) for split, files in self.files.items()}

    def _pairs(self, source: Path, target: Path) -> list[Text]:
        ours, theirs = (read(file).splitlines() for file in (source, target))
        if len(ours) != len(theirs):
            raise broken(f"{target}:{min(len(ours), len(theirs)) + 1}", f"{source} has {len(ours)} lines, this {len(theirs)}")
        return [(one.strip(), other.strip()) for one, other in zip(ours, theirs, strict=True) if one.strip() and other.strip()]


class Together(TextCorpus):
    """Several corpora as one.

    Args:
        parts: by name, description of a `TextCorpus`.
    """

    def __init__(self, *, parts: Mapping[str, Mapping[str, Any]]) -> None:
        self.parts = [build(part, TextCorpus) for part in parts.values()]

    def texts(self) -> dict[str, list[Text]]:
        """Of each split, those of all parts."""
        every = [part.texts() for part in self.parts]
        return {split: [text for texts in every for text in texts[split]] for split in SPLITS}


def located(path: str, root: str | None) -> Path:
    """A file by its path, or below the folder of all data.

    Raises:
        FileNotFoundError: it is not there.
    """
    file = Path(path).expanduser()
    if not file.is_absolute() and not path.startswith("."):
        file = data_root(root) / file
    if not file.is_file():
        raise FileNotFoundError(
            f"there is no file {file}; put it there, or set {ROOT_VARIABLE} to the folder that holds {path}, or give a path that "
            "is absolute or begins with ./"
        )
    return file


def read(file: Path) -> str:
    """A file as text, unpacked if its name ends in ``.gz``.

    Raises:
        ValueError: it is not UTF-8, or no gzip data.
    """
    try:
        with open_plain_or_gzip(file) as content:
            return content.read().decode("utf-8")
    except (UnicodeDecodeError, *BAD_GZIP) as error:
        raise broken(str(file), f"expected text in UTF-8, got {error}") from error


def _texts(file: Path) -> list[str]:
    if ".jsonl" in file.suffixes:
        return [value(record, "text", where, str) for where, record in records(file, Counter())]
    return [read(file)]
