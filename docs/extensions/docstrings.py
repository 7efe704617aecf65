"""Docstrings as they are written here: formulas are indented, `|` is a size, and names stand in single backticks."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.autosummary import autosummary_toc

CODE = re.compile(r"(``.*?``|`.*?`)")


def as_restructured_text(
    app: Sphinx, what: str, name: str, obj: object, options: dict[str, bool] | None, lines: list[str]
) -> None:
    """Make an indented paragraph below one that is not a literal block, and keep `|` from naming a substitution.

    Entries of ``Args:`` and the like are indented too; they follow their heading without an empty line.
    """
    done: list[str] = []
    literal = False
    for line in lines:
        indented, blank = line.startswith("    "), not line.strip()
        if indented and not literal and len(done) > 1 and not done[-1].strip() and _is_text(done[-2]):
            if not done[-2].rstrip().endswith("::"):
                done += ["::", ""]
            literal = True
        elif not indented and not blank:
            literal = False
        done.append(line if literal else _escaped(line))
    lines[:] = done


def _is_text(line: str) -> bool:
    return bool(line.strip()) and not line.startswith(" ")


def _escaped(line: str) -> str:
    return "".join(part if part.startswith("`") else part.replace("|", r"\|") for part in CODE.split(line))


def find_by_last_name(app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.Element) -> nodes.Element | None:
    """Link a name that is written without its module, if only one documented object has it."""
    if node.get("refdomain") != "py" or node.get("reftype") not in ("obj", "class"):
        return None
    python: Any = env.domains["py"]
    wanted = node["reftarget"]
    found = [name for name in python.objects if name == wanted or name.endswith(f".{wanted}")]
    # A name that a package passes on stands there for the same object.
    owned = [name for name in found if not python.objects[name].aliased and name.count(".") > 1] or found
    if len(owned) != 1:
        return None
    entry = python.objects[owned[0]]
    link = app.builder.get_relative_uri(node["refdoc"], entry.docname)
    return nodes.reference("", "", contnode, internal=True, refuri=f"{link}#{entry.node_id}", reftitle=owned[0])


def leave_out_of_sidebar(app: Sphinx, doctree: nodes.document) -> None:
    """Modules are found through the tables of their packages: the theme draws the whole tree of contents on every page.

    With them all in it, that is half of what building the site takes.
    """
    if app.env.current_document.docname.startswith("api/"):
        for node in list(doctree.findall(autosummary_toc)):
            node.parent.remove(node)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", as_restructured_text, priority=400)  # before napoleon, at 500
    app.connect("missing-reference", find_by_last_name)
    app.connect("doctree-read", leave_out_of_sidebar, priority=400)  # before Sphinx collects the contents, at 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
