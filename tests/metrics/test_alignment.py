import pytest

from rationalizers.metrics.alignment import alignment_error, coded_alignment_error


@pytest.mark.parametrize(
    ("found", "sure", "possible", "error"),
    [
        ({1, 2}, {1, 2}, set(), 0.0),
        ({1, 2}, {1, 2}, {3}, 0.0),
        ({1, 2, 3}, {1, 2}, {3}, 0.0),  # a possible link costs nothing
        ({1, 2, 4}, {1, 2}, {3}, 1 - (2 + 2) / 5),
        ({1}, {1, 2}, set(), 1 - (1 + 1) / 3),
        (set(), {1, 2}, set(), 1.0),
        ({4}, {1}, {2}, 1.0),
        ({3}, set(), {3}, 0.0),
    ],
)
def test_the_error_rate_is_that_of_och_and_ney(found, sure, possible, error):
    numerator, denominator = alignment_error(found, sure, possible)
    assert numerator / denominator == pytest.approx(error)
    # Sure links are possible ones, whether they are named twice or not.
    assert alignment_error(found, sure, possible | sure) == (numerator, denominator)


def test_as_coded_a_perfect_answer_is_half_wrong():
    assert coded_alignment_error({1, 2}, {1, 2}, set()) == pytest.approx(0.5, abs=1e-6)
    assert coded_alignment_error({1, 3}, {1}, {3}) == pytest.approx(1 - 2 / 3, abs=1e-6)


def test_nothing_found_of_nothing_has_no_error():
    assert alignment_error(set(), set(), set()) == (0.0, 0.0)
