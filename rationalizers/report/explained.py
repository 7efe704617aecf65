"""Explained inputs as a page: each with what was predicted, highlighted or drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rationalizers.report.highlight import card, key
from rationalizers.report.page import render

if TYPE_CHECKING:
    from markupsafe import Markup


def explained_page(records: Sequence[Mapping[str, Any]], *, title: str, of: int) -> Markup:
    """A page of its own.

    Args:
        records: of `rationalizers.featurizer.Explanation`, those that are shown.
        title: of the page.
        of: how many there are, shown or not.
    """
    # A number tells apart drawings of the same molecule.
    cards = [card(record, owner=f"e{place}") for place, record in enumerate(records)]
    return render("explained.html.j2", title=title, cards=cards, key=key(cards), of=of)
