"""Tables as text, Markdown and HTML show names as they are."""

import pytest

from rationalizers.report.table import Table, to_html, to_markdown, to_text
from tests.report.page_check import Page

HOSTILE = "<script>alert(1)</script>"
NAME = f"a|b [bold]x[/bold] *y* \\| {HOSTILE}"
TABLE = Table("A [b] title", ["data", "method", "n"], [["toy", NAME, "3"], ["toy", "  floor", ""]])


def test_terminal():
    text = to_text([TABLE], ["note [red]"], width=120)
    assert NAME in text
    assert "A [b] title" in text
    assert "Note: note [red]" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 120


def test_markdown_has_as_many_cells_as_headings():
    lines = to_markdown([TABLE], [HOSTILE]).splitlines()
    assert lines[2:4] == ["| data | method | n |", "| --- | --- | ---: |"]
    assert lines[4] == ("| toy | a\\|b \\[bold\\]x\\[/bold\\] \\*y\\* \\\\\\| &lt;script&gt;alert(1)&lt;/script&gt; | 3 |")
    assert lines[5] == "| toy | &emsp;floor |  |"
    assert lines[-1] == "- &lt;script&gt;alert(1)&lt;/script&gt;"


def test_html():
    page = Page(to_html([TABLE], [HOSTILE]))
    assert page.rows[1] == ["toy", NAME, "3"]
    assert "script" not in page.tags
    assert HOSTILE in page.text


@pytest.mark.parametrize("form", [to_markdown, to_html, lambda tables, notes: to_text(tables, notes, width=80)])
def test_nothing_to_show(form):
    assert form([], []).strip() == ""


def test_a_wide_table_goes_on_below_with_its_names():
    wide = Table("Wide", ["data", "method", *map(str, range(20))], [["toy", "rnp", *["0.123 ± 0.456"] * 20]])
    text = to_text([wide], [], width=100)
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("0.123 ± 0.456") == 20
    assert text.count("rnp") == text.count("Wide") == 4
    assert text.count("continued") == 3


def test_long_names_leave_room_for_numbers():
    long = Table("Long", ["data", "method", "a", "b"], [["toy", "a name of many words " * 10, "0.123 ± 0.456", "0.5"]])
    text = to_text([long], [], width=100)
    assert max(map(len, text.splitlines())) <= 100
    assert "0.123 ± 0.456 │ 0.5 │" in text
    assert "continued" not in text
