"""Rules that no single file can check: who imports whom, what is where, and what appears nowhere."""

import ast
import re
import shutil
import subprocess
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ("rationalizers", "graph")
PACKAGES = (*LIBRARY, "experiments", "conf")

# Modules of one line may import each other, and those of the lines above.
LAYERS = (
    ("build", "extras", "kernels", "parts", "processes", "segment", "task"),
    ("batch", "levels", "rationale"),
    ("absence", "encoders", "language", "legacy", "losses", "metrics", "predictors", "rewriting", "selectors"),
    ("base",),
    ("methods",),
)
# A method imports no other method but its parent.
PARENTS: dict[str, str] = {"noise": "a2r", "fr": "rnp", "ssr": "fr"}
LIMIT = 400  # lines; half of that is the aim


def sources(*packages):
    """Python files of some packages."""
    return sorted(file for package in packages for file in (ROOT / package).rglob("*.py"))


def name_of(file):
    """Dotted name of a module."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(file):
    return ast.parse(file.read_text("utf-8"), filename=str(file))


MODULES = {name_of(file): file for file in sources(*PACKAGES)}


def imported(file):
    """Every module that a file imports anywhere, as ``(dotted name, line)``."""
    found = []
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative import"
            # `from rationalizers import losses` imports the module rationalizers.losses.
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name for name in below if name in MODULES]
            found += [(name, node.lineno) for name in modules or [node.module]]
    return found


def where(file, line):
    return f"{file.relative_to(ROOT)}:{line}"


def calls(file, *names):
    """Lines of calls to a function or method of one of these names."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
            if called in names:
                yield where(file, node.lineno)


def defined(file, *names):
    """Lines where functions or methods of these names are defined."""
    return [
        where(file, node.lineno)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in names
    ]


def test_there_is_something_to_check():
    assert {
        "rationalizers.base",
        "rationalizers.methods.rnp",
        "rationalizers.metrics.scores",
        "graph",
        "experiments.train",
    } <= set(MODULES)


# Direction ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("rationalizers", {"graph", "experiments", "conf", "tests"}),
        ("graph", {"experiments", "conf", "tests"}),
        ("experiments", {"conf", "tests"}),
        ("conf", {"rationalizers", "graph", "experiments", "tests"}),
    ],
)
def test_packages_import_in_one_direction(package, forbidden):
    found = [
        f"{where(file, line)} imports {name}"
        for file in sources(package)
        for name, line in imported(file)
        if name.partition(".")[0] in forbidden
    ]
    assert found == []


def layer(module):
    """Place of a module in `LAYERS`, ``None`` outside of them."""
    parts = module.split(".")
    if parts[0] != "rationalizers" or len(parts) < 2:
        return None
    return next((place for place, names in enumerate(LAYERS) if parts[1] in names), None)


def test_reports_do_not_know_what_mirrors_runs():
    # W&B's mirror reads runs as reports do; a report needs nothing of W&B.
    files = [file for module, file in MODULES.items() if module.startswith("rationalizers.report")]
    assert files
    assert [
        (file.name, line) for file in files for name, line in imported(file) if name.startswith("rationalizers.tracking")
    ] == []


def test_every_layer_exists():
    # A renamed module would otherwise silently leave the rule.
    missing = {name for names in LAYERS for name in names if f"rationalizers.{name}" not in MODULES}
    assert missing <= {"kernels"}  # comes with the first kernel


def test_layers_of_the_library_import_downwards():
    found = []
    for module, file in MODULES.items():
        own = layer(module)
        if own is None:
            continue
        for name, line in imported(file):
            if name.partition(".")[0] == "rationalizers":
                theirs = layer(name)
                if theirs is None or theirs > own:
                    found.append(f"{where(file, line)} imports {name}")
    assert found == []


def test_what_is_below_everything_imports_nothing_of_ours():
    ours = {
        f"{where(MODULES[f'rationalizers.{name}'], line)} imports {other}"
        for name in ("build", "extras", "segment", "task")
        for other, line in imported(MODULES[f"rationalizers.{name}"])
        if other.partition(".")[0] in PACKAGES
    }
    assert ours == set()


def test_metrics_never_call_a_model():
    allowed = {"batch", "extras", "levels", "processes", "rationale", "segment", "task", "metrics", "kernels"}
    found = [
        f"{where(file, line)} imports {name}"
        for module, file in MODULES.items()
        if module.startswith("rationalizers.metrics")
        for name, line in imported(file)
        if name.startswith("rationalizers.") and name.split(".")[1] not in allowed
    ]
    assert found == []


def methods():
    """Modules of methods by name."""
    found = {
        name.rpartition(".")[2]: file
        for name, file in MODULES.items()
        if re.fullmatch(r"(rationalizers|graph)\.methods\.\w+", name)
    }
    assert {"full", "rnp"} <= set(found)
    return found


def test_a_method_imports_no_other_method_but_its_parent():
    found = []
    for method, file in methods().items():
        for name, line in imported(file):
            other = re.match(r"(?:rationalizers|graph)\.methods\.(\w+)", name)
            if other and other[1] not in (method, PARENTS.get(method)):
                found.append(f"{where(file, line)} imports {name}")
    assert found == []


def test_parents_are_methods_and_are_used():
    for child, parent in PARENTS.items():
        assert {child, parent} <= set(methods())
        assert any(name.endswith(f".methods.{parent}") for name, _ in imported(methods()[child])), (
            f"{child} does not use {parent}"
        )


def test_imports_have_no_cycle():
    edges = {
        module: {name for name, _ in imported(file) if name in MODULES and name != module}
        for module, file in MODULES.items()
        if file.name != "__init__.py"  # a package only points at its parts
    }
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


# What the library does not do -----------------------------------------------------------------------------------------


def test_the_library_prints_nothing():
    found = [
        where(file, node.lineno)
        for file in sources(*LIBRARY)
        for node in ast.walk(tree(file))
        if (isinstance(node, ast.Name) and node.id in ("print", "pprint"))
        or (isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr.write"))
    ]
    assert found == []


def test_the_library_knows_no_hydra():
    found = [
        f"{where(file, line)} imports {name}"
        for file in sources(*LIBRARY)
        for name, line in imported(file)
        if name.partition(".")[0] in ("hydra", "omegaconf")
    ]
    assert found == []


def test_nothing_unpickles():
    # torch.load is safe with weights_only=True, which must be said.
    found = [
        f"{where(file, line)} imports {name}"
        for file in sources(*LIBRARY)
        for name, line in imported(file)
        if name.partition(".")[0] in ("pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal")
        # The error that torch raises instead of unpickling.
        and file.read_text("utf-8").splitlines()[line - 1] != "from pickle import UnpicklingError"
    ]
    for file in sources(*LIBRARY):
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "load_from_checkpoint", "np.load"):
                safe = any(keyword.arg == "weights_only" and ast.unparse(keyword.value) == "True" for keyword in node.keywords)
                if not safe:
                    found.append(f"{where(file, node.lineno)} {ast.unparse(node)}")
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "yaml.load",
                "yaml.unsafe_load",
                "yaml.full_load",
                "eval",
                "exec",
            ):
                found.append(f"{where(file, node.lineno)} {ast.unparse(node)}")
    assert found == []


def test_training_code_stays_on_its_device():
    hot = [
        file
        for module, file in MODULES.items()
        if (layer(module) is not None and "metrics" not in module) or module.startswith(("graph.methods", "graph.encoders"))
    ]
    assert len(hot) > 8
    assert [line for file in hot for line in calls(file, "cuda", "item")] == []


# What is where --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", [*PACKAGES, "tests"])
def test_no_file_is_called_after_nothing(package):
    empty = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "functions", "stuff"}
    found = [file.relative_to(ROOT) for file in sources(package) if empty & {*file.relative_to(ROOT).with_suffix("").parts}]
    assert found == []


def test_files_are_short_enough_to_be_read():
    long = {
        str(file.relative_to(ROOT)): lines for file in sources(*PACKAGES) if (lines := len(file.read_text().splitlines())) > LIMIT
    }
    assert long == {}


def test_only_the_base_has_steps_and_optimizers():
    names = (
        "training_step",
        "validation_step",
        "test_step",
        "configure_optimizers",
        "optimizer_step",
        "lr_scheduler_step",
        "manual_backward",
    )
    places = {place.partition(":")[0] for file in sources(*PACKAGES) for place in defined(file, *names)}
    # A language model has no examples with rationales: it is trained by itself (see rationalizers.tuning).
    assert places == {"rationalizers/base.py", "rationalizers/tuning.py"}


def test_only_the_base_logs_to_lightning_and_weighs_terms():
    found = [
        place
        for file in methods().values()
        for place in (*calls(file, "log", "log_dict", "backward", "manual_backward"), *defined(file, "loss", "phase_at"))
        # `x.log()` of a tensor is mathematics.
        if "self.log" in (ROOT / place.partition(":")[0]).read_text().splitlines()[int(place.partition(":")[2]) - 1]
    ]
    assert found == []


def test_only_fitting_makes_a_trainer():
    places = {place.partition(":")[0] for file in sources(*PACKAGES) for place in calls(file, "Trainer")}
    assert places == {"rationalizers/fitting.py"}


# Methods --------------------------------------------------------------------------------------------------------------


def configurations():
    """Method configurations by name."""
    return {file.stem: yaml.safe_load(file.read_text("utf-8")) for file in (ROOT / "conf" / "method").glob("*.yaml")}


def method_of(configuration):
    """The method that a configuration is of: that of its name, or, for ``method_variant``, of what comes before."""
    return configuration if configuration in methods() else configuration.rpartition("_")[0]


def test_every_method_has_a_configuration_of_its_name_and_the_other_way_round():
    assert {method_of(name) for name in configurations()} == set(methods())


@pytest.mark.parametrize("configuration", sorted(configurations()))
def test_a_configuration_names_a_class_in_the_file_of_its_name(configuration):
    config = configurations()[configuration]
    assert config["name"] == configuration
    module, _, name = config["model"]["_target_"].rpartition(".")
    assert MODULES.get(module) == methods()[method_of(configuration)]
    assert name in {node.name for node in tree(MODULES[module]).body if isinstance(node, ast.ClassDef)}


@pytest.mark.parametrize("method", sorted(methods()))
def test_every_method_is_tested_against_the_contract(method):
    package = methods()[method].parent.relative_to(ROOT)
    folder = package if package.parts[0] == "graph" else package.relative_to("rationalizers")
    file = ROOT / "tests" / folder / f"test_{method}.py"
    assert file.is_file(), f"{file} is missing; inherit the suite in tests/contract.py"
    suites = [
        node.name
        for node in tree(file).body
        if isinstance(node, ast.ClassDef)
        and node.name.startswith("Test")
        and any(ast.unparse(base).endswith("Contract") for base in node.bases)
    ]
    assert suites, f"{file} has no test class that inherits a contract"
    for name, configuration in configurations().items():
        target = configuration["model"]["_target_"]
        if method_of(name) == method:
            assert target in file.read_text("utf-8"), f"{file} never builds {target}"


@pytest.mark.parametrize("method", sorted(methods()))
def test_every_method_tells_where_it_comes_from(method):
    said = ast.get_docstring(tree(methods()[method])) or ""
    assert "min" in said, "the objective is missing"
    if method != "full":  # a plain classifier is nobody's idea
        assert re.search(r"\b(19|20)\d\d\b", said), "the year is missing"
        assert "https://" in said, "the link is missing"


# Kernels --------------------------------------------------------------------------------------------------------------


def test_every_twin_has_the_name_of_its_operator_and_tests_of_both():
    kernels = ROOT / "rationalizers" / "kernels"
    twinned = {file.stem for file in kernels.glob("*.py") if any(calls(file, "cuda_twin"))}
    assert {"blend", "segment_topk", "split_pool", "swap_grid", "perturb", "gated_sample"} == twinned
    assert twinned == {file.stem for file in (kernels / "cuda").glob("*.py")} - {"__init__", "tiling"}
    for name in twinned:
        for file in (ROOT / "tests" / "kernels" / f"test_{name}.py", ROOT / "tests" / "kernels" / "cuda" / f"test_{name}.py"):
            assert file.is_file(), f"{file} is missing"


def test_triton_is_imported_by_twins_alone():
    found = [
        f"{where(file, line)} imports {name}"
        for file in sources(*PACKAGES)
        for name, line in imported(file)
        if name.partition(".")[0] == "triton" and file.parent.name != "cuda"
    ]
    assert found == []


def test_masks_are_applied_by_operators():
    # A product with a mask that was given a last dimension is what `blend` and `split_pool` are for.
    by_hand = re.compile(r"(mask|attention|gate|\bm)\[:, None\]")
    found = [
        where(file, number)
        for module, file in MODULES.items()
        if re.match(r"rationalizers\.(methods|absence|predictors|selectors|base)|graph\.(methods|predictor)", module)
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if by_hand.search(line)
    ]
    assert found == []


# Files ----------------------------------------------------------------------------------------------------------------


def tracked():
    """Files under version control."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        pytest.skip(f"git cannot list the files: {done.stderr.strip()}")
    return [ROOT / name for name in done.stdout.split("\0") if name]


def test_no_tracked_file_knows_a_machine():
    # Spelled so that this file does not match itself.
    machine = re.compile(r"(?<![\w.~-])/(?:work|root|home/(?!runner)\w+|Users/\w+)" + "/")
    found = []
    for file in tracked():
        if not file.is_file():
            continue
        try:
            text = file.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{where(file, number)} {line.strip()[:80]}"
            for number, line in enumerate(text.splitlines(), 1)
            if machine.search(line)
        ]
    assert found == []


def test_nothing_that_runs_leave_behind_is_tracked():
    left = [
        file.relative_to(ROOT) for file in tracked() if file.suffix in (".ckpt", ".pt", ".pth", ".pyc", ".log", ".safetensors")
    ]
    assert left == []
