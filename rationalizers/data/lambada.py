"""LAMBADA: passages whose last word needs all of them (Paperno et al., 2016), and 107 of them with what people saw it in.

Annotations: Rationales for Sequential Predictions (Vafa et al., 2021, https://arxiv.org/abs/2109.06387).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from rationalizers.data.records import broken, records, value
from rationalizers.data.texts import Text, TextCorpus, located

PASSAGES, ANNOTATED = "lambada/lambada_test.jsonl.gz", "lambada/annotated_lambada.json"
# Of the passages that are not annotated, every so manieth is held out.
EVERY = 20


class Lambada(TextCorpus):
    """The passages of the test set without the annotated ones; these are the split ``test``.

    The set has no training passages: here a model may learn from those that nobody annotated, one in twenty of them ``val``.

    Args:
        root: folder of all data; ``None`` is the environment variable ``RATIONALIZERS_DATA``, else the user's cache.
    """

    def __init__(self, *, root: str | None = None) -> None:
        self.root = root

    def texts(self) -> dict[str, list[Text]]:
        """Passages as they stand there."""
        annotated = annotated_passages(self.root)
        held = {passage.index for passage in annotated}
        rows = [value(record, "text", where, str) for where, record in records(located(PASSAGES, self.root), Counter())]
        others: list[Text] = [(text,) for index, text in enumerate(rows) if index not in held]
        return {
            "train": [text for place, text in enumerate(others) if place % EVERY],
            "val": others[::EVERY],
            "test": [(passage.text,) for passage in annotated],
        }


@dataclass(frozen=True)
class Passage:
    """An annotated passage.

    Args:
        index: its place in the test set.
        text: all of it; the last word is to be predicted.
        target: where that word begins, in characters.
        spans: what people saw it in, ``(start, end)`` in characters, half-open.
    """

    index: int
    text: str
    target: int
    spans: tuple[tuple[int, int], ...]


def annotated_passages(root: str | None = None) -> list[Passage]:
    """The annotated passages in their order.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: a line that is not one of them, or with a span outside of what comes before its last word.
    """
    found = []
    for where, record in records(located(ANNOTATED, root), Counter()):
        text, spans = value(record, "text", where, str), value(record, "rationale", where, list)
        target = max(text.rfind(" "), text.rfind("\n")) + 1
        for span in spans:
            if len(span) != 2 or not 0 <= span[0] < span[1] <= target:
                raise broken(where, f"expected spans [start, end) in the {target} characters before the last word, got {span}")
        index = value(record, "lambadaIndex", where, int)
        found.append(Passage(index, text, target, tuple((start, end) for start, end in spans)))
    return found
