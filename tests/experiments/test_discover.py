"""The command that discovers shortcuts."""

import json

import pytest
import torch
from hydra import compose, initialize_config_module

from experiments.discover import show
from rationalizers import training
from rationalizers.data.shortcuts import Shortcuts
from rationalizers.discovery import Discovery, discover
from rationalizers.training import train
from tests.tiny import fresh_process, run_config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "fr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "write_report", lambda folder: (folder / "report.html").write_text("short"))
        train(run_config(folder, method="fr", data={"labelled_share": 0.5, "part": "unlabelled"}, max_epochs=1))
    torch.use_deterministic_algorithms(False)
    return folder


def found(folder, **changes):
    coverage = {"[bad]": {"documents": 196, "with_shortcuts": 196, "word_share": 0.1154}}
    told = {"settings": {}, "coverage": coverage, "planted": {}, "warnings": [], **changes}
    return Discovery(Shortcuts(folder, {}, {}), **told)


def test_it_prints_coverage_and_leaves_two_files(run, tmp_path):
    before = {path.name for path in run.iterdir()}
    command = ["-m", "experiments.discover", f"run={run}", "min_run=1", "trust=[tests]"]
    done = fresh_process(command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Discovered shortcuts")
    kept = json.loads((run / "shortcuts.json").read_text())
    for label, each in kept["coverage"].items():
        (row,) = [line for line in done.stdout.splitlines() if f"│ {label} " in line]
        assert row.replace("│", " ").split() == [
            label,
            str(each["documents"]),
            str(each["with_shortcuts"]),
            f"{each['word_share']:.3f}",
        ]
    assert f"planted shortcuts: precision {kept['planted']['precision']:.3f}, recall " in done.stdout
    assert done.stdout.splitlines()[-1] == f"shortcuts: {run}"
    assert {path.name for path in run.iterdir()} - before == {"shortcuts.jsonl", "shortcuts.json"}
    assert list(tmp_path.iterdir()) == []
    for warning in kept["warnings"]:
        assert warning in done.stderr
    assert discover(run, min_run=1, trust=["tests"]).coverage == kept["coverage"]
    (run / "model.safetensors").unlink()  # nobody needs the model again
    again = fresh_process(command, cwd=tmp_path)
    assert (again.returncode, again.stdout) == (0, done.stdout), again.stderr


def test_a_run_has_to_be_named(tmp_path):
    done = fresh_process(["-m", "experiments.discover"], cwd=tmp_path)
    assert done.returncode != 0
    assert "Missing mandatory value: run" in done.stderr


def test_names_are_shown_as_they_are(tmp_path, capsys):
    show(found(tmp_path / "a[b]", planted={"precision": 0.5, "base_rate": 0.025}))
    lines = capsys.readouterr().out.splitlines()
    assert "│ [bad] │       196 │            196 │          0.115 │" in lines
    assert lines[-2:] == ["planted shortcuts: precision 0.500, base_rate 0.025", f"shortcuts: {tmp_path}/a[b]"]


def test_what_is_not_planted_is_not_told_of(tmp_path, capsys):
    show(found(tmp_path))
    assert "planted shortcuts" not in capsys.readouterr().out


def test_settings_are_what_discovery_takes():
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("discover", overrides=["run=runs/fr"])
    defaults = discover.__kwdefaults__
    assert {name: config[name] for name in config if name != "run"} == {
        **{name: value for name, value in defaults.items() if name != "progress"},
        "trust": [],
    }
