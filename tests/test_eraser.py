import copy
import math

import pytest

from rationalizers.data.predictions import read_predictions
from rationalizers.eraser import score_predictions
from tests.data.eraser_folder import FULL, REVIEWS, annotation, evidence, make, read, spans, write


def score(root, rows, *, lines=REVIEWS, **settings):
    make(root, lines=lines)
    annotations = read(root)
    return score_predictions(read_predictions(write(root / "p.jsonl", rows)), annotations, **settings)


def only(rows, *fields):
    """The predictions with these fields alone."""
    rows = copy.deepcopy(rows)
    for row in rows:
        for document in row["rationales"]:
            for name in set(document) - {"docid", *fields}:
                del document[name]
        for name in set(row) - {"annotation_id", "rationales", *fields}:
            del row[name]
    return rows


def values(numbers, *names):
    return [pytest.approx(numbers[name]) for name in names]


PRF = ("precision", "recall", "f1")
HARD, SOFT, SENTENCES = "hard_rationale_predictions", "soft_rationale_predictions", "soft_sentence_predictions"
LABEL, SCORES, FLIP = "classification", "classification_scores", "tokens_to_flip"


# Selected are the evidence of r1, that of r2 and one token more, nothing of r3.
def test_spans(tmp_path):
    numbers = score(tmp_path, FULL)
    assert values(numbers, *(f"exact_{name}" for name in PRF)) == [2 / 3, 2 / 4, 4 / 7]
    assert values(numbers, *(f"token_{name}" for name in PRF)) == [5 / 6, 5 / 6, 5 / 6]
    assert values(numbers, *(f"token_{name}_macro" for name in PRF)) == [(1 + 3 / 4) / 3, 2 / 3, (1 + 6 / 7) / 3]
    assert values(numbers, *(f"iou_{name}@0.5" for name in PRF)) == [1, 3 / 4, 6 / 7]
    assert values(numbers, *(f"iou_{name}_macro@0.5" for name in PRF)) == [2 / 3, 2 / 3, 2 / 3]
    assert [numbers[name] for name in ("annotations", "predicted", "missing", "unknown", "keys")] == [3, 3, 0, 0, 3]


def test_spans_as_the_script_has_them(tmp_path):
    numbers = score(tmp_path, FULL, parity="eraser", thresholds=(0.5,))
    assert values(numbers, *(f"token_{name}_macro" for name in PRF)) == [(1 + 3 / 4) / 3, 2 / 3, (1 + 6 / 7) / 3]
    assert values(numbers, *(f"iou_{name}_macro@0.5" for name in PRF)) == [1, 2 / 3, 4 / 5]
    assert "iou_f1@0.1" not in numbers


def test_scores_of_tokens(tmp_path):
    numbers = score(tmp_path, FULL)
    ranked = [(1 / 8 + 2 / 9) / 2, (1 / 2 + 2 / 5 + 3 / 6) / 3, 1]
    assert values(numbers, "token_auprc", "token_roc_auc") == [sum(ranked) / 3, (0 + 8 / 15 + 1) / 3]
    assert (numbers["token_documents"], numbers["token_documents_skipped"]) == (3, 0)


def test_a_sentence_is_evidence_if_one_of_its_tokens_is(tmp_path):
    numbers = score(tmp_path, FULL)
    # Of r1 the last of three; of r2 and r3 every one, so that there is nothing to rank.
    assert values(numbers, "sentence_auprc", "sentence_roc_auc") == [1 / 3, 0]
    assert (numbers["sentence_documents"], numbers["sentence_documents_skipped"]) == (1, 2)


def test_the_script_takes_sentences_from_the_file(tmp_path):
    numbers = score(tmp_path, FULL, parity="eraser")
    # Unknown ones, of r2 and r3, are no evidence: half the area each. The trapezoid of r1 is (0 + 1/3) / 2.
    assert values(numbers, "sentence_auprc", "sentence_average_precision") == [(1 / 6 + 1 / 2 + 1 / 2) / 3, 1 / 3]


def test_classes_and_faithfulness(tmp_path):
    numbers = score(tmp_path, FULL)
    assert values(numbers, "accuracy", "class/NEG/f1", "class/POS/support") == [1, 1, 2]
    # Of the predicted class, whole minus ablated: r1 POS, r2 POS, r3 NEG.
    assert values(numbers, "comprehensiveness", "sufficiency") == [(0.25 + 0.375 + 0.25) / 3, (0.125 + 0.25 + 0.375) / 3]
    assert numbers["tokens_to_flip"] == pytest.approx((2 / 9 + 2 / 8 + 2 / 4) / 3)
    halves = math.log(2)

    def entropy(p):
        return -p * math.log(p) - (1 - p) * math.log(1 - p)

    expected = (entropy(0.75) + entropy(0.875) + entropy(0.25)) / 3 - halves
    assert numbers["comprehensiveness_entropy"] == pytest.approx(expected)


def test_areas_over_thresholds(tmp_path):
    numbers = score(tmp_path, FULL)
    drops = [0.75 - 0.7, 0.875 - 0.7, 0.75 - 0.3], [0.75 - 0.3, 0.875 - 0.3, 0.75 - 0.7]
    at = [sum(each) / 3 for each in drops]
    assert values(numbers, "comprehensiveness_aopc") == [sum(at) / 2]
    annotations = read(tmp_path)
    chosen = score_predictions(read_predictions(tmp_path / "p.jsonl"), annotations, fractions=(0.5,))
    assert values(chosen, "comprehensiveness_aopc") == [at[1]]
    with pytest.raises(ValueError, match=r"'fractions' names \[0\.2\], but the predictions have \[0\.1, 0\.5\]"):
        score_predictions(read_predictions(tmp_path / "p.jsonl"), annotations, fractions=(0.2, 0.5))


@pytest.mark.parametrize(
    ("fields", "present", "absent"),
    [
        ((HARD,), "exact_f1", ("token_auprc", "sentence_auprc", "accuracy", "comprehensiveness")),
        ((SOFT,), "token_auprc", ("exact_f1", "sentence_auprc", "accuracy")),
        ((SENTENCES,), "sentence_auprc", ("exact_f1", "token_auprc", "accuracy")),
        ((LABEL, SCORES), "accuracy", ("exact_f1", "token_auprc", "comprehensiveness", "sufficiency")),
        ((LABEL, SCORES, FLIP), "tokens_to_flip", ("comprehensiveness", "sufficiency")),
        ((LABEL, SCORES, "sufficiency_classification_scores"), "sufficiency", ("comprehensiveness", "sufficiency_aopc")),
    ],
)
def test_what_predictions_lack_is_not_told(tmp_path, fields, present, absent):
    numbers = score(tmp_path, only(FULL, *fields))
    assert present in numbers
    assert not set(absent) & set(numbers)


def test_a_part_of_the_split_is_scored_alone(tmp_path):
    numbers = score(tmp_path, FULL[:2])
    assert [numbers[name] for name in ("annotations", "predicted", "missing", "unknown", "keys")] == [3, 2, 1, 0, 2]
    assert values(numbers, "token_recall", "token_f1_macro", "accuracy") == [1, (1 + 6 / 7) / 2, 1]


def test_the_script_misses_the_spans_of_the_rest_and_needs_its_classes(tmp_path):
    numbers = score(tmp_path, only(FULL[:2], HARD), parity="eraser")
    assert values(numbers, "token_recall", "token_f1_macro") == [5 / 6, (1 + 6 / 7) / 3]
    with pytest.raises(ValueError, match=r"needs a class for each of the 3 examples of 'test'; 1 have none, the first is 'r3'"):
        score_predictions(read_predictions(write(tmp_path / "p.jsonl", FULL[:2])), read(tmp_path), parity="eraser")


def test_a_document_with_evidence_that_predictions_pass_over_counts_as_not_found(tmp_path):
    lines = [annotation("r1", "POS", [[evidence("r1", 7, 9), evidence("r2", 0, 2)]], docids=["r1", "r2"])]
    numbers = score(tmp_path, only(FULL[:1], HARD), lines=lines)
    assert values(numbers, "token_precision", "token_recall") == [1, 1 / 2]
    assert (numbers["keys"], numbers["keys_without_prediction"]) == (2, 1)


def stranger():
    row = only([FULL[2]], HARD)[0]
    row["rationales"][0][HARD] = spans((0, 3))
    return {**row, "annotation_id": "x9"}


def test_predictions_of_unknown_examples_are_counted_and_left_out(tmp_path):
    numbers = score(tmp_path, [*only(FULL, HARD), stranger()])
    assert [numbers[name] for name in ("predicted", "unknown", "keys")] == [3, 1, 3]
    assert values(numbers, "token_precision") == [5 / 6]


def test_the_script_counts_unknown_examples_as_wrong(tmp_path):
    numbers = score(tmp_path, [*only(FULL, HARD), stranger()], parity="eraser")
    assert values(numbers, "token_precision", "token_precision_macro") == [5 / 9, (1 + 3 / 4) / 4]


def test_the_script_counts_empty_evidence(tmp_path):
    lines = [annotation("r1", "POS", [[evidence("r1", 7, 9), {**evidence("r1", 3, 3), "text": ""}]])]
    rows = only(FULL[:1], HARD)
    assert values(score(tmp_path, rows, lines=lines), "exact_recall", "token_recall") == [1, 1]
    as_script = score_predictions(read_predictions(tmp_path / "p.jsonl"), read(tmp_path), parity="eraser")
    assert values(as_script, "exact_recall", "token_recall") == [1 / 2, 1]


def test_the_script_looks_at_the_first_prediction_only(tmp_path):
    rows = only(FULL[::-1], HARD)
    assert "exact_f1" not in score(tmp_path, rows, parity="eraser")
    assert "exact_f1" in score_predictions(read_predictions(tmp_path / "p.jsonl"), read(tmp_path))


def test_predictions_of_another_split_are_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"none of the 1 predictions is of the split 'test' of movies .*'x9'.*split="):
        score(tmp_path, [stranger()])


def test_an_unknown_parity_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"'parity' must be None .* or one of eraser"):
        score(tmp_path, FULL, parity="exact")
