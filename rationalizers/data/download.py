"""Fetching ERASER data sets: checked, resumable, unpacked without leaving the folder."""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import re
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import Any

from rationalizers.extras import require

ADDRESS = "https://www.eraserbenchmark.com/zipped/"
ROOT_VARIABLE = "RATIONALIZERS_DATA"

# The benchmark publishes no checksums; a third party recorded this one (pyhighlights, manifest of its movies splits).
SHA256 = {"movies": "66e18d4e6c9df9e9f5544572b0bfe92a39673f74ecbfc3859b46cedb2f5b2dee"}

_log = logging.getLogger(__name__)


def data_root(root: str | Path | None = None) -> Path:
    """The folder of all data: the argument, else ``RATIONALIZERS_DATA``, else the user's cache folder.

    Raises:
        ImportError: neither is given and pooch, which knows the cache folder, is not installed.
    """
    given = root or os.environ.get(ROOT_VARIABLE)
    return Path(given or require("pooch", extra="data").os_cache("rationalizers")).expanduser()


def not_found(name: str, root: Path, *, address: str = ADDRESS) -> str:
    """What to tell somebody whose data set is absent."""
    folder = root / "eraser" / name
    return (
        f"the ERASER set {name!r} is not at {folder}; download {address}{name}.tar.gz by hand and unpack it there (so "
        f"that {folder / 'train.jsonl'} exists), or set {ROOT_VARIABLE} to the folder that holds eraser/{name}"
    )


def fetch(name: str, root: str | Path, *, address: str = ADDRESS, progress: bool = True) -> Path:
    """Download an ERASER data set and unpack it to ``<root>/eraser/<name>``, unless it is there.

    An interrupted transfer goes on where it stopped when this is called again. The archive is checked against its
    SHA-256; where none is known, the one of the first download is trusted and recorded in ``<root>/eraser/SHA256SUMS``.
    The folder appears only when everything is unpacked. One process at a time: several would share a partial file.

    Args:
        name: of the set, as in its address.
        root: folder of all data.
        address: where ``<name>.tar.gz`` lies.
        progress: show a progress bar on standard error.

    Returns:
        The folder of the set.

    Raises:
        FileNotFoundError: the server does not answer or does not have it; says how to get the set by hand.
        ConnectionError: the transfer broke off; what came is kept.
        ValueError: a name with other than letters, digits, ``_`` and ``-``; or an archive with another checksum, with
            members that point out of the folder, or that is not one of this set.
        ImportError: the extra ``data`` is not installed.
    """
    if not re.fullmatch(r"[\w-]+", name, re.ASCII):
        raise ValueError(f"'name' must consist of letters, digits, '_' and '-', got {name!r}")
    root = Path(root)
    folder = root / "eraser" / name
    if folder.is_dir():
        return folder
    pooch, requests = require("pooch", extra="data"), require("requests", extra="data")
    archive = folder.with_name(f"{name}.tar.gz")
    sums = folder.with_name("SHA256SUMS")
    known = SHA256.get(name) or _recorded(sums).get(archive.name)
    downloader = Resuming(archive.with_name(f"{archive.name}.part"), progress=progress)
    try:
        pooch.retrieve(f"{address}{archive.name}", known, fname=archive.name, path=archive.parent, downloader=downloader)
    except requests.RequestException as error:
        raise FileNotFoundError(f"{not_found(name, root, address=address)} ({error})") from error
    except ValueError as error:
        source = "the known one" if name in SHA256 else f"the one recorded in {sums}"
        raise ValueError(
            f"the checksum of {address}{archive.name} is not {source} ({error}); try again, and if it stays so, "
            f"compare the set with another copy and unpack it to {folder} by hand"
        ) from error
    _unpack(archive, folder)
    if known is None:
        found = _sha256(archive)
        with sums.open("a", encoding="utf-8") as file:
            file.write(f"{found}  {archive.name}\n")
        _log.warning("No checksum is known for %s; trusting this download, sha256 %s (kept in %s)", archive, found, sums)
    return folder


class Resuming:
    """A downloader for pooch that keeps what came before an interruption and asks only for the rest.

    Args:
        part: file for what has come so far; beside it ``<part>.version`` holds the server's mark of that version (ETag
            or Last-Modified), so that halves of two versions are never joined.
        progress: show a progress bar on standard error.
        timeout: seconds without an answer after which to give up.
    """

    def __init__(self, part: Path, *, progress: bool = True, timeout: float = 30.0) -> None:
        self.part, self.progress, self.timeout = part, progress, timeout
        self.version = part.with_name(f"{part.name}.version")

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> bool | None:
        """Download ``url`` to ``output_file``, or with ``check_only`` say whether it can be had.

        Raises:
            ConnectionError: the transfer broke off; what came is kept in ``part``.
            requests.RequestException: no connection, or an answer that is an error.
        """
        requests = require("requests", extra="data")
        if check_only:
            return bool(requests.head(url, timeout=self.timeout, allow_redirects=True).ok)
        # The second request has no part to continue, so that only a server that breaks the protocol can fail it.
        if not self._transfer(requests, url):
            self._forget()
            if not self._transfer(requests, url):
                raise requests.RequestException(f"{url} does not send the whole file")
        os.replace(self.part, output_file)
        self._forget()
        return None

    def _transfer(self, requests: Any, url: str) -> bool:
        """One request; false if its answer does not continue the part."""
        begin = self.part.stat().st_size if self.part.exists() and self.version.exists() else 0
        # Identity, because offsets and the checksum count the bytes of the archive itself.
        headers = {"Accept-Encoding": "identity"}
        if begin:
            headers |= {"Range": f"bytes={begin}-", "If-Range": self.version.read_text(encoding="utf-8")}
        with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as answer:
            span = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)", answer.headers.get("Content-Range", ""))
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                # Complete already: interrupted between the last byte and the renaming.
                return bool(begin and span and int(span[3]) == begin)
            answer.raise_for_status()
            total = int(answer.headers["Content-Length"]) if "Content-Length" in answer.headers else None
            if answer.status_code == requests.codes.partial_content:
                if not (begin and span and span[1] and int(span[1]) == begin and int(span[2]) + 1 == int(span[3])):
                    return False
                total = int(span[3])
            else:
                begin = 0
                self._mark(answer.headers)
            self._receive(answer, begin, total, url)
        return True

    def _receive(self, answer: Any, begin: int, total: int | None, url: str) -> None:
        """Append the body to the first ``begin`` bytes."""
        urllib3, tqdm = require("urllib3", extra="data"), require("tqdm", extra="data")
        broken: Exception | None = None
        bar = tqdm.tqdm(
            total=total,
            initial=begin,
            unit="B",
            unit_scale=True,
            desc=url.rsplit("/", 1)[-1],
            disable=not self.progress,
        )
        with bar, self.part.open("ab" if begin else "wb") as file:
            try:
                for chunk in answer.raw.stream(1 << 16, decode_content=False):
                    file.write(chunk)
                    bar.update(len(chunk))
            except urllib3.exceptions.HTTPError as error:
                broken = error
        size = self.part.stat().st_size
        if broken or total not in (None, size):
            of = "" if total is None else f" of {total}"
            raise ConnectionError(
                f"{url} broke off after {size}{of} bytes ({broken or 'connection closed'}); run again to continue"
            ) from broken

    def _mark(self, headers: Any) -> None:
        """Remember which version of the file is coming; without a mark the part cannot be continued."""
        etag = headers.get("ETag", "")
        mark = headers.get("Last-Modified") if not etag or etag.startswith("W/") else etag
        self._forget()
        if mark:
            self.version.write_text(mark, encoding="utf-8")

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.version.unlink(missing_ok=True)


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack to a folder beside ``folder`` and rename, so that a set is there whole or not at all."""
    # Pooch 1.9 unpacks unfiltered on Python 3.11, whose tarfile has filters from 3.11.4.
    if not hasattr(tarfile, "data_filter"):
        raise ValueError(
            f"this Python cannot unpack {archive} safely; unpack it to {folder} by hand or use Python 3.11.4 or later"
        )
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}-", dir=folder.parent) as temporary:
        try:
            with tarfile.open(archive, "r:gz") as members:
                members.extractall(temporary, filter="data")
        except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{archive} cannot be unpacked ({error}); remove it and download it again") from error
        holder = Path(temporary, folder.name)
        if not list(holder.glob("*.jsonl*")):
            found = ", ".join(sorted(path.name for path in Path(temporary).iterdir())) or "nothing"
            raise ValueError(f"{archive} should hold {folder.name}/*.jsonl, it holds {found}; unpack the set to {folder} by hand")
        holder.rename(folder)


def _recorded(sums: Path) -> dict[str, str]:
    """File name to checksum, from a file in the format of sha256sum."""
    if not sums.exists():
        return {}
    lines = (line.split(maxsplit=1) for line in sums.read_text(encoding="utf-8").splitlines() if line.strip())
    return {name.strip(): checksum for checksum, name in lines}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
