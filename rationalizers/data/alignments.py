"""Sentences and their translations with the words that people aligned."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rationalizers.data.records import broken
from rationalizers.data.texts import Text, TextCorpus, located, read

# Romanian and English of the shared task of Mihalcea and Pedersen (2003, An Evaluation Exercise for Word Alignment).
ROMANIAN = ("parallel/word_alignment/roen.src-tgt", "parallel/word_alignment/roen.gold")
Link = tuple[int, int]


@dataclass(frozen=True)
class Aligned:
    """A pair of sentences.

    Args:
        source: its words.
        target: its words.
        sure: links ``(source word, target word)``, counted from 0.
        possible: further links, which may be there or not.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    sure: frozenset[Link]
    possible: frozenset[Link]


class AlignedPairs(TextCorpus):
    """The same sentences to train on and to test, as alignment models without supervision do: links are not used.

    Args:
        pairs: path of lines ``source ||| target``.
        root: folder of all data; ``None`` is the environment variable ``RATIONALIZERS_DATA``, else the user's cache.
    """

    def __init__(self, *, pairs: str = ROMANIAN[0], root: str | None = None) -> None:
        self.pairs, self.root = pairs, root

    def texts(self) -> dict[str, list[Text]]:
        """Every pair, in each split."""
        texts: list[Text] = [(" ".join(source), " ".join(target)) for source, target in _sentences(self.pairs, self.root)]
        return {"train": texts, "val": texts, "test": texts}


def aligned_pairs(*, pairs: str = ROMANIAN[0], links: str = ROMANIAN[1], root: str | None = None) -> list[Aligned]:
    """Pairs with their links, ``i-j`` sure and ``ipj`` possible, counted from 1 in the file.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a line without both sides, a link that is none or outside of the sentences, or not as many lines in both.
    """
    sentences, file = _sentences(pairs, root), located(links, root)
    lines = read(file).splitlines()
    if len(lines) != len(sentences):
        raise broken(f"{file}:{min(len(lines), len(sentences)) + 1}", f"expected {len(sentences)} lines, got {len(lines)}")
    found = []
    for number, ((source, target), line) in enumerate(zip(sentences, lines, strict=True), start=1):
        kinds: dict[str, set[Link]] = {"-": set(), "p": set()}
        for each in line.split():
            link = re.fullmatch(r"(\d+)([-p])(\d+)", each)
            if not link or not (0 < int(link[1]) <= len(source) and 0 < int(link[3]) <= len(target)):
                raise broken(
                    f"{file}:{number}",
                    f"expected i-j or ipj with words 1 to {len(source)} and 1 to {len(target)}, got {each!r}",
                )
            kinds[link[2]].add((int(link[1]) - 1, int(link[3]) - 1))
        found.append(Aligned(source, target, frozenset(kinds["-"]), frozenset(kinds["p"] - kinds["-"])))
    return found


def words_of_pieces(offsets: Iterable[tuple[int, int]], words: Iterable[str]) -> list[int | None]:
    """The word that each piece of ``" ".join(words)`` belongs to; ``None`` of special tokens, which cover nothing.

    Args:
        offsets: of each piece ``(start, end)`` in characters, half-open, as fast tokenizers of transformers tell them.
        words: of the sentence.
    """
    ends, end = [], -1
    for word in words:
        end += len(word) + 1
        ends.append(end)
    return [None if start == stop else next(i for i, end in enumerate(ends) if stop <= end) for start, stop in offsets]


def _sentences(path: str, root: str | None) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    file, found = located(path, root), []
    for number, line in enumerate(read(file).splitlines(), start=1):
        sides = tuple(tuple(side.split()) for side in line.split("|||"))
        if len(sides) != 2 or not all(sides):
            raise broken(f"{file}:{number}", f"expected 'source ||| target', got {line!r}")
        found.append((sides[0], sides[1]))
    return found
