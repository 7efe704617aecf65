"""Distinct rows of categorical features."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.encoders.categories import CategoricalEmbedding, distinct, kinds


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 3)), max_size=12))
def test_units_are_of_one_kind_if_and_only_if_they_agree(units):
    rows = torch.tensor(units, dtype=torch.long).view(-1, 3)
    one, kind = distinct(rows, (3, 2, 4), name="x")
    assert len(one) == len(set(units))
    assert rows[one][kind].equal(rows)
    # The first of its kind stands for it.
    assert [units.index(units[unit]) for unit in one.tolist()] == one.tolist()


def test_kinds_do_not_overflow():
    columns = [torch.tensor([0, 2**40, 2**40, 0, 5]), torch.tensor([0, 0, 2**40 - 1, 0, 0]), torch.tensor([3, 3, 3, 3, 3])]
    one, kind = kinds(columns, [2**41, 2**41, 4])
    assert kind[0] == kind[3]
    assert len(one) == len(set(kind.tolist())) == 4


def test_an_embedding_is_the_sum_of_its_tables():
    embedding = CategoricalEmbedding((3, 2), 4)
    first, second = (table.weight for table in embedding.tables)
    assert (first.shape, second.shape) == ((3, 4), (2, 4))
    rows = torch.tensor([[2, 0], [0, 1]])
    torch.testing.assert_close(embedding(rows), torch.stack([first[2] + second[0], first[0] + second[1]]))
    # Xavier's bound, √(6 / (rows + width)).
    assert 0 < first.abs().max() <= (6 / 7) ** 0.5
    assert embedding(rows[:0]).shape == (0, 4)


def test_rows_that_do_not_fit_are_refused():
    rows = torch.tensor([[0, 1], [2, 0]])
    with pytest.raises(ValueError, match=r"'x': feature 0 must be in \[0, 2\), got 0 to 2; were the sizes taken from another"):
        distinct(rows, (2, 2), name="x")
    with pytest.raises(ValueError, match=r"feature 1 must be in \[0, 2\), got -1 to 1"):
        distinct(torch.tensor([[0, 1], [0, -1]]), (1, 2), name="x")
    with pytest.raises(ValueError, match=r"must hold 3 features per row, got shape \(2, 2\)"):
        distinct(rows, (3, 3, 3), name="x")
    with pytest.raises(TypeError, match=r"'x' must hold categories \(integers\), got torch.float32"):
        distinct(rows.float(), (3, 2), name="x")
    for sizes in ((), (3, 0)):
        with pytest.raises(ValueError, match="'sizes' must be the number of values of each feature"):
            CategoricalEmbedding(sizes, 4)
