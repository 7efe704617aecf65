"""Discovered shortcuts, kept in the run folder of the model that discovered them (`rationalizers.discovery`).

=================== ==================================================================================================
shortcuts.jsonl     one line per labelled training example, ``{"id": …, "words": n, "spans": [[start, end], …]}``: the
                    words of its document, and the shortcuts among them, half-open
shortcuts.json      settings, coverage of each class, agreement with planted shortcuts, warnings
=================== ==================================================================================================
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rationalizers.data.document import Document
from rationalizers.data.records import broken, records, value
from rationalizers.run import write_atomically

LINES, SUMMARY = "shortcuts.jsonl", "shortcuts.json"
REMEDY = f"delete {SUMMARY} and {LINES} and discover anew (rationalize-discover run=…)"


@dataclass(frozen=True)
class Shortcuts:
    """Potential shortcuts of the labelled training examples.

    Args:
        folder: the run folder that they are kept in.
        words: number of words of each example's document, by id.
        by_id: spans of each of these examples, half-open, in words.
    """

    folder: Path
    words: Mapping[str, int]
    by_id: Mapping[str, tuple[tuple[int, int], ...]]

    @classmethod
    def read(cls, folder: Path) -> Shortcuts:
        """Read those of a run folder.

        Raises:
            FileNotFoundError: it has none.
            ValueError: a line is not what it should be; names file and line.
        """
        file = Path(folder) / LINES
        if not file.is_file():
            raise FileNotFoundError(f"{folder} has no {LINES}; discover the shortcuts first: rationalize-discover run={folder}")
        words: dict[str, int] = {}
        by_id: dict[str, tuple[tuple[int, int], ...]] = {}
        for where, record in records(file, Counter()):
            name, count = value(record, "id", where, str), value(record, "words", where, int)
            if name in words:
                raise broken(where, f"expected each example once, got {name!r} again", REMEDY)
            words[name] = count
            by_id[name] = tuple(_span(each, count, where) for each in value(record, "spans", where, list))
        return cls(Path(folder), words, by_id)

    def write(self) -> None:
        """Write ``shortcuts.jsonl``."""
        rows = ({"id": name, "words": self.words[name], "spans": spans} for name, spans in self.by_id.items())
        write_atomically(self.folder / LINES, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))

    def marks(self, document: Document) -> list[int]:
        """1 for each word of a document that is part of a shortcut, else 0; all 0 for an example that is not listed.

        Raises:
            ValueError: the document has another number of words than the one that was looked at, or a mark is evidence.
        """
        found = [0] * len(document.words)
        if document.id not in self.by_id:
            return found
        where = f"{self.folder / LINES}: example {document.id!r}"
        if (words := self.words[document.id]) != len(found):
            raise ValueError(
                f"{where}: expected the {words} words that its document had at discovery, got {len(found)}; train on the corpus "
                "that these shortcuts are of, or discover those of this one"
            )
        for start, end in self.by_id[document.id]:
            found[start:end] = [1] * (end - start)
        marked = {word for start, end, _ in document.spans for word in range(start, end) if found[word]}
        if marked:
            raise ValueError(f"{where}: expected no evidence among its shortcuts, got its word {min(marked)}; {REMEDY}")
        return found


def _span(given: object, words: int, where: str) -> tuple[int, int]:
    """A span, once it is known to be one within so many words."""
    match given:
        case [int(start), int(end)] if 0 <= start < end <= words:
            return start, end
    raise broken(where, f"expected spans [start, end) within its {words} words, got {given!r}", REMEDY)
