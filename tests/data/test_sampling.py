"""Samplers: every example once in the promised number of batches, in an order that is a pure function of its arguments."""

from itertools import chain

import pytest
import torch

from rationalizers.data.sampling import InTurn, LengthBuckets, LongestFirst, Rows, drawn

LENGTH = torch.randint(1, 500, (203,), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("batch_size", [1, 7, 29, 203, 500])
@pytest.mark.parametrize("pool", [1, 4, 100])
def test_buckets_hold_every_example_once_in_the_promised_number(batch_size, pool):
    sampler = LengthBuckets(LENGTH, batch_size=batch_size, seed=1, epoch=2, pool=pool)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert sorted(chain(*batches)) == list(range(203))
    assert list(sampler) == batches
    assert max(len(batch) for batch in batches) == min(batch_size, 203)


def waste(batches):
    """Share of padding that a padded encoder would see."""
    padded = sum(len(batch) * int(LENGTH[batch].max()) for batch in batches)
    return 1 - int(LENGTH.sum()) / padded


def test_buckets_hold_examples_of_similar_length():
    pooled, plain = (waste(list(LengthBuckets(LENGTH, batch_size=8, seed=0, epoch=0, pool=pool))) for pool in (16, 1))
    assert pooled < 0.25 * plain


def test_buckets_are_shuffled_so_that_length_says_nothing_about_time():
    batches = list(LengthBuckets(LENGTH, batch_size=8, seed=0, epoch=0, pool=100))
    means = torch.tensor([LENGTH[batch].float().mean() for batch in batches])
    steps = means.diff()
    assert (steps > 0).any()
    assert (steps < 0).any()


def test_a_pool_of_one_ignores_length_when_it_makes_batches():
    ours, theirs = (LengthBuckets(length, batch_size=8, seed=0, epoch=0, pool=1) for length in (LENGTH, LENGTH.flip(0)))
    assert [sorted(batch) for batch in ours] == [sorted(batch) for batch in theirs]


def test_longest_first_keeps_the_order_of_equal_lengths():
    length = torch.tensor([3, 9, 3, 1, 9])
    sampler = LongestFirst(length, batch_size=2)
    assert list(sampler) == [[1, 4], [0, 2], [3]]
    assert len(sampler) == 3
    assert list(sampler) == list(sampler)


# Several passes -----------------------------------------------------------------------------------------------------------

FEW = torch.tensor([3, 9, 4, 1, 9, 2, 6, 5, 3, 8, 7, 2])


def few(**changes):
    return list(LengthBuckets(FEW, **{"batch_size": 5, "seed": 0, "epoch": 0, "pool": 2, **changes}))


def test_the_order_of_a_seed_stays_from_version_to_version():
    # Finished runs are replayed by it.
    assert few() == [[11, 6], [7, 10, 9, 4, 1], [3, 5, 8, 0, 2]]
    assert few(seed=1, epoch=2) == [[3, 11, 5, 8, 7], [6, 10, 9, 1, 4], [0, 2]]
    assert few(seed=1, epoch=2, stream=0) == few(seed=1, epoch=2)


def test_seed_epoch_and_stream_each_change_the_order():
    orders = [few(), few(stream=1), few(stream=2), few(epoch=1), few(epoch=1, stream=1), few(seed=1), few(seed=1, stream=1)]
    assert len({str(order) for order in orders}) == len(orders)
    assert all(sorted(chain(*order)) == list(range(12)) for order in orders)
    assert few(stream=2) == few(stream=2)


def streams(epoch=0, sizes=(5, 3, 7), batch_size=2):
    return [
        LengthBuckets(FEW[:size], batch_size=batch_size, seed=1, epoch=epoch, stream=number) for number, size in enumerate(sizes)
    ]


def test_streams_in_turn_are_one_list_that_is_passed_stream_by_stream():
    sizes = (5, 3, 7)
    sampler = InTurn(streams(), sizes=sizes)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 3 + 2 + 4
    assert sorted(chain(*batches)) == list(range(15))
    parts = batches[:3], batches[3:5], batches[5:]
    assert [sorted(chain(*part)) for part in parts] == [list(range(5)), list(range(5, 8)), list(range(8, 15))]
    assert parts[2] == [[8 + row for row in batch] for batch in streams()[2]]
    assert list(sampler) == batches
    assert list(InTurn(streams(epoch=1), sizes=sizes)) != batches


def test_one_stream_in_turn_is_that_stream():
    (only,) = streams(sizes=(9,))
    assert list(InTurn([only], sizes=[9])) == list(only)


def test_streams_without_their_sizes_are_refused():
    with pytest.raises(ValueError, match="'sizes' must be one for each of the 3 streams, got 2"):
        InTurn(streams(), sizes=[5, 3])


# Drawing and holding ------------------------------------------------------------------------------------------------------


def test_a_share_is_drawn_by_its_seed_and_a_larger_one_contains_it():
    rows = list(range(100, 140))
    found = {share: drawn(rows, share=share, seed=3) for share in (0.0, 0.25, 0.5, 1.0)}
    assert {share: len(each) for share, each in found.items()} == {0.0: 0, 0.25: 10, 0.5: 20, 1.0: 40}
    assert found[0.25] < found[0.5] < found[1.0] == set(rows)
    assert drawn(rows, share=0.5, seed=4) != found[0.5] == drawn(rows, share=0.5, seed=3)


def test_rows_are_what_they_are_given():
    rows = Rows(["a", "b"])
    assert (len(rows), rows[1]) == (2, "b")
