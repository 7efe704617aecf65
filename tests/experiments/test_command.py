"""Commands explain themselves: examples that compose, and the nearest name to one that was mistyped."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_module

from experiments.command import hints
from experiments.search_space import gathered

ROOT = Path(__file__).resolve().parent.parent.parent
COMMANDS = ("benchmark", "discover", "evaluate", "explain", "mirror", "report", "search", "sweep", "train", "tune")


def told(name):
    return yaml.safe_load((ROOT / "conf" / f"{name}.yaml").read_text("utf-8"))["hydra"]["help"]


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_of_the_help_compose(name):
    app, header = told(name)["app_name"], told(name)["header"]
    examples = [line.strip().removeprefix(app) for line in header.splitlines() if line.strip().startswith(app)]
    assert examples
    with initialize_config_module("conf", version_base="1.3"):
        for example in examples:
            choices = shlex.split(example)
            assert all("=" in choice for choice in choices)
            # A search has an entry for lists; elsewhere any element of one will do, unless it is in brackets.
            one = [each if "=[" in each else each.partition(",")[0] for each in choices]
            compose(name, overrides=gathered(choices) if name == "search" else one)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sweep", "train"])
def test_help_shows_examples_groups_and_entries(name):
    done = subprocess.run([sys.executable, "-m", f"experiments.{name}", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith(told(name)["header"].splitlines()[0])
    for part in ("igt_node", "launcher: joblib", "max_epochs: 30", "--shell-completion", f"rationalize-{name} "):
        assert part in done.stdout, part


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["method=igt_nod"], ["hint: method=igt_nod is unknown; did you mean igt_node?"]),
        (["data=moveis", "method=rnp"], ["hint: data=moveis is unknown; did you mean movies or ssr_movies or ba2motifs?"]),
        (["method=erm,grae"], ["hint: method=grae is unknown; did you mean grea or gsat?"]),
        (
            ["method.model.gama=0.3", "method=grea"],
            ["hint: method.model.gama is unknown; did you mean method.model.gamma?"],
        ),
        (["trainer.max_epoch=3"], ["hint: trainer.max_epoch is unknown; did you mean trainer.max_epochs?"]),
        (["sed=1"], ["hint: sed is unknown; did you mean seed?"]),
        (["method=rnp", "seed=0", "--cfg", "job"], []),
        (["method=xyzzy"], []),
        (["attribution=null"], []),
    ],
)
def test_a_mistyped_name_gets_the_nearest_ones(typed, expected):
    assert list(hints("train", typed)) == expected


@pytest.mark.parametrize("name", ["discover", "explain"])
def test_what_has_to_be_named_is_not_mistyped(name):
    assert list(hints(name, ["run=runs/a", "device=cpu"])) == []
    assert list(hints(name, ["rum=runs/a"])) == ["hint: rum is unknown; did you mean run or trust?"]


@pytest.mark.slow
def test_a_command_adds_them_to_what_hydra_says():
    command = [sys.executable, "-m", "experiments.train", "method=igt_nod"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Could not find 'method/igt_nod'" in done.stderr
    assert done.stderr.endswith("hint: method=igt_nod is unknown; did you mean igt_node?\n")
