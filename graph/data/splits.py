"""Ways to divide molecules into training, validation and test; each gives the rows of every split, rising."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from rationalizers.extras import require

Rows = dict[str, list[int]]


def shares(*, val: float, test: float) -> tuple[float, float, float]:
    """The shares of training, validation and test; the first is what the others leave.

    Raises:
        ValueError: shares that leave a split empty.
    """
    if not (val > 0 and test > 0 and val + test < 1):
        raise ValueError(f"'val' and 'test' must be positive shares with a sum below 1, got {val} and {test}")
    return 1 - val - test, val, test


def random_split(items: Sequence[Hashable], *, fractions: tuple[float, float, float], seed: int) -> Rows:
    """A random split, as two calls of scikit-learn's ``train_test_split``: test first, then validation from what is left.

    Args:
        items: equal ones stay together, and count once; give row numbers to split rows.
        fractions: of training, validation and test.
        seed: of both calls.

    Raises:
        ValueError: too few items.
    """
    train, val, test = fractions
    distinct = list(dict.fromkeys(items))
    selection: Any = require("sklearn.model_selection", extra="graph")
    try:
        rest, tested = selection.train_test_split(distinct, test_size=test, random_state=seed)
        trained, validated = selection.train_test_split(rest, test_size=val / (train + val), random_state=seed)
    except ValueError as error:
        raise ValueError(f"{len(distinct)} different items cannot be split into {fractions}: {error}") from error
    split_of = {
        **dict.fromkeys(trained, "train"),
        **dict.fromkeys(validated, "val"),
        **dict.fromkeys(tested, "test"),
    }
    return _grouped([split_of[item] for item in items])


def scaffold_split(scaffolds: Sequence[str], *, fractions: tuple[float, float, float]) -> Rows:
    """Molecules of one scaffold stay together; common scaffolds are trained on, rare ones tested.

    Groups go by descending size, equal ones by descending first row, to training as long as they fit there, else to validation
    as long as they fit, else to test. Bemis and Murcko, "The Properties of Known Drugs", 1996,
    https://doi.org/10.1021/jm9602928; the order is that of MoleculeNet, 2018, https://arxiv.org/abs/1703.00564.

    Args:
        scaffolds: of each molecule.
        fractions: of training, validation and test.
    """
    train, val, _ = fractions
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for row, scaffold in enumerate(scaffolds):
        groups[scaffold].append(row)
    rows: Rows = {"train": [], "val": [], "test": []}
    # Shares such as 0.6 + 0.1 fall short of what they stand for.
    trained, validated = (share * len(scaffolds) + 1e-6 for share in (train, train + val))
    for group in sorted(groups.values(), key=lambda group: (len(group), group[0]), reverse=True):
        if len(rows["train"]) + len(group) <= trained:
            rows["train"] += group
        elif len(rows["train"]) + len(rows["val"]) + len(group) <= validated:
            rows["val"] += group
        else:
            rows["test"] += group
    return {split: sorted(group) for split, group in rows.items()}


def size_split(sizes: Sequence[int], *, fractions: tuple[float, float, float]) -> Rows:
    """Small molecules are trained on, large ones tested; equal ones go by row.

    Args:
        sizes: atoms of each molecule.
        fractions: of training, validation and test.
    """
    train, val, _ = fractions
    order = sorted(range(len(sizes)), key=lambda row: sizes[row])
    first, second = round(train * len(order)), round((train + val) * len(order))
    return {"train": sorted(order[:first]), "val": sorted(order[first:second]), "test": sorted(order[second:])}


def scaffold(molecule: Any) -> str:
    """Rings and what links them, as a SMILES string; empty for a molecule without rings.

    With stereochemistry: so split, BACE, BBBP, ESOL and FreeSolv are as the Open Graph Benchmark published them, row for row.
    """
    found: str = require("rdkit.Chem.Scaffolds.MurckoScaffold", extra="graph").MurckoScaffoldSmiles(
        mol=molecule, includeChirality=True
    )
    return found


def crossing(items: Sequence[Hashable], rows: Mapping[str, Sequence[int]]) -> int:
    """How many different items are in more than one split."""
    met: defaultdict[Hashable, set[str]] = defaultdict(set)
    for split, members in rows.items():
        for row in members:
            met[items[row]].add(split)
    return sum(len(splits) > 1 for splits in met.values())


def _grouped(split_of: Sequence[str]) -> Rows:
    return {split: [row for row, each in enumerate(split_of) if each == split] for split in ("train", "val", "test")}
