"""A table of text for the terminal, for Markdown, for LaTeX, and for a page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rationalizers.extras import require
from rationalizers.report.page import render

if TYPE_CHECKING:
    from markupsafe import Markup

# Rows of a table that fit on a page.
PAGE = 45
LATEX = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        **{sign: f"${sign}$" for sign in "<>|"},
        "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "[": "{[}", "]": "{]}",
        "−": "$-$", "±": r"$\pm$", "×": r"$\times$", "∞": r"$\infty$", "²": "$^2$", "–": "--",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Headings and rows.

    Args:
        title: above the table.
        head: one heading per column.
        rows: one text per column; a name that begins with spaces belongs to the row above it.
        names: how many columns hold names, which are set to the left; numbers are set to the right.
        name: of a file that holds it.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 2
    name: str = "table"


def to_text(tables: Sequence[Table], notes: Sequence[str], *, width: int) -> str:
    """Tables and notes in plain characters, at most ``width`` columns wide; a table that is wider goes on below."""
    console_module, table_module, text_module = (require(f"rich.{name}", extra="report") for name in ("console", "table", "text"))
    file = io.StringIO()
    console = console_module.Console(
        file=file, width=width, color_system=None, highlight=False, emoji=False, legacy_windows=False
    )
    for table in (part for whole in tables for part in _fit(whole, width)):
        # Text objects are not parsed: a name may hold brackets.
        drawn = table_module.Table(title=text_module.Text(table.title), title_justify="left")
        for place, name in enumerate(table.head):
            drawn.add_column(text_module.Text(name), justify="left" if place < table.names else "right")
        for row in table.rows:
            drawn.add_row(*map(text_module.Text, row))
        console.print(drawn)
    for note in notes:
        console.print(text_module.Text(f"Note: {note}"))
    return file.getvalue()


def to_markdown(tables: Sequence[Table], notes: Sequence[str]) -> str:
    """Tables and notes in Markdown, in which every text shows as it is."""
    parts = []
    for table in tables:
        rule = ["---"] * table.names + ["---:"] * (len(table.head) - table.names)
        lines = [map(_escape, table.head), rule, *(map(_escape, row) for row in table.rows)]
        parts.append(f"**{_escape(table.title)}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))
    if notes:
        parts.append("\n".join(f"- {_escape(note)}" for note in notes))
    return "\n\n".join(parts) + "\n"


def to_latex(tables: Sequence[Table], notes: Sequence[str]) -> str:
    r"""Tables in LaTeX to ``\input`` into a document with the packages booktabs and longtable; titles and notes are comments.

    A table of more than `PAGE` rows breaks over pages (longtable); a shorter one is a tabular, for a float of one's own. Signs
    that a table of numbers holds are written in commands; other letters stay as they are, and those that pdfLaTeX does not know,
    such as Greek ones, need LuaLaTeX or XeLaTeX.

    Raises:
        ImportError: pandas or jinja2 is not installed.
    """
    pandas, _ = require("pandas", extra="report"), require("jinja2", extra="report")
    parts = []
    for table in tables:
        frame = pandas.DataFrame([list(map(_latex, row)) for row in table.rows])
        columns = "l" * table.names + "r" * (len(table.head) - table.names)
        drawn = frame.to_latex(
            index=False, header=list(map(_latex, table.head)), column_format=columns, longtable=len(table.rows) > PAGE
        )
        parts.append(f"{_comment(table.title)}\n{drawn}")
    if notes:
        parts.append("".join(f"{_comment(note)}\n" for note in notes))
    return "\n".join(parts)


def to_html(tables: Sequence[Table], notes: Sequence[str]) -> Markup:
    """Tables and notes as HTML without a style of their own."""
    return render("tables.html.j2", tables=tables, notes=notes)


def _fit(table: Table, width: int) -> list[Table]:
    """The table with its names repeated beside as many of its columns of numbers as there is room for."""
    widths = [max(len(row[place]) for row in (table.head, *table.rows)) + 3 for place in range(len(table.head))]
    named = list(range(table.names))
    # Longer names are broken into lines.
    room = width - 1 - min(sum(widths[: table.names]), width // 2)
    parts: list[list[int]] = [[]]
    for place in range(table.names, len(table.head)):
        if parts[-1] and sum(widths[each] for each in parts[-1]) + widths[place] > room:
            parts.append([])
        parts[-1].append(place)
    return [
        replace(
            table,
            title=table.title if number == 0 else f"{table.title}, continued",
            head=[table.head[place] for place in named + part],
            rows=[[row[place] for place in named + part] for row in table.rows],
        )
        for number, part in enumerate(parts)
    ]


def _latex(text: str) -> str:
    written = text.replace("\n", " ").translate(LATEX)
    return r"\quad " + written.strip() if text.startswith(" ") else written


def _comment(text: str) -> str:
    return "% " + text.replace("\n", " ")


def _escape(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")
    for character in "|*_`[]":
        escaped = escaped.replace(character, f"\\{character}")
    return "&emsp;" + escaped.strip() if text.startswith(" ") else escaped
