"""What `_target_` may name, and that nothing else is ever imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rationalizers.losses
from rationalizers.base import Rationalizer
from rationalizers.build import build, locate, trusting
from rationalizers.data.document import Source
from rationalizers.encoders import Encoder, GRUEncoder
from rationalizers.featurizer import Featurizer
from rationalizers.methods.full import Full
from rationalizers.selectors import Selector, SoftGumbel
from tests.tiny import ROOT, TinyCorpus

SELECTOR = "rationalizers.selectors.SoftGumbel"


class Keeper(Source):
    """Keeps what it is given."""

    def __init__(self, *, part):
        self.part = part


# What is built --------------------------------------------------------------------------------------------------------


def test_entries_and_facts_become_arguments():
    selector = build({"_target_": SELECTOR, "temperature": 0.5}, Selector, width=4)
    assert type(selector) is SoftGumbel
    assert (selector.temperature, selector.score.in_features) == (0.5, 4)


def test_the_configuration_is_left_alone():
    config = {"_target_": SELECTOR, "temperature": 0.5}
    build(config, Selector, width=4)
    assert config == {"_target_": SELECTOR, "temperature": 0.5}


def test_nested_descriptions_are_passed_on_as_they_are():
    # A class builds its own parts, so that it can tell them facts such as a width.
    with trusting(["tests"]):
        kept = build({"_target_": "tests.test_build.Keeper", "part": {"_target_": SELECTOR}}, Source)
    assert kept.part == {"_target_": SELECTOR}


@pytest.mark.parametrize(
    ("target", "base", "found"),
    [
        ("rationalizers.methods.full.Full", Rationalizer, Full),
        ("rationalizers.encoders.GRUEncoder", Encoder, GRUEncoder),
        # Imported into an allowed module from an allowed package: still ours.
        ("rationalizers.methods.full.Encoder", Encoder, Encoder),
    ],
)
def test_own_classes_are_found(target, base, found):
    assert locate(target, base) is found


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [{}, {"temperature": 1.0}, {"_target_": None}, {"_target_": ["a"]}, "rationalizers", None])
def test_a_description_without_target_is_refused(config):
    with pytest.raises(TypeError, match="expected a mapping with a '_target_' naming a Selector"):
        build(config, Selector)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.Popen",
        "builtins.eval",
        "torch.nn.Linear",
        "rationalizers_evil.Selector",  # a prefix of the name is not the name
        "rationalizersx.selectors.SoftGumbel",
        "graphs.encoders.Encoder",
        "SoftGumbel",
        "",
        ".rationalizers.selectors.SoftGumbel",
    ],
)
def test_packages_outside_are_refused_by_name(target):
    with pytest.raises(ValueError, match="lies outside the packages rationalizers, graph") as caught:
        build({"_target_": target}, Selector, width=4)
    assert repr(target) in str(caught.value)


def test_the_refusal_says_how_to_trust():
    with pytest.raises(ValueError, match=r"if you trust its author, name the package: trust=\[stranger\]"):
        build({"_target_": "stranger.parts.Selector"}, Selector)


def test_outside_packages_are_refused_before_they_are_imported(monkeypatch):
    # `antigravity` is in the standard library and opens a browser when it is imported.
    monkeypatch.delitem(sys.modules, "antigravity", raising=False)
    with pytest.raises(ValueError, match="lies outside"):
        build({"_target_": "antigravity.fly"}, Selector)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("target", "message"),
    [
        # Attribute walks: a module is not a package, so nothing is reached through it.
        ("rationalizers.run.os.system", "there is no module 'rationalizers.run.os'"),
        ("rationalizers.x.os.system", "there is no module 'rationalizers.x.os'"),
        ("rationalizers.run.os.path.Path", "there is no module 'rationalizers.run.os.path'"),
        ("rationalizers.run.os", "is not a subclass of rationalizers.selectors.Selector"),
        ("rationalizers.run.Path", "is not a subclass of rationalizers.selectors.Selector"),
        ("rationalizers.run.open_run", "is not a subclass of rationalizers.selectors.Selector"),
        ("rationalizers.selectors.nothing", "is not a subclass of rationalizers.selectors.Selector"),
        ("rationalizers.selectors.__loader__", "is not a subclass of rationalizers.selectors.Selector"),
        ("rationalizers.encoders.GRUEncoder", "is not a subclass of rationalizers.selectors.Selector"),
        ("rationalizers.selectors.SoftGumbel.sample", "there is no module 'rationalizers.selectors.SoftGumbel'"),
        ("rationalizers.missing.Selector", "there is no module 'rationalizers.missing'"),
        ("rationalizers.", "is not a subclass of"),
    ],
)
def test_what_is_not_a_subclass_in_an_existing_module_is_refused(target, message):
    with pytest.raises(ValueError, match=message) as caught:
        build({"_target_": target}, Selector, width=4)
    assert repr(target) in str(caught.value)


@pytest.mark.parametrize("target", ["rationalizers..selectors.SoftGumbel", "rationalizers.selectors..SoftGumbel"])
def test_an_odd_spelling_is_refused(target):
    with pytest.raises(ValueError, match="_target_"):
        build({"_target_": target}, Selector, width=4)


def test_a_subclass_defined_elsewhere_is_refused_though_an_allowed_module_shows_it(monkeypatch):
    stranger = type("Stranger", (SoftGumbel,), {"__module__": "stranger.parts"})
    monkeypatch.setattr(rationalizers.losses, "Stranger", stranger, raising=False)
    with pytest.raises(ValueError, match=r"is defined in 'stranger.parts', outside rationalizers, graph"):
        build({"_target_": "rationalizers.losses.Stranger"}, Selector, width=4)


def test_any_base_still_refuses_what_is_defined_elsewhere():
    with pytest.raises(ValueError, match="is defined in 'pathlib', outside"):
        locate("rationalizers.run.Path", object)


def test_an_import_that_fails_for_another_reason_is_not_hidden(monkeypatch):
    monkeypatch.setitem(sys.modules, "rationalizers.losses", None)
    with pytest.raises(ValueError, match=r"there is no module 'rationalizers.losses' \(.*halted; None in sys.modules"):
        locate("rationalizers.losses.Loss", Selector)


# Arguments ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "facts", "name"),
    [
        ({"temperatur": 1.0}, {"width": 4}, "temperatur"),
        ({}, {}, "width"),
        ({"width": 3}, {"width": 4}, "width"),
    ],
)
def test_arguments_that_do_not_fit_are_named_with_the_class(entries, facts, name):
    with pytest.raises(TypeError, match=f"^{SELECTOR}.*{name}"):
        build({"_target_": SELECTOR, **entries}, Selector, **facts)


def test_an_error_of_the_class_itself_comes_through():
    with pytest.raises(ValueError, match=r"'temperature' must be positive, got -1\.0"):
        build({"_target_": SELECTOR, "temperature": -1.0}, Selector, width=4)


def test_an_abstract_class_cannot_be_built():
    with pytest.raises(TypeError, match=r"rationalizers\.selectors\.Selector: .*abstract"):
        build({"_target_": "rationalizers.selectors.Selector"}, Selector, width=4)


# Trust ----------------------------------------------------------------------------------------------------------------

CORPUS = {"_target_": "tests.tiny.TinyCorpus"}


def test_a_trusted_package_works_within_the_context_only():
    with pytest.raises(ValueError, match=r"trust=\[tests\]"):
        build(CORPUS, Source)
    with trusting(["tests"]):
        assert type(build(CORPUS, Source)) is TinyCorpus
    with pytest.raises(ValueError, match=r"trust=\[tests\]"):
        build(CORPUS, Source)


def test_trust_ends_with_an_error_too():
    with pytest.raises(KeyError), trusting(["tests"]):
        raise KeyError
    with pytest.raises(ValueError, match="lies outside"):
        build(CORPUS, Source)


def test_trust_is_in_a_package_not_in_what_starts_with_its_name():
    with trusting(["test", "tests.tiny"]), pytest.raises(ValueError, match="lies outside"):
        build(CORPUS, Source)


def test_trusting_a_package_does_not_lift_the_other_checks():
    with trusting(["tests"]), pytest.raises(ValueError, match=r"is not a subclass of rationalizers\.featurizer\.Featurizer"):
        build(CORPUS, Featurizer)
    with trusting(["tests"]), pytest.raises(ValueError, match="is defined in 'pathlib', outside"):
        locate("tests.tiny.Path", object)
    with trusting(["tests"]), pytest.raises(ValueError, match=r"there is no module 'tests\.missing'"):
        locate("tests.missing.Corpus", Source)


def test_a_trusted_package_that_does_not_exist_is_named():
    with trusting(["no_such_package"]), pytest.raises(ValueError, match="trusted package 'no_such_package' resolves to nothing"):
        build({"_target_": "no_such_package.Corpus"}, Source)


# Impostors ------------------------------------------------------------------------------------------------------------

PLANTED = """
from pathlib import Path
Path({proof!r}).touch()
from rationalizers.data.document import Source
class Corpus(Source):
    pass
"""


def plant(folder, proof, *, package):
    """A package that leaves a file behind when it is imported."""
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text(PLANTED.format(proof=str(proof)))


def python(*arguments, cwd, path=(ROOT,), **environment):
    """Run Python in a folder; the packages on `path` count as installed."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


CODE = """
import sys
{before}
from rationalizers.build import build, trusting
from rationalizers.data.document import Source
try:
    with trusting({trust!r}):
        print(type(build({{"_target_": {target!r}}}, Source)).__module__)
except ValueError as error:
    print("refused:", error)
"""


def build_there(cwd, target, *, trust=(), path=(ROOT,), before="", script=False, module=False, **environment):
    code = CODE.format(target=target, trust=list(trust), before=before)
    if script or module:
        (cwd / "start.py").write_text(code)
    how = [str(cwd / "start.py")] if script else ["-m", "start"] if module else ["-c", code]
    done = python(*how, cwd=cwd, path=path, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("how", [{}, {"script": True}, {"module": True}])
def test_a_graph_folder_in_the_working_directory_is_not_imported(tmp_path, how):
    here, proof = tmp_path / "here", tmp_path / "ran"
    plant(here, proof, package="graph")
    said = build_there(here, "graph.Corpus", **how)
    assert said.startswith("refused: package 'graph' resolves to")
    assert "nothing was imported" in said
    assert str(here / "graph") in said
    assert not proof.exists()


@pytest.mark.parametrize("how", [{}, {"script": True}, {"module": True}])
def test_a_trusted_name_in_the_working_directory_is_not_imported(tmp_path, how):
    here, proof = tmp_path / "here", tmp_path / "ran"
    plant(here, proof, package="friends")
    said = build_there(here, "friends.Corpus", trust=["friends"], **how)
    assert said.startswith("refused: trusted package 'friends' resolves to")
    assert "PYTHONPATH" in said
    assert not proof.exists()


@pytest.mark.parametrize("how", [{"script": True}, {"module": True}])
def test_the_working_directory_is_not_trusted_when_something_else_has_moved_to_the_front(tmp_path, how):
    # Notebooks, test runners and site hooks put folders before the one that Python puts first.
    here, proof = tmp_path / "here", tmp_path / "ran"
    plant(here, proof, package="friends")
    before = f"sys.path.insert(0, {str(tmp_path / 'other')!r})"
    said = build_there(here, "friends.Corpus", trust=["friends"], before=before, **how)
    assert said.startswith("refused: trusted package 'friends' resolves to")
    assert not proof.exists()


def test_an_installed_trusted_package_works(tmp_path):
    here, installed, proof = tmp_path / "here", tmp_path / "installed", tmp_path / "ran"
    here.mkdir()
    plant(installed, proof, package="friends")
    assert build_there(here, "friends.Corpus", trust=["friends"], path=(ROOT, installed)) == "friends"
    assert proof.exists()


def test_an_installed_trusted_package_works_without_an_implicit_folder(tmp_path):
    # With -P, or PYTHONSAFEPATH, the first entry of the path is one that the user named.
    here, installed, proof = tmp_path / "here", tmp_path / "installed", tmp_path / "ran"
    here.mkdir()
    plant(installed, proof, package="friends")
    said = build_there(here, "friends.Corpus", trust=["friends"], path=(installed, ROOT), PYTHONSAFEPATH="1")
    assert said == "friends"


def test_a_folder_that_hides_an_installed_trusted_package_is_not_imported(tmp_path):
    here, installed = tmp_path / "here", tmp_path / "installed"
    plant(here, tmp_path / "wrong", package="friends")
    plant(installed, tmp_path / "right", package="friends")
    said = build_there(here, "friends.Corpus", trust=["friends"], path=(ROOT, installed))
    assert said.startswith(f"refused: trusted package 'friends' resolves to {here / 'friends'}")
    assert not (tmp_path / "wrong").exists()


def test_a_trusted_single_file_module_works_and_its_impostor_does_not(tmp_path):
    here, installed = tmp_path / "here", tmp_path / "installed"
    for folder, proof in ((here, "wrong"), (installed, "right")):
        folder.mkdir()
        (folder / "friend.py").write_text(PLANTED.format(proof=str(tmp_path / proof)))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert build_there(elsewhere, "friend.Corpus", trust=["friend"], path=(ROOT, installed)) == "friend"
    assert build_there(here, "friend.Corpus", trust=["friend"], path=(ROOT, installed)).startswith("refused: ")
    assert not (tmp_path / "wrong").exists()


def test_an_untrusted_installed_package_is_not_imported(tmp_path):
    here, installed, proof = tmp_path / "here", tmp_path / "installed", tmp_path / "ran"
    here.mkdir()
    plant(installed, proof, package="friends")
    said = build_there(here, "friends.Corpus", path=(ROOT, installed))
    assert said.startswith("refused: _target_ 'friends.Corpus' lies outside the packages rationalizers, graph")
    assert not proof.exists()


def test_this_file_tests_the_repository_it_lies_in():
    assert Path(sys.modules["rationalizers.build"].__file__) == ROOT / "rationalizers" / "build.py"
