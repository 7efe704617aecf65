"""One training by two processes: what it shares with one by a single process, and that a kill changes nothing in the end."""

import json

import pytest
import torch

from rationalizers import training
from rationalizers.build import build, trusting
from rationalizers.data.module import RationaleData
from rationalizers.fitting import shared
from rationalizers.load import load_rationalizer
from rationalizers.run import read_config
from rationalizers.training import train
from rationalizers.tuning import tune
from tests.graph.methods import test_grea, test_igt
from tests.graph.methods.test_igt_runs import FEATURIZER, SOURCE
from tests.members import LIMIT, together
from tests.tiny import ENCODER, TRAINER, fresh_process, plain, run_config

pytestmark = pytest.mark.slow

SHARED = {"devices": 2, "strategy": "ddp"}
REPRODUCED = ("metrics.json", "metrics.jsonl", "model.safetensors", "rationales.jsonl", "config.yaml")
# Nothing is drawn in a step. The last of two batches has one example, and the first an odd number.
DRAWN_NOTHING = {
    "method": "rnp",
    "model": {
        "encoder": {**ENCODER, "dropout": 0.0},
        "dropout": 0.0,
        "selector": {"_target_": "tests.members.Thresholded"},
        "optimizer": {"lr": 0.5, "name": "sgd"},
    },
    "data": {"batch_size": 35},
}
SSR = {"order": "labelled_first", "corpus": {"_target_": "tests.tiny.TinyCorpus", "discovered": True}, "batch_size": 7}
GRAPHS = {
    "grea": test_grea.described(alternate=[1, 1]),
    "igt": test_igt.described(virtual_nodes=None),
    "igt_virtual": test_igt.described(virtual_nodes=3),
}


def graph_config(folder, name, **trainer):
    """Of 22 training graphs, the last batch has two, of which each process would get one."""
    encoder = {"_target_": "graph.encoders.GIN", "atoms": "???", "features": "???", "bonds": "???", "hidden": 8, "layers": 2}
    model = {**GRAPHS[name], "task": "???", "encoder": encoder}
    if name == "grea":
        model["separator"] = {"layers": 1}
    module = {
        "_target_": "graph.data.module.GraphData",
        "source": {**SOURCE, "train": 22, "val": 7, "test": 9},
        "featurizer": FEATURIZER,
        "batch_size": 5,
    }
    return plain(
        {
            "name": name,
            "folder": str(folder),
            "seed": 0,
            "trust": [],
            "method": {"name": name, "model": model},
            "data": {"name": "toy_graph", "module": module},
            "trainer": {**TRAINER, "max_epochs": 2, **trainer},
        }
    )


def frozen_config(folder, weights):
    """A classifier on states that a frozen encoder keeps on disk."""
    from tests.encoders.test_preparation import config

    found = config(folder, weights)
    found["trainer"] |= {"max_epochs": 1, **SHARED}
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with finished trainings of two processes, one after the other in the same two."""
    place = tmp_path_factory.mktemp("shared runs")
    runs = [
        run_config(place / "exact", **DRAWN_NOTHING, **SHARED),
        run_config(place / "rnp", **SHARED),
        run_config(place / "ssr_virt", method="ssr_virt", data=SSR, max_epochs=2, **SHARED),
        *(graph_config(place / name, name, **SHARED) for name in GRAPHS),
    ]
    together("train_all", {"root": str(place), "runs": runs}, cwd=place)
    torch.set_num_threads(1)
    return place


def lines(file):
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def numbers(folder):
    return json.loads((folder / "metrics.json").read_text("utf-8"))


def test_where_nothing_is_drawn_two_processes_do_what_one_does(place, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "write_report", lambda folder: (folder / "report.html").write_text("short"))
    alone = train(run_config(tmp_path / "run", **DRAWN_NOTHING))
    torch.use_deterministic_algorithms(False)
    rows = lines(place / "exact" / "metrics.jsonl")
    assert len(rows) == 3
    for row, other in zip(rows, lines(alone / "metrics.jsonl"), strict=True):
        assert row == pytest.approx(other, abs=1e-5)
    assert rows[0]["train/loss"] - rows[2]["train/loss"] > 1e-3  # it has learnt something
    ours, theirs = (load_rationalizer(folder, trust=["tests"]).model.state_dict() for folder in (place / "exact", alone))
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], atol=1e-5, rtol=1e-5)
    assert {file.name for file in (place / "exact").iterdir()} == {file.name for file in alone.iterdir()}


@pytest.mark.parametrize("name", ["exact", "rnp", "ssr_virt", *GRAPHS])
def test_one_process_measures_of_the_model_what_two_did(place, name):
    folder = place / name
    trained = load_rationalizer(folder, trust=["tests"])
    with trusting(["tests"]):
        data = build(read_config(folder)["data"], RationaleData)
    data.setup("test")
    model = trained.model
    for split in ("val", "test"):
        with torch.no_grad():
            for batch in data.batches(split):
                model._update(split, batch)
        found = {key: value for key, value in numbers(folder)[split].items() if key != "leakage"}
        assert model.scores[split].compute() == pytest.approx(found, abs=1e-6, nan_ok=True)
    assert ("node_roc_auc" if name in GRAPHS else "floor/oracle/token_f1") in found
    count = len((folder / "rationales.jsonl").read_text().splitlines())
    assert count == len(data.splits["test"])
    assert numbers(folder)["epochs"] == len(lines(folder / "metrics.jsonl"))


def test_a_killed_process_leaves_a_run_that_ends_the_same(place, tmp_path):
    config = run_config(tmp_path / "rnp", **SHARED)
    with pytest.raises(AssertionError, match="process 1 terminated with signal SIGKILL"):
        together("die_in_training", config, cwd=tmp_path)
    assert not (tmp_path / "rnp").exists()
    assert len(lines(tmp_path / "rnp.partial" / "metrics.jsonl")) == 1
    # This time they are started by the training.
    again = "import json, sys\nfrom rationalizers.training import train\nprint(train(json.load(sys.stdin)))"
    done = fresh_process(["-c", again], cwd=tmp_path, stdin=json.dumps(config), timeout=LIMIT)
    assert done.stdout == f"{tmp_path / 'rnp'}\n", done.stderr
    for name in REPRODUCED:
        assert (tmp_path / "rnp" / name).read_bytes() == (place / "rnp" / name).read_bytes(), name
    assert not (tmp_path / "rnp.partial").exists()


def test_states_of_a_frozen_encoder_are_computed_by_the_first_process(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    from tests.encoders.tiny_transformers import saved

    (tmp_path / "bert").mkdir()
    saved(tmp_path / "bert")
    monkeypatch.setenv("RATIONALIZERS_CACHE", str(tmp_path / "watched" / "cache"))
    (tmp_path / "watched").mkdir()
    config = frozen_config(tmp_path / "watched" / "run", tmp_path / "bert")
    together("train_all", {"root": str(tmp_path / "watched"), "runs": [config]}, cwd=tmp_path)
    timing = json.loads((tmp_path / "watched" / "run" / "timing.json").read_text())
    kept = list((tmp_path / "watched" / "cache").rglob("*.safetensors"))
    assert timing["encoding_documents"] == len(kept) > 0


# What cannot be shared ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"devices": 2, "strategy": "ddp_spawn"}, r"'trainer\.strategy' must be 'ddp' or 'auto' on 2 devices.*got 'ddp_spawn'"),
        ({"devices": 2, "sync_batchnorm": True}, r"'trainer\.sync_batchnorm' cannot be true"),
        ({"devices": 2, "num_nodes": 3}, r"'trainer\.num_nodes' is 3; start the command on each of them"),
    ],
)
def test_settings_that_only_one_process_can_have_are_refused_before_anything_is_written(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        train(run_config(tmp_path / "run", **settings))
    assert list(tmp_path.iterdir()) == []


def test_processes_that_would_all_train_alone_are_refused(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ValueError, match=r"one of 4 processes, .* set trainer\.devices"):
        shared(TRAINER)


# What Lightning looks at to know that it runs in a job of Slurm.
JOB = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "rnp", "SLURM_NODEID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}


def test_tasks_of_slurm_that_would_all_train_alone_are_refused(monkeypatch):
    for name, value in {**JOB, "SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "4"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=r"one of 4 processes, .* set trainer\.devices"):
        shared(TRAINER)


def test_a_job_of_slurm_with_one_task_starts_the_processes_itself(tmp_path, monkeypatch):
    for name, value in {**JOB, "SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1"}.items():
        monkeypatch.setenv(name, value)
    folder = train(run_config(tmp_path / "job", devices=2))
    for name in JOB:
        monkeypatch.delenv(name)
    monkeypatch.delenv("SLURM_NTASKS")
    other = train(run_config(tmp_path / "other", devices=2))
    assert (folder / "metrics.json").read_bytes() == (other / "metrics.json").read_bytes()


@pytest.mark.parametrize("settings", [{}, {"devices": "1"}, {"devices": "auto"}])
def test_one_device_is_shared_by_nobody(settings):
    assert shared({"accelerator": "cpu", "devices": 1, **settings}) is None


@pytest.mark.parametrize(
    ("config", "of", "message"),
    [
        (run_config("x"), 7, "7 processes need batches of at least 7 examples to share, those of 'train' have at most 6"),
        (run_config("x", data={"batch_size": 50}), 13, "at least 13 examples to share, those of 'val' have at most 12"),
        (
            graph_config("x", "grea"),
            3,
            "3 processes need batches of at least 6 examples to share, those of 'train' have at most 5",
        ),
    ],
)
def test_more_processes_than_examples_are_refused(config, of, message):
    with trusting(["tests"]):
        data = build(config["data"]["module"], RationaleData)
    data.setup("fit")
    data.check_shared(of - 1)
    with pytest.raises(ValueError, match=message):
        data.check_shared(of)


def test_a_language_model_is_tuned_on_one_device(tmp_path):
    with pytest.raises(ValueError, match=r"tuned on one device, .* set trainer\.devices=1"):
        tune({"trainer": {**TRAINER, **SHARED}, "folder": str(tmp_path / "model")})
