"""Ways to split molecules: the benchmark's own split as the oracle, and laws on small lists."""

import pytest
from sklearn.model_selection import train_test_split

from graph.data.featurize import parse_smiles
from graph.data.ogb import OGB
from graph.data.splits import crossing, random_split, scaffold, scaffold_split, shares, size_split

FRACTIONS = (0.6, 0.1, 0.3)


def rows(split):
    return sorted(row for members in split.values() for row in members)


@pytest.mark.parametrize("name", ["bace", "bbbp", "esol", "freesolv"])
def test_scaffold_split_is_the_published_one(data_root, name):
    splits = OGB(name=name, root=str(data_root)).load().splits
    graphs = sorted((graph for graphs in splits.values() for graph in graphs), key=lambda graph: int(graph.id))
    found = scaffold_split([scaffold(parse_smiles(graph.source)) for graph in graphs], fractions=(0.8, 0.1, 0.1))
    assert found == {split: sorted(int(graph.id) for graph in graphs) for split, graphs in splits.items()}


def test_a_scaffold_is_the_rings_and_what_links_them():
    assert scaffold(parse_smiles("CCc1ccc(O)cc1")) == "c1ccccc1"
    assert scaffold(parse_smiles("CCCC")) == ""


def test_scaffolds_stay_together_and_common_ones_are_trained_on():
    found = scaffold_split([*"aabbbcdddd"], fractions=(0.7, 0.2, 0.1))
    assert found == {"train": [2, 3, 4, 6, 7, 8, 9], "val": [0, 1], "test": [5]}
    # 0.6 + 0.1 < 0.7 in floating point would push the last group out of validation.
    assert scaffold_split([*"aaaaaabccc"], fractions=(0.6, 0.3, 0.1)) == {"train": [*range(6)], "val": [7, 8, 9], "test": [6]}


def test_size_split_tests_on_the_largest():
    found = size_split([5, 1, 3, 3, 9, 2, 8, 7, 4, 6], fractions=(0.6, 0.2, 0.2))
    assert found == {"train": [0, 1, 2, 3, 5, 8], "val": [7, 9], "test": [4, 6]}


def test_random_split_is_that_of_grea():
    rest, test = train_test_split(list(range(595)), test_size=0.3, random_state=42)
    train, val = train_test_split(rest, test_size=0.1 / 0.7, random_state=42)
    found = random_split(range(595), fractions=FRACTIONS, seed=42)
    assert found == {"train": sorted(train), "val": sorted(val), "test": sorted(test)}
    assert [len(found[split]) for split in ("train", "val", "test")] == [356, 60, 179]


def test_random_split_keeps_equal_items_together():
    items = [number % 30 for number in range(100)]
    found = random_split(items, fractions=FRACTIONS, seed=3)
    assert rows(found) == list(range(100))
    assert crossing(items, found) == 0
    assert found == random_split(items, fractions=FRACTIONS, seed=3) != random_split(items, fractions=FRACTIONS, seed=4)


def test_crossing_counts_items_not_rows():
    assert crossing("aabbc", {"train": [0, 2], "val": [1], "test": [3, 4]}) == 2


@pytest.mark.parametrize(("val", "test"), [(0.0, 0.2), (0.2, 0.0), (0.5, 0.5), (0.9, 0.2)])
def test_shares_must_leave_something_to_every_split(val, test):
    assert shares(val=0.1, test=0.3) == (pytest.approx(0.6), 0.1, 0.3)
    with pytest.raises(ValueError, match="'val' and 'test' must be positive shares with a sum below 1, got"):
        shares(val=val, test=test)


def test_too_few_items_are_refused():
    with pytest.raises(ValueError, match="1 different items cannot be split"):
        random_split(["a", "a"], fractions=FRACTIONS, seed=0)
