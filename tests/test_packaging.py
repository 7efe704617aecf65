"""The wheel holds what an installed command needs, commands start quickly, and the pins fit the ranges."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SCRIPTS: dict[str, str] = PROJECT["scripts"]
PACKAGES = ("rationalizers", "graph", "experiments", "conf")
# Extras that need environments of their own, each with a constraints file of its name.
APART = ("peers", "ray")
# Commands that take a text and a model, and no configuration.
PLAIN = ("rationalize-probe", "rationalize-sequence")


def run(*command: str | Path, cwd: Path, path: Path) -> str:
    """Standard output of a command that sees nothing of this repository but what lies under ``path``."""
    environment = {**os.environ, "PYTHONPATH": str(path), "PIP_NO_INDEX": "1"}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Installed:
    """A wheel unpacked into ``folder``, and some unrelated place to run from."""

    folder: Path
    elsewhere: Path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    # Built from a copy: setuptools leaves build/ behind, and a stale one puts deleted files back into the next wheel.
    place = tmp_path_factory.mktemp("packaging")
    tree, wheels, target, elsewhere = (place / name for name in ("tree", "wheels", "target", "elsewhere"))
    elsewhere.mkdir()
    tree.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in (*PACKAGES, "tests", "examples"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=ignored)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, tree / file)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, tree, cwd=elsewhere, path=elsewhere)
    (wheel,) = wheels.glob("rationalizers-*.whl")
    run(*pip, "install", "--no-deps", "--target", target, wheel, cwd=elsewhere, path=elsewhere)
    return Installed(target, elsewhere)


def shipped(root: Path) -> set[str]:
    """Files of the packages below ``root``, caches left out."""
    found = (file for package in PACKAGES for file in (root / package).rglob("*") if file.is_file())
    return {file.relative_to(root).as_posix() for file in found if "__pycache__" not in file.parts}


@pytest.mark.slow
def test_wheel_holds_every_file_of_the_packages_and_no_other_package(installed: Installed) -> None:
    assert shipped(installed.folder) == shipped(ROOT)
    folders = {path.name for path in installed.folder.iterdir() if not path.name.endswith(".dist-info")}
    assert folders == {*PACKAGES, "bin"}


@pytest.mark.slow
@pytest.mark.parametrize("script", [script for script in SCRIPTS if script not in PLAIN])
def test_installed_command_finds_its_configuration_from_another_folder(installed: Installed, script: str) -> None:
    command = installed.folder / "bin" / script
    config = yaml.safe_load(run(command, "--cfg", "job", cwd=installed.elsewhere, path=installed.folder))
    declared = yaml.safe_load((installed.folder / "conf" / f"{script.removeprefix('rationalize-')}.yaml").read_text())
    assert set(config) >= set(declared) - {"defaults", "hydra"}
    assert not list(installed.elsewhere.iterdir()), "composing a configuration left files behind"


@pytest.mark.slow
@pytest.mark.parametrize("script", PLAIN)
def test_installed_command_says_how_it_is_used(installed: Installed, script: str) -> None:
    assert f"usage: {script}" in run(installed.folder / "bin" / script, "--help", cwd=installed.elsewhere, path=installed.folder)


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_entry_module_loads_without_torch(script: str, tmp_path: Path) -> None:
    # `--help`, shell completion and `--cfg job` should not wait ten seconds for Lightning.
    module = SCRIPTS[script].partition(":")[0]
    heavy = "sorted({'torch', 'pytorch_lightning', 'pandas', 'matplotlib'} & set(sys.modules))"
    code = f"import sys, {module}; print({module}.__file__, *{heavy})"
    file, *loaded = run(sys.executable, "-c", code, cwd=tmp_path, path=ROOT).split()
    assert Path(file).is_relative_to(ROOT)
    assert loaded == []


@pytest.mark.parametrize("package", PACKAGES)
def test_import_name_resolves_into_this_repository(package: str) -> None:
    # `graph` and `conf` are names that another installed package, or a folder of tests, could claim.
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin == str(ROOT / package / "__init__.py")


def test_every_configuration_group_is_a_package() -> None:
    # Hydra finds an installed group only if it can be imported.
    groups = {file.parent for file in (ROOT / "conf").rglob("*.yaml")}
    assert [str(group) for group in sorted(groups) if not (group / "__init__.py").is_file()] == []


def pins(name: str = "constraints.txt") -> dict[str, str]:
    """Exact versions by canonical name."""
    text = (ROOT / name).read_text(encoding="utf-8")
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines if line)}


def test_every_direct_dependency_is_pinned_within_its_range() -> None:
    extras = {name: needs for name, needs in PROJECT["optional-dependencies"].items() if name not in APART}
    groups = [PROJECT["dependencies"], *extras.values()]
    direct = {canonicalize_name(need.name): need for group in groups for need in map(Requirement, group)}
    del direct[canonicalize_name(PROJECT["name"])]  # the extra `all` names the project itself
    assert set(pins()) == set(direct)
    outside = {name: version for name, version in pins().items() if not direct[name].specifier.contains(version)}
    assert outside == {}


@pytest.mark.parametrize("extra", APART)
def test_what_needs_its_own_environment_is_pinned_there(extra: str) -> None:
    apart = pins(f"constraints-{extra}.txt")
    needs = {canonicalize_name(need.name): need for need in map(Requirement, PROJECT["optional-dependencies"][extra])}
    assert [name for name, need in needs.items() if not need.specifier.contains(apart[name])] == []
    assert extra not in str(PROJECT["optional-dependencies"]["all"])


def test_peers_have_the_same_torch() -> None:
    apart = pins("constraints-peers.txt")
    assert {name: apart[name] for name in ("torch", "torch-geometric")} == {
        name: pins()[name] for name in ("torch", "torch-geometric")
    }


def test_pins_name_no_local_build() -> None:
    # "torch==2.13.0+cpu" exists for some platforms and Python versions only.
    assert [version for version in pins().values() if "+" in version] == []


def test_pre_commit_runs_the_pinned_tools() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    revisions = {repo["repo"].rpartition("/")[2].removesuffix("-pre-commit"): repo.get("rev") for repo in hooks}
    for tool in ("ruff", "yamllint"):
        assert re.sub("^v", "", revisions[tool]) == pins()[tool]
