"""Optional dependencies are imported where they are used; a missing one says how to get it."""

import json
import sys

import pytest

from rationalizers.extras import require


def test_an_installed_module_is_returned():
    assert require("json", extra="report") is json
    assert require("xml.dom", extra="report") is sys.modules["xml.dom"]


@pytest.mark.parametrize("module", ["no_such_module", "no_such_module.part", "json.no_such_part"])
def test_a_missing_one_names_itself_and_the_command(module):
    with pytest.raises(ImportError) as caught:
        require(module, extra="report")
    assert str(caught.value) == f'{module} is not installed; it comes with: pip install "rationalizers[report]"'
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_the_extra_is_the_one_asked_for():
    with pytest.raises(ImportError, match=r'pip install "rationalizers\[data\]"$'):
        require("no_such_module", extra="data")


def test_a_blocked_module_counts_as_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pandas is not installed"):
        require("pandas", extra="report")


def test_a_broken_module_keeps_its_own_error_as_the_cause(tmp_path, monkeypatch):
    (tmp_path / "broken_extra.py").write_text("from json import no_such_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError) as caught:
        require("broken_extra", extra="report")
    assert "no_such_name" in str(caught.value.__cause__)
