"""Timing operators: what is timed is what the operators compute, and red ones are not."""

import pytest
import torch

from experiments import kernel_benchmark
from experiments.kernel_benchmark import OPERATORS, STATES, KernelBenchmark, copy_bandwidth, failing, lengths_of

SIZES = {"small": {"examples": 5, "units": 7, "width": 6}, "smaller": {"examples": 2, "units": 3, "width": 4}}
GRIDS = {"B = 6": {"rows": 6, "width": 4}}


def benchmark(**changed):
    given = {"sizes": SIZES, "large": 2**26, "grids": GRIDS, "seconds": 1e-4, "compile": False, "threads": 1}
    return KernelBenchmark(**{**given, **changed})


@pytest.mark.parametrize("operator", OPERATORS)
def test_contenders_compute_the_same(operator):
    size = GRIDS["B = 6"] if operator == "swap_grid" else SIZES["small"]
    work = OPERATORS[operator](**size, device=torch.device("cpu"))
    theirs, ours = work.eager(work.reference)(), work.ours()
    for one, other in zip(theirs[-1:] if operator == "segment_topk" else theirs, ours, strict=True):
        torch.testing.assert_close(one, other)


def test_every_operator_with_a_twin_is_timed():
    twins = {file.stem for file in (kernel_benchmark.TESTS / "cuda").glob("test_*.py")} - {"test_ahead_of_time"}
    assert {f"test_{operator}" for operator in OPERATORS} == twins


def test_what_it_tells(monkeypatch):
    monkeypatch.setattr(kernel_benchmark, "failing", lambda operator: "1 failed" if operator == "perturb" else "")
    measured = benchmark().measure(rounds=2, threads=1)
    assert measured.facts["device"] == "cpu"
    assert measured.facts["red"] == ["perturb"]
    assert "perturb: not timed, since its tests are red: 1 failed" in measured.notes
    timed = {name.partition(",")[0] for name in measured.seconds}
    assert timed == set(OPERATORS) - {"perturb"}
    assert all(len(times) == 2 and min(times) > 0 for times in measured.seconds.values())
    assert measured.seconds.keys() >= {"blend, small, eager", "blend, smaller, ours", "swap_grid, B = 6, ours"}
    assert measured.ratios["blend, small, eager"] > 0
    assert 0 < measured.facts["share_of_copy_bandwidth"]["split_pool, small"] < 2
    assert "swap_grid, B = 6" not in measured.facts["share_of_copy_bandwidth"]  # arithmetic decides there
    (table,) = measured.tables
    assert table.row_count == 2 * (len(OPERATORS) - 2) + 1


def test_the_large_size_has_so_many_numbers():
    cuda = torch.device("cuda")
    for operator in set(OPERATORS) - {"swap_grid"}:
        size = benchmark()._sizes(operator, cuda)["64 M"]
        assert {**size, "examples": 2} == SIZES["smaller"]
        numbers = size["examples"] * size["units"] * (size["width"] if operator in STATES else 1)
        assert numbers == pytest.approx(2**26, rel=1e-6)


@pytest.mark.slow
def test_tests_that_fail_are_told(monkeypatch, tmp_path):
    folder = tmp_path / "tests" / "kernels"
    (folder / "cuda").mkdir(parents=True)
    (folder / "test_thing.py").write_text("def test_it():\n    assert True\n", "utf-8")
    monkeypatch.setattr(kernel_benchmark, "TESTS", folder)
    (folder / "cuda" / "test_thing.py").write_text("def test_its_twin():\n    assert True\n", "utf-8")
    (tmp_path / "pyproject.toml").write_text('[tool.pytest]\naddopts = ["--import-mode=importlib"]\n', "utf-8")
    assert failing("thing") == ""
    (folder / "cuda" / "test_thing.py").write_text("def test_its_twin():\n    assert False\n", "utf-8")
    assert "1 failed" in failing("thing")
    assert failing("another") != ""  # no tests are not green ones


def test_without_tests_nothing_is_timed(monkeypatch, tmp_path):
    monkeypatch.setattr(kernel_benchmark, "TESTS", tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="operators are timed if their tests are green"):
        benchmark()


def test_bandwidth_and_lengths():
    assert copy_bandwidth(torch.device("cpu"), numbers=2**16) > 1e6
    length = lengths_of(4000, 100)
    assert length.min() >= 1
    assert length.float().mean().item() == pytest.approx(100, rel=0.05)
    assert lengths_of(5, 100).tolist() == lengths_of(5, 100).tolist()
