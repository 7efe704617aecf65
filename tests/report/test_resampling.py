"""Numbers of single examples are matched by name, and resampled as the statistics say."""

import numpy as np
import pytest

from rationalizers.report.resampling import gap, interval
from rationalizers.report.result import read_result
from rationalizers.statistics import difference, estimate
from tests.report.run_folders import mean_of, records, write_evaluation, write_run

RIGHT = {0: [1, 0, 1, 1, 0, 1, 1, 1], 1: [1, 1, 1, 0, 0, 1, 0, 1]}
F1 = {
    0: [(2, 3), (0, 4), (2, 2), (0, 0), (4, 5), (0, 3), (2, 4), (2, 3)],
    1: [(0, 3), (0, 4), (2, 3), (0, 0), (4, 6), (2, 3), (0, 4), (2, 3)],
}


def evaluated(tmp_path, method="rnp", seed=0, order=1, **changes):
    """A run whose evaluation lists its examples in this order."""
    folder = write_run(tmp_path, method=method, seed=seed)
    columns = {"accuracy": mean_of(RIGHT[seed]), "token_f1": F1[seed], **changes.pop("columns", {})}
    lines = changes.pop("examples", records())
    columns = {name: pairs[::order] for name, pairs in columns.items()}
    name = write_evaluation(folder, columns, examples=lines[::order], **changes)
    run = read_result(folder)
    return run.with_evaluation(run.evaluations[name])


def test_the_interval_over_examples_is_that_of_the_statistics(tmp_path):
    runs = [evaluated(tmp_path, seed=0), evaluated(tmp_path, seed=1, order=-1)]
    a, b = (np.array([[pair[place] for pair in F1[seed]] for seed in (0, 1)], float) for place in (0, 1))
    found = interval(runs, "token_f1")
    assert found == estimate(a, b)
    assert found.examples == 7
    assert found.value == pytest.approx((12 / 24 + 10 / 26) / 2)
    alone = interval(runs[:1], "accuracy")
    assert alone == estimate(np.array(RIGHT[0], float), np.ones(8))


def test_the_difference_is_paired_by_name(tmp_path):
    one, other = evaluated(tmp_path, "a", 0), evaluated(tmp_path, "b", 1, order=-1)
    ones = np.ones(8)
    expected = difference((np.array(RIGHT[0], float), ones), (np.array(RIGHT[1], float), ones))
    assert gap([one], [other], "accuracy") == expected
    assert expected.low < 0 < expected.high
    beside = evaluated(tmp_path / "floor", columns={"floor/random/accuracy": mean_of([0.5] * 8)})
    floored = gap([beside], [beside], "accuracy", "floor/random/accuracy")
    assert floored == difference((np.array(RIGHT[0], float), ones), (0.5 * ones, ones))


def test_nothing_is_said_of_what_is_not_known_example_by_example(tmp_path):
    one = evaluated(tmp_path)
    plain = read_result(write_run(tmp_path, seed=1))
    renamed = evaluated(tmp_path, "other", examples=[{**line, "id": f"x{line['id']}"} for line in records()])
    assert interval([one], "macro_f1") is None
    assert interval([one, plain], "accuracy") is None
    assert interval([], "accuracy") is None
    assert interval([one, renamed], "accuracy") is None
    assert gap([one], [plain], "accuracy") is None
    assert gap([one], [renamed], "accuracy") is None
