"""The script of a page, and what its policy must say so that this one runs and no other."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rationalizers.report.page import render

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True)
class Script:
    """A script that stands in a page.

    Args:
        text: what stands between its tags.
    """

    text: Markup

    @property
    def source(self) -> str:
        """Its place in the ``script-src`` of a Content Security Policy: the hash of its text, which allows nothing else.

        Source: https://www.w3.org/TR/CSP3/#grammardef-hash-source.
        """
        digest = hashlib.sha256(str(self.text).encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"


def sorting() -> Script:
    """Sorts the tables of class ``sortable``; without it a page reads the same in the order that it was written in."""
    return Script(render("sort.js.j2"))
