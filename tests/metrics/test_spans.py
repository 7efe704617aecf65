"""Intervals of units, against sets of units."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rationalizers.metrics.spans import best_iou, covered, distinct, marked, overlaps, paired, shared
from rationalizers.segment import offsets

SPAN = st.tuples(st.integers(0, 4), st.integers(0, 7), st.integers(0, 6)).map(lambda s: (s[0], s[1], s[1] + s[2]))
SPANS = st.lists(SPAN, max_size=12)


def rows(spans):
    return torch.tensor(spans, dtype=torch.long).reshape(-1, 3)


def tokens_of(spans):
    return [(key, token) for key, start, end in spans for token in range(start, end)]


def jaccard(a, b):
    a, b = set(range(*a)), set(range(*b))
    return len(a & b) / len(a | b) if a | b else 0


SIZES = [14, 13, 20, 13, 13]


@settings(max_examples=60, deadline=None)
@given(left=SPANS, right=SPANS)
def test_intervals_are_sets(left, right):
    a, b = distinct(rows(left)), distinct(rows(right))
    assert a.tolist() == sorted(map(list, set(left)))
    ptr = offsets(torch.tensor(SIZES))
    tokens = [len(set(tokens_of([span for span in left if span[0] == key]))) for key in range(5)]
    assert covered(a, ptr).tolist() == tokens
    assert marked(a, ptr).tolist() == [token in tokens_of(left) for token in tokens_of([(k, 0, n) for k, n in enumerate(SIZES)])]
    both = [sum(span[0] == key for span in set(left) & set(right)) for key in range(5)]
    assert shared(a, b, 5).tolist() == both
    i, j, iou = overlaps(a, b, ptr)
    pairs = {(tuple(a[x].tolist()), tuple(b[y].tolist())): float(z) for x, y, z in zip(i, j, iou, strict=True)}
    expected = {(s, t): jaccard(s[1:], t[1:]) for s in set(left) for t in set(right) if s[0] == t[0]}
    assert pairs == {pair: value for pair, value in expected.items() if value}
    assert len(i) == len(pairs)
    assert best_iou(a, b, ptr)[0].tolist() == [
        max([v for (s, _), v in pairs.items() if list(s) == x], default=0) for x in a.tolist()
    ]


def test_memory_grows_with_overlaps_and_not_with_all_pairs():
    # All pairs would be ten thousand million.
    start = torch.arange(100_000)
    spans = torch.stack([start // 10, start % 10 * 3, start % 10 * 3 + 2], dim=1)
    i, j, iou = overlaps(spans, spans, torch.arange(10_001) * 30)
    assert torch.equal(i, j)
    assert len(i) == 100_000
    assert set(iou.tolist()) == {1.0}


def test_there_are_as_many_pairs_as_can_be():
    # The best partner of both predicted spans is the first human one, but the second one would do for one of them.
    predicted, gold = rows([(1, 0, 4), (1, 4, 8)]), rows([(1, 0, 8), (1, 3, 8)])
    limits = torch.tensor([0.3, 0.45, 0.9], dtype=torch.float64)
    assert paired(predicted, gold, torch.tensor([0, 9, 18]), limits).tolist() == [[0, 0, 0], [2, 2, 0]]
