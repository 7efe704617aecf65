"""Random numbers from a counter: published vectors, and the laws of what is made of them."""

import math

import pytest
import torch

from rationalizers.kernels.philox import philox, uniform

CPU = torch.device("cpu")
ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_words_are_those_of_random123(counter, key, words):
    # Its kat_vectors, philox4x32 with 10 rounds.
    counter, key = (tuple(torch.tensor([word]) for word in given) for given in (counter, key))
    assert tuple(word.item() for word in philox(counter, key)) == words


def test_counters_do_not_know_of_each_other():
    block = torch.arange(6)
    zero = torch.zeros_like(block)
    together = torch.stack(philox((block, zero, zero, zero), (zero, zero)))
    for place in range(6):
        one = torch.stack(philox((block[place], *zero[:3]), (zero[0], zero[0])))
        assert one.equal(together[:, place])
    assert together.unique().numel() == 24


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**62 - 1, -1])
def test_numbers_are_the_upper_bits_of_the_words(seed):
    key = torch.tensor(seed % 2**32), torch.tensor(seed // 2**32 % 2**32)
    expected = []
    for block in range(3):
        words = philox((torch.tensor(block), *[torch.tensor(0)] * 3), key)
        expected += [(word.item() // 2**9 + 0.5) / 2**23 for word in words]
    assert uniform(torch.tensor(seed), 11, device=CPU).double().tolist() == expected[:11]


def test_numbers_of_seed_zero_by_hand():
    # From the first vector above: 0x6627e8d5 // 512 = 0x3313f4, 0xe169c58d // 512 = 0x70b4e2.
    assert uniform(torch.tensor(0), 2, device=CPU).tolist() == [(0x3313F4 + 0.5) / 2**23, (0x70B4E2 + 0.5) / 2**23]


def test_a_number_and_its_rest_are_exact_and_never_zero(monkeypatch):
    u = uniform(torch.tensor(5), 100_000, device=CPU)
    assert u.dtype == torch.float32
    assert ((u > 0) & (u < 1)).all()
    assert (1 - u).double().equal(1 - u.double())
    extremes = torch.tensor([0]), torch.tensor([ONES]), torch.tensor([511]), torch.tensor([ONES - 511])
    monkeypatch.setattr("rationalizers.kernels.philox.philox", lambda *_: extremes)
    u = uniform(torch.tensor(0), 4, device=CPU)
    assert u.tolist() == [2.0**-24, 1 - 2.0**-24, 2.0**-24, 1 - 2.0**-24]
    assert (1 - u).tolist() == [1 - 2.0**-24, 2.0**-24, 1 - 2.0**-24, 2.0**-24]


def test_fewer_numbers_are_the_first_of_more():
    more = uniform(torch.tensor(7), 9, device=CPU)
    for count in range(10):
        assert uniform(torch.tensor(7), count, device=CPU).equal(more[:count])


def test_the_seed_decides():
    draws = [uniform(torch.tensor(seed), 8, device=CPU) for seed in (3, 3, 4, 3 + 2**32)]
    assert draws[0].equal(draws[1])
    for other in draws[2:]:
        assert not (draws[0] == other).any()


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_numbers_are_uniform_and_do_not_follow_from_each_other(seed):
    n = 100_000
    u = uniform(torch.tensor(seed), n, device=CPU).double()
    # Four standard errors; the variance is 1/12, that of its estimate (1/80 − 1/144)/n.
    assert u.mean().item() == pytest.approx(0.5, abs=4 * math.sqrt(1 / 12 / n))
    assert u.var().item() == pytest.approx(1 / 12, abs=4 * math.sqrt((1 / 80 - 1 / 144) / n))
    grid = torch.arange(n + 1, dtype=torch.float64) / n
    ordered = u.sort().values
    distance = torch.maximum((ordered - grid[:-1]).abs(), (grid[1:] - ordered).abs()).max()
    assert distance < 1.95 / math.sqrt(n)  # Kolmogorov's bound at p = .001
    for lag in (1, 2, 3, 4):
        assert torch.corrcoef(torch.stack([u[lag:], u[:-lag]]))[0, 1].abs() < 4 / math.sqrt(n)
