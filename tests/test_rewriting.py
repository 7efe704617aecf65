"""Whole words of a packed batch, and other words in their place."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rationalizers.batch import Packed
from rationalizers.rewriting import Replacements, replace_words, whole_words
from rationalizers.segment import segment_groups

TABLE = Replacements(
    probability=torch.tensor([0.5, 0.25, 0.25]),
    units=torch.tensor([100, 200, 201, 300, 301, 302]),
    ptr=torch.tensor([0, 1, 3, 6]),
)


def pieces():
    """`[CLS] q [SEP] w0 w0 w1 w2 w2 w2 [SEP]` and `[CLS] w0 w1 w1 [SEP]`."""
    word = torch.tensor([-1, 0, -1, 2, 2, 3, 4, 4, 4, -1, -1, 0, 1, 1, -1])
    fixed = torch.tensor([1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1]).bool()
    spans = torch.tensor([[0, 3, 6, 0], [0, 6, 9, 1], [1, 2, 4, 0]])
    evidence = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 0]).bool()
    return Packed(
        units=torch.arange(15),
        ptr=torch.tensor([0, 10, 15]),
        y=torch.tensor([1, 0]),
        fixed=fixed,
        fields={"word": word, "evidence": evidence, "replaceable": word.float().clamp(min=0) / 2},
        labelled=torch.tensor([True, False]),
        spans=spans,
        index=torch.tensor([7, 3]),
        words=(("q", "<sep>", "a", "b", "c"), ("d", "e")),
        ids=("x", "y"),
    )


def replaced(packed, words, new, table=TABLE):
    return replace_words(packed, torch.tensor(words, dtype=torch.long), torch.tensor(new, dtype=torch.long), table)


# Whole words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ([], []),
        ([3], [3, 4]),
        ([4, 5], [3, 4, 5]),
        ([7], [6, 7, 8]),
        ([13, 8], [6, 7, 8, 12, 13]),
        ([0, 1, 2, 9], []),  # fixed
        (list(range(15)), [3, 4, 5, 6, 7, 8, 11, 12, 13]),
    ],
)
@pytest.mark.parametrize("dtype", [torch.bool, torch.float32])
def test_a_selected_piece_brings_in_its_word(chosen, expected, dtype):
    mask = torch.zeros(15, dtype=dtype)
    mask[chosen] = 1
    found = whole_words(mask, pieces())
    assert found.dtype == torch.bool
    assert found.nonzero().flatten().tolist() == expected


def test_words_of_neighbouring_examples_are_different_words():
    packed = Packed(units=torch.arange(2), ptr=torch.tensor([0, 1, 2]), fields={"word": torch.zeros(2).long()})
    assert whole_words(torch.tensor([True, False]), packed).tolist() == [True, False]


def test_words_must_be_known():
    packed = Packed(units=torch.arange(3), ptr=torch.tensor([0, 3]))
    with pytest.raises(ValueError, match=r"words need batch.fields\['word'\]; this batch has none"):
        whole_words(torch.ones(3), packed)
    with pytest.raises(ValueError, match=r"'mask' must be \[N\] = \[15\], got \(4,\)"):
        whole_words(torch.ones(4), pieces())


# Other words ----------------------------------------------------------------------------------------------------------


def test_a_word_of_two_pieces_becomes_one_of_three():
    # Words of the batch: [CLS] 0, q 1, [SEP] 2, a 3, b 4, c 5, [SEP] 6 | [CLS] 7, d 8, e 9, [SEP] 10.
    packed = pieces()
    found, origin = replaced(packed, [3, 5, 8], [2, 0, 1])
    assert found.units.tolist() == [0, 1, 2, 300, 301, 302, 5, 100, 9, 10, 200, 201, 12, 13, 14]
    assert origin.tolist() == [0, 1, 2, 3, 3, 3, 5, 6, 9, 10, 11, 11, 12, 13, 14]
    assert found.ptr.tolist() == [0, 9, 15]
    assert found.position.tolist() == [*range(9), *range(6)]
    assert found.spans.tolist() == [[0, 3, 7, 0], [0, 7, 8, 1], [1, 3, 5, 0]]
    assert found.fields["word"].tolist() == [-1, 0, -1, 2, 2, 2, 3, 4, -1, -1, 0, 0, 1, 1, -1]
    assert found.fields["replaceable"].equal(packed.fields["replaceable"][origin])
    assert found.fixed.equal(packed.fixed[origin])
    for name in ("y", "labelled", "annotated", "index", "words", "ids"):
        assert getattr(found, name) is getattr(packed, name)
    mask = whole_words(packed.units == 4, packed)
    assert found.units[mask[origin]].tolist() == [300, 301, 302]


def test_replacing_nothing_changes_nothing():
    packed = pieces()
    found, origin = replaced(packed, [], [])
    assert found.units.equal(packed.units)
    assert found.spans.equal(packed.spans)
    assert found.ptr.equal(packed.ptr)
    assert origin.equal(torch.arange(15))


def test_the_batch_itself_stays_as_it_was():
    packed = pieces()
    replaced(packed, [3], [1])
    assert packed.units.equal(torch.arange(15))


def test_the_order_in_which_words_are_named_does_not_matter():
    ours, theirs = replaced(pieces(), [3, 9, 5], [0, 1, 2]), replaced(pieces(), [9, 5, 3], [1, 2, 0])
    assert ours[0].units.equal(theirs[0].units)
    assert ours[1].equal(theirs[1])


def test_a_span_within_a_word_covers_its_replacement():
    packed = Packed(
        units=torch.arange(6),
        ptr=torch.tensor([0, 6]),
        fields={"word": torch.tensor([0, 0, 0, 1, 1, 1])},
        spans=torch.tensor([[0, 1, 5, 0], [0, 4, 6, 1]]),
    )
    assert replaced(packed, [0], [1])[0].spans.tolist() == [[0, 0, 4, 0], [0, 3, 5, 1]]
    assert replaced(packed, [1], [1])[0].spans.tolist() == [[0, 1, 5, 0], [0, 3, 5, 1]]


def test_positions_that_were_kept_are_counted_anew():
    packed = pieces().select(torch.arange(15) != 5, positions="kept")
    assert replaced(packed, [], [])[0].position.tolist() == [*range(9), *range(5)]


def naive(packed, words, new, table):
    """The same with lists."""
    owner, _ = segment_groups(packed.fields["word"], packed.ptr)
    units, origin, ptr, spans = [], [], [0], []
    for b in range(len(packed)):
        start, end = packed.ptr[b].item(), packed.ptr[b + 1].item()
        bounds = {}  # old unit to the new units of its word, or to itself
        i = start
        while i < end:
            run = owner[i].item()
            size = (owner == run).sum().item()
            begin = len(units)
            if run in words:
                row = new[words.index(run)]
                put = table.units[table.ptr[row] : table.ptr[row + 1]].tolist()
                units += put
                origin += [i] * len(put)
                bounds |= {j: (begin, begin + len(put)) for j in range(i, i + size)}
            else:
                units += packed.units[i : i + size].tolist()
                origin += range(i, i + size)
                bounds |= {i + j: (begin + j, begin + j + 1) for j in range(size)}
            i += size
        for _, first, last, group in packed.spans[packed.spans[:, 0] == b].tolist():
            spans.append([b, bounds[start + first][0] - ptr[-1], bounds[start + last - 1][1] - ptr[-1], group])
        ptr.append(len(units))
    return units, origin, ptr, spans


@st.composite
def problems(draw):
    examples = draw(st.lists(st.lists(st.integers(1, 4), max_size=6), min_size=1, max_size=4))
    word = [i for sizes in examples for i, size in enumerate(sizes) for _ in range(size)]
    length = [sum(sizes) for sizes in examples]
    spans = []
    for b, n in enumerate(length):
        for group in range(draw(st.integers(0, 2)) if n else 0):
            start = draw(st.integers(0, n - 1))
            spans.append([b, start, draw(st.integers(start + 1, n)), group])
    packed = Packed(
        units=torch.arange(len(word)),
        ptr=torch.tensor([0, *torch.tensor(length).cumsum(0).tolist()]),
        fields={"word": torch.tensor(word, dtype=torch.long), "fact": torch.rand(len(word))},
        spans=torch.tensor(spans, dtype=torch.long).reshape(-1, 4),
    )
    count = sum(len(sizes) for sizes in examples)
    words = draw(st.lists(st.integers(0, count - 1), unique=True)) if count else []
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    new = [draw(st.integers(0, len(sizes) - 1)) for _ in words]
    table = Replacements(
        probability=torch.full((len(sizes),), 1 / len(sizes)),
        units=torch.arange(1000, 1000 + sum(sizes)),
        ptr=torch.tensor([0, *torch.tensor(sizes).cumsum(0).tolist()]),
    )
    return packed, words, new, table


@given(problems())
@settings(max_examples=150, deadline=None)
def test_it_agrees_with_the_loop(problem):
    packed, words, new, table = problem
    found, origin = replaced(packed, words, new, table)
    units, where, ptr, spans = naive(packed, words, new, table)
    assert found.units.tolist() == units
    assert origin.tolist() == where
    assert found.ptr.tolist() == ptr
    assert found.spans.tolist() == spans
    assert found.fields["fact"].equal(packed.fields["fact"][origin])
    assert found.fields["word"].equal(packed.fields["word"][origin])


@pytest.mark.parametrize(
    ("words", "new", "message"),
    [
        ([3, 4], [0], r"'words' and 'new' must be whole numbers \(int64\) \[R\], got torch.int64 \(2,\) and torch.int64 \(1,\)"),
        ([11], [0], r"'words' must lie in \[0, 11\), got 11 to 11"),
        ([-1, 3], [0, 0], r"'words' must lie in \[0, 11\), got -1 to 3"),
        ([3], [3], r"'new' must lie in \[0, 3\), got 3 to 3"),
        ([3, 3], [0, 1], "'words' names a word twice"),
        ([2, 3], [0, 0], r"fixed words are never replaced; 'words' names \[2\]"),
        ([1], [0], "fixed words are never replaced"),
    ],
)
def test_what_does_not_fit_is_named(words, new, message):
    with pytest.raises(ValueError, match=message):
        replaced(pieces(), words, new)


def test_numbers_must_be_whole():
    with pytest.raises(ValueError, match=r"got torch.float32 \(1,\) and torch.int64 \(1,\)"):
        replace_words(pieces(), torch.tensor([3.0]), torch.tensor([0]), TABLE)


def test_a_batch_that_does_not_know_its_words_is_refused():
    packed = Packed(units=torch.arange(3), ptr=torch.tensor([0, 3]), fields={"evidence": torch.zeros(3)})
    with pytest.raises(ValueError, match="this batch has evidence"):
        replaced(packed, [0], [0])


# The table ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probability": torch.tensor([0.5, 0.5])}, r"got \(2,\), \(6,\) and \(4,\)"),
        ({"probability": torch.ones(1, 3) / 3}, r"must be \[V\], \[M\] and \[V \+ 1\]"),
        ({"probability": torch.tensor([0.5, 0.5, 0.5])}, "sum to 1; it sums to 1.5"),
        ({"probability": torch.tensor([1.5, 0.0, -0.5])}, "at least 0 everywhere"),
        ({"probability": torch.tensor([float("nan"), 0.5, 0.5])}, "it sums to nan"),
        ({"units": torch.arange(7)}, "'ptr' must rise from 0 to M=7"),
        ({"ptr": torch.tensor([0, 3, 3, 6])}, "at least one unit for every word"),
        ({"ptr": torch.tensor([1, 2, 3, 6])}, "'ptr' must rise from 0"),
        ({"probability": torch.zeros(0), "units": torch.zeros(0), "ptr": torch.zeros(1)}, "V of at least 1"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Replacements(**{**vars(TABLE), **change})


def test_a_table_moves_as_a_whole():
    moved = TABLE.to("meta")
    assert {getattr(moved, name).device.type for name in ("probability", "units", "ptr")} == {"meta"}
    assert TABLE.to("cpu").ptr.equal(TABLE.ptr)
