"""Pretrained vectors: of words in text files, of word pieces in a Transformer's first layer."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from rationalizers.encoders.sources import check_weights


def read_vectors(path: Path, vocabulary: Sequence[str], *, width: int) -> dict[int, Tensor]:
    """Pretrained vectors for the words of a vocabulary, by row.

    A first line with two numbers is word2vec's header; its counts are not trusted (published files contradict theirs).

    Raises:
        ValueError: a line with fewer values than ``width`` or with something else than numbers, named by file and line.
    """
    rows = {word: row for row, word in enumerate(vocabulary)}
    found: dict[int, Tensor] = {}
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            word, *values = line.rstrip().split(" ")
            if number == 1 and len(values) == 1 and word.isdecimal() and values[0].isdecimal():
                continue
            # A few GloVe words contain spaces: the last `width` values are the vector.
            if len(values) < width:
                raise ValueError(f"{path}:{number}: expected a word and {width} values, got {len(values)}")
            word = " ".join([word, *values[:-width]])
            if word in rows:
                try:
                    found[rows[word]] = torch.tensor([float(value) for value in values[-width:]])
                except ValueError as error:
                    raise ValueError(f"{path}:{number}: expected {width} numbers after {word!r}: {error}") from error
    return found


def read_piece_vectors(folder: Path, *, like: Tensor) -> Tensor:
    """The word-piece embeddings of a pretrained Transformer, one row per piece of its tokenizer.

    Args:
        folder: with ``model.safetensors``.
        like: the table ``[V, E]`` that they are for.

    Raises:
        FileNotFoundError: there are no such weights.
        ValueError: they hold no table of word embeddings, or one of another size.
    """
    check_weights(folder)
    with safe_open(folder / "model.safetensors", framework="pt") as weights:
        names = [name for name in weights.keys() if name.endswith("embeddings.word_embeddings.weight")]  # noqa: SIM118
        if len(names) != 1:
            raise ValueError(f"{folder}: expected one table of word embeddings, got {', '.join(names) or 'none'}")
        table: Tensor = weights.get_tensor(names[0])
    if table.shape != like.shape:
        raise ValueError(
            f"{folder}: its word embeddings are {tuple(table.shape)}, the table to fill is {tuple(like.shape)}; units must be "
            f"pieces of its own tokenizer, and 'embedding' must be {table.shape[1]}"
        )
    return table
