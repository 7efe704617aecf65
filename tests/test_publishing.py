"""A trained model written as a run folder and pushed: the same model comes back, with a card that says what it is."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml

pytest.importorskip("huggingface_hub")

import httpx2
import huggingface_hub
from huggingface_hub import errors, hub_mixin

from rationalizers.load import Trained, load_rationalizer
from rationalizers.model_card import trusted
from tests.tiny import finished_run

TEXTS = ["A superb story.", "the film , dull and bleak ."]
SAVED = ["README.md", "assets/vocabulary.json", "config.yaml", "metrics.json", "model.safetensors"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run; nobody may change it."""
    return finished_run(tmp_path_factory.mktemp("runs") / "run", max_epochs=1)


def kept(folder):
    return sorted(file.relative_to(folder).as_posix() for file in Path(folder).rglob("*") if file.is_file())


class Api:
    """Of huggingface_hub, a hub that keeps what is uploaded in a folder; repositories without an owner are those of ``me``."""

    def __init__(self, root):
        self.root, self.calls = root, []

    def __call__(self, token=None):
        self.calls.append({"token": token})
        return self

    def create_repo(self, repo_id, private, exist_ok):
        self.calls.append({"private": private, "exist_ok": exist_ok})
        return huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id if '/' in repo_id else f'me/{repo_id}'}")

    def upload_folder(self, *, repo_id, folder_path, **settings):
        self.calls.append(settings)
        shutil.copytree(folder_path, self.root / repo_id)
        return f"https://huggingface.co/{repo_id}/commit/1"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    api = Api(tmp_path / "hub")
    monkeypatch.setattr(hub_mixin, "HfApi", api)

    def snapshot_download(repo_id, **_):
        return str(api.root / repo_id)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return api


# A folder -------------------------------------------------------------------------------------------------------------


def test_what_is_saved_is_the_model_that_was_loaded(folder, tmp_path):
    ours = load_rationalizer(folder)
    ours.save_pretrained(tmp_path / "deep" / "copy")
    assert kept(tmp_path / "deep" / "copy") == SAVED
    theirs = load_rationalizer(tmp_path / "deep" / "copy")
    assert [found.record() for found in theirs(TEXTS)] == [found.record() for found in ours(TEXTS)]
    assert theirs.config == ours.config
    for name in ("model.safetensors", "metrics.json", "config.yaml", "assets/vocabulary.json"):
        assert (tmp_path / "deep" / "copy" / name).read_bytes() == (folder / name).read_bytes(), name


def test_what_changed_in_memory_is_saved(folder, tmp_path):
    ours = load_rationalizer(folder)
    with torch.no_grad():
        ours.model.predictor.head.bias.add_(3.0)
    ours.save_pretrained(str(tmp_path / "copy"))
    theirs = load_rationalizer(tmp_path / "copy")
    assert theirs.model.predictor.head.bias.equal(ours.model.predictor.head.bias)


def test_a_model_without_a_folder_has_no_numbers(folder, tmp_path):
    ours = load_rationalizer(folder)
    Trained(ours.model, ours.featurizer, ours.config).save_pretrained(tmp_path / "copy")
    assert kept(tmp_path / "copy") == [name for name in SAVED if name != "metrics.json"]
    assert "They are not kept with this model." in (tmp_path / "copy" / "README.md").read_text("utf-8")


def test_it_can_be_saved_again_and_a_card_that_was_edited_stays(folder, tmp_path):
    ours = load_rationalizer(folder)
    ours.save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text("mine")
    ours.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"
    assert kept(tmp_path) == SAVED


def test_another_run_is_not_overwritten(folder, tmp_path):
    ours = load_rationalizer(folder)
    ours.save_pretrained(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in SAVED}
    ours.config = {**ours.config, "seed": 7}
    with pytest.raises(FileExistsError, match=rf"^{tmp_path} holds another run: seed is 7 now and 0 there; name another folder"):
        ours.save_pretrained(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in SAVED} == before


def test_a_folder_is_no_run_before_it_is_whole(folder, tmp_path, monkeypatch):
    ours = load_rationalizer(folder)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rationalizers.publishing.write_weights", full)
    with pytest.raises(OSError, match="No space left"):
        ours.save_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="is not a run folder"):
        load_rationalizer(tmp_path)


def test_saving_needs_no_hub(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    ours = load_rationalizer(folder)
    ours.save_pretrained(tmp_path)
    assert kept(tmp_path) == SAVED
    with pytest.raises(ImportError, match=r'pip install "rationalizers\[text\]"'):
        ours.push_to_hub("me/name")


# The hub --------------------------------------------------------------------------------------------------------------


def test_what_is_pushed_can_be_loaded_by_its_name(folder, hub):
    ours = load_rationalizer(folder)
    assert ours.push_to_hub("me/name") == "https://huggingface.co/me/name/commit/1"
    assert kept(hub.root / "me" / "name") == SAVED
    for theirs in (load_rationalizer("hub:me/name"), Trained.from_pretrained("me/name")):
        assert [found.record() for found in theirs(TEXTS)] == [found.record() for found in ours(TEXTS)]
    assert 'load_rationalizer("hub:me/name")' in (hub.root / "me" / "name" / "README.md").read_text("utf-8")


def test_a_name_without_owner_is_that_of_the_account(folder, hub):
    load_rationalizer(folder).push_to_hub("name")
    assert 'load_rationalizer("hub:me/name")' in (hub.root / "me" / "name" / "README.md").read_text("utf-8")


def test_settings_of_a_push_reach_the_hub(folder, hub):
    settings = {"commit_message": "m", "private": True, "token": "t", "branch": "b", "create_pr": True}
    load_rationalizer(folder).push_to_hub("me/name", **settings)
    told = {name: value for call in hub.calls for name, value in call.items()}
    assert told == {
        "token": "t",
        "private": True,
        "exist_ok": True,
        "repo_type": "model",
        "commit_message": "m",
        "revision": "b",
        "create_pr": True,
        "allow_patterns": None,
        "ignore_patterns": None,
        "delete_patterns": None,
    }


@pytest.mark.parametrize(
    "raised",
    [
        httpx2.ConnectError("refused"),
        errors.HfHubHTTPError("refused", response=httpx2.Response(401, request=httpx2.Request("POST", "https://hub"))),
    ],
)
def test_what_the_hub_does_not_take_is_said_with_a_remedy(folder, hub, monkeypatch, raised):
    def refuse(*_, **__):
        raise raised

    monkeypatch.setattr(hub, "create_repo", refuse)
    with pytest.raises(ConnectionError, match=r"does not take me/name: refused; check .* \(hf auth login, or HF_TOKEN\)"):
        load_rationalizer(folder).push_to_hub("me/name")


def test_from_pretrained_takes_a_folder_first(folder, hub):
    assert Trained.from_pretrained(str(folder)).folder == folder


# The card -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def card(folder, tmp_path):
    load_rationalizer(folder).save_pretrained(tmp_path)
    return (tmp_path / "README.md").read_text("utf-8")


def test_the_head_of_a_card_is_what_the_hub_reads(card):
    head = huggingface_hub.ModelCard(card).data.to_dict()
    assert head == {"library_name": "rationalizers", "tags": ["rationalizers", "rationalization", "explainability", "rnp"]}


def test_a_card_says_method_data_and_how_to_load(card, tmp_path):
    assert "| method | `rnp`: Rationalizing Neural Predictions (Lei, " in card
    assert " Generator and predictor, trained together. |" in card
    assert "| predicts | bad, good |" in card
    assert "| data | `tiny`, seed 0 |" in card
    assert f'load_rationalizer("{tmp_path.name}")' in card
    assert str(tmp_path) not in card
    assert "adds `license:` to the head of this file" in card


def test_a_card_names_the_packages_that_opening_needs():
    config = {"model": {"_target_": "mine.Model", "parts": [{"_target_": "yours.Part"}]}, "featurizer": {"_target_": "graph.F"}}
    assert trusted({**config, "trust": ["tests", "yours", "mine"]}) == ["yours", "mine"]
    assert trusted(config) == []


def test_numbers_of_a_card_stand_beside_their_floors(card, folder):
    test = json.loads((folder / "metrics.json").read_text())["test"]
    (head,) = [line for line in card.splitlines() if line.startswith("| number")]
    assert head == "| number | model | floor: random | floor: first | floor: last | floor: all | floor: oracle |"
    floors = (test[f"floor/{which}/token_f1"] for which in ("random", "first", "last", "all", "oracle"))
    assert "| " + " | ".join(["token_f1", *(f"{value:.4g}" for value in (test["token_f1"], *floors))]) + " |" in card
    assert "the epoch was chosen by `val/loss`" in card
    assert "floor/" not in card


def test_names_do_not_break_a_table(folder, tmp_path):
    ours = load_rationalizer(folder)
    ours.config = {**ours.config, "name": "a|b\n# c", "dataset": "d|e"}
    ours.save_pretrained(tmp_path)
    lines = (tmp_path / "README.md").read_text("utf-8").splitlines()
    assert "# a\\|b # c" in lines
    assert "| data | `d\\|e`, seed 0 |" in lines
    assert yaml.safe_load((tmp_path / "config.yaml").read_text("utf-8"))["dataset"] == "d|e"
