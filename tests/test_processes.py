"""Several processes: they wait for the first, tell what happens through the one that started them, and fail together."""

import json
import os
import subprocess
import sys
import time

import pytest
import torch

from rationalizers import processes
from tests.members import LAUNCH, together
from tests.tiny import ROOT, fresh_process


def test_alone_a_process_is_the_first_and_waits_for_nobody():
    assert (processes.rank(), processes.count()) == (0, 1)
    with processes.first_before_others():
        assert processes.anywhere([True, False], device=torch.device("cpu")) == [True, False]


def test_others_wait_for_the_first(tmp_path):
    together("take_turns", {"file": str(tmp_path / "file")}, cwd=tmp_path)


def test_a_failure_of_one_ends_all_and_is_told(tmp_path):
    with pytest.raises(AssertionError, match="ValueError: what went wrong"):
        together("fail", {}, cwd=tmp_path)


def test_what_the_first_logs_and_warnings_of_all_are_logged_by_the_process_that_started_them(tmp_path):
    script = "import logging\nlogging.basicConfig(format='told: %(message)s')\n"
    script += "logging.getLogger('rationalizers').setLevel(logging.INFO)\n" + LAUNCH
    done = fresh_process(["-c", script], cwd=tmp_path, stdin='{"function": "tell", "config": {}}')
    told = sorted(line for line in done.stderr.splitlines() if line.startswith("told: "))
    assert told == ["told: INFO of 0", "told: WARNING of 0", "told: WARNING of 1"]


def test_nothing_goes_on_when_the_process_that_started_them_is_killed(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    given = json.dumps({"function": "wait_forever", "config": {"folder": str(tmp_path)}})
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", LAUNCH], env=environment, text=True, **pipes) as started:
        started.stdin.write(given)
        started.stdin.close()
        began = time.monotonic()
        while len(list(tmp_path.iterdir())) < 2:
            assert time.monotonic() - began < 100
            time.sleep(0.1)
        started.kill()
        started.stdin = None
        # The pipe ends with the last process that holds it.
        started.communicate(timeout=20)
