"""Tables to take along: the same numbers in every form, with every digit in CSV, and LaTeX that compiles."""

import csv
import io
import shutil
import subprocess
from statistics import fmean

import pandas
import pytest

from rationalizers.report import compare, write_tables
from rationalizers.report.export import exports
from tests.report.run_folders import TEST, mean_of, record, write_evaluation, write_run

DOCUMENT = r"\documentclass{article}\usepackage{booktabs,longtable}\begin{document}%s\end{document}"
HOSTILE = r"50% & a_b #1 {x}$ \cmd ~^ <b> [c] | ±"


@pytest.fixture
def comparison(tmp_path):
    folders = []
    for method, seed in [(method, seed) for method in ("full", HOSTILE) for seed in (0, 1)]:
        lines = [record(id=f"t/{place}", selected=[[seed, 2 + seed]]) for place in range(2)]
        test = {**TEST, "accuracy": 0.7 + seed / 30}
        folders.append(write_run(tmp_path, folder=f"{method[:4]}{seed}", method=method, seed=seed, test=test, examples=lines))
        write_evaluation(folders[-1], {"accuracy": mean_of([1, 0])}, numbers=test, examples=lines)
    return compare(folders)


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_every_table_is_written_in_every_form(comparison, tmp_path):
    files = write_tables(comparison, tmp_path / "new" / "tables")
    forms = {f"{name}.{form}" for name in ("means-toy", "differences", "stability") for form in ("md", "tex")}
    assert {file.name for file in files} == {*forms, "runs.csv", "means.csv", "differences.csv", "stability.csv", "notes.md"}
    assert all(file.read_text("utf-8") for file in files)
    assert [file.read_text("utf-8") for file in write_tables(comparison, tmp_path / "new" / "tables")] == [
        text for text in exports(comparison).values()
    ]


def test_csv_has_every_digit_of_every_number(comparison):
    found = exports(comparison)
    means = {(each["method"], each["selection"], each["metric"]): each for each in rows(found["means.csv"])}
    cell = means["full", "model", "accuracy"]
    assert (float(cell["mean"]), cell["n"], cell["dataset"]) == (fmean([0.7, 0.7 + 1 / 30]), "2", "toy")
    assert float(means["full", "random", "token_f1"]["mean"]) == TEST["floor/random/token_f1"]
    assert all(each["mean"] for each in means.values())
    runs = [each for each in rows(found["runs.csv"]) if each["metric"] == "token_f1"]
    assert [(each["method"], each["seed"], float(each["value"])) for each in runs] == [
        (method, seed, 0.5454) for method in (HOSTILE, "full") for seed in "01"
    ]
    frame = pandas.read_csv(io.StringIO(found["differences.csv"]))
    pandas.testing.assert_frame_equal(frame, comparison.differences(), check_dtype=False)
    (first, _) = rows(found["stability.csv"])
    assert float(first["overlap"]) == comparison.seeds["toy"][0].overlap == pytest.approx(1 / 3)


def test_curves_are_among_them(tmp_path):
    folders = [
        write_run(tmp_path, folder=f"{method}{share}{seed}", method=method, seed=seed, data={"corpus": {"shortcut": share}})
        for method in "ab"
        for share in (0.5, 0.9)
        for seed in (0, 1)
    ]
    found = exports(compare(folders))
    assert {"curves-toy.md", "curve-differences-toy.tex", "curves.csv", "curve-differences.csv"} <= found.keys()
    assert {(each["dial"], each["value"]) for each in rows(found["curve-differences.csv"])} == {
        ("data.corpus.shortcut", "0.5"),
        ("data.corpus.shortcut", "0.9"),
    }


def test_latex_shows_signs_as_they_are(comparison):
    found = exports(comparison)["differences.tex"]
    assert found.startswith("% Paired differences")
    assert r"full $-$ 50\% \& a\_b \#1 \{x\}\$ \textbackslash{}cmd \textasciitilde{}\textasciicircum{} $<$b$>$" in found
    assert found.count(r"\begin{tabular}") == 1
    assert found in comparison.to_latex()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_latex_compiles(comparison, tmp_path, monkeypatch):
    monkeypatch.setattr("rationalizers.report.table.PAGE", 3)  # both environments
    tables = comparison.to_latex()
    assert r"\begin{longtable}" in tables
    assert r"\begin{tabular}" in tables
    (tmp_path / "a.tex").write_text(DOCUMENT.replace("%s", f"\n{tables}\n"), "utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
