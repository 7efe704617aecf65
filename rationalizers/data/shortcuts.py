"""Discovered shortcuts in the run folder of the model that discovered them: ``shortcuts.jsonl`` and ``shortcuts.json``.

A line of ``shortcuts.jsonl`` is a labelled example, ``{"id": …, "words": n, "spans": [[start, end], …]}``; spans are half-open,
in words of its document, of which the model saw the first n.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rationalizers.data.document import Document
from rationalizers.data.records import broken, records, value
from rationalizers.run import write_atomically

LINES, SUMMARY = "shortcuts.jsonl", "shortcuts.json"
REMEDY = "delete shortcuts.json and shortcuts.jsonl and discover them anew (rationalize-discover run=…)"


@dataclass(frozen=True)
class Shortcuts:
    """Potential shortcuts of labelled examples.

    Args:
        folder: where they are kept.
        words: number of words of each example that the model saw, by id.
        spans: half-open, in words, of each example.
    """

    folder: Path
    words: Mapping[str, int]
    spans: Mapping[str, tuple[tuple[int, int], ...]]

    @classmethod
    def read(cls, folder: Path) -> Shortcuts:
        """Read those of a run folder.

        Raises:
            FileNotFoundError: there are none.
            ValueError: a line is not what it should be; names file and line.
        """
        file = folder / LINES
        if not file.is_file():
            raise FileNotFoundError(
                f"{folder} holds no discovered shortcuts ({LINES}); make them: rationalize-discover run={folder}"
            )
        words: dict[str, int] = {}
        spans: dict[str, tuple[tuple[int, int], ...]] = {}
        for where, record in records(file, Counter()):
            name, count = str(value(record, "id", where, str)), int(value(record, "words", where, int))
            found = []
            for span in value(record, "spans", where, list):
                if not (isinstance(span, list) and len(span) == 2 and all(isinstance(end, int) for end in span)):
                    raise broken(where, f"expected spans [start, end] in words, got {span!r}", REMEDY)
                if not 0 <= span[0] < span[1] <= count:
                    raise broken(where, f"span {span} does not lie within the {count} words of {name!r}", REMEDY)
                found.append((span[0], span[1]))
            if name in words:
                raise broken(where, f"example {name!r} was listed before", REMEDY)
            words[name], spans[name] = count, tuple(found)
        return cls(folder, words, spans)

    def write(self) -> None:
        """Write ``shortcuts.jsonl``."""
        lines: Iterable[str] = (
            json.dumps(
                {"id": name, "words": self.words[name], "spans": [list(span) for span in self.spans[name]]}, ensure_ascii=False
            )
            for name in self.words
        )
        write_atomically(self.folder / LINES, "".join(line + "\n" for line in lines))

    def marks(self, document: Document) -> list[int]:
        """1 for each word of a document that is part of a shortcut, else 0; all 0 where the document was not looked at.

        Raises:
            ValueError: the document has fewer words than were looked at, or a mark is evidence.
        """
        found = [0] * len(document.words)
        if document.id not in self.words:
            return found
        if self.words[document.id] > len(document.words):
            raise ValueError(
                f"{self.folder / LINES}: example {document.id!r} has {self.words[document.id]} words there and "
                f"{len(document.words)} here; discover shortcuts on the corpus that is trained on"
            )
        evidence = {word for start, end, _ in document.spans for word in range(start, end)}
        for start, end in self.spans[document.id]:
            for word in range(start, end):
                if word in evidence:
                    raise ValueError(
                        f"{self.folder / LINES}: word {word} of example {document.id!r} is evidence and no shortcut; {REMEDY}"
                    )
                found[word] = 1
        return found
