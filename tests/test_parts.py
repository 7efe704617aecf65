"""Parts of batches: together they are the batch, and the weighted mean over them is the mean over it."""

from itertools import chain

import pytest
import torch
from torch.utils.data import DataLoader

from rationalizers.data.sampling import LengthBuckets, LongestFirst
from rationalizers.parts import EvaluationPart, TrainingPart, part_of

LENGTH = torch.randint(1, 90, (43,), generator=torch.Generator().manual_seed(1))


def shuffled(batch_size):
    return LengthBuckets(LENGTH, batch_size=batch_size, seed=0, epoch=0)


@pytest.mark.parametrize("of", [2, 3, 5])
@pytest.mark.parametrize("least", [1, 2])
@pytest.mark.parametrize("batch_size", [10, 14, 43, 50])
def test_training_parts_are_the_batch_and_their_weighted_means_its_mean(of, least, batch_size):
    value = torch.randn(43, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    parts = [TrainingPart(shuffled(batch_size), rank=rank, of=of, least=least) for rank in range(of)]
    drawn = [list(part) for part in parts]
    assert {len(part) for part in parts} == {len(shuffled(batch_size))}
    for place, batch in enumerate(shuffled(batch_size)):
        rows = [each[place] for each in drawn]
        sizes = [part.sizes[place] for part in parts]
        assert all(len(own) >= min(least, len(batch)) for own in rows)
        assert [whole for _, whole in sizes] == [len(batch)] * of
        assert sum(own for own, _ in sizes) == len(batch)
        if all(own == len(each) for (own, _), each in zip(sizes, rows, strict=True)):
            assert sorted(chain(*rows)) == sorted(batch)
        else:
            assert rows == [batch] * of
            assert len(batch) < of * least
        means = torch.stack([part.weight(place) * value[own].mean() for part, own in zip(parts, rows, strict=True)])
        torch.testing.assert_close(means.mean(), value[batch].mean())


def test_a_batch_that_is_too_small_is_read_by_all_and_counts_once():
    parts = [TrainingPart([[4, 2, 7], [5]], rank=rank, of=2, least=2) for rank in range(2)]
    assert [list(part) for part in parts] == [[[4, 2, 7], [5]]] * 2
    assert [part.sizes for part in parts] == [[(3, 3), (1, 1)], [(0, 3), (0, 1)]]
    assert [part.weight(1) for part in parts] == [2.0, 0.0]


@pytest.mark.parametrize("of", [2, 3, 5])
@pytest.mark.parametrize("batch_size", [5, 6, 7, 50])
def test_evaluation_parts_hold_every_example_once(of, batch_size):
    batches = LongestFirst(LENGTH, batch_size=batch_size)
    drawn = [list(part) for part in (EvaluationPart(batches, rank=rank, of=of) for rank in range(of))]
    assert sorted(chain(*chain(*drawn))) == list(range(43))
    assert [len(each) for each in drawn] == [len(EvaluationPart(batches, rank=rank, of=of)) for rank in range(of)]
    assert all(chain(*drawn))


def test_a_part_of_a_loader_has_its_examples_in_other_batches():
    whole = DataLoader(torch.arange(43), batch_sampler=LongestFirst(LENGTH, batch_size=10), collate_fn=lambda rows: rows[::-1])
    loader = part_of(whole, EvaluationPart(whole.batch_sampler, rank=1, of=2))
    assert [[int(row) for row in batch] for batch in loader] == [[int(row) for row in batch[::-1][1::2]][::-1] for batch in whole]
