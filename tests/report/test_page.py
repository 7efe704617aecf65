"""Numbers as a reader wants them, and templates that escape."""

import jinja2
import pytest

from rationalizers.report.page import between, brief, duration, number, probability, render, spread

NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.123"), (1, "1.000"), (-0.5, "−0.500"), (1234.5, "1,234.500"),
        (None, "–"), (NAN, "–"), (float("inf"), "∞"), (float("-inf"), "−∞"),
    ],
)  # fmt: skip
def test_number(value, text):
    assert number(value) == text


def test_number_with_sign_and_without_decimals():
    assert (number(0.25, sign=True), number(-0.25, sign=True), number(0.0, sign=True)) == ("+0.250", "−0.250", "+0.000")
    assert (number(-0.0001), number(-0.0001, sign=True), number(-0.0005)) == ("0.000", "−0.000", "−0.001")
    assert (between(0.1, 0.25), between(-0.1, 0.25, sign=True), between(NAN, NAN)) == ("[0.100, 0.250]", "[−0.100, +0.250]", "–")
    assert number(1999.0, digits=0) == "1,999"


def test_spread_of_one_run_is_its_mean():
    assert (spread(0.5, 0.01), spread(0.5, NAN), spread(NAN, NAN)) == ("0.500 ± 0.010", "0.500", "–")


def test_small_probabilities_do_not_look_like_zero():
    assert (probability(0.0499), probability(0.0001), probability(NAN)) == ("0.050", "< 0.001", "–")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.9, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (None, "–"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_short_times_have_three_digits():
    assert [brief(seconds) for seconds in (0.0456, 1.234, 27.7, 412.4, NAN)] == ["0.046", "1.23", "27.7", "412", "–"]


def test_templates_escape_and_know_every_name_they_use():
    assert "&lt;b&gt;" in render("tables.html.j2", tables=[], notes=["<b>"])
    with pytest.raises(jinja2.UndefinedError):
        render("tables.html.j2", tables=[])
