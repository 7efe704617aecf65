"""Whatever W&B's server does, a training ends as it would without, and what was to be sent is kept."""

import json
import logging
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rationalizers import training
from rationalizers.base import Rationalizer
from rationalizers.report import find_runs
from rationalizers.run import partial_of
from rationalizers.tracking import outage, service
from rationalizers.tracking.local import differences, notes_on
from rationalizers.tracking.mirror import summary
from rationalizers.tracking.offline import SUBFOLDER, read_recorded
from rationalizers.training import train
from tests.tracking.kept import kept_by
from tests.tracking.server import Server
from tests.tracking.test_mirror import identity, mirrored_config, train_until_killed

KEY = "a" * 40


@pytest.fixture(autouse=True)
def _quick_report(monkeypatch):
    # Drawing takes longer than training here.
    monkeypatch.setattr(training, "write_report", lambda folder: (folder / "report.html").write_text("<p>short</p>"))


@pytest.fixture(autouse=True)
def _heard(caplog):
    caplog.set_level(logging.INFO, logger="rationalizers")


@pytest.fixture
def server(tracked, monkeypatch):
    with Server() as listening:
        monkeypatch.setenv("WANDB_BASE_URL", listening.address)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield listening


@pytest.fixture
def closed(tracked, monkeypatch):
    """The address of a port that nobody listens on."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.server_close()
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    return f"http://127.0.0.1:{server.server_port}"


def config_of(folder, **changes):
    """Of a server that answers, however busy this machine is."""
    return hasty(folder, mirror={"timeout": 60, "upload_timeout": 60}, **changes)


def hasty(folder, *, mirror=None, **changes):
    """Of a server that is not worth waiting for."""
    return mirrored_config(folder, mirror={"mode": "online", **(mirror or {})}, **{"max_epochs": 1, **changes})


def offline(tracked):
    return [kept for kept in kept_by(tracked) if kept.name.startswith("offline-")]


# The server answers ---------------------------------------------------------------------------------------------------


def test_the_server_gets_epochs_summary_files_and_an_artifact(server, tracked, tmp_path, caplog):
    folder = train(config_of(tmp_path / "some" / "run", max_epochs=2))
    known = identity(folder)
    assert known == {"id": known["id"], "entity": "me", "project": "rationalizers", "url": known["url"]}
    assert known["url"] in caplog.text
    run = server.runs[known["id"]]
    assert (run["groupName"], run["jobType"], run["displayName"]) == ("some/rnp-tiny", "train", "rnp-tiny")
    assert json.loads(run["config"])["seed"]["value"] == 0
    history = server.history[known["id"]]
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [{name: history[step][name] for name in row} for step, row in enumerate(rows)] == rows
    told = json.loads(server.files[f"{known['id']}/wandb-summary.json"])
    assert {name: told[name] for name in summary(folder)} == summary(folder)
    sent = {name.partition("/")[2]: content for name, content in server.files.items() if f"{known['id']}/{SUBFOLDER}/" in name}
    small = ("config.yaml", "metrics.json", "metrics.jsonl", "timing.json", "rationales.jsonl", "predictions.jsonl", "wandb.json")
    assert sent == {f"{SUBFOLDER}/{name}": (folder / name).read_bytes() for name in small}
    artifact = server.artifacts["rnp-tiny"]
    assert (artifact["artifactTypeName"], json.loads(artifact["metadata"])["method"]) == (SUBFOLDER, "rnp")
    carried = {name.partition("/")[2]: content for name, content in server.files.items() if name.startswith("rnp-tiny/")}
    (copy,) = find_runs(tracked)
    assert carried == {file.relative_to(copy).as_posix(): file.read_bytes() for file in copy.rglob("*") if file.is_file()}
    assert {"model.safetensors", "assets/vocabulary.json"} <= set(carried)


def test_a_killed_run_goes_on_on_the_server(server, tracked, tmp_path):
    train_until_killed(config_of(tmp_path / "run", max_epochs=3), epoch=2)
    known = identity(partial_of(tmp_path / "run"))["id"]
    assert sorted(server.history[known]) == [0, 1]
    before = json.dumps(server.history[known])
    folder = train(config_of(tmp_path / "run", max_epochs=3))
    assert list(server.runs) == [known]
    assert sorted(server.history[known]) == [0, 1, 2, 3]
    assert json.dumps({step: server.history[known][step] for step in (0, 1)}) == before
    assert identity(folder)["id"] == known


@pytest.mark.slow
def test_progress_is_on_the_server_before_the_training_ends(server, tracked, tmp_path, monkeypatch):
    seen = []
    step = Rationalizer.training_step

    def looking(self, batch, place):
        if (self.current_epoch, place) == (1, 0):
            until = time.monotonic() + 20
            while not any(server.history.values()) and time.monotonic() < until:
                time.sleep(0.05)
            seen.extend(list(rows) for rows in server.history.values())
        return step(self, batch, place)

    monkeypatch.setattr(Rationalizer, "training_step", looking)
    train(config_of(tmp_path / "run", max_epochs=2))
    assert seen == [[0]]


# It does not ----------------------------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_waited_for_once(closed, tracked, tmp_path, caplog, monkeypatch):
    asked = []
    connect = service.connect
    monkeypatch.setattr(service, "connect", lambda timeout: asked.append(timeout) or connect(timeout))
    first = train(hasty(tmp_path / "runs" / "first"))
    assert len(asked) == 1
    assert "W&B: no run is opened at" in caplog.text
    assert outage.remembered(tmp_path / "runs", closed) is not None
    caplog.clear()
    second = train(hasty(tmp_path / "runs" / "second", seed=1))
    assert len(asked) == 1
    assert f"{closed} did not answer at" in caplog.text
    assert "not asked again for an hour" in caplog.text
    # Nothing is lost, and nothing is left of the attempt.
    kept = kept_by(tracked)
    assert kept == offline(tracked)
    for kept, folder in zip(offline(tracked), (first, second), strict=True):
        assert [*differences(read_recorded(kept), folder)] == []
        assert f"wandb sync {kept}" in caplog.text or folder == first
    assert notes_on(tracked) == []


def test_an_outage_elsewhere_or_long_ago_is_no_reason_not_to_ask(server, tracked, tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    outage.remember(runs, "http://elsewhere", "gone")
    folder = train(config_of(runs / "run"))
    assert identity(folder)["url"] is not None
    assert not (runs / outage.FILE).exists()  # it answers


def test_a_login_that_is_refused_is_a_warning_and_asked_again(server, tracked, tmp_path, caplog):
    server.status = 401
    folder = train(hasty(tmp_path / "run"))
    (kept,) = kept_by(tracked)
    assert [*differences(read_recorded(kept), folder)] == []
    assert "W&B: no run is opened at" in caplog.text
    assert outage.remembered(tmp_path, server.address) is None


def test_no_key_and_no_terminal_is_a_warning(tracked, tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = train(hasty(tmp_path / "run"))
    (kept,) = kept_by(tracked)
    assert [*differences(read_recorded(kept), folder)] == []
    assert "No API key configured" in caplog.text


def test_a_server_that_never_answers_is_not_waited_for_forever(tracked, tmp_path, monkeypatch):
    class Silent(BaseHTTPRequestHandler):
        def do_POST(self):
            time.sleep(30)

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    listening.daemon_threads = True
    threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{listening.server_port}")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    folder = train(hasty(tmp_path / "run"))
    listening.shutdown()
    listening.server_close()
    (kept,) = kept_by(tracked)
    assert [*differences(read_recorded(kept), folder)] == []
    assert outage.remembered(tmp_path, f"http://127.0.0.1:{listening.server_port}") is not None


def test_a_server_that_goes_away_stops_nothing_and_everything_is_kept(server, tracked, tmp_path, monkeypatch, caplog):
    step = Rationalizer.training_step

    def dying(self, batch, place):
        if (self.current_epoch, place) == (1, 0):
            server.stop()
        return step(self, batch, place)

    monkeypatch.setattr(Rationalizer, "training_step", dying)
    folder = train(hasty(tmp_path / "run", max_epochs=3))
    (kept,) = kept_by(tracked)
    assert f"wandb sync {kept}" in caplog.text
    assert outage.remembered(tmp_path, server.address) is not None
    assert [*differences(read_recorded(kept), folder)] == []
    assert len(find_runs(tracked)) == 1


def test_what_was_kept_can_be_sent_later(server, tracked, tmp_path, monkeypatch):
    """`wandb sync` itself reads what an offline run left, artifact included."""
    from tests.tiny import fresh_process

    folder = train(mirrored_config(tmp_path / "run", max_epochs=2))
    assert server.runs == {}
    (kept,) = offline(tracked)
    done = fresh_process(["-m", "wandb", "sync", str(kept)], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    known = identity(folder)["id"]
    assert sorted(server.history[known]) == [0, 1, 2]
    assert server.files["rnp-tiny/model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert server.files[f"{known}/{SUBFOLDER}/metrics.json"] == (folder / "metrics.json").read_bytes()
    assert "rnp-tiny" in server.artifacts
