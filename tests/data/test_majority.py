from itertools import product

import pytest

from rationalizers.data.majority import Majority, perplexity_bound, probability_of_one

SMALL = {"bits": 5, "train": 40, "val": 10, "test": 20}


def test_the_label_is_what_most_bits_are():
    corpus = Majority(**SMALL).load()
    assert {split: len(each) for split, each in corpus.splits.items()} == {"train": 40, "val": 10, "test": 20}
    for documents in corpus.splits.values():
        for each in documents:
            *bits, question = each.words
            assert (len(bits), question) == (5, "=")
            assert set(bits) <= {"0", "1"}
            assert each.label == max("01", key=bits.count)
            assert not each.annotated


def test_splits_differ_and_seeds_repeat():
    first, again, other = (Majority(**SMALL, seed=seed).load().splits for seed in (0, 0, 1))
    assert first == again
    assert first["train"] != other["train"]
    assert [each.words for each in first["train"][:10]] != [each.words for each in first["val"]]
    assert Majority(**{**SMALL, "train": 10}).load().splits["test"] == first["test"]


def test_what_is_known_of_a_part():
    for known in product((0, 1, None), repeat=5):
        ones, some = known.count(1), 5 - known.count(None)
        ways = [bits for bits in product((0, 1), repeat=5) if all(k in (None, b) for k, b in zip(known, bits, strict=True))]
        expected = sum(sum(bits) >= 3 for bits in ways) / len(ways)
        assert probability_of_one(ones, some, 5) == pytest.approx(expected)


def test_the_bound_is_that_of_seventeen_coins_in_twenty_words():
    assert perplexity_bound(17) == pytest.approx(1.803, abs=5e-4)


@pytest.mark.parametrize(
    ("changes", "message"), [({"bits": 4}, "must be odd.*got 4"), ({"val": 0}, "'val' must be at least 1, got 0")]
)
def test_a_bad_argument_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        Majority(**{**SMALL, **changes})
