"""Where a model comes from: explicit prefixes, what is fetched, and what is said when it cannot be; without any network."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import wandb

pytest.importorskip("huggingface_hub")

import httpx2
import huggingface_hub
from huggingface_hub import errors

from rationalizers.source import PICKLED, from_hub, locate

FILES = {
    "config.yaml": "format: 2",
    "model.safetensors": "weights",
    "assets/vocabulary.json": "[]",
    "assets/tokenizer/tokenizer.json": "{}",
    "assets/vocabulary.pkl": "bomb",
    "last.ckpt": "bomb",
    "model.bin": "bomb",
    "metrics.json": "{}",
    "report.html": "long",
    "README.md": "card",
}
WANTED = ["assets/tokenizer/tokenizer.json", "assets/vocabulary.json", "config.yaml", "model.safetensors"]


def kept(folder):
    return sorted(file.relative_to(folder).as_posix() for file in Path(folder).rglob("*") if file.is_file())


def write(folder, name, text):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


# Folders --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_network(monkeypatch):
    def called(*_, **__):
        pytest.fail("a server was asked")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", called)
    monkeypatch.setattr(wandb, "Api", called)


def test_a_folder_is_a_folder(tmp_path, no_network, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me" / "name").mkdir(parents=True)
    for source in (tmp_path, str(tmp_path), "me/name", Path("me/name")):
        assert locate(source) == Path(source)


def test_a_path_with_the_name_of_a_source_is_a_folder(no_network):
    assert locate(Path("hub:me/name")) == Path("hub:me/name")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("runs/rpn-toy_text-s0", "^runs/rpn-toy_text-s0 is not a run folder: .* is hub:runs/rpn-toy_text-s0$"),
        ("me/name", "^me/name is not a run folder: .* a repository of the Hugging Face Hub is hub:me/name$"),
        (
            "hf:me/name",
            "^hf:me/name is not a run folder; other sources are hub:owner/name and wandb:entity/project/name:version$",
        ),
    ],
)
def test_a_mistyped_folder_is_no_request_and_gets_a_hint(tmp_path, no_network, monkeypatch, source, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=message):
        locate(source)


@pytest.mark.parametrize("source", ["hub:", "hub:name", "hub:a/b/c", "hub:me/..", "hub:me/na me", "hub:/name", "hub:me/name@"])
def test_the_hub_is_asked_for_owner_and_name_only(no_network, source):
    with pytest.raises(ValueError, match="expected"):
        locate(source)


@pytest.mark.parametrize(
    "source", ["wandb:", "wandb:me/name:v0", "wandb:me/project/name", "wandb:../../name:v0", "wandb:a/b/c:.."]
)
def test_an_artifact_has_entity_project_name_and_version(no_network, source):
    with pytest.raises(ValueError, match="expected entity/project/name:version"):
        locate(source)


# The Hugging Face Hub -------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with one repository, that selects files as the real one does."""
    asked = SimpleNamespace(files=dict(FILES), calls=[])

    def snapshot_download(repo_id, *, allow_patterns, ignore_patterns, **settings):
        asked.calls.append((repo_id, settings))
        chosen = huggingface_hub.utils.filter_repo_objects(
            asked.files, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns
        )
        folder = tmp_path / "snapshot"
        folder.mkdir()
        for name in chosen:
            write(folder, name, asked.files[name])
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def test_only_what_loading_reads_is_fetched(hub):
    folder = locate("hub:me/name")
    assert kept(folder) == WANTED
    ((repository, settings),) = hub.calls
    assert repository == "me/name"
    assert settings["revision"] is None
    assert settings["library_name"] == "rationalizers"


def test_a_revision_is_a_branch_a_tag_or_a_commit(hub):
    locate("hub:me/name@refs/pr/1")
    assert hub.calls[0][1]["revision"] == "refs/pr/1"


def test_settings_of_the_hub_reach_it(hub, tmp_path):
    settings = {"token": "t", "cache_dir": tmp_path, "force_download": True, "local_files_only": True}
    from_hub("me/name", **settings)
    assert {name: hub.calls[0][1][name] for name in settings} == settings


def test_a_repository_without_a_run_is_refused(hub):
    del hub.files["config.yaml"]
    with pytest.raises(FileNotFoundError, match=r"me/name on the Hugging Face Hub holds no rationalizer: it has no config\.yaml"):
        locate("hub:me/name")


def answer(status):
    return SimpleNamespace(status_code=status, headers={}, request=None)


@pytest.mark.parametrize(
    ("raised", "error", "message"),
    [
        (
            errors.RepositoryNotFoundError("401", response=answer(401)),
            FileNotFoundError,
            "shows no repository me/name: .*hf auth login",
        ),
        (errors.GatedRepoError("403", response=answer(403)), FileNotFoundError, "or is private or gated"),
        (errors.RevisionNotFoundError("404", response=answer(404)), FileNotFoundError, "me/name .* has no revision 'v9'"),
        (
            errors.LocalEntryNotFoundError("refused"),
            ConnectionError,
            r"cannot be reached and me/name \(revision v9\) is not in the cache; connect and load it once, .* \(refused\)$",
        ),
        (errors.HfHubHTTPError("bad token", response=answer(401)), PermissionError, "log in .hf auth login.*bad token"),
        (httpx2.ProxyError("no proxy"), ConnectionError, "does not give me/name .revision v9.: no proxy"),
        (errors.HfHubHTTPError("too many requests", response=answer(429)), ConnectionError, "too many requests"),
    ],
)
def test_what_the_hub_refuses_is_said_with_a_remedy(monkeypatch, raised, error, message):
    def refuse(*_, **__):
        raise raised

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(error, match=message):
        locate("hub:me/name@v9")


def test_the_real_client_without_a_network_finds_nothing_in_an_empty_cache(tmp_path):
    with pytest.raises(ConnectionError, match=r"was not asked and me/name is not in the cache"):
        from_hub("me/name", cache_dir=tmp_path, local_files_only=True)


def test_the_real_client_gives_what_is_in_its_cache_without_a_network(tmp_path):
    # As huggingface_hub lays it out: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--me--name"
    write(repository, "refs/main", commit)
    write(repository, f"snapshots/{commit}/config.yaml", "format: 2")
    assert from_hub("me/name", cache_dir=tmp_path, local_files_only=True) == repository / "snapshots" / commit


def test_without_the_client_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=re.escape('pip install "rationalizers[text]"')):
        locate("hub:me/name")


# Weights & Biases -----------------------------------------------------------------------------------------------------


class Artifact:
    """As `wandb.Artifact` gives what it holds."""

    def __init__(self, version):
        self.type, self.version, self.got = "rationalizer", version, []
        self.manifest = SimpleNamespace(entries=dict(FILES))

    def get_entry(self, name):
        def download(root):
            self.got.append(name)
            write(Path(root), name, self.manifest.entries[name])

        return SimpleNamespace(download=download)


@pytest.fixture
def service(tmp_path, monkeypatch):
    """Weights & Biases with one artifact."""
    found = SimpleNamespace(artifact=Artifact("v3"), asked=[], error=None)

    class Api:
        def artifact(self, name):
            if found.error:
                raise found.error
            found.asked.append(name)
            return found.artifact

    monkeypatch.setattr(wandb, "Api", Api)
    monkeypatch.setenv("RATIONALIZERS_CACHE", str(tmp_path / "cache"))
    return found


def test_an_artifact_is_fetched_into_the_cache_as_far_as_loading_reads_it(service, tmp_path):
    folder = locate("wandb:me/project/rnp-toy:latest")
    assert folder == tmp_path / "cache" / "wandb" / "me" / "project" / "rnp-toy" / "v3"
    assert service.asked == ["me/project/rnp-toy:latest"]
    assert kept(folder) == sorted(service.artifact.got) == WANTED
    assert [each.name for each in folder.parent.iterdir()] == ["v3"]


def test_a_numbered_version_is_asked_for_once_and_an_alias_every_time(service):
    folder = locate("wandb:me/project/rnp-toy:latest")
    service.error = wandb.errors.CommError("no network")
    assert locate("wandb:me/project/rnp-toy:v3") == folder
    with pytest.raises(ConnectionError):
        locate("wandb:me/project/rnp-toy:latest")
    service.error, service.artifact = None, Artifact("v4")
    assert locate("wandb:me/project/rnp-toy:latest").name == "v4"
    service.artifact.got.clear()
    assert locate("wandb:me/project/rnp-toy:latest").name == "v4"
    assert service.artifact.got == []


def test_an_artifact_of_another_type_is_refused(service):
    service.artifact.type = "dataset"
    with pytest.raises(
        ValueError, match="me/project/a:v3 is an artifact of type 'dataset', expected 'rationalizer': a run folder"
    ):
        locate("wandb:me/project/a:v3")


def test_an_artifact_without_a_run_is_refused(service, tmp_path):
    del service.artifact.manifest.entries["config.yaml"]
    with pytest.raises(FileNotFoundError, match=r"me/project/a:v3 holds no run folder: it has no config\.yaml"):
        locate("wandb:me/project/a:v3")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("raised", "error", "message"),
    [
        (
            wandb.errors.UsageError("No API key"),
            PermissionError,
            r"needs a login .*: wandb login, or WANDB_API_KEY \(No API key\)",
        ),
        (wandb.errors.CommError("not found"), ConnectionError, "does not give me/project/a:v3: not found; check the name"),
        (wandb.errors.AuthenticationError("bad key"), ConnectionError, "bad key; check the name, the network and whose key"),
    ],
)
def test_what_weights_and_biases_refuses_is_said_with_a_remedy(service, raised, error, message):
    service.error = raised
    with pytest.raises(error, match=message):
        locate("wandb:me/project/a:v3")


def test_a_download_that_breaks_off_leaves_nothing(service, monkeypatch):
    def broken(name):
        raise OSError("connection reset")

    whole = service.artifact.get_entry
    monkeypatch.setattr(service.artifact, "get_entry", lambda name: broken(name) if name == "model.safetensors" else whole(name))
    with pytest.raises(OSError, match="connection reset"):
        locate("wandb:me/project/a:v3")
    monkeypatch.setattr(service.artifact, "get_entry", whole)
    assert kept(locate("wandb:me/project/a:v3")) == WANTED


def test_another_process_may_have_fetched_it_meanwhile(service, monkeypatch):
    whole = service.artifact.get_entry

    def slow(name):
        if name == "model.safetensors" and not service.asked[1:]:
            locate("wandb:me/project/a:latest")
        return whole(name)

    monkeypatch.setattr(service.artifact, "get_entry", slow)
    folder = locate("wandb:me/project/a:latest")
    assert kept(folder) == WANTED
    assert [each.name for each in folder.parent.iterdir()] == ["v3"]


@pytest.mark.parametrize("pattern", PICKLED)
def test_nothing_that_may_hold_objects_is_fetched(service, pattern):
    name = f"assets/{pattern.replace('*', 'bomb')}"
    service.artifact.manifest.entries[name] = "bomb"
    assert kept(locate("wandb:me/project/a:v3")) == WANTED
