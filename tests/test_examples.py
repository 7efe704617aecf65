"""Every notebook in `examples` runs from the first cell to the last, without a warning, and shows what it promises."""

import os
import re

import pytest

from tests.tiny import ROOT

nbformat = pytest.importorskip("nbformat", reason="the extra 'dev' is not installed")
nbclient = pytest.importorskip("nbclient", reason="the extra 'dev' is not installed")
pytest.importorskip("ipykernel", reason="the extra 'dev' is not installed")

EXAMPLES = ROOT / "examples"
NAMES = sorted(file.stem for file in EXAMPLES.glob("*.ipynb"))
# Of one core that nobody else uses; tests may run beside other work.
SECONDS, PATIENCE = 90, 400


def executed(name, folder):
    """The notebook with its outputs, and the seconds of processor time that it took."""
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        # What somebody sees who has ipywidgets, without which tqdm warns when a library imports it in a notebook.
        "PYTHONWARNINGS": "ignore:IProgress not found",
        "OMP_NUM_THREADS": "1",
        "JUPYTER_PLATFORM_DIRS": "1",
        "IPYTHONDIR": str(folder / "ipython"),
    }
    client = nbclient.NotebookClient(
        notebook, kernel_name="python3", timeout=PATIENCE, resources={"metadata": {"path": str(folder)}}
    )
    before = os.times()
    client.execute(env=environment)
    after = os.times()
    return notebook, after.children_user - before.children_user


def outputs(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def shown(notebook, kind):
    """Everything that was shown in this form, in order."""
    return ["".join(output["data"][kind]) for output in outputs(notebook) if kind in output.get("data", {})]


def said(notebook):
    """Everything that was written as text."""
    streams = [output["text"] for output in outputs(notebook) if output.output_type == "stream"]
    return "\n".join([*streams, *shown(notebook, "text/plain")])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    kept = {}

    def once(name):
        if name not in kept:
            kept[name] = executed(name, tmp_path_factory.mktemp(name))
        return kept[name]

    return once


def test_there_is_a_notebook_for_each_kind_of_data():
    assert NAMES == ["language_model", "molecules", "text"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_in_time_and_without_a_warning(run, name):
    notebook, seconds = run(name)
    assert [output for output in outputs(notebook) if output.output_type == "error" or output.get("name") == "stderr"] == []
    assert not re.search(r"Traceback|Error|Warning", said(notebook))
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    assert seconds < SECONDS


@pytest.mark.slow
def test_reviews_are_highlighted_and_their_evidence_found(run):
    notebook, _ = run("text")
    pages = shown(notebook, "text/html")
    assert any('<mark class="rationale' in page for page in pages)
    assert "<script" not in "".join(pages)
    assert float(re.search(r"accuracy +(\d\.\d+)", said(notebook))[1]) > 0.7
    # Rationale and floor: the table's last column but one.
    precision = {name: float(value) for name, value in re.findall(r"(rationale|every word) +[\d.]+ +([\d.]+)", said(notebook))}
    assert precision["rationale"] > 2 * precision["every word"]
    assert len(shown(notebook, "image/png")) == 1


@pytest.mark.slow
def test_molecules_are_drawn_and_nitro_groups_found(run):
    notebook, _ = run("molecules")
    assert "".join(shown(notebook, "text/html")).count("<svg") >= 5
    means = re.findall(r"^(?:(False|True) +)? *([A-Z][a-z]?) +(\d\.\d+) +\d+$", said(notebook), flags=re.MULTILINE)
    nitro = [float(value) for inside, _, value in means[[inside for inside, *_ in means].index("True") :]]
    others = [float(value) for inside, _, value in means[: -len(nitro)]]
    assert max(nitro) > 2 * max(others)


@pytest.mark.slow
def test_a_language_model_knows_what_follows_from_parts(run):
    notebook, _ = run("language_model")
    assert any("data-target" in page for page in shown(notebook, "text/html"))
    assert float(re.search(r"^(0\.\d+)$", said(notebook), flags=re.MULTILINE)[1]) < 0.2
    assert len(shown(notebook, "image/png")) == 2


@pytest.mark.parametrize("name", NAMES)
def test_it_is_stored_without_outputs(name):
    # What a page shows would otherwise be that of another machine, and every run a change of the file.
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert outputs(notebook) == []
    assert [cell for cell in notebook.cells if cell.get("execution_count")] == []


@pytest.mark.parametrize("name", NAMES)
def test_it_needs_no_network_and_no_data(name):
    text = (EXAMPLES / f"{name}.ipynb").read_text("utf-8")
    assert not re.search(r"RATIONALIZERS_DATA|https?://|pip install|requests|urlopen", text)
