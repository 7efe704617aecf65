"""Movies as the authors of SSR released them (Yue et al., ICLR 2024, https://github.com/yuelinan/codes-of-SSR)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import torch

from rationalizers.data.document import Corpus, Document, Source
from rationalizers.data.download import ROOT_VARIABLE, data_root
from rationalizers.data.pieces import PieceFeaturizer
from rationalizers.data.records import broken, only, records, value
from rationalizers.segment import segment_runs

FOLDER, ORIGIN = "ssr_movies", "https://github.com/yuelinan/codes-of-SSR (folder movie)"
LABELS = ("NEG", "POS")
FILES = {"train": "train_25_movie", "val": "dev", "test": "test"}
# Copies of the training split with something else where its shortcuts are; the second name is spelled so.
COPIES = {"augmented_random": "train_25_movie_da", "augmented_semantic": "train_25_movie_smeantic_da"}
BEGIN, END, INNER = "[CLS]", "[SEP]", "##"


@dataclass(frozen=True)
class Line:
    """One line of a file, ``[CLS]`` and ``[SEP]`` included.

    Args:
        where: ``file:line``.
        label: class name.
        pieces: ids.
        evidence: 0 or 1 for each piece.
        shortcut: 0 or 1 for each piece, all 0 where the file has none.
    """

    where: str
    label: str
    pieces: list[int]
    evidence: list[int]
    shortcut: list[int]


class SSRMovies(Source):
    """ERASER Movies, cut into pieces of BERT and to 512 of them, with shortcuts; read from ``<root>/ssr_movies``.

    ``train`` is the quarter whose evidence SSR may see; the other three quarters were not released. Splits ``augmented_random``
    and ``augmented_semantic`` hold a copy of each training document, under its name, with other pieces where its shortcuts are.
    Documents are named by split and line, as in ``train-0001``.

    The files hold ids of pieces. Words are made of them: a piece that begins with ``##`` belongs to the word before it. Those of
    a copy are the words of its original, whatever pieces stand there now. ``[CLS]`` and ``[SEP]``, the first and the last piece,
    are left off; encoders put their own there. A word is evidence, or a shortcut, if any of its pieces is; one that is both is
    evidence. Each run of evidence is a group. Shortcuts are the field ``discovered`` of the training split and its copies.

    Defects of the published files are tolerated and counted in ``Corpus.report`` as ``<split>/<count>``: ``without_evidence``
    (documents, not annotated), ``words_partly_evidence``, ``words_partly_shortcut``, ``words_evidence_and_shortcut``,
    ``special_tokens_in_shortcut`` (left off), ``special_tokens_overwritten`` (in copies; left off), ``pieces_restored`` (in
    copies, of words that are no shortcuts), ``blank_lines``. There too are ``examples``, ``pieces``, ``evidence_pieces`` and
    ``shortcut_pieces``, special tokens among them, ``pieces_changed`` in copies, and ``documents_with_shortcuts_<class>``: in the
    files of the authors, shortcuts give the class away. A count that is absent is zero.

    Args:
        root: folder of all data; ``None`` is the environment variable ``RATIONALIZERS_DATA``, else the user's cache.
        pretrained: whose tokenizer names the pieces, as in `PieceFeaturizer`; its vocabulary must be that of bert-base-uncased.

    Raises:
        FileNotFoundError: a file is absent.
        ValueError: with file and line, what `load` cannot mend: invalid JSON, a missing key, lists of different lengths, an
            unknown label, an id that the tokenizer does not have, a copy that differs from its original elsewhere.
    """

    def __init__(self, *, root: str | None = None, pretrained: str) -> None:
        self.root, self.pretrained = root, pretrained

    def load(self) -> Corpus:
        """Read all files; see the class for what is tolerated and what is not."""
        folder = data_root(self.root) / FOLDER
        paths = {split: _file(folder, stem) for split, stem in {**FILES, **COPIES}.items()}
        tokenizer = PieceFeaturizer(pretrained=self.pretrained)
        tokenizer.fit(())
        names = tokenizer.vocabulary
        count: Counter[str] = Counter()
        splits: dict[str, list[Document]] = {}
        lines: dict[str, list[Line]] = {}
        for split, path in paths.items():
            met: Counter[str] = Counter()
            lines[split] = list(self._read(path, names, met, shortcuts=split not in ("val", "test")))
            if split in FILES:
                splits[split] = [
                    self._document(line, f"{split}-{number:04d}", names, met, shortcuts=split == "train")
                    for number, line in enumerate(lines[split], start=1)
                ]
            else:
                splits[split] = _copies(path, lines[split], lines["train"], splits["train"], names, met)
            count.update({f"{split}/{what}": n for what, n in met.items()})
        return Corpus(LABELS, splits, {what: n for what, n in count.items() if n})

    def _read(self, path: Path, names: Sequence[str], met: Counter[str], *, shortcuts: bool) -> Iterator[Line]:
        """The lines of a file."""
        for where, record in records(path, met):
            labels = value(record, "label_ids", where, list)
            if len(labels) != 1 or labels[0] not in ("0", "1"):
                raise broken(where, f"'label_ids' should be ['0'] or ['1'], got {labels!r}")
            pieces = _numbers(record, "input_ids", where)
            if len(pieces) < 3:
                raise broken(where, f"'input_ids' should be {BEGIN}, one piece at least and {END}, got {pieces}")
            if unknown := [piece for piece in pieces if not (0 <= piece < len(names) and names[piece])]:
                raise self._foreign(where, f"'input_ids' should be ids of the tokenizer, below {len(names)}, got {unknown[0]}")
            marks = []
            for key in ("tag_ids", "shortcut_ids") if shortcuts else ("tag_ids",):
                found = _numbers(record, key, where)
                if len(found) != len(pieces) or not set(found) <= {0, 1}:
                    expected = f"should be 0 or 1 for each of the {len(pieces)} 'input_ids'"
                    raise broken(where, f"{key!r} {expected}, got {len(found)} values, of {sorted(set(found))}")
                marks.append(found)
            evidence, shortcut = marks if shortcuts else (*marks, [0] * len(pieces))
            met["examples"] += 1
            met["pieces"] += len(pieces)
            met["evidence_pieces"] += sum(evidence)
            met["shortcut_pieces"] += sum(shortcut)
            yield Line(where, LABELS[int(labels[0])], pieces, evidence, shortcut)

    def _document(self, line: Line, name: str, names: Sequence[str], met: Counter[str], *, shortcuts: bool) -> Document:
        """A document as people wrote it."""
        if (ends := (names[line.pieces[0]], names[line.pieces[-1]])) != (BEGIN, END):
            raise self._foreign(
                line.where, f"'input_ids' should begin with {BEGIN} and end with {END}, got {ends[0]} and {ends[1]}"
            )
        own = line.pieces[1:-1]
        begins = [place for place, piece in enumerate(own) if not place or not names[piece].startswith(INNER)]
        edges = list(pairwise([*begins, len(own)]))
        pieces = tuple(tuple(own[start:end]) for start, end in edges)
        evidence, shortcut = ([marks[1:-1][start:end] for start, end in edges] for marks in (line.evidence, line.shortcut))
        both = [any(tagged) and any(marked) for tagged, marked in zip(evidence, shortcut, strict=True)]
        discovered = [int(any(marked) and not also) for marked, also in zip(shortcut, both, strict=True)]
        tagged = torch.tensor([any(each) for each in evidence])
        runs = segment_runs(tagged, torch.tensor([0, len(edges)])).tolist()
        met["without_evidence"] += not runs
        met["words_partly_evidence"] += sum(any(each) and not all(each) for each in evidence)
        met["words_partly_shortcut"] += sum(any(each) and not all(each) for each in shortcut)
        met["words_evidence_and_shortcut"] += sum(both)
        met["special_tokens_in_shortcut"] += line.shortcut[0] + line.shortcut[-1]
        met[f"documents_with_shortcuts_{line.label}"] += any(discovered)
        return Document(
            id=name,
            words=_spelled(pieces, names),
            label=line.label,
            spans=tuple((start, end, number) for number, (start, end) in enumerate(runs)),
            fields={"discovered": tuple(discovered)} if shortcuts else {},
            annotated=bool(runs),
            pieces=pieces,
        )

    def _foreign(self, where: str, problem: str) -> ValueError:
        remedy = f"is {self.pretrained} a BERT with the vocabulary of bert-base-uncased ('pretrained')? If so, get the file again"
        return broken(where, problem, remedy)


def _copies(
    path: Path, lines: Sequence[Line], of: Sequence[Line], originals: Sequence[Document], names: Sequence[str], met: Counter[str]
) -> list[Document]:
    """The originals with the pieces of their copies where they have shortcuts."""
    if len(lines) != len(originals):
        raise broken(
            str(path), f"expected a copy of each of {len(originals)} training documents, got {len(lines)}", "get it again"
        )
    found = []
    for line, source, original in zip(lines, of, originals, strict=True):
        _check_copy(line, source)
        ends = [(line.pieces[end], source.pieces[end]) for end in (0, -1)]
        met["special_tokens_overwritten"] += sum(now != before for now, before in ends)
        met["pieces_changed"] += sum(now != before for now, before in zip(line.pieces, source.pieces, strict=True))
        own = line.pieces[1:-1]
        edges = pairwise(accumulate((len(each) for each in original.pieces), initial=0))
        there = [tuple(own[start:end]) for start, end in edges]
        marked = original.fields["discovered"]
        pieces = tuple(now if mark else before for now, before, mark in zip(there, original.pieces, marked, strict=True))
        met["pieces_restored"] += sum(
            now != kept for each, word in zip(there, pieces, strict=True) for now, kept in zip(each, word, strict=True)
        )
        found.append(replace(original, words=_spelled(pieces, names), pieces=pieces))
    return found


def _check_copy(line: Line, source: Line) -> None:
    """Refuse a copy that differs from its source in more than shortcuts; flags on ``[CLS]`` and ``[SEP]`` do not count."""
    for what, got, expected in (
        ("label", line.label, source.label),
        ("number of pieces", len(line.pieces), len(source.pieces)),
        ("evidence", line.evidence, source.evidence),
        ("shortcuts", line.shortcut[1:-1], source.shortcut[1:-1]),
    ):
        if got != expected:
            shown = "" if isinstance(got, list) else f", {expected}; got {got}"
            raise broken(line.where, f"expected the {what} of its original, {source.where}{shown}", "get both files again")
    for place, (now, before, mark) in enumerate(zip(line.pieces, source.pieces, source.shortcut, strict=True)):
        if now != before and not mark:
            problem = f"piece {place} is no shortcut and should be that of its original, {source.where}: {before}; got {now}"
            raise broken(line.where, problem, "get both files again")


def _spelled(pieces: Sequence[Sequence[int]], names: Sequence[str]) -> tuple[str, ...]:
    """The words of these pieces."""
    return tuple(names[first] + "".join(names[piece].removeprefix(INNER) for piece in rest) for first, *rest in pieces)


def _numbers(record: dict[str, Any], key: str, where: str) -> list[int]:
    """A list of whole numbers, which some of the files wrap in another."""
    found = value(record, key, where, list)
    if len(found) == 1 and isinstance(found[0], list):
        found = found[0]
    if wrong := [each for each in found if type(each) is not int]:
        raise broken(where, f"{key!r} should be a list of whole numbers, or a list of one such list; got {wrong[0]!r} in it")
    return list(found)


def _file(folder: Path, stem: str) -> Path:
    """The file with this stem."""
    path = only(folder / f"{stem}.json", folder / f"{stem}.json.gz")
    if path is None:
        raise FileNotFoundError(
            f"{folder / stem}.json or .json.gz is not there; get it from {ORIGIN}, or give the folder of all data, which holds "
            f"{FOLDER} ('root' or {ROOT_VARIABLE})"
        )
    return path
