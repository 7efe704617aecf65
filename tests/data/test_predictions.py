import copy
import gzip
import json
import os
from pathlib import Path

import pytest

from rationalizers.data.predictions import Ablated, Marked, Prediction, read_predictions, write_predictions
from tests.data.eraser_folder import FULL, make, read, scores, spans, write


def changed(place, **values):
    """The full line of a review with other values; dotted names are of its first document, `...` removes a key."""
    row = copy.deepcopy(FULL[place])
    for name, value in values.items():
        held = row["rationales"][0] if name in ("docid", *row["rationales"][0]) else row
        if value is ...:
            del held[name]
        else:
            held[name] = value
    return row


def test_every_field_is_read(tmp_path):
    make(tmp_path)
    first, second, third = read_predictions(write(tmp_path / "p.jsonl", FULL), annotations=read(tmp_path))
    assert first == Prediction(
        id="r1",
        documents=(
            Marked(
                "r1",
                spans=((7, 9),),
                tokens=(0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1),
                sentences=(0.5, 0.25, 0.5 / 3),
            ),
        ),
        label="POS",
        probabilities={"NEG": 0.25, "POS": 0.75},
        without={"NEG": 0.5, "POS": 0.5},
        alone={"NEG": 0.375, "POS": 0.625},
        tokens_to_flip=2,
        thresholded=(Ablated(0.1, scores(0.7), scores(0.6)), Ablated(0.5, scores(0.3), scores(0.7))),
    )
    assert first.where == f"{tmp_path}/p.jsonl:1"
    assert second.documents[0].spans == ((0, 2), (4, 6))
    assert (third.documents[0].spans, third.label) == ((), "NEG")


def test_thresholds_come_in_any_order(tmp_path):
    rows = [changed(0, thresholded_scores=FULL[0]["thresholded_scores"][::-1]), FULL[1]]
    first, second = read_predictions(write(tmp_path / "p.jsonl", rows))
    assert first.thresholded == second.thresholded


@pytest.mark.parametrize("form", ["docs", "docs.jsonl"])
@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz"])
def test_both_forms_of_documents_and_of_files_give_the_same(tmp_path, form, name):
    make(tmp_path, form=form)
    found = read_predictions(write(tmp_path / name, FULL), annotations=read(tmp_path))
    assert found == read_predictions(write(tmp_path / "plain.jsonl", FULL))


def test_what_is_written_is_read_back(tmp_path):
    found = read_predictions(write(tmp_path / "p.jsonl", FULL))
    again = write_predictions(tmp_path / "again.jsonl", found)
    assert read_predictions(again) == found
    assert [json.loads(line) for line in again.read_text().splitlines()] == FULL


def test_hard_predictions_alone_are_a_file(tmp_path):
    rows = [{"annotation_id": "r1", "rationales": [{"docid": "r1", "hard_rationale_predictions": spans((0, 9))}]}, ""]
    (only,) = read_predictions(write(tmp_path / "p.jsonl", rows))
    assert only == Prediction("r1", (Marked("r1", spans=((0, 9),)),))
    assert only.record() == rows[0]


def test_null_is_an_absent_field_and_numbers_are_names(tmp_path):
    rows = [{"annotation_id": 7, "rationales": [{"docid": 12, "soft_rationale_predictions": None}], "classification": None}]
    assert read_predictions(write(tmp_path / "p.jsonl", rows)) == [Prediction("7", (Marked("12"),))]


def test_unknown_keys_are_named(tmp_path, caplog):
    with caplog.at_level("WARNING"):
        read_predictions(write(tmp_path / "p.jsonl", [changed(0, soft_rationale_prediction=[1])]))
    assert "p.jsonl: keys that mean nothing here were left out: soft_rationale_prediction" in caplog.text


HARD, SOFT, SENTENCES = "hard_rationale_predictions", "soft_rationale_predictions", "soft_sentence_predictions"
WITHOUT, ALONE = "comprehensiveness_classification_scores", "sufficiency_classification_scores"


def twice():
    row = copy.deepcopy(FULL[1])
    row["rationales"] *= 2
    return row


def third(**values):
    return {"threshold": 0.9, WITHOUT: scores(0.3), ALONE: scores(0.7), **values}


# The second line, and what is said about it.
BROKEN = {
    "truncated": (json.dumps(FULL[1])[:-9], "expected one JSON object"),
    "no id": (changed(1, annotation_id=...), "expected the key 'annotation_id'"),
    "no rationales": ({"annotation_id": "r2"}, "expected the key 'rationales'"),
    "rationales of another type": (changed(1, rationales=["r2"]), "'rationales' should be a list of objects"),
    "same example twice": (FULL[0], r"annotation_id 'r1' was already at .*p\.jsonl:1; remove one"),
    "same document twice": (twice(), "document 'r2' has 2 entries in 'rationales'; give each document one"),
    "missing document": (changed(1, docid="r9"), "document 'r9' is not in .*docs; is this a prediction for movies"),
    "empty span": (changed(1, **{HARD: spans((3, 3))}), r"span \[3, 3\) of document 'r2' .* leave empty spans out"),
    "reversed span": (changed(1, **{HARD: spans((3, 2))}), r"span \[3, 2\)"),
    "negative span": (changed(1, **{HARD: spans((-1, 2))}), r"span \[-1, 2\)"),
    "late end": (changed(1, **{HARD: spans((7, 9))}), r"span \[7, 9\) should lie within the 8 tokens of 'r2'; count"),
    "start at the end": (changed(1, **{HARD: spans((8, 9))}), r"span \[8, 9\) should lie within the 8 tokens of 'r2'"),
    "overlap": (changed(1, **{HARD: spans((4, 6), (0, 5))}), r"spans \[0, 5\) and \[4, 6\) of document 'r2' overlap; merge"),
    "one span twice": (changed(1, **{HARD: spans((4, 6), (4, 6))}), "overlap; merge"),
    "span without end": (changed(1, **{HARD: [{"start_token": 1}]}), "expected the key 'end_token'"),
    "flat spans": (changed(1, **{HARD: [1, 2]}), "should be a list of objects with start_token and end_token"),
    "no spans": (
        changed(1, **{HARD: ...}),
        "document 'r2' has no 'hard_rationale_predictions', others have; .*nothing is selected",
    ),
    "too few scores": (changed(1, **{SOFT: [0.5] * 7}), "'soft_rationale_predictions' of 'r2' .* each of 8 tokens, got 7; give"),
    "no scores": (changed(1, **{SOFT: []}), "each of 8 tokens, got 0"),
    "infinite score": (changed(1, **{SOFT: [0.5] * 7 + [float("-inf")]}), "should be finite, got -inf at 7"),
    "textual score": (changed(1, **{SOFT: ["0.5"] * 8}), "should be a list of numbers, got '0.5'"),
    "only some have scores": (changed(1, **{SOFT: ...}), "document 'r2' has no 'soft_rationale_predictions', others have"),
    "too many sentences": (
        changed(1, **{SENTENCES: [0.5] * 3}),
        "'soft_sentence_predictions' of 'r2' .* each of 2 sentences, got 3",
    ),
    "not normalised": (
        changed(1, classification_scores={"NEG": 0.5, "POS": 0.6}),
        "'classification_scores' should sum to 1, got 1.1",
    ),
    "logits": (changed(1, classification_scores={"NEG": -1.0, "POS": 2.0}), "should hold probabilities, .* apply the softmax"),
    "textual probability": (
        changed(1, classification_scores={"NEG": "1", "POS": 0}),
        "a number for each class, got '1' for 'NEG'",
    ),
    "unknown class": (changed(1, classification="MAYBE"), "'classification' is 'MAYBE', which has no probability"),
    "other classes": (changed(1, **{WITHOUT: {"POS": 1.0}}), f"'{WITHOUT}' should be of the classes NEG, POS, got POS"),
    "a class without scores": (
        changed(1, classification_scores=...),
        "'classification' and 'classification_scores' come together",
    ),
    "only some have a class": (
        {"annotation_id": "r2", "rationales": FULL[1]["rationales"]},
        r"p\.jsonl:1 has 'classification', this one has not; give it for every example or for none",
    ),
    "no ablation": (changed(1, thresholded_scores=..., **{ALONE: ...}), f"p.jsonl:1 has '{ALONE}', this one has not"),
    "thresholds without ablation": (changed(1, **{ALONE: ...}), f"'thresholded_scores' needs '{ALONE}'; give both"),
    "no thresholds": (changed(1, thresholded_scores=...), "has 'thresholded_scores', this one has not"),
    "other thresholds": (
        changed(1, thresholded_scores=[third()]),
        r"thresholds should be \[0\.1, 0\.5\] as before, got \[0\.9\]",
    ),
    "threshold twice": (changed(1, thresholded_scores=[third(), third()]), r"thresholds should be different .*\[0\.9, 0\.9\]"),
    "threshold in percent": (changed(1, thresholded_scores=[third(threshold=50)]), r"in \(0, 1\], ascending, got \[50\.0\]"),
    "incomplete threshold": (
        changed(1, thresholded_scores=[{"threshold": 0.1, ALONE: scores(1)}]),
        f"expected the key '{WITHOUT}'",
    ),
    "negative flip": (changed(1, tokens_to_flip=-1), "'tokens_to_flip' should be a count of tokens, got -1"),
}


@pytest.mark.parametrize("defect", BROKEN)
def test_errors_name_file_and_line(tmp_path, defect):
    make(tmp_path)
    second, message = BROKEN[defect]
    path = write(tmp_path / "p.jsonl", [FULL[0], second, FULL[2]])
    with pytest.raises(ValueError, match=rf"p\.jsonl:2: .*{message}"):
        read_predictions(path, annotations=read(tmp_path))


def test_a_class_of_another_data_set_is_an_error(tmp_path):
    make(tmp_path)
    row = {"annotation_id": "r1", "rationales": [], "classification": "True", "classification_scores": {"False": 0, "True": 1}}
    with pytest.raises(ValueError, match=r"p\.jsonl:1: the classes of movies are NEG, POS, got False, True"):
        read_predictions(write(tmp_path / "p.jsonl", [row]), annotations=read(tmp_path))


def test_an_absent_or_empty_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no prediction file .*p\.jsonl"):
        read_predictions(tmp_path / "p.jsonl")
    with pytest.raises(ValueError, match="expected one JSON object per example, got none"):
        read_predictions(write(tmp_path / "p.jsonl", [""]))


def test_a_file_cut_off_within_its_compression_is_an_error(tmp_path):
    path = tmp_path / "p.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in FULL).encode())[:-20])
    with pytest.raises(ValueError, match=r"p\.jsonl\.gz:\d: expected gzip data"):
        read_predictions(path)


def test_nothing_is_written_if_predictions_do_not_fit_each_other(tmp_path):
    path = tmp_path / "p.jsonl"
    with pytest.raises(ValueError, match=r"prediction 'r2': document 'r2' has no 'hard_rationale_predictions'"):
        write_predictions(path, [Prediction("r1", (Marked("r1", spans=()),)), Prediction("r2", (Marked("r2"),))])
    with pytest.raises(ValueError, match=r"write it without \.gz"):
        write_predictions(tmp_path / "p.jsonl.gz", [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "spans"), [("union", 1640), ("majority", 542)])
def test_the_published_human_rationales_are_read(name, spans):
    root = os.environ.get("RATIONALIZERS_DATA")
    path = Path(root or "", "eraser", "movies", f"movies_{name}_human_perf.jsonl")
    if not path.is_file():
        pytest.skip(f"{path} does not exist")
    found = read_predictions(path, annotations=read(Path(root)))
    assert len(found) == 105
    assert sum(len(document.spans) for each in found for document in each.documents) == spans
