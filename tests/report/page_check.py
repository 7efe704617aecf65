"""What is true of every page: it holds together, asks nothing of the network, and runs nothing but what its policy names."""

from __future__ import annotations

import base64
import hashlib
from html.parser import HTMLParser

# Files that a page carries with it; a browser saves them and shows none as a page.
DOWNLOADS = tuple(f"data:text/{kind};charset=utf-8," for kind in ("csv", "markdown", "x-tex"))


class Page(HTMLParser):
    """The elements of a page, its visible text and its links; raises where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(str(html))  # markup would escape what is added to it
        self.close()
        assert self._open == [], f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag != "meta":
            self._open.append(tag)
        if tag == "script":
            self.scripts.append("")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if "script" in self._open:
            self.scripts[-1] += data
        if {"style", "script"} & set(self._open):
            return
        self.text += data
        if self.rows and ("td" in self._open or "th" in self._open):
            self.rows[-1][-1] += data

    def row(self, name: str) -> list[str]:
        """The cells of the first table row that begins with ``name``."""
        found = [[" ".join(cell.split()) for cell in row] for row in self.rows]
        return next(row for row in found if row and row[0] == name)


def check_page(html: str) -> Page:
    """Parse a page and assert that it is self-contained."""
    page = Page(html)
    assert html.startswith("<!doctype html>")
    assert not {"link", "img", "iframe", "object", "embed", "form", "base"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "srcset", "action")]
    addresses = [value for name, value in page.attributes if name.endswith("href") and not value.startswith(DOWNLOADS)]
    outside = [value for value in addresses if ":" in value or value.startswith("//")]
    assert outside == []
    assert "@import" not in html
    assert "url(http" not in html
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in page.scripts]
    allowed = "; script-src " + " ".join(f"'sha256-{each}'" for each in hashes) if hashes else ""
    assert ("content", f"default-src 'none'; style-src 'unsafe-inline'{allowed}") in page.attributes
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    return page
