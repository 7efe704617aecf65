"""Frames of a W&B record file: LevelDB's log format under a header of W&B's own.

The file is ``:W&B``, the number 0xBEE1 and a version byte, then blocks of 32768 bytes (the header is part of the first). A
block holds fragments, each of them a checksum (four bytes: CRC-32 of type and data), a length (two), a type (one: 1 is a whole
record, 2 its first, 3 a middle, 4 its last fragment) and the data; what is left of a block that has no room for another fragment
is zero. The layout is that of https://github.com/google/leveldb/blob/main/doc/log_format.md, the checksum is not. It is private
to W&B: it was found by reading files of wandb 0.31, and a later version may change it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

BLOCK = 32768
HEADER = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
_FRAGMENT = struct.Struct("<IHB")
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


class DamagedRecordError(ValueError):
    """A record file ends within a record, or does not hold what its checksums say; what came before is good."""


def read_records(file: Path) -> Iterator[bytes]:
    """The records of a file in order, as they were written.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no record file of W&B.
        DamagedRecordError: when everything before the damage has been given out; names file and byte.
    """
    written = file.read_bytes()
    if len(written) < len(HEADER) and HEADER.startswith(written):
        raise DamagedRecordError(f"{file}: byte {len(written)}: the file ends before its first record")
    if written[: len(HEADER)] != HEADER:
        raise ValueError(
            f"{file}: expected a record file of W&B, which begins with {HEADER!r}, got {written[: len(HEADER)]!r}; "
            "name a run-*.wandb file, or the folder with one"
        )
    record, place = b"", len(HEADER)
    begun = False
    while place < len(written):
        room = BLOCK - place % BLOCK
        if room < _FRAGMENT.size:
            place += room
            continue
        if place + _FRAGMENT.size > len(written):
            raise DamagedRecordError(f"{file}: byte {place}: the file ends within a record")
        checksum, length, kind = _FRAGMENT.unpack_from(written, place)
        data = written[place + _FRAGMENT.size : place + _FRAGMENT.size + length]
        if len(data) < length:
            raise DamagedRecordError(f"{file}: byte {place}: the file ends within a record")
        if zlib.crc32(bytes([kind]) + data) != checksum:
            raise DamagedRecordError(f"{file}: byte {place}: what was written has another checksum")
        if kind not in (_WHOLE, _FIRST, _MIDDLE, _LAST) or begun != (kind in (_MIDDLE, _LAST)):
            raise DamagedRecordError(f"{file}: byte {place}: a fragment of type {kind} does not belong here")
        record += data
        place += _FRAGMENT.size + length
        begun = kind in (_FIRST, _MIDDLE)
        if not begun:
            yield record
            record = b""
    if begun:
        raise DamagedRecordError(f"{file}: byte {place}: the file ends within a record")
