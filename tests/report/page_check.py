"""What is true of every page: it holds together, runs nothing and asks nothing of the network."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """The elements of a page, its visible text and its links; raises where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(str(html))  # markup would escape what is added to it
        self.close()
        assert self._open == [], f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag != "meta":
            self._open.append(tag)
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
        if "style" in self._open:
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
    assert not {"script", "link", "img", "iframe", "object", "embed", "form", "base"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "srcset", "action")]
    outside = [value for name, value in page.attributes if name.endswith("href") and (":" in value or value.startswith("//"))]
    assert outside == []
    assert "@import" not in html
    assert "url(http" not in html
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    return page
