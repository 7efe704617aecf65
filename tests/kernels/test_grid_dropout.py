"""The mask of a grid, drawn row by row."""

import numpy as np
import pytest
import torch

from rationalizers.kernels.grid_dropout import grid_mask, kept_share


def mask(rows, *, seed=7, columns=6, width=5, dropout=0.5):
    return grid_mask(torch.tensor(seed), rows, columns=columns, width=width, dropout=dropout)


def test_a_row_is_the_same_in_every_block():
    whole = mask(range(9))
    assert (whole.shape, whole.dtype) == ((9, 6, 5), torch.bool)
    assert torch.equal(whole, torch.cat([mask(range(4)), mask(range(4, 5)), mask(range(5, 9))]))
    assert torch.equal(whole, mask(range(9)))


def test_rows_and_seeds_are_different():
    drawn = [mask(range(row, row + 1), seed=seed) for seed in (-2, 0, 1, 2, 2**62) for row in range(4)]
    assert all(not torch.equal(one, other) for place, one in enumerate(drawn) for other in drawn[:place])


@pytest.mark.parametrize("dropout", [0.1, 0.5, 0.9])
def test_the_share_that_is_kept_is_the_one_asked_for(dropout):
    kept = mask(range(4), columns=250, width=100, dropout=dropout).float()
    share = kept_share(dropout)
    assert share == pytest.approx(1 - dropout, abs=2**-17)
    # Five standard deviations of the mean, of the grid and of the average pair of rows.
    assert abs(kept.mean() - share) < 5 * (share * (1 - share) / kept.numel()) ** 0.5
    correlation = np.corrcoef(kept.flatten(1).numpy())
    assert np.abs(correlation[np.triu_indices(4, 1)]).max() < 5 / 25_000**0.5


def test_the_bits_are_those_of_numpys_generator():
    # Stable across versions: numpy promises that of a bit generator, not of the distributions drawn from it.
    bits = np.random.SFC64(np.random.SeedSequence([7, 3])).random_raw(8)
    sixteen = [int(number) >> shift & 0xFFFF for number in bits for shift in (0, 16, 32, 48)][:30]
    assert mask(range(3, 4), dropout=0.25).flatten().tolist() == [number >= 2**14 for number in sixteen]


def test_without_dropout_everything_is_kept():
    assert mask(range(3), dropout=0.0).all()
    assert kept_share(0.0) == 1.0


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 1.5])
def test_a_probability_that_is_none_is_refused(dropout):
    with pytest.raises(ValueError, match=rf"'dropout' must be in \[0, 1\), got {dropout}"):
        mask(range(1), dropout=dropout)
