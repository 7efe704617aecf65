"""Every configuration composes, fits the classes it names, and, where the data are at hand, trains two steps."""

import importlib
import inspect
import itertools
import json
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import yaml
from hydra import compose, initialize_config_module
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf
from torch_geometric.data import Data

from rationalizers import training
from rationalizers.base import OptimizerConfig
from rationalizers.build import build
from rationalizers.data.document import Source
from rationalizers.load import load_rationalizer
from rationalizers.run import read_config
from rationalizers.training import train
from tests.tiny import ROOT, fresh_process

CONF = ROOT / "conf"
# Left to the data module: `RationaleData.facts`.
FACTS = {"task", "vocabulary", "mask_id", "separator_id", "answers", "architecture", "atoms", "bonds", "features"}
# What a method tells its parts.
TOLD = {"width"}
# Data that need no download, made small: three batches to train on, two to validate and two to test with.
SIZES = {"corpus.train": 48, "corpus.val": 32, "corpus.test": 32, "batch_size": 16}
OFFLINE = {
    "toy_text": [f"data.module.{name}={size}" for name, size in SIZES.items()],
    "majority": [f"data.module.{name}={size}" for name, size in SIZES.items()],
    "toy_graph": [f"data.module.{name.replace('corpus', 'source')}={size}" for name, size in SIZES.items()],
}


def options(group):
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


def selectors(method):
    """Selectors that a method can be given; ``[None]`` for one that has none."""
    defaults = yaml.safe_load((CONF / "method" / f"{method}.yaml").read_text("utf-8")).get("defaults", [])
    return options("selector") if any("selector" in str(entry) for entry in defaults) else [None]


def overrides(data, method, selector):
    chosen = [] if selector is None else [f"selector@method.model.selector={selector}"]
    return [f"data={data}", f"method={method}", *chosen]


def on_graphs(group, name):
    """Whether a data set holds graphs, a method reads them, an encoder encodes them: all its classes are of `graph`."""
    written = (CONF / group / f"{name}.yaml").read_text("utf-8")
    bases = [entry.split("@")[0] for entry in yaml.safe_load(written).get("defaults", []) if isinstance(entry, str)]
    files = [CONF / f"{base[1:]}.yaml" if base.startswith("/") else CONF / group / f"{base}.yaml" for base in bases]
    return "_target_: graph." in written + "".join(file.read_text("utf-8") for file in files if file.is_file())


# Text with methods on text, graphs with methods on graphs.
COMBINATIONS = [
    (data, method, selector)
    for data, method in itertools.product(options("data"), options("method"))
    if on_graphs("data", data) == on_graphs("method", method)
    for selector in selectors(method)
]


def composed(name, given=()):
    with initialize_config_module("conf", version_base="1.3"):
        config = compose(name, overrides=list(given))
    return OmegaConf.to_container(config, resolve=True)


def entries(value, path=""):
    """Every value below, with its path."""
    yield path, value
    if isinstance(value, dict):
        for name, item in value.items():
            yield from entries(item, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from entries(item, f"{path}[{place}]")


def target(name):
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def check_targets(config):
    """Every ``_target_`` exists and takes its entries; returns how many there were."""
    seen = 0
    for path, value in entries(config):
        if not isinstance(value, dict) or "_target_" not in value:
            continue
        seen += 1
        signature = inspect.signature(target(value["_target_"]))
        given = set(value) - {"_target_"}
        assert not any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values()), f"{path} would swallow any key"
        assert given <= set(signature.parameters), f"{path}: {value['_target_']} takes no {given - set(signature.parameters)}"
        required = {name for name, each in signature.parameters.items() if each.default is each.empty}
        assert required <= given | TOLD, f"{path}: {value['_target_']} needs {required - given}"
    return seen


# Composition ----------------------------------------------------------------------------------------------------------


def test_there_is_something_to_compose():
    assert ("toy_text", "full", None) in COMBINATIONS
    assert {("toy_graph", "grea", None), ("bace", "gsat", None)} <= set(COMBINATIONS)
    assert ("toy_text", "grea", None) not in COMBINATIONS
    for method in ("rnp", "fr", "ssr_unif", "ssr_virt"):
        assert {("toy_text", method, "soft"), ("toy_text", method, "straight_through")} <= set(COMBINATIONS)
    assert {"toy_ssr", "movies_ssr", "movies512_bert_ssr_virt"} <= set(options("experiment"))


@pytest.mark.parametrize(("data", "method", "selector"), COMBINATIONS)
def test_every_combination_composes_and_fits_its_classes(data, method, selector):
    config = composed("train", overrides(data, method, selector))
    assert config["name"] == f"{method}-{data}-s0"
    assert config["folder"] == f"runs/{config['name']}"
    for path, value in entries(config):
        if value == "???":
            assert path.startswith(("method.model.", "encoder.model.")), path
            assert path.rpartition(".")[2] in FACTS, path
        assert not (isinstance(value, str) and "${" in value), path
    assert check_targets(config) >= 4  # source, featurizer, model, encoder
    if selector is not None:
        chosen = yaml.safe_load((CONF / "selector" / f"{selector}.yaml").read_text("utf-8"))
        assert config["method"]["model"]["selector"] == chosen


@pytest.mark.parametrize("method", options("method"))
def test_optimizer_entries_are_those_of_its_class(method):
    OptimizerConfig(**composed("train", [f"method={method}"])["method"]["model"]["optimizer"])


@pytest.mark.parametrize("encoder", options("encoder"))
def test_every_encoder_brings_its_featurizer(encoder):
    config = composed("train", [f"encoder={encoder}", *(["method=erm"] if on_graphs("encoder", encoder) else [])])
    assert config["method"]["model"]["encoder"] == config["encoder"]["model"]
    # Graphs are featurized one way, whatever the encoder.
    assert on_graphs("encoder", encoder) or config["data"]["module"]["featurizer"] == config["encoder"]["featurizer"]
    check_targets(config)


@pytest.mark.parametrize("trainer", options("trainer"))
def test_trainer_entries_are_arguments_of_lightning_and_patience(trainer):
    settings = composed("train", [f"trainer={trainer}"])["trainer"]
    assert set(settings) - {"patience", "monitor", "mode"} <= set(inspect.signature(pl.Trainer).parameters)
    assert settings["patience"] >= 1
    assert settings["mode"] in ("min", "max")
    # What `train` sets itself cannot be configured, or it would be given twice.
    own = {
        "callbacks",
        "logger",
        "enable_model_summary",
        "num_sanity_val_steps",
        "reload_dataloaders_every_n_epochs",
        "deterministic",
    }
    assert not own & set(settings)


@pytest.mark.parametrize("name", ["train", "sweep"])
@pytest.mark.parametrize("logger", options("logger"))
def test_a_run_is_mirrored_where_it_is_asked_for(name, logger):
    chosen = composed(name, [f"logger={logger}", "runs=runs/mine"]).get("logger")
    if logger == "none":
        assert not chosen
        assert not composed(name).get("logger")
    else:
        assert check_targets({"logger": chosen}) == 1
        assert chosen["mode"] == "online"


def test_every_experiment_composes():
    for experiment in options("experiment"):
        assert check_targets(composed("train", [f"experiment={experiment}"])) >= 4, experiment


def test_what_experiments_share_is_no_experiment():
    shared = {file.stem for file in (CONF / "experiment" / "base").glob("*.yaml")}
    assert shared == {"toy_ssr", "movies_ssr", "igt_molecules"}
    # A file may have the name of what it is based on; then it is the experiment that the name means.
    assert composed("train", ["experiment=toy_ssr"])["method"]["name"] == "ssr_unif"
    assert composed("train", ["experiment=movies_ssr"])["method"]["name"] == "ssr_unif"


@pytest.mark.parametrize("method", ["ssr_unif", "ssr_virt"])
@pytest.mark.parametrize("data", ["toy", "movies"])
def test_rows_of_the_comparison_of_labels_and_shortcuts_differ_in_what_they_say(data, method):
    rows = {
        row: composed("train", [f"experiment={data}_{row}", *([f"method={method}"] if row == "ssr" else [])])
        for row in ("ssr", "ssr_parent", "ssr_labels", "ssr_rnp", "ssr_unlabelled")
    }
    assert len({config["name"] for config in rows.values()}) == len(rows)
    ours, parent = (rows[row] for row in ("ssr", "ssr_parent"))
    assert ours["method"]["name"] == method
    # SSR and its parent differ in nothing but the strategy.
    strategy = ("_target_", "weights", "legacy")
    models = [
        {name: value for name, value in config["method"]["model"].items() if name not in strategy} for config in (ours, parent)
    ]
    assert models[0] == models[1]
    weights = [config["method"]["model"]["weights"] for config in (ours, parent)]
    assert weights[0] == {**weights[0], **weights[1]}
    assert ours["data"] == parent["data"]
    assert (ours["encoder"], ours["trainer"]) == (parent["encoder"], parent["trainer"])
    share = {row: (config["data"]["module"]["labelled_share"], config["data"]["module"]["part"]) for row, config in rows.items()}
    quarter = (0.25, "all")
    assert share == {
        "ssr": quarter,
        "ssr_parent": quarter,
        "ssr_labels": quarter,
        "ssr_rnp": (0.0, "all"),
        "ssr_unlabelled": (0.25, "unlabelled"),
    }


def test_augmentations_are_chosen_by_name_and_add_up():
    config = composed("train", ["method=ssr_unif", "augmentation@data.module.augmentation=[random,semantic]"])
    assert list(config["data"]["module"]["augmentation"]) == ["random", "semantic"]
    assert check_targets(config) == check_targets(composed("train", ["method=ssr_unif"])) + 2
    assert composed("train", ["method=ssr_unif"])["data"]["module"]["augmentation"] == {}
    for name in options("augmentation"):
        one = composed("train", [f"augmentation@data.module.augmentation=[{name}]"])["data"]["module"]["augmentation"]
        assert list(one) == [name]
        check_targets(one)


def test_an_experiment_has_the_last_word_before_the_command_line():
    dial = "data.module.corpus.shortcut"
    names = {composed("train", ["experiment=toy_dial", f"{dial}={value}"])["folder"] for value in (0.5, 0.75)}
    assert names == {"runs/rnp-toy_text-rho0.5-s0", "runs/rnp-toy_text-rho0.75-s0"}
    assert composed("train", ["experiment=toy_dial", "name=mine"])["folder"] == "runs/mine"


@pytest.mark.parametrize("tuning", options("tuning"))
def test_every_language_model_composes(tuning):
    config = composed("tune", [f"tuning={tuning}", "seed=3"])
    assert config["name"] == f"{tuning}-s3"
    assert config["folder"] == f"./models/{tuning}-s3"
    assert config["data"]["seed"] == 3
    assert [path for path, value in entries(config) if value == "???"] in ([], ["model.special"])
    assert check_targets(config) >= 3  # model, data, corpus
    OptimizerConfig(**config["model"]["optimizer"])
    if "standard" in config:  # it goes on from another, tokenizer included
        assert config["standard"] == f"./models/{tuning.removesuffix('_compatible')}-s3/model"
        assert config["model"]["model"] == {"architecture": None, "pretrained": config["standard"]}
        assert config["data"]["tokenizer"] == {"pieces": None, "pretrained": config["standard"]}
    else:
        assert config["model"]["model"]["architecture"]["model_type"] in ("gpt2", "marian")


@pytest.mark.parametrize("bench", options("bench"))
def test_every_benchmark_composes(bench):
    assert check_targets(composed("benchmark", [f"bench={bench}"])) == 1


@pytest.mark.parametrize("name", sorted(file.stem for file in CONF.glob("*.yaml") if file.stem not in ("plain", "benchmark")))
def test_every_entry_point_composes_without_arguments(name):
    config = composed(name)
    assert config
    assert "hydra" not in config
    assert (ROOT / "experiments" / f"{name}.py").is_file()


def test_the_command_line_reaches_every_part():
    config = composed(
        "train", ["method.model.share=0.3", "seed=4", "data.module.batch_size=8", "trainer.max_epochs=2", "trust=[mine]"]
    )
    assert config["method"]["model"]["share"] == 0.3
    assert (config["data"]["module"]["seed"], config["name"]) == (4, "rnp-toy_text-s4")
    assert (config["data"]["module"]["batch_size"], config["trainer"]["max_epochs"], config["trust"]) == (8, 2, ["mine"])


def test_a_misspelt_key_is_refused():
    with pytest.raises(ConfigCompositionException, match=r"Could not override 'method\.model\.shre'"):
        composed("train", ["method.model.shre=0.3"])


@pytest.mark.parametrize("file", sorted(CONF.rglob("*.yaml")), ids=lambda file: str(file.relative_to(CONF)))
def test_every_file_says_what_it_is_for_and_is_plain(file):
    text = file.read_text("utf-8")
    if file.parent.name != "selector":  # a class says it better
        assert text.startswith("# ")
    assert "!!" not in text
    for path, value in entries(yaml.safe_load(text)):
        # No positional lists of settings, `defaults` apart; the only lists are of names or bounds.
        if isinstance(value, list) and not path.startswith("defaults"):
            assert all(isinstance(item, str) for item in value) or len(value) <= 2, path


# Training -------------------------------------------------------------------------------------------------------------

# A class must be a word for `sequential`, and its data know no evidence, which others may be trained with.
SMOKE = [
    pytest.param(*each, id="-".join(filter(None, each)))
    for each in COMBINATIONS
    if each[0] in OFFLINE and (each[0] == "majority") == (each[1] == "sequential")
]


def planted(folder, corpus):
    """The shortcuts that a corpus was generated with, as if a run had discovered them."""
    lines = []
    for document in build(corpus, Source).load().splits["train"]:
        evidence = {word for start, end, _ in document.spans for word in range(start, end)}
        found = [word for word, mark in enumerate(document.fields["shortcut"]) if mark and word not in evidence]
        spans = [[word, word + 1] for word in found]
        lines.append(json.dumps({"id": document.id, "words": len(document.words), "spans": spans}))
    folder.mkdir()
    (folder / "shortcuts.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("data", "method", "selector"), SMOKE)
def test_it_trains_two_steps_and_can_be_opened(data, method, selector, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "write_report", lambda folder: (folder / "report.html").write_text("short"))
    small = ["trainer=smoke", "trainer.accelerator=cpu", "data.module.labelled_share=0.5", f"runs={tmp_path}", *OFFLINE[data]]
    if method.startswith("ssr"):
        corpus = composed("train", OFFLINE[data])["data"]["module"]["corpus"]
        known = planted(tmp_path / "discovered", corpus)
        small += ["data.module.order=labelled_first", f"data.module.shortcuts={known}"]
    config = composed("train", [*overrides(data, method, selector), *small])
    folder = train(config)
    assert folder == tmp_path / f"{method}-{data}-s0"
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 2
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["epochs"] == 1
    if method.startswith("ssr"):  # the first two batches are labelled
        told = json.loads((folder / "metrics.jsonl").read_text())
        assert told["train/shortcut" if method == "ssr_unif" else "train/imitation"] > 0
    assert all(isinstance(value, float) for value in metrics["test"].values())
    assert "???" not in yaml.safe_dump(read_config(folder))
    trained = load_rationalizer(folder)
    if on_graphs("data", data):
        triangle = torch.tensor([[0, 1, 2, 1, 2, 0], [1, 2, 0, 0, 1, 2]])
        (found,) = trained([Data(x=torch.tensor([[0], [1], [2]]), edge_index=triangle)])
        assert found.nodes == ("0", "1", "2")
        assert found.prediction in trained.model.task.names
    else:
        assert trained("The staff was friendly, but the room was dirty.").tokens[:3] == ("The", "staff", "was")
    assert check_targets(read_config(folder)) >= 4


@pytest.mark.slow
def test_the_command_trains_says_where_and_leaves_nothing_else(tmp_path):
    done = fresh_process(
        ["-m", "experiments.train", "method=full", "trainer=smoke", "trainer.accelerator=cpu", *OFFLINE["toy_text"]], cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "runs/full-toy_text-s0"
    assert "epoch 1 of 1" in done.stderr
    assert "Warning" not in done.stderr
    assert [
        str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*")) if path.parent.name != "full-toy_text-s0"
    ] == [
        "runs",
        str(Path("runs") / "full-toy_text-s0"),
        str(Path("runs") / "full-toy_text-s0" / "assets" / "vocabulary.json"),
    ]
