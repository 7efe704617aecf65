"""Erased and kept copies, against a loop over fractions and examples."""

from itertools import pairwise

import pytest
import torch

from rationalizers.kernels.perturb import _perturb, perturb, perturb_reference, tops
from rationalizers.segment import segment_rank

FRACTIONS = [0.0, 0.05, 0.25, 0.5, 0.75, 1.0]
SIZES = (0, 6, 1, 0, 9, 3, 0)


def inputs(sizes=SIZES, *, fixed=0.3):
    ptr = torch.tensor([0, *sizes]).cumsum(0)
    hidden = torch.rand(sum(sizes)) < fixed
    return segment_rank(torch.randn(sum(sizes)).masked_fill(hidden, -torch.inf), ptr), ptr, hidden


def loop(ranks, ptr, fixed, fractions):
    copies = []
    for fraction in fractions:
        erased, kept = [], []
        for start, end in pairwise(ptr.tolist()):
            units = range(start, end)
            free = [unit for unit in units if not fixed[unit]]
            k = max(1, round(fraction * len(free))) if fraction and free else 0
            top = sorted(free, key=lambda unit: int(ranks[unit]))[:k]
            erased.append([unit for unit in units if unit not in top])
            kept.append([unit for unit in units if fixed[unit] or unit in top])
        copies += erased + kept
    return copies


def split(index, copies):
    return [index[start:end].tolist() for start, end in pairwise(copies.tolist())]


def test_by_hand():
    # Two texts of three and two words, the first word of the first is fixed.
    ranks, fixed = torch.tensor([9, 1, 0, 0, 1]), torch.tensor([True, False, False, False, False])
    index, copies = perturb(ranks, torch.tensor([0, 3, 5]), fixed, [0.5, 1.0])
    erased, kept = [[0, 1], [4]], [[0, 2], [3]]
    none, all_of_it = [[0], []], [[0, 1, 2], [3, 4]]
    assert split(index, copies) == [*erased, *kept, *none, *all_of_it]
    assert copies.tolist() == [0, 2, 3, 5, 6, 7, 7, 10, 12]
    assert index.dtype == copies.dtype == torch.int64


@pytest.mark.parametrize("fixed", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_copies_are_those_of_a_loop(seed, fixed):
    torch.manual_seed(seed)
    ranks, ptr, hidden = inputs(fixed=fixed)
    index, copies = perturb(ranks, ptr, hidden, FRACTIONS)
    expected = loop(ranks, ptr, hidden, FRACTIONS)
    assert split(index, copies) == expected
    assert index.shape == (len(FRACTIONS) * (sum(SIZES) + int(hidden.sum())),)
    assert copies.shape == (2 * len(FRACTIONS) * len(SIZES) + 1,)
    assert copies[-1] == index.shape[0]


def test_units_stay_in_order_and_in_their_example():
    ranks, ptr, hidden = inputs()
    for place, units in enumerate(split(*perturb(ranks, ptr, hidden, FRACTIONS))):
        start, end = ptr[place % len(SIZES)], ptr[place % len(SIZES) + 1]
        assert units == sorted(set(units))
        assert all(start <= unit < end for unit in units)


def test_fixed_units_are_in_every_copy_and_every_other_in_one_of_two():
    ranks, ptr, hidden = inputs()
    for fraction in FRACTIONS:
        index, copies = perturb(ranks, ptr, hidden, [fraction])
        erased, kept = (torch.bincount(part, minlength=sum(SIZES)) for part in index.tensor_split(copies[len(SIZES)][None]))
        assert (erased + kept).equal(1 + hidden.long())
        assert (erased * kept).equal(hidden.long())


def test_the_first_and_the_last_fraction_are_everything_and_nothing():
    ranks, ptr, _ = inputs()
    nothing = torch.zeros(sum(SIZES), dtype=torch.bool)
    for fraction in (0.0, 1.0):
        index, copies = perturb(ranks, ptr, nothing, [fraction])
        assert index.tolist() == list(range(sum(SIZES)))
        erased, kept = copies.diff().view(2, -1).tolist()
        assert (erased, kept) == ((list(SIZES), [0] * 7) if fraction == 0 else ([0] * 7, list(SIZES)))


@pytest.mark.parametrize(
    ("fraction", "units", "top"),
    [
        (0.01, 7, 1),  # never less than one
        (0.5, 1, 1),  # half of one rounds to zero
        (0.5, 3, 2),  # 1.5 and 2.5 round to even
        (0.5, 5, 2),
        (0.1, 15, 2),  # .1 · 15 is 1.5 in 64 bits
        (0.7, 5, 4),  # .7 · 5 is 3.5
        (0.14, 75, 11),  # 10.5 in 32 bits, a little more in 64
        (0.2, 0, 0),
        (0, 9, 0),
        (1, 9, 9),
        (0.05, 1000, 50),
    ],
)
def test_size_of_the_top(fraction, units, top):
    ranks, ptr = torch.arange(units), torch.tensor([0, units])
    nothing = torch.zeros(units, dtype=torch.bool)
    index, copies = perturb(ranks, ptr, nothing, [fraction])
    assert copies.tolist() == [0, units - top, units]
    assert index.tolist() == [*range(top, units), *range(top)]
    size, offsets = tops(ptr, nothing, [fraction])
    assert (size.tolist(), offsets.tolist()) == ([[top]], copies.tolist())


def test_a_gather_makes_the_texts():
    words = ["the", "film", "was", "a", "quiet", "joy"]
    scores = torch.tensor([-torch.inf, 0.1, 0.0, -0.2, 0.7, 0.9])  # "the" is fixed
    ptr = torch.tensor([0, 6])
    index, copies = perturb(segment_rank(scores, ptr), ptr, scores == -torch.inf, [0.4], fixed_count=1)
    assert [" ".join(words[unit] for unit in units) for units in split(index, copies)] == ["the film was a", "the quiet joy"]
    states = torch.randn(6, 4)
    assert states[index].shape == (7, 4)
    assert states[index][4:].equal(states[[0, 4, 5]])


def test_ranks_of_fixed_units_are_not_read():
    ranks, ptr, hidden = inputs()
    expected = perturb(ranks, ptr, hidden, FRACTIONS)
    for anything in (-(2**62), 0, 2**62):
        found = perturb(ranks.masked_fill(hidden, anything), ptr, hidden, FRACTIONS)
        assert all(one.equal(other) for one, other in zip(found, expected, strict=True))


def test_a_known_number_of_fixed_units_changes_nothing():
    ranks, ptr, hidden = inputs()
    expected = perturb(ranks, ptr, hidden, FRACTIONS)
    for found in (
        perturb(ranks, ptr, hidden, tuple(FRACTIONS), fixed_count=int(hidden.sum())),
        perturb_reference(ranks, ptr, hidden, FRACTIONS, int(hidden.sum())),
    ):
        assert all(one.equal(other) for one, other in zip(found, expected, strict=True))


def test_layout_in_memory_does_not_matter():
    contiguous = inputs()
    apart = [tensor.repeat_interleave(2)[::2] for tensor in contiguous]
    assert not any(tensor.is_contiguous() for tensor in apart)
    for one, other in zip(perturb(*apart, FRACTIONS), perturb(*contiguous, FRACTIONS), strict=True):
        assert one.equal(other)


@pytest.mark.parametrize("examples", [0, 3])
def test_copies_of_nothing_are_empty(examples):
    ptr = torch.zeros(examples + 1, dtype=torch.long)
    index, copies = perturb(ptr[:0], ptr, torch.zeros(0, dtype=torch.bool), FRACTIONS)
    assert index.tolist() == []
    assert copies.tolist() == [0] * (2 * len(FRACTIONS) * examples + 1)


def test_without_fractions_there_are_no_copies():
    index, copies = perturb(*inputs(), [])
    assert (index.tolist(), copies.tolist()) == ([], [0])


def test_the_op_keeps_the_rules_of_torch():
    ranks, ptr, hidden = inputs()
    torch.library.opcheck(_perturb, (ranks, ptr, hidden, FRACTIONS, int(hidden.sum())))
    torch.library.opcheck(_perturb, (ranks, ptr, hidden, [], int(hidden.sum())))
    torch.library.opcheck(_perturb, (ranks.repeat_interleave(2)[::2], ptr, hidden, [0.5], int(hidden.sum())))


def test_compilation_passes_through():
    ranks, ptr, hidden = inputs()
    count = int(hidden.sum())
    states = torch.randn(sum(SIZES), 2, requires_grad=True)

    def loss(states, ranks, ptr, hidden):
        index, copies = perturb(ranks, ptr, hidden, FRACTIONS, fixed_count=count)
        return (states[index] * torch.arange(index.shape[0])[:, None]).square().sum() + copies.sum()

    expected = loss(states, ranks, ptr, hidden)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")(states, ranks, ptr, hidden)
    torch.testing.assert_close(compiled, expected)
    torch.testing.assert_close(*(torch.autograd.grad(each, states)[0] for each in (compiled, expected)))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"ranks": torch.zeros(3)}, TypeError, "'ranks' must be int64, got torch.float32"),
        ({"ranks": torch.zeros(3, dtype=torch.int32)}, TypeError, "'ranks' must be int64, got torch.int32"),
        ({"ptr": torch.tensor([0.0, 3.0])}, TypeError, "'ptr' must be int64, got torch.float32"),
        ({"fixed": torch.zeros(3)}, TypeError, "'fixed' must be bool, got torch.float32; compare it with what it should say"),
        ({"ranks": torch.zeros(3, 1).long()}, ValueError, r"'ranks' must be \[N\], got \(3, 1\); see .*segment_rank"),
        ({"ptr": torch.tensor([[0, 3]])}, ValueError, r"'ptr' must be the offsets \[B\+1\], got \(1, 2\)"),
        ({"ptr": torch.tensor([0, 2])}, ValueError, r"'ptr' must rise from 0 to the 3 units, got \[0, 2\]"),
        ({"ptr": torch.tensor([0, 2, 1, 3])}, ValueError, r"'ptr' must rise from 0 to the 3 units, got \[0, 2, 1, 3\]"),
        ({"fixed": torch.zeros(2).bool()}, ValueError, r"'fixed' must be \[N=3\], got \(2,\); give one number per unit"),
        ({"fractions": [0.5, 1.1]}, ValueError, r"'fractions' must be in \[0, 1\], got \[0.5, 1.1\]"),
        ({"fractions": [-0.1]}, ValueError, r"'fractions' must be in \[0, 1\], got \[-0.1\]"),
        ({"fractions": [torch.nan]}, ValueError, r"'fractions' must be in \[0, 1\], got \[nan\]"),
        ({"fixed_count": 1}, ValueError, "'fixed_count' must be the number of fixed units; 1 fractions of 3 units with 1 fixed"),
        (
            {"fixed_count": -1},
            ValueError,
            "'fixed_count' must be the number of fixed units; 1 fractions of 3 units with -1 fixed",
        ),
        ({"ranks": torch.tensor([1, 2, 3])}, ValueError, "'ranks' must count the selectable units of each example from 0"),
        ({"ranks": torch.tensor([0, 0, 1])}, ValueError, "'ranks' must count the selectable units of each example from 0"),
        ({"ranks": torch.tensor([0, 1, -1])}, ValueError, "'ranks' must count the selectable units of each example from 0"),
        # Counted over the batch and not over each example.
        ({"ptr": torch.tensor([0, 1, 3])}, ValueError, "'ranks' must count the selectable units of each example from 0"),
        # A fixed unit counted too.
        ({"fixed": torch.tensor([True, False, False])}, ValueError, "'ranks' must count the selectable units of each example"),
    ],
)
def test_what_does_not_fit_is_named(change, error, message):
    given = {
        "ranks": torch.arange(3),
        "ptr": torch.tensor([0, 3]),
        "fixed": torch.zeros(3, dtype=torch.bool),
        "fractions": [0.4],
        "fixed_count": None,
    } | change
    with pytest.raises(error, match=message):
        perturb(*(given[name] for name in ("ranks", "ptr", "fixed", "fractions")), fixed_count=given["fixed_count"])
