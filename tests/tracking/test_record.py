"""Records are read as they were written, over any number of blocks, and damage is told from the end."""

import itertools
import random
import re
import struct
import zlib

import pytest

from rationalizers.tracking.record import BLOCK, HEADER, DamagedRecordError, read_records


def framed(records):
    """What W&B writes of these records."""
    written = bytearray(HEADER)
    for record in records:
        first, left = True, record
        while True:
            room = BLOCK - len(written) % BLOCK
            if room < 7:
                written += bytes(room)
                room = BLOCK
            data, left = left[: room - 7], left[room - 7 :]
            kind = (1 if first else 4) if not left else (2 if first else 3)
            written += struct.pack("<IHB", zlib.crc32(bytes([kind]) + data), len(data), kind) + data
            first = False
            if not left:
                break
    return bytes(written)


def written(tmp_path, content):
    file = tmp_path / "run-a.wandb"
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([5, 0, 7], id="in one block"),
        pytest.param([3 * BLOCK, 10], id="over blocks"),
        pytest.param([BLOCK - 7 - len(HEADER), 1], id="to the end of a block"),
        *(pytest.param([BLOCK - 14 - len(HEADER) - left, 4, 9], id=f"{left} bytes left") for left in range(8)),
    ],
)
def test_records_are_read_as_they_were_written(tmp_path, sizes):
    draw = random.Random(0)
    records = [draw.randbytes(size) for size in sizes]
    assert list(read_records(written(tmp_path, framed(records)))) == records


def test_a_truncated_file_is_read_up_to_the_damage(tmp_path):
    records = [b"one", b"two" * BLOCK, b"three"]
    whole = framed(records)
    ends = [len(framed(records[:count])) for count in range(len(records) + 1)]
    for length in [*range(len(HEADER), 40), *range(ends[2] - 9, len(whole))]:
        reading = read_records(written(tmp_path, whole[:length]))
        complete = max(count for count, end in enumerate(ends) if end <= length)
        assert list(itertools.islice(reading, complete)) == records[:complete]
        if length in ends:
            assert next(reading, None) is None
        else:
            with pytest.raises(DamagedRecordError, match=r"run-a\.wandb: byte \d+: the file ends within a record"):
                next(reading)


def test_a_changed_byte_is_noticed(tmp_path):
    whole = bytearray(framed([b"first", b"second"]))
    whole[-1] ^= 1
    reading = read_records(written(tmp_path, bytes(whole)))
    assert next(reading) == b"first"
    with pytest.raises(DamagedRecordError, match="byte 19: what was written has another checksum"):
        next(reading)


def test_a_fragment_without_a_beginning_is_noticed(tmp_path):
    data = b"rest"
    last = struct.pack("<IHB", zlib.crc32(bytes([4]) + data), len(data), 4) + data
    with pytest.raises(DamagedRecordError, match="byte 7: a fragment of type 4 does not belong here"):
        list(read_records(written(tmp_path, HEADER + last)))


@pytest.mark.parametrize("content", [b"", b":W&B"])
def test_a_file_that_ends_before_its_first_record_is_damaged(tmp_path, content):
    with pytest.raises(DamagedRecordError, match=f"byte {len(content)}: the file ends before its first record"):
        list(read_records(written(tmp_path, content)))


@pytest.mark.parametrize("content", [b"PK\x03\x04 something else", b":W&B\xe1\xbe\x07 a later version"])
def test_another_file_is_refused(tmp_path, content):
    with pytest.raises(
        ValueError, match=re.escape(f"expected a record file of W&B, which begins with {HEADER!r}, got {content[:7]!r}")
    ):
        list(read_records(written(tmp_path, content)))
