"""Self-contained HTML pages: templates in which everything is escaped, and numbers as a reader wants them."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

from rationalizers.extras import require

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

MISSING = "–"


def render(template: str, **context: Any) -> Markup:
    """A template of ``rationalizers/templates`` as markup; every value in ``context`` that is not markup is escaped.

    Raises:
        ImportError: jinja2 is not installed.
        jinja2.UndefinedError: the template uses a name that is not in ``context``.
    """
    markup = require("markupsafe", extra="report").Markup
    rendered: Markup = markup(_environment().get_template(template).render(**context))
    return rendered


def number(value: Any, *, digits: int = 3, sign: bool = False) -> str:
    """A number to read, with a dash for what is missing or not a number."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:{'+' if sign else ''},.{digits}f}"
    # What rounds to nothing has no sign, unless signs are asked for.
    return text.replace("-", "−" if sign or text.strip("-0.") else "")


def plain(value: float) -> str:
    """A number of unknown size to read, with four digits that count."""
    return f"{value:.4g}".replace("-", "−")


def spread(mean: float, deviation: float) -> str:
    """Mean ± standard deviation; the mean alone where one run shows no spread."""
    return number(mean) if math.isnan(deviation) else f"{number(mean)} ± {number(deviation)}"


def between(low: float, high: float, *, sign: bool = False) -> str:
    """An interval to read, with a dash for what is not known."""
    return MISSING if math.isnan(low) else f"[{number(low, sign=sign)}, {number(high, sign=sign)}]"


def probability(p: float) -> str:
    """A p value with as many decimals as it is worth."""
    return MISSING if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float | None) -> str:
    """Seconds in the largest two units."""
    if seconds is None or math.isnan(seconds):
        return MISSING
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def brief(seconds: float) -> str:
    """A short time in seconds, with three digits."""
    return number(seconds, digits=0 if seconds >= 100 else 1 if seconds >= 10 else 2 if seconds >= 1 else 3)


@cache
def _environment() -> Environment:
    jinja2 = require("jinja2", extra="report")
    environment: Environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rationalizers"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number, plain=plain, spread=spread, between=between, probability=probability, duration=duration, brief=brief
    )
    return environment
