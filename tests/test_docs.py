"""The documentation speaks of what exists, and what it tells the reader to run runs. The site itself is built by `make docs`."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from tests.tiny import ROOT, fresh_process

DOCS = ROOT / "docs"
CONF = ROOT / "conf"
WRITTEN = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / ".github" / "CONTRIBUTING.md"])
PAGES = [page for page in WRITTEN if not {"_build", "api"} & set(page.relative_to(ROOT).parts)]
METHODS = sorted((DOCS / "methods").glob("*.md"))
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]*)\)")
# What a command may be told to choose, by the folder of configurations that has it.
GROUPS = ("attribution", "bench", "data", "encoder", "experiment", "launcher", "method", "trainer", "tuning")
CHOICE = re.compile(rf"(?<![\w.@/])({'|'.join(GROUPS)})=([\w,]+)")
# Files that a page tells the reader to write.
TOLD = {"method": {"top_words"}, "data": {"notes"}}


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def commands(page: Path) -> list[str]:
    """Lines of fenced blocks that name one of our commands, continued lines put together."""
    blocks = [block.replace("\\\n", " ") for _, block in FENCED.findall(text(page))]
    return [line for block in blocks for line in block.splitlines() if re.search(r"rationalize-\w+|-m experiments\.\w+", line)]


def anchors(page: Path) -> set[str]:
    """What GitHub, and MyST like it, calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", text(page)), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading.lower())) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


def squeezed(passage: str) -> str:
    return " ".join(passage.split())


# Methods ------------------------------------------------------------------------------------------------------------------


def documented(page: Path) -> set[str]:
    """Configurations of methods that a page includes."""
    return set(re.findall(r"^```\{literalinclude\} \.\./\.\./conf/method/(\w+)\.yaml$", text(page), re.MULTILINE))


def test_every_method_has_one_page_that_shows_its_configuration() -> None:
    shown = [config for page in METHODS for config in documented(page)]
    assert sorted(shown) == sorted(file.stem for file in (CONF / "method").glob("*.yaml"))
    contents = text(DOCS / "methods" / "index.md")
    for page in METHODS:
        if page.stem != "index":
            assert f"]({page.name})" in contents, f"{page.name} is not in the table of methods/index.md"


def test_every_experiment_has_its_row() -> None:
    rows = re.findall(r"^\| (`.*?`) \|", text(DOCS / "experiments.md"), re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(file.stem for file in (CONF / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("page", [page for page in METHODS if page.stem != "index"], ids=lambda page: page.stem)
def test_a_method_page_says_what_its_module_says_of_deviations(page: Path) -> None:
    sections = re.findall(r"^## (.*)$", text(page), re.MULTILINE)
    assert sections == [
        "Idea",
        "Objective",
        "How it differs from the paper",
        "Configuration",
        "What our runs gave",
        "When to use it, and when not",
    ]
    for config in documented(page):
        assert f"`method={config}`" in text(page)
        target = yaml.safe_load(text(CONF / "method" / f"{config}.yaml"))["model"]["_target_"]
        module = ROOT / (target.rpartition(".")[0].replace(".", "/") + ".py")
        assert f"](../../{name(module)})" in text(page)
        paragraphs = re.split(r"\n\s*\n", ast.get_docstring(ast.parse(text(module))) or "")
        for paragraph in paragraphs:
            if re.match(r"Deviations|\*\*A reconstruction", paragraph):
                assert squeezed(paragraph) in squeezed(text(page)), f"{name(page)} does not repeat: {squeezed(paragraph)[:80]}…"


@pytest.mark.parametrize("page", [page for page in METHODS if page.stem != "index"], ids=lambda page: page.stem)
def test_numbers_of_a_method_page_stand_where_it_says_they_do(page: Path) -> None:
    found = text(page).split("## What our runs gave")[1].split("## When to use it, and when not")[0]
    sources = [(page.parent / link.partition("#")[0]).resolve() for link in LINK.findall(found)]
    assert sources, "no source is linked"
    there = squeezed("\n".join(text(source) for source in sources))
    numbers = set(re.findall(r"(?<![\w.])\d*\.\d+(?: ± \d*\.\d+)?(?!\w)", squeezed(found)))
    assert len(numbers) >= 5
    assert {number for number in numbers if not re.search(rf"(?<![\w.]){re.escape(number)}(?!\w)", there)} == set()


# Names --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_and_what_they_choose_exist(page: Path) -> None:
    for line in commands(page):
        for script in re.findall(r"rationalize-\w+", line):
            assert script in SCRIPTS, f"{name(page)}: {line}"
        for module in re.findall(r"-m (experiments\.\w+)", line):
            assert (ROOT / (module.replace(".", "/") + ".py")).is_file(), f"{name(page)}: {line}"
    for group, values in CHOICE.findall(text(page)):
        for value in filter(None, values.split(",")):
            known = {file.stem for file in (CONF / group).glob("*.yaml")} | TOLD.get(group, set())
            assert value in known, f"{name(page)}: there is no conf/{group}/{value}.yaml"


def test_there_are_commands_to_check() -> None:
    assert sum(len(commands(page)) for page in PAGES) > 40
    found = {group for page in PAGES for group, _ in CHOICE.findall(text(page))}
    assert {"attribution", "data", "encoder", "experiment", "method", "trainer"} <= found


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_in_pages_is_python(page: Path) -> None:
    for language, block in FENCED.findall(text(page)):
        if language == "python":
            ast.parse(block, filename=name(page))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(re.sub(r"`[^`\n]*`", "", FENCED.sub("", text(page)))):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)}: {link}"
        assert not target.is_dir(), f"{name(page)}: {link} is a folder, which is no page"
        if anchor:
            assert anchor in anchors(target), f"{name(page)}: {link}; there are {', '.join(sorted(anchors(target)))}"


# The site ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def extension(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """One of the site's own extensions, by name."""
    pytest.importorskip("sphinx", reason="needs the extra docs")
    monkeypatch.syspath_prepend(str(DOCS))
    return lambda which: importlib.import_module(f"extensions.{which}")


def test_repeated_files_exist_and_are_linked_for_readers_on_github(extension: Callable[[str], Any]) -> None:
    for page, file in extension("repository").PAGES.items():
        assert (ROOT / file).is_file()
        assert f"]({os.path.relpath(ROOT / file, DOCS)})" in text(DOCS / f"{page}.md")


@pytest.mark.parametrize(
    ("target", "written_in", "shown_in", "expected"),
    [
        ("../results.md", "docs/methods", "docs/methods", "../results.md"),
        ("../../README.md", "docs/methods", "docs/methods", "../overview.md"),
        ("docs/graphs.md", ".", "docs", "graphs.md"),
        ("../rationalizers/base.py", "docs", "docs", "api/rationalizers.base.rst"),
        ("../../graph/encoders/__init__.py", "docs/methods", "docs/methods", "../api/graph.encoders.rst"),
        ("benchmarks/grea.json", ".", "docs", "../benchmarks/grea.json"),
    ],
)
def test_links_of_the_repository_are_turned_into_those_of_the_site(
    extension: Callable[[str], Any], target: str, written_in: str, shown_in: str, expected: str
) -> None:
    assert extension("repository").turned(target, PurePosixPath(written_in), PurePosixPath(shown_in)) == expected


def test_formulas_of_docstrings_are_kept_as_they_are(extension: Callable[[str], Any]) -> None:
    lines = [
        "The size |r| of `a | b`,",
        "",
        "    |r| = Σ m",
        "",
        "    twice",
        "",
        "and no more.",
        "",
        "Args:",
        "    r: of size |r|.",
    ]
    extension("docstrings").as_restructured_text(None, "function", "f", None, None, lines)
    assert lines == [
        r"The size \|r\| of `a | b`,",
        "",
        "::",
        "",
        "    |r| = Σ m",
        "",
        "    twice",
        "",
        "and no more.",
        "",
        "Args:",
        r"    r: of size \|r\|.",
    ]


# The example of a package of one's own --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_package_that_extending_shows_trains_and_is_measured(tmp_path: Path) -> None:
    page = text(DOCS / "extending.md")
    files = re.findall(r"^`([\w./]+\.\w+)`:\n\n```\w+\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert [file for file, _ in files] == [
        "mine/top_words.py",
        "mine/conf/method/top_words.yaml",
        "mine/notes.py",
        "notes.jsonl",
        "mine/conf/data/notes.yaml",
        "mine/spread.py",
    ]
    for file, written in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(written, encoding="utf-8")
    (told,) = (block for language, block in FENCED.findall(page) if language == "bash")
    python = f'python() {{ "{sys.executable}" "$@"; }}\n'
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-euc", python + told], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "top_words-notes-s0" / "report.html").is_file()
    measured = FENCED.findall(page.split("Of a finished run, in Python:")[1])[0][1]
    # The package is on the path twice, as installed and as where Python runs.
    path = f"import sys; sys.path.insert(1, {str(tmp_path)!r})\n"
    asked = fresh_process(["-c", path + measured], cwd=tmp_path)
    assert asked.returncode == 0, asked.stderr
    spread = ast.literal_eval(asked.stdout)["spread"]
    assert 0 < spread <= 1
