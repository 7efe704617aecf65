"""Cost of graph methods over the size of graphs: what is timed learns, and exponents are what they say."""

import pytest

from experiments.igt_benchmark import METHODS, SizeBenchmark, epochs, exponent

SMALL = {"graphs": 4, "batch_size": 2, "width": 8, "layers": 2}


@pytest.mark.parametrize("method", list(METHODS))
def test_an_epoch_learns(method):
    turn = epochs(**SMALL, method=method, nodes=12)()
    assert len({turn()["loss"] for _ in range(3)}) == 3


def test_exponents_are_those_of_powers():
    assert exponent([10, 100, 200], [0.0, 3.0, 6.0]) == pytest.approx(1)
    assert exponent([100, 150, 200], [3.0, 0.0, 12.0]) == pytest.approx(2)


def test_sizes_double_up_to_the_largest():
    assert SizeBenchmark(**SMALL, nodes=[20, 2000], threads=1).nodes == (20, 40, 80, 160, 320, 640, 1280, 2000)
    assert SizeBenchmark(**SMALL, nodes=[8, 16], threads=1).nodes == (8, 16)


@pytest.mark.slow
def test_every_method_is_timed_at_every_size():
    measured = SizeBenchmark(**SMALL, nodes=[8, 16], threads=1).measure(rounds=1, threads=9)
    assert set(measured.seconds) == {f"{name}, {nodes} nodes" for name in METHODS for nodes in (8, 16)}
    assert set(measured.ratios) == {f"{name}_{what}_exponent" for name in METHODS for what in ("time", "memory")}
    assert measured.facts["igt_node"]["nodes"] == (8, 16)
