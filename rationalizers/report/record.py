"""Whether what a run folder says has the form that pages are made from, whoever wrote it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

REMEDY = "train or evaluate again, or get the folder again"


def check_record(record: Mapping[str, Any], where: str) -> None:
    """Raise unless a line of ``rationales.jsonl`` is one.

    Args:
        record: the line.
        where: its ``file:line``.

    Raises:
        ValueError: a key is missing, or its value is of another kind, or a stretch of units does not lie in the example.
    """
    for name, (holds, kind) in KINDS.items():
        if name not in record:
            raise ValueError(f"{where}: expected the keys {', '.join(KINDS)}; missing: {name}; {REMEDY}")
        if not holds(record[name]):
            raise ValueError(f"{where}: {name!r} should be {kind}, got {_shown(record[name])}; {REMEDY}")
    if not isinstance(record.get("_target_", ""), str):
        raise ValueError(f"{where}: '_target_' should be the name of a class, got {_shown(record['_target_'])}; {REMEDY}")
    count = len(record["words"])
    if len(record["scores"]) != count:
        raise ValueError(f"{where}: 'scores' should be {count}, one for each of 'words', got {len(record['scores'])}; {REMEDY}")
    for name, stretches in (("selected", record["selected"]), ("evidence", record["evidence"] or ()), *record["fields"].items()):
        for start, end, *_ in stretches:
            if not 0 <= start < end <= count:
                raise ValueError(f"{where}: {name!r} has [{start}, {end}), which is not within the {count} 'words'; {REMEDY}")
    if "values" in record and not (
        _numbers_by_name(record["values"]) and _numbers_by_name(record.get("truth"), known=False) and _text(record.get("unit"))
    ):
        raise ValueError(f"{where}: 'values' and 'truth' should be numbers by name, and 'unit' text; {REMEDY}")


def numbers_only(given: Mapping[str, Any]) -> dict[str, float | None]:
    """Entries that are a number, or unknown; what else other parts of the framework may add has no place in a table."""
    return {str(name): value for name, value in given.items() if value is None or is_number(value)}


def is_number(value: Any) -> bool:
    """Whether this is a number that fits into 64 bits, infinite or not a number included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def is_count(value: Any) -> bool:
    """Whether this is a whole number from 0, within what is ever counted."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _name(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _scores(value: Any) -> bool:
    return isinstance(value, list) and all(each is None or is_number(each) for each in value)


def _stretches(value: Any, lengths: tuple[int, ...]) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, list) and len(each) in lengths and all(map(is_count, each[:2])) for each in value
    )


def _numbers_by_name(value: Any, *, known: bool = True) -> bool:
    return isinstance(value, dict) and all(is_number(each) or (each is None and not known) for each in value.values())


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


# By key: what its value must be, as a test and in words.
KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "id": (lambda value: isinstance(value, (str, int)), "text"),
    "words": (_texts, "a list of text"),
    "query": (_texts, "a list of text"),
    "selected": (lambda value: _stretches(value, (2,)), "a list of [start, end] in words"),
    "scores": (_scores, "a list of numbers or nulls"),
    "evidence": (lambda value: value is None or _stretches(value, (2, 3)), "a list of [start, end, group] in words, or null"),
    "label": (_name, "the name of a class, or null"),
    "prediction": (_name, "the name of a class, or null"),
    "probabilities": (_numbers_by_name, "numbers by the name of a class"),
    "fields": (
        lambda value: isinstance(value, dict) and all(_stretches(each, (2,)) for each in value.values()),
        "lists of [start, end] in words, by name",
    ),
}
