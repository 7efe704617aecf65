import hashlib
import io
import logging
import re
import socket
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rationalizers.data import download
from rationalizers.data.download import Resuming, data_root, fetch
from rationalizers.data.eraser import Eraser

pytest.importorskip("pooch", reason="the extra 'data' is not installed")
pytest.importorskip("requests", reason="the extra 'data' is not installed")


def tar(members):
    """A compressed archive of files by name; a name ending in @ is a link to its content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name.removesuffix("@"))
            if name.endswith("@"):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content.encode())
                archive.addfile(member, io.BytesIO(content.encode()))
    return buffer.getvalue()


LINE = '{"annotation_id": "r1", "classification": "True", "evidences": [], "query": "q", "docids": ["d"]}\n'
# Random bytes do not compress: the archive spans several chunks.
FILLER = hashlib.shake_256(b"filler").hexdigest(100_000)
BOOLQ = tar({"boolq/docs/d": "some words", "boolq/test.jsonl": LINE, "boolq/filler": FILLER})


class Server(ThreadingHTTPServer):
    """Serves `body` for every path but /none; its attributes make it misbehave."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.etag = BOOLQ, '"first"'
        self.ranges = True  # honours Range
        self.stop_after = None  # closes the connection after so many bytes
        self.shift = 0  # answers a range that starts elsewhere
        self.chunked = False  # does not say how long the body is
        self.asked = []  # Range header and status of every request
        self.sent = 0

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/zipped/"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        begin = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and server.ranges else 0
        if self.headers.get("If-Range", server.etag) != server.etag:
            begin = 0
        status = 404 if "/none" in self.path else 200 if not begin else 206 if begin < len(server.body) else 416
        server.asked.append((wanted, status))
        begin = begin + server.shift if status == 206 else begin
        self.send_response(status)
        body = server.body[begin:] if status in (200, 206) else b""
        if status == 206:
            self.send_header("Content-Range", f"bytes {begin}-{len(server.body) - 1}/{len(server.body)}")
        if status == 416:
            self.send_header("Content-Range", f"bytes */{len(server.body)}")
        if server.etag:
            self.send_header("ETag", server.etag)
        if not server.chunked:
            self.send_header("Content-Length", str(len(body)))
        # Some servers take .tar.gz for a compressed .tar; undoing that would change the checksum.
        self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        body = body if server.stop_after is None else body[: server.stop_after]
        self.wfile.write(body)
        server.sent += len(body)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def get(server, root, name="boolq"):
    return fetch(name, root, address=server.address, progress=False)


def interrupt(server, root, after=70_000):
    server.stop_after = after
    with pytest.raises(ConnectionError, match=rf"boolq\.tar\.gz broke off after {after} .*run again to continue"):
        get(server, root)
    server.stop_after = None
    part = root / "eraser" / "boolq.tar.gz.part"
    assert part.read_bytes() == server.body[:after]
    assert not (root / "eraser" / "boolq").exists()
    return part


def test_a_set_is_fetched_unpacked_and_readable(server, tmp_path):
    folder = get(server, tmp_path)
    assert folder == tmp_path / "eraser" / "boolq"
    assert (folder / "test.jsonl").read_text() == LINE
    source = Eraser(name="boolq", root=str(tmp_path), splits={"train": None, "val": None}, download=False)
    assert source.load().splits["test"][0].words == ("some", "words")
    assert sorted(path.name for path in folder.parent.iterdir()) == ["SHA256SUMS", "boolq", "boolq.tar.gz"]


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    get(server, tmp_path)
    get(server, tmp_path)
    assert len(server.asked) == 1


def test_a_transfer_resumes_at_the_byte_it_stopped_at(server, tmp_path):
    interrupt(server, tmp_path)
    get(server, tmp_path)
    assert server.asked == [(None, 200), ("bytes=70000-", 206)]
    assert server.sent == len(BOOLQ)
    assert (tmp_path / "eraser" / "boolq.tar.gz").read_bytes() == BOOLQ
    assert not list((tmp_path / "eraser").glob("*.part*"))


def test_a_transfer_can_break_off_twice(server, tmp_path):
    interrupt(server, tmp_path)
    server.stop_after = 20_000
    with pytest.raises(ConnectionError, match=rf"after 90000 of {len(BOOLQ)} bytes"):
        get(server, tmp_path)
    server.stop_after = None
    get(server, tmp_path)
    assert [wanted for wanted, _ in server.asked] == [None, "bytes=70000-", "bytes=90000-"]
    assert server.sent == len(BOOLQ)


def test_a_server_that_ignores_ranges_sends_everything_again(server, tmp_path):
    interrupt(server, tmp_path)
    server.ranges = False
    get(server, tmp_path)
    assert server.asked[-1] == ("bytes=70000-", 200)
    assert (tmp_path / "eraser" / "boolq.tar.gz").read_bytes() == BOOLQ


def test_halves_of_two_versions_are_never_joined(server, tmp_path):
    interrupt(server, tmp_path)
    server.etag = '"second"'
    server.body = tar({"boolq/docs/d": "other words", "boolq/test.jsonl": LINE, "boolq/filler": FILLER[::-1]})
    get(server, tmp_path)
    assert server.asked[-1] == ("bytes=70000-", 200)
    assert (tmp_path / "eraser" / "boolq" / "docs" / "d").read_text() == "other words"


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_mark_of_the_version_nothing_is_resumed(server, tmp_path, etag):
    server.etag = etag
    interrupt(server, tmp_path)
    get(server, tmp_path)
    assert server.asked == [(None, 200), (None, 200)]


def test_a_part_that_is_complete_is_used(server, tmp_path):
    part = interrupt(server, tmp_path)
    part.write_bytes(BOOLQ)
    get(server, tmp_path)
    assert server.asked[1:] == [(f"bytes={len(BOOLQ)}-", 416)]


def test_a_part_that_is_too_long_is_dropped(server, tmp_path):
    part = interrupt(server, tmp_path)
    part.write_bytes(BOOLQ + b"more")
    get(server, tmp_path)
    assert server.asked[1:] == [(f"bytes={len(BOOLQ) + 4}-", 416), (None, 200)]
    assert (tmp_path / "eraser" / "boolq.tar.gz").read_bytes() == BOOLQ


def test_a_range_that_starts_elsewhere_is_not_appended(server, tmp_path):
    interrupt(server, tmp_path)
    server.shift = -5
    get(server, tmp_path)
    assert server.asked[1:] == [("bytes=70000-", 206), (None, 200)]
    assert (tmp_path / "eraser" / "boolq.tar.gz").read_bytes() == BOOLQ


def test_a_body_of_unknown_length_is_read_to_its_end(server, tmp_path):
    server.chunked = True
    assert (get(server, tmp_path) / "test.jsonl").exists()


def test_the_first_checksum_is_trusted_recorded_and_said(server, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="rationalizers"):
        get(server, tmp_path)
    checksum = hashlib.sha256(BOOLQ).hexdigest()
    assert (tmp_path / "eraser" / "SHA256SUMS").read_text() == f"{checksum}  boolq.tar.gz\n"
    (warning,) = caplog.messages
    assert warning.startswith("No checksum is known for")
    assert checksum in warning


def test_a_recorded_checksum_is_verified_afterwards(server, tmp_path):
    folder = tmp_path / "eraser"
    folder.mkdir()
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  boolq.tar.gz\n{'1' * 64}  fever.tar.gz\n")
    with pytest.raises(ValueError, match=r"checksum of .*boolq\.tar\.gz is not the one recorded in .*SHA256SUMS.*expected 000"):
        get(server, tmp_path)
    assert [path.name for path in folder.iterdir()] == ["SHA256SUMS"]


def test_a_published_set_has_a_known_checksum(server, tmp_path):
    with pytest.raises(ValueError, match=r"is not the known one .*expected 66e18d4e6c9df9e9"):
        get(server, tmp_path, "movies")
    assert list((tmp_path / "eraser").iterdir()) == []


def test_an_archive_put_there_by_hand_is_used(server, tmp_path):
    (tmp_path / "eraser").mkdir()
    (tmp_path / "eraser" / "boolq.tar.gz").write_bytes(BOOLQ)
    get(server, tmp_path)
    assert server.asked == []


@pytest.mark.parametrize(
    "member",
    [{"../escaped": "x"}, {"boolq/../../escaped": "x"}, {"boolq/link@": "/etc"}, {"boolq/link@": "../../escaped"}],
)
def test_members_that_point_out_of_the_folder_are_refused(server, tmp_path, member):
    server.body = tar({"boolq/test.jsonl": LINE, **member})
    with pytest.raises(ValueError, match=r"boolq\.tar\.gz cannot be unpacked \(.*(outside|absolute)"):
        get(server, tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    # Neither trusted nor half unpacked.
    assert [path.name for path in (tmp_path / "data" / "eraser").iterdir()] == ["boolq.tar.gz"]


@pytest.mark.parametrize("body", [b"<html>moved</html>", BOOLQ[:60_000]])
def test_what_is_not_a_whole_archive_is_refused(server, tmp_path, body):
    server.body = body
    with pytest.raises(ValueError, match=r"cannot be unpacked .*remove it and download it again"):
        get(server, tmp_path)
    assert not (tmp_path / "eraser" / "SHA256SUMS").exists()


def test_an_archive_of_another_set_is_refused(server, tmp_path):
    server.body = tar({"cose/test.jsonl": LINE})
    with pytest.raises(ValueError, match=r"should hold boolq/\*\.jsonl, it holds cose"):
        get(server, tmp_path)


def test_a_set_the_server_does_not_have_is_an_error_with_a_way_out(server, tmp_path):
    way_out = rf"not at {tmp_path}/eraser/none; download {server.address}none\.tar\.gz by hand.*RATIONALIZERS_DATA.*404"
    with pytest.raises(FileNotFoundError, match=way_out):
        get(server, tmp_path, "none")


def test_no_connection_is_an_error_with_a_way_out(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        with pytest.raises(FileNotFoundError, match=r"download .*boolq\.tar\.gz by hand.*RATIONALIZERS_DATA"):
            fetch("boolq", tmp_path, address=address, progress=False)


@pytest.mark.parametrize("name", ["../x", "a/b", "", "a.b"])
def test_names_cannot_leave_the_folder(tmp_path, name):
    with pytest.raises(ValueError, match="'name' must consist of"):
        fetch(name, tmp_path)


def test_a_progress_bar_goes_to_standard_error(server, tmp_path, capsys):
    fetch("boolq", tmp_path, address=server.address)
    out, err = capsys.readouterr()
    assert out == ""
    assert "boolq.tar.gz: 100%" in err


def test_the_downloader_says_whether_a_file_can_be_had(server, tmp_path, monkeypatch):
    monkeypatch.setattr(Handler, "do_HEAD", Handler.do_GET, raising=False)
    server.body = b""
    downloader = Resuming(tmp_path / "x.part", progress=False)
    assert downloader(f"{server.address}some", "", None, check_only=True)
    assert not downloader(f"{server.address}none", "", None, check_only=True)


@pytest.mark.parametrize("module", ["pooch", "requests"])
def test_a_missing_extra_names_its_command(tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf'{module} is not installed.*pip install "rationalizers\[data\]"'):
        fetch("boolq", tmp_path)


def test_a_python_without_safe_unpacking_says_so(server, tmp_path, monkeypatch):
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(ValueError, match=r"cannot unpack .* safely.*3\.11\.4"):
        get(server, tmp_path)


def test_the_root_is_the_argument_then_the_environment_then_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RATIONALIZERS_DATA", str(tmp_path))
    assert data_root("elsewhere").name == "elsewhere"
    assert data_root() == tmp_path
    monkeypatch.setenv("RATIONALIZERS_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_root().name == "rationalizers"


def test_reading_an_absent_set_fetches_it(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download.fetch, "__kwdefaults__", {"address": server.address, "progress": False})
    source = Eraser(name="boolq", root=str(tmp_path), splits={"train": None, "val": None})
    assert source.load().splits["test"][0].words == ("some", "words")
    assert server.asked == [(None, 200)]
