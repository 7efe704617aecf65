"""Runs of a W&B project are brought here, and compared as the folders are that they mirror."""

import base64
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from wandb.errors import CommError

from rationalizers.report import compare
from rationalizers.tracking.project import download_runs
from rationalizers.tracking.service import connect
from tests.report.run_folders import mean_of, write_evaluation, write_run

PROJECT = "me/rationalizers"


@dataclass
class File:
    """As `wandb.apis.public.File`."""

    name: str
    content: bytes
    downloads: list[str] = field(default_factory=list)

    @property
    def md5(self):
        return base64.b64encode(hashlib.md5(self.content).digest()).decode()

    def download(self, root, replace):
        assert replace
        self.downloads.append(self.name)
        place = Path(root) / self.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(self.content)
        return place.open()


@dataclass
class Run:
    """As `wandb.apis.public.Run`."""

    id: str
    name: str
    state: str
    kept: list[File]

    def files(self):
        return iter(self.kept)


@dataclass
class Api:
    """As `wandb.Api`."""

    found: list[Run]
    asked: list[tuple[str, dict]] = field(default_factory=list)

    def runs(self, path, filters):
        self.asked.append((path, filters))
        return iter(self.found)


def uploaded(folder, id):
    files = [
        File(f"rationalizer/{file.relative_to(folder).as_posix()}", file.read_bytes())
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    ]
    return Run(
        id, folder.name, "finished", [*files, File("config.yaml", b"wandb_version: 1\n"), File("media/table/x.json", b"{}")]
    )


@pytest.fixture
def folders(tmp_path):
    found = [write_run(tmp_path / "runs", method=method, seed=seed) for method in ("full", "rnp") for seed in (0, 1)]
    for folder in found:
        write_evaluation(folder, {"accuracy": mean_of([1.0] * 8)})
    return found


@pytest.fixture
def api(folders):
    return Api([uploaded(folder, f"id{place}") for place, folder in enumerate(folders)])


def test_they_are_compared_as_the_folders_are(api, folders, tmp_path):
    brought, notes = download_runs(api, PROJECT, {"group": "a/b"}, tmp_path / "cache")
    assert api.asked == [(PROJECT, {"group": "a/b"})]
    assert notes == []
    assert [folder.relative_to(tmp_path) for folder in brought] == [
        Path("cache", "wandb", "me", "rationalizers", f"id{place}", "rationalizer") for place in range(4)
    ]
    assert compare(brought).to_text() == compare(folders).to_text()


def test_what_is_here_and_the_same_is_not_brought_again(api, tmp_path):
    first, _ = download_runs(api, PROJECT, {}, tmp_path)
    everything = [file for run in api.found for file in run.kept]
    for file in everything:
        file.downloads.clear()
    changed = next(file for file in api.found[2].kept if file.name.endswith("timing.json"))
    changed.content = b'{"fit_seconds": 1, "seconds_per_epoch": 1}'
    second, _ = download_runs(api, PROJECT, {}, tmp_path)
    assert second == first
    assert [name for file in everything for name in file.downloads] == [changed.name]
    assert (second[2] / "timing.json").read_bytes() == changed.content


def test_only_what_a_comparison_reads_is_brought_and_only_to_its_place(api, tmp_path):
    stranger = api.found[0].kept
    bad = (
        "rationalizer/../../../evil.json",
        "rationalizer/evaluation/../../x.json",
        "/rationalizer/metrics.json",
        "rationalizer\\..\\x",
    )
    stranger += [
        File(name, b"bad") for name in (*bad, "rationalizer/model.safetensors", "rationalizer/sub/metrics.json", "metrics.json")
    ]
    download_runs(api, PROJECT, {}, tmp_path / "cache")
    brought = {file.relative_to(tmp_path / "cache" / "wandb" / PROJECT / "id0").as_posix() for file in _files(tmp_path, "id0")}
    assert all(re.fullmatch(r"rationalizer/(\w+\.(yaml|jsonl?)|evaluation/[\w.-]+)", name) for name in brought)
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and file.read_bytes() == b"bad"]


def _files(tmp_path, id):
    return [file for file in (tmp_path / "cache" / "wandb" / PROJECT / id).rglob("*") if file.is_file()]


def test_unfinished_runs_are_left_out_with_a_note(api, tmp_path):
    api.found[0] = Run("idx", "rnp-toy-s7", "crashed", [File("rationalizer/config.yaml", b"")])
    brought, notes = download_runs(api, PROJECT, {}, tmp_path)
    assert len(brought) == 3
    assert notes == ["rnp-toy-s7 (crashed) was left out: no finished run folder is among its files on W&B."]


def test_what_cannot_be_compared_is_said(api, tmp_path, monkeypatch):
    for project in ("rationalizers", "a/b/c", "/b", ""):
        with pytest.raises(ValueError, match=f"'wandb' must be entity/project, got '{project}'"):
            download_runs(api, project, {}, tmp_path)
    with pytest.raises(
        ValueError, match=re.escape("me/rationalizers has no finished runs that match {'group': 'x'} (0 others).")
    ):
        download_runs(Api([]), PROJECT, {"group": "x"}, tmp_path)

    def unknown(*_, **__):
        raise ValueError("Could not find project rationalizers")

    monkeypatch.setattr(api, "runs", unknown, raising=False)
    with pytest.raises(ValueError, match="W&B knows no 'me/rationalizers': Could not find project"):
        download_runs(api, PROJECT, {}, tmp_path)

    def gone(*_, **__):
        raise CommError("the server is gone")

    monkeypatch.setattr(api, "runs", gone)
    with pytest.raises(ConnectionError, match="me/rationalizers cannot be read from W&B: the server is gone"):
        download_runs(api, PROJECT, {}, tmp_path)


def test_nobody_who_is_not_logged_in_gets_an_answer(tracked, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConnectionError, match=r"W&B cannot be asked at http.*No API key configured.*\(to log in: wandb login\)"):
        connect(2)
