"""A silence is remembered for an hour, by all runs beside each other."""

import json
import time

import pytest

from rationalizers.tracking import outage

SERVER = "http://127.0.0.1:9"


def test_it_is_remembered_and_forgotten(tmp_path):
    assert outage.remembered(tmp_path, SERVER) is None
    outage.remember(tmp_path, SERVER, "dial tcp:\n connection refused")
    found = outage.remembered(tmp_path, SERVER)
    assert found is not None
    assert found.said() == (
        f"{SERVER} did not answer at {time.strftime('%H:%M', time.localtime(found.time))} (dial tcp: connection refused)"
    )
    assert outage.remembered(tmp_path, "http://elsewhere") is None
    outage.forget(tmp_path)
    outage.forget(tmp_path)
    assert outage.remembered(tmp_path, SERVER) is None


@pytest.mark.parametrize(("age", "honoured"), [(0, True), (3599, True), (3601, False), (-60, False)])
def test_it_is_honoured_for_an_hour(tmp_path, age, honoured):
    outage.remember(tmp_path, SERVER, "gone")
    file = tmp_path / outage.FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), "time": time.time() - age}))
    assert (outage.remembered(tmp_path, SERVER) is not None) == honoured


@pytest.mark.parametrize("content", ["", "[]", '{"server": "x"}', '{"server": "x", "reason": "y", "time": "noon"}'])
def test_a_file_that_holds_something_else_is_told_and_ignored(tmp_path, caplog, content):
    (tmp_path / outage.FILE).write_text(content)
    assert outage.remembered(tmp_path, SERVER) is None
    assert f"{outage.FILE} does not tell when W&B's server did not answer" in caplog.text
