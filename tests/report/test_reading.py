"""What is said of a number: above, below or within the noise of its floor, and whether that is bad."""

import pytest

from rationalizers.report.reading import readings
from rationalizers.report.result import read_result
from tests.report.run_folders import mean_of, write_evaluation, write_run

NAN = float("nan")
HIGH, LOW, SAME = [0.5, 0.6, 0.4, 0.5, 0.6, 0.4, 0.5, 0.5], [0.1] * 8, [0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.4, 0.6]
YES, NO = [1.0] * 8, [0.0] * 8


def read(tmp_path, numbers=None, **columns):
    folder = write_run(tmp_path)
    name = write_evaluation(folder, {key.replace("__", "/"): mean_of(values) for key, values in columns.items()})
    run = read_result(folder)
    return readings([run.with_evaluation(run.evaluations[name])], numbers)


@pytest.mark.parametrize(
    ("number", "model", "floor", "text", "bad"),
    [
        ("comprehensiveness", HIGH, LOW, "is above that of random units", False),
        ("comprehensiveness", LOW, HIGH, "is below that of random units", True),
        ("comprehensiveness", SAME, HIGH, "is within the noise of that of random units", True),
        ("sufficiency_aopc", LOW, HIGH, "is below that of random units", False),
        ("sufficiency_aopc", HIGH, LOW, "is above that of random units", True),
        ("sufficiency", SAME, HIGH, "is within the noise", True),
        ("token_f1", HIGH, LOW, "is above that of random units", False),
        ("edit_overlap", SAME, HIGH, "is within the noise of that of two random selections", True),
    ],
)
def test_beside_random_units(tmp_path, number, model, floor, text, bad):
    found = read(tmp_path, **{number: model, f"floor__random__{number}": floor})[number]
    assert found.text.startswith(text)
    assert found.bad == bad


def test_a_difference_is_told_with_its_interval(tmp_path):
    found = read(tmp_path, comprehensiveness=HIGH, floor__random__comprehensiveness=[0.0] * 4 + [0.4] * 4)["comprehensiveness"]
    assert found.text.startswith("is above that of random units of the same number, 0.200 (difference +0.300 [+0.")


@pytest.mark.parametrize(
    ("random", "majority", "oracle", "text", "bad"),
    [
        (NO, NO, NO, "the label can be read from the places alone", True),
        (NO, NO, YES, "from the places alone, as it can from masks that take human evidence first, 1.000", True),
        (NO, NO, [NAN] * 8, "the label can be read from the places alone", True),
        (NO, YES, NO, "and not above saying the same for all, 1.000", False),
        (YES, NO, NO, "is not above that of random masks of the same sizes, 1.000 (difference +0.000 [+0.000, +0.000])", False),
    ],
)  # fmt: skip
def test_a_label_that_can_be_read_from_places(tmp_path, random, majority, oracle, text, bad):
    floors = {
        f"floor__{name}__mask_signal": [None if value != value else value for value in values]
        for name, values in {"random": random, "majority": majority, "oracle": oracle}.items()
    }
    found = read(tmp_path, mask_signal=YES, **floors)["mask_signal"]
    assert found.text.endswith(text)
    assert found.bad == bad


@pytest.mark.parametrize(
    ("number", "values", "text", "bad"),
    [
        ("leakage", [0.02, 0.03] * 4, "depends on what was not selected", True),
        ("leakage", NO, "is not above 0", False),
        ("leakage", [2e-8, 1e-8] * 4, "is not above 0", False),  # arithmetic
        ("leakage", [0.5, 0, 0, 0, 0, 0, 0, 0], "is not above 0", False),  # one example of eight
        ("full_text_gap", [1, 1, 0, 1, 1, 1, 0, 1], "selecting costs accuracy", True),
        ("full_text_gap", [-1, -1, 0, -1, -1, -1, 0, -1], "lost on inputs of another size than it knows", True),
        ("full_text_gap", [-1, 1, 0, 0, 0, 0, -1, 1], "is within the noise of 0", False),
        ("edit_flip", [1, 1, 0, 1, 1, 0, 1, 1], "change answers", True),
        ("edit_flip", [1, 0, 0, 0, 0, 0, 0, 0], "is not above 0 by more than the noise", False),
    ],
)
def test_beside_zero(tmp_path, number, values, text, bad):
    found = read(tmp_path, **{number: values})[number]
    assert found.text.endswith(text)
    assert found.bad == bad


@pytest.mark.parametrize(
    ("number", "values", "text", "bad"),
    [
        ("right_on_human", NO, "the predictor does not read human evidence", True),
        ("right_on_oracle", [0.0, *YES[1:]], "is within the noise of that on its own selection", False),
        ("right_on_random", NO, "is below that on its own selection", False),
        ("right_on_random", YES, "random units do as well", True),
    ],
)
def test_masks_that_the_predictor_was_not_trained_on(tmp_path, number, values, text, bad):
    found = read(tmp_path, right_on_own=YES, **{number: values})[number]
    assert text in found.text
    assert found.bad == bad


def test_nothing_is_said_without_a_floor_or_of_a_single_example(tmp_path):
    assert read(tmp_path / "a", comprehensiveness=HIGH) == {}
    one = [0.5, *[None] * 7]
    assert read(tmp_path / "b", comprehensiveness=one, floor__random__comprehensiveness=one, leakage=one) == {}


def test_nothing_is_said_of_a_rationale_that_is_everything(tmp_path):
    columns = {"comprehensiveness": SAME, "floor__random__comprehensiveness": SAME, "leakage": NO}
    assert set(read(tmp_path / "a", **columns)) == {"comprehensiveness", "leakage"}
    assert read(tmp_path / "b", selected_share=YES, **columns) == {}


def test_only_what_is_asked_for_is_told(tmp_path):
    assert set(read(tmp_path, ["leakage", "other"], leakage=NO, edit_flip=NO)) == {"leakage"}
