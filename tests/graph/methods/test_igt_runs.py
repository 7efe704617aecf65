"""Runs of IGT: players that take turns by steps survive a kill, and what is trained explains, draws and is evaluated."""

import json

import pytest
import torch

from rationalizers import training
from rationalizers.base import Rationalizer
from rationalizers.evaluation import evaluate
from rationalizers.load import load_rationalizer
from rationalizers.training import train
from tests.graph.methods.test_igt import described
from tests.test_training import at, train_until_killed
from tests.tiny import TRAINER, plain

SOURCE = {"_target_": "graph.data.toy.ToyGraphs", "train": 20, "val": 6, "test": 8, "nodes": [8, 12]}
FEATURIZER = {"_target_": "graph.data.featurize.GraphFeaturizer", "atoms": [6], "bonds": None, "features": None}


def config(folder, **changes):
    encoder = {"_target_": "graph.encoders.GIN", "atoms": "???", "features": "???", "bonds": "???", "hidden": 8, "layers": 2}
    optimizer = {"lr": 0.01, "schedule": "cosine", "warmup": 0.2}
    return plain(
        {
            "name": "igt-toy",
            "folder": str(folder),
            "seed": 0,
            "trust": [],
            "method": {"name": "igt", "model": described(task="???", encoder=encoder, optimizer=optimizer, **changes)},
            "data": {
                "name": "toy_graph",
                "module": {
                    "_target_": "graph.data.module.GraphData",
                    "source": SOURCE,
                    "featurizer": FEATURIZER,
                    # Five batches of an epoch: players meet each batch in turn, and an epoch begins with either.
                    "batch_size": 4,
                    "labelled_share": 0.0,
                    "seed": 0,
                },
            },
            "trainer": TRAINER,
        }
    )


@pytest.fixture(scope="module", params=[None, 5], ids=["nodes", "virtual nodes"])
def run(request, tmp_path_factory):
    """A finished, never interrupted run, and its virtual nodes."""
    torch.set_num_threads(1)
    folder = train(config(tmp_path_factory.mktemp("runs") / "run", virtual_nodes=request.param))
    torch.use_deterministic_algorithms(False)
    return folder, request.param


@pytest.mark.parametrize(("epoch", "batch"), [(1, 0), (1, 2), (2, 3)])
def test_a_run_killed_between_turns_ends_the_same(run, tmp_path, monkeypatch, epoch, batch):
    monkeypatch.setattr(training, "write_report", lambda folder: (folder / "report.html").write_text("short"))
    folder, virtual_nodes = run
    again = config(tmp_path / "run", virtual_nodes=virtual_nodes)
    train_until_killed(again, Rationalizer, "training_step", at(epoch, batch))
    resumed = train(again)
    for name in ("model.safetensors", "metrics.jsonl", "metrics.json", "rationales.jsonl"):
        assert (resumed / name).read_bytes() == (folder / name).read_bytes(), name


def test_a_run_tells_what_the_rationale_alone_predicts(run):
    test = json.loads((run[0] / "metrics.json").read_text())["test"]
    assert {"accuracy", "whole_input/accuracy", "rationale_input/accuracy", "node_roc_auc", "leakage"} <= set(test)
    assert test["whole_input/accuracy"] == test["accuracy"]
    page = (run[0] / "report.html").read_text()
    assert "from the rationale alone" in page
    assert "<svg" in page


def test_a_run_is_loaded_and_explains(run):
    trained = load_rationalizer(run[0])
    line = json.loads((run[0] / "rationales.jsonl").read_text().splitlines()[0])
    graph = training.build(trained.config["data"], training.RationaleData)
    graph.setup("test")
    batch = next(iter(graph.batches("test")))
    explanation = trained.featurizer.explain(batch, trained.model(batch), trained.model.task)[0]
    assert list(explanation.mask) == line["mask"]
    assert "<svg" in explanation.svg


def test_an_evaluation_has_the_rationale_alone_with_its_interval(run):
    found = evaluate(run[0], resamples=50)
    test = json.loads((run[0] / "metrics.json").read_text())["test"]
    assert found.numbers["rationale_input/accuracy"] == pytest.approx(test["rationale_input/accuracy"])
    assert found.numbers["right_on_own"] == pytest.approx(test["rationale_input/accuracy"])
    low, high = found.intervals["rationale_input/accuracy"]
    assert low <= found.numbers["rationale_input/accuracy"] <= high
