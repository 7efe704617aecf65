"""Links as they are written for people who read the files where they lie, in the repository, made to work on the site.

A link to a page is left as it is. A module of Python becomes its page of the reference, README and the like become the page that
repeats them, and any other file can be downloaded.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent.parent
# Pages that repeat a file from outside of `docs/`.
PAGES = {
    "overview": "README.md",
    "examples": "examples/README.md",
    "contributing": ".github/CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
}
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")


def read(app: Sphinx, docname: str, source: list[str]) -> None:
    """Take the text of a repeated file, and turn its links."""
    if app.env.doc2path(docname).suffix != ".md":
        return
    file = PurePosixPath(PAGES.get(docname, f"docs/{docname}.md"))
    if docname in PAGES:
        source[0] = (ROOT / file).read_text(encoding="utf-8")
        app.env.note_dependency(str(ROOT / file))
    here = PurePosixPath("docs", docname).parent
    source[0] = LINK.sub(lambda link: turned(link[1], file.parent, here) + (link[2] or ""), source[0])


def turned(target: str, written_in: PurePosixPath, shown_in: PurePosixPath) -> str:
    """A link of a file in one folder of the repository, for a page in another."""
    path = PurePosixPath(os.path.normpath(written_in / target))
    repeated = {file: page for page, file in PAGES.items()}
    if str(path) in repeated:
        path = PurePosixPath("docs", f"{repeated[str(path)]}.md")
    elif path.suffix == ".py" and path.parts[0] in ("rationalizers", "graph"):
        parts = path.with_suffix("").parts
        path = PurePosixPath("docs/api", ".".join(parts[:-1] if parts[-1] == "__init__" else parts) + ".rst")
    return os.path.relpath(path, shown_in)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
