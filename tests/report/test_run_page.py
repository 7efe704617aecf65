"""The report of one run: right numbers, honest warnings, fair examples, and nothing but text from the run."""

import json
import os

import pytest

from rationalizers.report.result import read_result
from rationalizers.report.run_page import choose, curves, encoding, floor_warnings, group, metric_rows, share_out, write_report
from tests.report.page_check import check_page
from tests.report.run_folders import PREDICTION, TEST, record, records, write_run

HOSTILE = "<script>alert(1)</script>"


def report(folder, **options):
    return check_page(write_report(folder, **options).read_text("utf-8"))


def test_the_page_shows_what_the_run_says(tmp_path):
    page = report(write_run(tmp_path, seed=7))
    text = " ".join(page.text.split())
    assert "rnp-toy-s7" in text
    assert "method rnp data toy seed 7 chosen epoch 2 of 3 training time 1 min 23 s test examples 8" in text
    assert page.row("Metric")[1:] == ["model", "random", "all", "oracle"]
    assert page.row("Token F1") == ["Token F1", "0.545", "0.120", "0.200", "0.900"]
    assert page.row("Token precision") == ["Token precision", "0.600", "0.600"]  # no floor in this run: the other table
    assert page.row("Accuracy") == ["Accuracy", "0.800", "0.800"]
    assert page.row("Examples without evidence, not counted")[1] == "1"
    assert "share: 0.15" in page.text
    assert page.text.count("length: 128") == 2
    assert "Below its floor" not in text


def test_it_stands_in_the_run_folder_and_nothing_else_is_left_behind(tmp_path):
    folder = write_run(tmp_path)
    before = {file.name for file in folder.iterdir()}
    assert write_report(folder) == folder / "report.html"
    assert {file.name for file in folder.iterdir()} == before | {"report.html"}


def test_a_failed_write_keeps_the_old_report(tmp_path, monkeypatch):
    folder = write_run(tmp_path)
    write_report(folder).write_text("old")

    def refuse(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_report(folder)
    assert (folder / "report.html").read_text() == "old"


def test_an_unfinished_folder_can_be_reported_on_before_it_gets_its_name(tmp_path):
    assert write_report(write_run(tmp_path, folder="x.partial")).is_file()


def test_equal_runs_have_equal_reports(tmp_path):
    one, other = write_run(tmp_path / "a"), write_run(tmp_path / "b")
    assert write_report(one).read_bytes() == write_report(other).read_bytes() == write_report(one).read_bytes()


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({}, []),
        ({"token_f1": 0.15}, ["0.150 is below the 0.200 of selecting everything"]),
        ({"token_f1": 0.1}, ["0.100 is below the 0.120 of random words of the same number", "0.200 of selecting everything"]),
        ({"token_f1": 0.2}, []),
    ],
)
def test_a_floor_that_is_not_reached_is_said_on_the_page(tmp_path, changes, warned):
    found = floor_warnings({**TEST, **changes})
    assert len(found) == len(warned)
    assert all(part in sentence for part, sentence in zip(warned, found, strict=True))
    text = " ".join(report(write_run(tmp_path, test={**TEST, **changes})).text.split())
    assert text.count("Below its floor.") == len(warned)


def test_there_is_no_warning_without_numbers():
    assert floor_warnings({}) == []
    assert floor_warnings({"token_f1": 0.0}) == []


def test_floors_that_the_model_does_not_beat_are_marked(tmp_path):
    numbers = {**TEST, "token_f1": 0.2, "token_recall": 0.1}
    plausibility, other = metric_rows(read_result(write_run(tmp_path, test=numbers)))
    beaten = {row["name"]: row["beaten"] for row in plausibility}
    # Not by the oracle, and not for the recall of selecting everything.
    assert beaten == {"Token F1": {"all"}, "Token recall": {"random"}}
    assert [row["name"] for row in other][:2] == ["Loss", "Accuracy"]


def test_a_metric_that_is_not_known_yet_is_shown_by_its_key(tmp_path):
    page = report(write_run(tmp_path, test={**PREDICTION, "sufficiency": 0.25}))
    assert page.row("sufficiency") == ["sufficiency", "0.250", "0.250"]


def test_numbers_on_whole_inputs_stand_after_those_of_the_deployed_prediction(tmp_path):
    whole = {"whole_input/accuracy": 0.85, "whole_input/macro_f1": 0.84}
    folder = write_run(tmp_path, test={**TEST, **whole})
    page = report(folder)
    assert page.row("Accuracy, on whole inputs") == ["Accuracy, on whole inputs", "0.850", "–"]  # validation has none
    names = [row["name"] for row in metric_rows(read_result(folder))[1]]
    assert names[:5] == [
        "Loss",
        "Accuracy",
        "Macro F1 of the classes",
        "Accuracy, on whole inputs",
        "Macro F1 of the classes, on whole inputs",
    ]


def test_sentences_stand_beside_words_with_their_floors(tmp_path):
    assert "whole sentences" not in report(write_run(tmp_path / "a")).text
    sentences = {"sentence_f1": 0.625, "sentence_f1_macro": 0.5, "floor/random/sentence_f1": 0.25, "floor/all/sentence_f1": 0.7}
    page = report(write_run(tmp_path / "b", test={**TEST, **sentences}))
    assert page.row("Sentence F1") == ["Sentence F1", "0.625", "0.250", "▲0.700", "–"]
    assert page.row("Sentence F1 per text")[1] == "0.500"
    assert "Sentence numbers count whole sentences" in page.text


def test_keys_of_other_forms_break_nothing(tmp_path):
    odd = {"noise/rate": 0.5, "floor/odd": 0.25, "unknown": None, "nested": {"a": 1}, "text": "b"}
    page = report(write_run(tmp_path, test={**TEST, **odd}))
    assert page.row("noise/rate")[1] == "0.500"
    assert page.row("floor/odd")[1] == "0.250"
    assert page.row("unknown")[1] == "–"
    assert "nested" not in [row[0] for row in page.rows]


@pytest.mark.parametrize(
    ("timing", "text"),
    [
        ({}, None),
        ({"encoding_seconds": 41.25}, None),
        (
            {"encoding_seconds": 412.5, "encoding_documents": 2000},
            "states of 2,000 documents in 412 s (0.206 s per document), once",
        ),
        ({"encoding_seconds": 0.0, "encoding_documents": 0}, "states of 0 documents in 0.000 s, once"),
    ],
)
def test_the_states_of_a_frozen_encoder_stand_beside_the_training_time(tmp_path, timing, text):
    assert encoding(timing) == text
    folder = write_run(tmp_path)
    (folder / "timing.json").write_text(json.dumps({"fit_seconds": 83.0, **timing}))
    shown = " ".join(report(folder).text.split())
    assert ("frozen encoder" in shown) == (text is not None)
    assert text is None or text in shown


def test_a_run_without_evidence_says_so(tmp_path):
    examples = [record(id=f"t/{place}", evidence=None, scores=[None] * 5, fields={}) for place in range(3)]
    text = " ".join(report(write_run(tmp_path, test=PREDICTION, examples=examples)).text.split())
    assert "carries no human evidence" in text
    assert text.count("human evidence unknown") == 3
    assert "underline" not in text
    assert "Token F1" not in text


def test_missing_numbers_are_dashes(tmp_path):
    page = report(write_run(tmp_path, test={**TEST, "loss": float("nan"), "token_f1": float("nan")}))
    assert page.row("Loss")[1] == "–"
    assert page.row("Token F1")[1] == "–"


def test_empty_runs_and_empty_texts_have_a_page(tmp_path):
    empty = record(words=[], selected=[], scores=[], evidence=[], fields={})
    assert "Wrong predictions" not in report(write_run(tmp_path / "a", examples=[])).text
    assert "0 of 0 words selected; people marked nothing." in " ".join(
        report(write_run(tmp_path / "b", examples=[empty])).text.split()
    )


def test_everything_from_the_run_is_text(tmp_path):
    test = {**TEST, HOSTILE: 0.5, f"floor/{HOSTILE}/token_f1": 0.1}
    hostile = record(id=HOSTILE, words=[HOSTILE] * 5, label=HOSTILE, query=[HOSTILE], fields={HOSTILE: [[0, 1]]})
    folder = write_run(tmp_path, folder="x", method=HOSTILE, dataset=HOSTILE, test=test, examples=[hostile], model={"a": HOSTILE})
    rows = [{"epoch": 0, f"train/{HOSTILE}": 1.0, "train/loss": 2.0, "val/loss": 3.0}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = report(folder)
    assert "script" not in page.tags
    assert page.text.count(HOSTILE) > 12


def test_curves_show_what_was_logged(tmp_path):
    found = {chart["title"]: chart["chart"] for chart in curves(read_result(write_run(tmp_path)))}
    assert list(found) == ["Training loss and its terms, unweighted", "Validation loss", "Validation accuracy and token F1"]
    assert ">task<" in found["Training loss and its terms, unweighted"]
    assert "token F1<" not in found["Validation accuracy and token F1"].partition("</title>")[2]


def test_an_epoch_without_a_number_is_left_out_of_its_line(tmp_path):
    folder = write_run(tmp_path)
    (folder / "metrics.jsonl").write_text('{"epoch":0,"val/loss":null}\n{"epoch":1,"val/loss":0.5}\n')
    assert [chart["title"] for chart in curves(read_result(folder))] == ["Validation loss"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "right"),
        ({"prediction": "good"}, "wrong"),
        ({"label": None}, "unlabelled"),
        ({"selected": [[0, 1]]}, "elsewhere"),
        ({"selected": []}, "elsewhere"),
        ({"selected": [[0, 5]]}, "right"),  # everything is as close as random words, not less
        ({"selected": [[0, 1]], "evidence": None}, "right"),
        ({"selected": [[0, 1]], "evidence": []}, "right"),
    ],
)
def test_groups_of_examples(changes, expected):
    assert group(record(**changes)) == expected


def test_mistakes_and_successes_are_both_shown():
    chosen = choose(records(), 4)
    assert {name: (total, len(members)) for name, (total, members) in chosen.items()} == {"wrong": (2, 2), "right": (6, 2)}
    assert {name: len(members) for name, (_, members) in choose(records(), 7).items()} == {"wrong": 2, "right": 5}


def test_which_examples_are_shown_depends_on_nothing_but_their_names():
    forward = choose(records(), 4)["right"][1]
    backward = choose([{**line, "scores": [0.0] * 5} for line in reversed(records())], 4)["right"][1]
    assert [line["id"] for line in forward] == [line["id"] for line in backward]
    assert [line["id"] for line in choose(records(), 3)["right"][1]] == [line["id"] for line in forward][:1]


def test_places_are_shared_out_in_turn():
    grouped = {"a": [1], "b": [2, 3, 4], "c": [], "d": [5, 6, 7]}
    assert share_out(grouped, 5) == {"a": [1], "b": [2, 3], "d": [5, 6]}
    assert share_out(grouped, 6) == {"a": [1], "b": [2, 3, 4], "d": [5, 6]}
    assert share_out(grouped, 99) == {"a": [1], "b": [2, 3, 4], "d": [5, 6, 7]}
    assert share_out(grouped, 0) == {"a": [], "b": [], "d": []}


@pytest.mark.parametrize("examples", [0, 3, 100])
def test_the_number_of_examples_is_kept(tmp_path, examples):
    page = report(write_run(tmp_path), examples=examples)
    assert page.tags.count("article") == min(examples, 8)
