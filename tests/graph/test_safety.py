"""Attacks on what makes molecules: tables and SMILES strings are data, of a size that RDKit survives."""

import pytest

from graph.data.molecules import Molecules
from graph.draw import LAID_OUT, graph_svg, molecule_svg
from graph.explanation import GraphPictures
from graph.smiles import ATOMS_AT_MOST, parse_smiles
from rationalizers.report import write_report
from tests.report.page_check import Page, check_page
from tests.report.run_folders import record, write_run

GOOD = "CCO,1\nCCN,0\nCCC,1\nCC,0\nCCCC,1\n"
SPLIT = {"split": "random", "val": 0.2, "test": 0.2}


def read(folder, content, **options):
    file = folder / "table.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Molecules(path=str(file), smiles="smiles", targets=None, kind="binary", **SPLIT, **options).load()


TABLES = {
    "a formula for a molecule": (f"smiles,y\n=cmd|' /C calc'!A0,1\n{GOOD}", r"csv:2: column 'smiles': .* is not a molecule"),
    "a formula for a number": (f"smiles,y\nCC,=1+1\n{GOOD}", r"csv:2: 'y' should be a number, got '=1\+1'"),
    "markup for a molecule": (f"smiles,y\n<script>,1\n{GOOD}", r"csv:2: column 'smiles': '<script>' is not a molecule"),
    "null bytes in a molecule": (b"smiles,y\nC\0C,1\n", r"csv:2: column 'smiles': .* is not a molecule"),
    "an open quote": ('smiles,y\n"CC,1\n', "is not a table of comma-separated values"),
    "not UTF-8": (b"smiles,y\n\xff,1\n", "is not a table of comma-separated values"),
    "UTF-16": ("smiles,y\n".encode("utf-16"), "is not a table of comma-separated values"),
    "no such column": (f"other,y\n{GOOD}", "has no column 'smiles' of SMILES strings; it has other, y"),
    "an infinite answer": (f"smiles,y\nCC,inf\n{GOOD}", "csv:2: 'y' should be 0 or 1 or empty, got inf"),
    # RDKit would write this one as a string and overflow the stack.
    "twenty thousand atoms": (f"smiles,y\n{'C' * 20_000},1\n{GOOD}", rf"csv:2: .* at most {ATOMS_AT_MOST} atoms"),
    "a million atoms": (f"smiles,y\n{'C' * 10**6},1\n{GOOD}", rf"csv:2: .* at most {ATOMS_AT_MOST} atoms"),
    "two thousand branches": (f"smiles,y\n{'C(' * 2000 + 'C' + ')' * 2000},1\n{GOOD}", rf"at most {ATOMS_AT_MOST} atoms"),
}


@pytest.mark.parametrize(("content", "message"), TABLES.values(), ids=TABLES)
def test_a_table_is_data(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, content)


def test_what_is_no_molecule_can_be_skipped(tmp_path):
    found = read(tmp_path, f"smiles,y\n=1+1,1\n{'C' * 20_000},0\n{GOOD}", invalid="skip")
    assert found.report["skipped"] == 2


@pytest.mark.parametrize(
    "smiles",
    ["CC <script>alert(1)</script>", "CC |$<img src=x onerror=alert(1)>;$|", "*C |$</svg><script>x</script>;$|", "C[*:3]"],
)
def test_names_inside_a_string_are_not_drawn_as_markup(smiles):
    page = Page(molecule_svg(smiles, [1.0] * parse_smiles(smiles).GetNumAtoms(), title=smiles))
    assert not {"script", "img"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]


GRAPH = {
    "_target_": f"{GraphPictures.__module__}.{GraphPictures.__name__}",
    "words": ["C", "C", "O"],
    "edges": [[0, 1], [1, 2]],
    "source": "CCO",
    "scores": [0.1, 0.2, 0.3],
    "mask": [0.1, 0.2, 0.9],
    "selected": [[2, 3]],
    "evidence": [[0, 1, 0]],
    "fields": {},
}


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onload='alert(1)"])
def test_the_page_of_graphs_shows_names_as_text(tmp_path, name):
    said = {"label": name, "prediction": name, "probabilities": {name: 0.9}, "values": {name: 1.0}, "truth": {}, "unit": name}
    examples = [record(**{**GRAPH, **said, "id": name + source, "source": source}) for source in (f"CCO {name}", "")]
    page = check_page(write_report(write_run(tmp_path, examples=examples, folder="run")).read_text("utf-8"))
    assert name in page.text
    assert not {"script", "img"} & set(page.tags)


@pytest.mark.parametrize(
    "changes",
    [
        {"edges": [[0, 10**12]]},
        {"edges": [["0", "1"]]},
        {"edges": None},
        {"mask": ["<b>", 0, 0]},
        {"mask": [1.0]},
        {"source": ["CCO"]},
        {"source": "C" * 20_000},
        {"source": "CC"},
    ],
)
def test_a_graph_that_is_none_is_named(tmp_path, changes):
    folder = write_run(tmp_path, examples=[record(**{**GRAPH, **changes})])
    with pytest.raises(ValueError, match="example 't/0': "):
        write_report(folder)


def test_a_large_graph_is_drawn_soon():
    nodes = 4 * LAID_OUT
    assert "<path" in graph_svg(nodes, [(node, node + 1) for node in range(nodes - 1)], [0.0] * nodes, title="x")
