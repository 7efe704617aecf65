"""What other tools say, as rationales: attributions of inseq and of ferret, without importing either."""

from __future__ import annotations

import base64
import binascii
import gzip
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from rationalizers.data.records import BAD_GZIP, open_plain_or_gzip
from rationalizers.parsing import parse_json
from rationalizers.rationale import Rationale
from rationalizers.segment import offsets


@dataclass(frozen=True)
class Imported:
    """Rationales of B sequences.

    Args:
        rationale: over the packed tokens of all sequences; what has no score cannot be selected.
        tokens: of each sequence.
    """

    rationale: Rationale
    tokens: tuple[tuple[str, ...], ...]


def from_inseq(output: Any, *, share: float, special: Collection[str] = ()) -> Imported:
    """The best tokens of every source, or of every prompt where a model has no source, by their attributions in inseq.

    inseq gives token i of the source and step t of the generation a score a_it, or a vector of them (over the hidden axis, or
    over layers and heads). A token's score is s_i = mean_t |a_it|, the L2 norm over all axes after the second; scores without
    such axes keep their sign, s_i = mean_t a_it. Steps at which a token was not attributed (NaN) do not count. For models that
    only decode, rows of ``target_attributions`` before the first attributed step are the prompt. Call inseq's own
    ``aggregate()`` before for any other way.

    Args:
        output: an inseq ``FeatureAttributionOutput``, or the file that its ``save`` wrote, plain or ``.gz``.
        share: of the tokens that have a score, in (0, 1]; at least one is selected.
        special: tokens that are no part of the text and cannot be selected, such as ``</s>``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is none of inseq's, or the shape of attributions does not fit the tokens; names the sequence.
    """
    held = _saved(Path(output)) if isinstance(output, str | Path) else output
    sequences = _get(held, "sequence_attributions", "an inseq FeatureAttributionOutput")
    pairs = [_inseq_sequence(each, f"sequence {place}") for place, each in enumerate(sequences)]
    return _imported(pairs, share=share, special=special)


def from_ferret(explanations: Any, *, share: float, special: Collection[str] = ()) -> Imported:
    """The best tokens of one or several ferret explanations; scores keep their sign, positive speaks for the target.

    Args:
        explanations: one object with ``tokens`` and ``scores``, as ferret's ``Explanation``, or a sequence of them.
        share: of the tokens that have a score, in (0, 1]; at least one is selected.
        special: tokens that are no part of the text and cannot be selected, such as ``[CLS]`` and ``[SEP]``.

    Raises:
        ValueError: no such object, or scores that do not fit its tokens; names its place.
    """
    several = explanations if isinstance(explanations, Sequence) else [explanations]
    pairs = []
    for place, explanation in enumerate(several):
        where = f"explanation {place}"
        tokens = tuple(map(str, _get(explanation, "tokens", where)))
        scores = _tensor(_get(explanation, "scores", where), where)
        if scores.shape != (len(tokens),):
            raise ValueError(
                f"{where}: 'scores' should be [{len(tokens)}], one per token, got {list(scores.shape)}; "
                "explain one target at a time"
            )
        pairs.append((tokens, scores))
    return _imported(pairs, share=share, special=special)


def _imported(pairs: Sequence[tuple[tuple[str, ...], Tensor]], *, share: float, special: Collection[str]) -> Imported:
    """Pack sequences of tokens with their scores and select the best."""
    if not 0 < share <= 1:
        raise ValueError(f"'share' must be in (0, 1], got {share}")
    if not pairs:
        raise ValueError("expected at least one sequence, got none; was anything attributed?")
    free = torch.tensor([token not in special for tokens, _ in pairs for token in tokens], dtype=torch.bool)
    scores = torch.cat([scores for _, scores in pairs])
    scores = scores.masked_fill(scores.isnan() | ~free, -torch.inf)
    ptr = offsets(torch.tensor([len(tokens) for tokens, _ in pairs]))
    ranked = Rationale(scores=scores, mask=torch.zeros_like(scores), ptr=ptr)
    k = (share * ranked.selectable_size()).round().clamp(min=1).long()
    return Imported(ranked.topk(k), tuple(tokens for tokens, _ in pairs))


def _inseq_sequence(sequence: Any, where: str) -> tuple[tuple[str, ...], Tensor]:
    """Tokens of a source, or of a prompt, and their scores ``[S]``."""
    source, target = (tuple(map(_token, _get(sequence, name, where))) for name in ("source", "target"))
    begin, end = _place(sequence, "attr_pos_start", where), _place(sequence, "attr_pos_end", where)
    if begin is None:
        raise ValueError(f"{where}: 'attr_pos_start' should be a place in the target, got none; attribute it again")
    stop = len(target) if end is None else min(len(target), end)
    name = "source_attributions"
    given, rows, tokens = _get(sequence, name, where), len(source), source
    if given is None:
        name = "target_attributions"
        given, rows, tokens = _get(sequence, name, where), stop, target[:begin]
    if given is None:
        raise ValueError(f"{where}: expected 'source_attributions' or 'target_attributions', got neither; attribute it again")
    scores = _tensor(given, f"{where}, {name}")
    if scores.dim() < 2 or tuple(scores.shape[:2]) != (rows, stop - begin):
        raise ValueError(
            f"{where}: {name!r} should be [{rows}, {stop - begin}, …], one row per token and one column per attributed step, "
            f"got {list(scores.shape)}; give the output as inseq made it"
        )
    if not tokens:
        raise ValueError(f"{where}: the attributed steps begin at {begin}, so nothing comes before them; give a prompt")
    if scores.dim() > 2:
        scores = scores.flatten(2).norm(dim=2)  # [S, T]
    return tokens, scores[: len(tokens)].nanmean(dim=1)


def _place(sequence: Any, name: str, where: str) -> int | None:
    """A place among the tokens of a target."""
    found = _get(sequence, name, where)
    if found is not None and (not isinstance(found, Integral) or found < 0):
        raise ValueError(f"{where}: {name!r} should be a place in the target, from 0, got {found!r}; attribute it again")
    return None if found is None else int(found)


def _token(item: Any) -> str:
    """The text of a token: inseq keeps it with its id."""
    return item if isinstance(item, str) else str(_get(item, "token", "a token"))


def _get(held: Any, name: str, where: str) -> Any:
    """A field of an object, or of the mapping that it was saved as."""
    if isinstance(held, Mapping):
        held = held.get("attributes", held)
        if name in held:
            return held[name]
    elif hasattr(held, name):
        return getattr(held, name)
    raise ValueError(f"{where} should have {name!r}, got {_names(held)}; is this the right kind of object?")


def _names(held: Any) -> str:
    return ", ".join(sorted(map(str, held))) if isinstance(held, Mapping) else type(held).__name__


def _saved(path: Path) -> Any:
    """The plain content of a file that inseq saved; no class that it names is looked up."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; give what inseq's save() wrote")
    try:
        with open_plain_or_gzip(path) as file:
            return parse_json(file.read())
    except (ValueError, *BAD_GZIP) as error:
        raise ValueError(f"{path}: expected JSON as inseq saves it, got {error}; save it again") from error


def _tensor(given: Any, where: str) -> Tensor:
    """Scores in any of the forms that they are kept in: tensor, array, nested lists, or one of inseq's two packings."""
    try:
        if isinstance(given, Tensor):
            return given.detach().cpu().float()
        if isinstance(given, str):  # inseq 0.6 and later: one tensor in a safetensors file
            return load_tensors(base64.b64decode(given, validate=True))["attribution"].float()
        if isinstance(given, Mapping):  # before: an array by its bytes, or by its numbers
            return _array(given)
        if isinstance(given, Iterable):
            return torch.from_numpy(numpy.array(given, dtype=numpy.float32))
    except (binascii.Error, KeyError, TypeError, ValueError, SafetensorError, *BAD_GZIP) as error:
        raise ValueError(f"{where}: expected an array of numbers, got something else ({error}); save it again") from error
    raise ValueError(f"{where}: expected an array of numbers, got {type(given).__name__}; give the scores as they were made")


def _array(held: Mapping[str, Any]) -> Tensor:
    """An array as json-tricks writes it: ``__ndarray__``, ``dtype`` and ``shape``; bytes are always in the order of C."""
    kept, shape, kind = held["__ndarray__"], held["shape"], numpy.dtype(held["dtype"])
    if kind.kind not in "fiu":
        raise ValueError(f"the dtype {held['dtype']!r} is no number")
    if isinstance(kept, str):
        packing, _, text = kept.partition(":")
        data = base64.b64decode(text, validate=True)
        array = numpy.frombuffer(gzip.decompress(data) if packing == "b64.gz" else data, dtype=kind)
    else:
        array = numpy.array(kept, dtype=kind)
    return torch.from_numpy(array.reshape(shape).astype(numpy.float32))
