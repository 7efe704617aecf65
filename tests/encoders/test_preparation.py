"""Frozen states in a whole run: computed before training with the weights that training uses, and killed without a trace."""

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("transformers")

from rationalizers import training
from rationalizers.base import Output, Rationalizer
from rationalizers.encoders import PretrainedEncoder
from rationalizers.load import load_rationalizer
from rationalizers.methods.full import Full
from rationalizers.rationale import select_all
from rationalizers.segment import segment_max
from rationalizers.training import train
from tests.encoders.tiny_transformers import architecture, saved
from tests.tiny import SIZES, run_config

REPRODUCED = ("metrics.json", "metrics.jsonl", "model.safetensors", "rationales.jsonl")


class FromStates(Full):
    """The full-input classifier, from the encoder's states of whole examples."""

    def forward(self, batch):
        logits = self.predictor.head(segment_max(self.predictor.encoder.states(batch), batch.ptr))
        terms = {} if batch.y is None else {"task": self.task.loss(logits, batch.y)}
        return Output(logits=logits, rationale=select_all(batch.fixed, batch.ptr), terms=terms)


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("bert")
    saved(place)
    return place


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(training, "write_report", lambda folder: (folder / "report.html").write_text("short"))
    monkeypatch.setenv("RATIONALIZERS_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    torch.use_deterministic_algorithms(False)


def config(place, weights, *, frozen=True):
    encoder = {
        "_target_": "rationalizers.encoders.PretrainedEncoder",
        "pretrained": str(weights),
        "architecture": architecture("bert"),
        "vocabulary": "???",
        "mask_id": "???",
        "frozen": frozen,
        "max_length": 16,
        "dropout": 0.1,
    }
    model = {"_target_": f"{__name__}.FromStates", "encoder": encoder, "optimizer": {"lr": 0.02}}
    return run_config(place, method="full", model=model)


def kill(monkeypatch, epoch):
    """Stop every run before the first step of an epoch."""
    step = Rationalizer.training_step

    def dying(self, batch, batch_idx):
        if self.current_epoch == epoch:
            raise Killed
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Rationalizer, "training_step", dying)


def test_states_are_prepared_before_training_and_timed(tmp_path, folder, cache):
    place = train(config(tmp_path / "run", folder))
    timing = json.loads((place / "timing.json").read_text())
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert timing["encoding_documents"] == len(files) <= sum(SIZES.values())
    assert timing["encoding_seconds"] > 0
    again = train(config(tmp_path / "again", folder))
    assert "encoding_documents" not in json.loads((again / "timing.json").read_text())
    for name in REPRODUCED:
        assert (place / name).read_bytes() == (again / name).read_bytes(), name


def test_opening_a_run_writes_nothing_and_agrees(tmp_path, folder, cache, monkeypatch):
    place = train(config(tmp_path / "run", folder))
    records = [json.loads(line) for line in (place / "rationales.jsonl").read_text().splitlines()]
    monkeypatch.setenv("RATIONALIZERS_CACHE", str(tmp_path / "untouched"))
    monkeypatch.setattr(PretrainedEncoder, "initialize", lambda *_: pytest.fail("the weights were asked for"))
    monkeypatch.chdir(tmp_path)
    opened = load_rationalizer(place, trust=["tests"])
    found = [each.record() for each in opened([" ".join(record["words"]) for record in records])]
    assert [each["prediction"] for each in found] == [record["prediction"] for record in records]
    assert not (tmp_path / "untouched").exists()


@pytest.mark.parametrize("frozen", [True, False])
def test_a_killed_run_ends_as_one_that_was_not(tmp_path, folder, frozen):
    whole = train(config(tmp_path / "whole", folder, frozen=frozen))
    given = config(tmp_path / "killed", folder, frozen=frozen)
    with pytest.MonkeyPatch.context() as patch:
        kill(patch, epoch=2)
        with pytest.raises(Killed):
            train(given)
    assert not Path(given["folder"]).exists()
    resumed = train(given)
    for name in REPRODUCED:
        assert (whole / name).read_bytes() == (resumed / name).read_bytes(), name


def test_a_resumed_run_prepares_with_the_weights_of_its_checkpoint(tmp_path, folder, monkeypatch):
    # Random weights when it is built; neither `initialize` nor luck could fill them in.
    given = config(tmp_path / "run", folder, frozen=False)
    with pytest.MonkeyPatch.context() as patch:
        kill(patch, epoch=1)
        with pytest.raises(Killed):
            train(given)
    last = torch.load(tmp_path / "run.partial" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    seen = []
    monkeypatch.setattr(PretrainedEncoder, "prepare", lambda self, _: seen.append(self.table.weight.detach().clone()))
    train(given)
    (weight,) = seen
    assert weight.equal(last["predictor.encoder.transformer.embeddings.word_embeddings.weight"])


def test_what_an_interrupted_run_encoded_is_counted(tmp_path, folder):
    given = config(tmp_path / "run", folder)
    with pytest.MonkeyPatch.context() as patch:
        kill(patch, epoch=1)
        with pytest.raises(Killed):
            train(given)
    assert json.loads((train(given) / "timing.json").read_text())["encoding_documents"] > 0
