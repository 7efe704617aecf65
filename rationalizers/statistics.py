"""How sure a number is: bootstrap over examples, for one method and for the difference between two.

Every number here is a ratio of sums over examples, Σ_i a_i / Σ_i b_i: a mean has b = 1, a pooled F1 has a = 2 · hits and
b = selected + evidence. With several seeds, the ratio is computed for each and averaged, and the same examples are drawn for all
of them. Examples are drawn with replacement, the percentile interval is taken (Efron and Tibshirani, 1993, An Introduction to the
Bootstrap). Such an interval says how the number would move with other examples of the same kind; it does not know that training
again would give another model, which is what the spread over seeds says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES = 2000
# Counts of drawn examples that are held at a time.
CHUNK = 8_000_000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval over examples.

    Args:
        value: Σ a / Σ b, averaged over seeds.
        low: lower end; NaN with less than two examples.
        high: upper end likewise.
        examples: that count.
    """

    value: float
    low: float
    high: float
    examples: int


@dataclass(frozen=True)
class Gap(Estimate):
    """A difference with its 95 % interval over examples.

    Args:
        p: two-sided: twice the smaller share of resamples in which the difference has the other sign or none, at least
            2 / resamples.
    """

    p: float


def estimate(a: Floats, b: Floats, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """A ratio of sums with its interval.

    Args:
        a: numerators ``[S, B]``, or ``[B]`` of one seed.
        b: denominators likewise; an example where they are 0 for all seeds does not count.
        resamples: how often examples are drawn.
        seed: of the drawing.

    Raises:
        ValueError: shapes that differ.
    """
    a, b = _seeds(a, b)
    known = (b > 0).any(0)
    a, b = a[:, known], b[:, known]
    value = _ratio(a.sum(1), b.sum(1))
    return Estimate(value, *_interval(_drawn(a, b, resamples=resamples, seed=seed)), examples=int(known.sum()))


def difference(first: tuple[Floats, Floats], second: tuple[Floats, Floats], *, resamples: int = RESAMPLES, seed: int = 0) -> Gap:
    """One ratio minus another on the same examples, which are drawn together.

    Args:
        first: numerators and denominators, ``[S, B]`` each.
        second: those of the other on the same B examples in the same order; it may have other seeds.
        resamples: how often examples are drawn.
        seed: of the drawing.

    Raises:
        ValueError: shapes that differ within a pair, or numbers of examples between them.
    """
    (a, b), (c, d) = _seeds(*first), _seeds(*second)
    if a.shape[1] != c.shape[1]:
        raise ValueError(f"both must be on the same examples, got {a.shape[1]} and {c.shape[1]}; match them by name first")
    # Drawn are examples that count for both; where one has none, there is nothing to pair.
    known = (b > 0).any(0) & (d > 0).any(0)
    a, b, c, d = (each[:, known] for each in (a, b, c, d))
    value = _ratio(a.sum(1), b.sum(1)) - _ratio(c.sum(1), d.sum(1))
    drawn = _drawn(a, b, resamples=resamples, seed=seed) - _drawn(c, d, resamples=resamples, seed=seed)
    drawn = drawn[np.isfinite(drawn)]
    p = np.nan
    if drawn.size:
        p = min(1.0, 2 * max(1 / resamples, min(float((drawn <= 0).mean()), float((drawn >= 0).mean()))))
    return Gap(value, *_interval(drawn), examples=int(known.sum()), p=p)


def _seeds(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    if a.shape != b.shape or a.ndim not in (1, 2):
        raise ValueError(f"numerators and denominators must both be [S, B] or [B], got {a.shape} and {b.shape}")
    found = np.atleast_2d(np.asarray(a, np.float64)), np.atleast_2d(np.asarray(b, np.float64))
    return found


def _draws(examples: int, *, resamples: int, seed: int) -> Iterable[Floats]:
    """How often each example is drawn, ``[r, B]`` at a time; the same for every number of the same examples."""
    some = _few_draws if examples * resamples <= CHUNK else _some_draws
    return some(examples, resamples=resamples, seed=seed)


@lru_cache(maxsize=2)
def _few_draws(examples: int, *, resamples: int, seed: int) -> tuple[Floats, ...]:
    # Many numbers are of the same examples, and drawing takes longer than the rest.
    return tuple(_some_draws(examples, resamples=resamples, seed=seed))


def _some_draws(examples: int, *, resamples: int, seed: int) -> Iterator[Floats]:
    generator = np.random.default_rng(seed)
    at_once = max(1, CHUNK // max(1, examples))
    for first in range(0, resamples, at_once):
        count = min(at_once, resamples - first)
        yield generator.multinomial(examples, np.full(examples, 1 / examples), size=count).astype(np.float64)


def _drawn(a: Floats, b: Floats, *, resamples: int, seed: int) -> Floats:
    """The number in every resample ``[R]``; NaN where nothing that counts was drawn."""
    if a.shape[1] < 2:
        return np.full(resamples, np.nan)
    found = []
    for times in _draws(a.shape[1], resamples=resamples, seed=seed):
        whole = times @ b.T  # [r, S]
        ratio = np.divide(times @ a.T, whole, out=np.full_like(whole, np.nan), where=whole > 0)
        found.append(ratio.mean(1))
    return np.concatenate(found)


def _interval(drawn: Floats) -> tuple[float, float]:
    drawn = drawn[np.isfinite(drawn)]
    if not drawn.size:
        return float("nan"), float("nan")
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _ratio(a: Floats, b: Floats) -> float:
    """Mean over seeds of Σ a / Σ b; NaN where one has nothing."""
    return float(np.mean(np.divide(a, b, out=np.full_like(b, np.nan), where=b > 0))) if b.size else float("nan")
