"""The command that compares runs: where it looks, and what it leaves."""

import subprocess
import sys
from pathlib import Path

from tests.report.run_folders import write_run

ROOT = Path(__file__).resolve().parent.parent.parent


def compared(*overrides):
    command = [sys.executable, "-m", "experiments.report", *overrides]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_runs_of_several_folders_are_compared_on_one_page_and_in_tables(tmp_path):
    for place, method in (("mine", "rnp"), ("yours", "full"), ("yours", "a2r")):
        write_run(tmp_path / place, method=method)
    done = compared(f"runs=[{tmp_path}/mine,{tmp_path}/yours/f*]", f"tables={tmp_path}/tables")
    assert done.returncode == 0, done.stderr
    assert f"report: {tmp_path}/comparison.html" in done.stdout
    assert f"tables: 8 files in {tmp_path}/tables" in done.stdout
    assert "rnp − full" in (tmp_path / "tables" / "differences.md").read_text("utf-8")
    assert "a2r" not in (tmp_path / "comparison.html").read_text("utf-8")


def test_the_page_lies_in_the_folder_that_was_looked_in_and_nothing_is_an_error(tmp_path):
    write_run(tmp_path / "deep")
    assert f"report: {tmp_path}/comparison.html" in compared(f"runs={tmp_path}").stdout
    (tmp_path / "empty").mkdir()
    done = compared(f"runs={tmp_path}/empty")
    assert done.returncode != 0
    assert f"there is no run below {tmp_path}/empty" in done.stderr
