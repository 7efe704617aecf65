"""What reports are asked for by name, and what they say without the packages they need."""

import subprocess
import sys

import pytest

from rationalizers import report
from tests.report.run_folders import write_run


def test_every_name_is_there():
    assert all(callable(getattr(report, name)) for name in report.__all__)


def test_nothing_heavy_is_imported_before_a_report_is_written():
    heavy = "sorted({'torch', 'pandas', 'matplotlib', 'scipy', 'jinja2'} & set(sys.modules))"
    code = f"import sys, rationalizers.report; print(*{heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("module", ["jinja2", "matplotlib"])
def test_a_missing_package_is_named_with_the_remedy(tmp_path, monkeypatch, module):
    folder = write_run(tmp_path)
    report.highlight(["a"], [])
    from rationalizers.report.page import _environment

    _environment.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf'{module}.* is not installed; .*pip install "rationalizers\[report\]"'):
        report.write_report(folder)
    assert not (folder / "report.html").exists()
