"""The page of a run shows its evaluations: numbers with intervals beside their floors, what they say, and the ends."""

import json
import re

import pytest

from rationalizers.report.evaluation_panel import chart, marks, panels
from rationalizers.report.result import read_result
from rationalizers.report.run_page import write_report
from tests.report.page_check import check_page
from tests.report.run_folders import mean_of, record, records, write_evaluation, write_run

HOSTILE = "<script>alert(1)</script>"
CURVE = {
    "fractions": [0.01, 0.1, 0.5],
    "comprehensiveness": [0.1, 0.2, 1.4],
    "sufficiency": [0.3, None, -0.3],
    "floor/random/comprehensiveness": [0.0, 0.1, 0.2],
    "floor/random/sufficiency": [0.4, 0.4, 0.2],
}
HIGH, LOW = [0.5, 0.6, 0.4, 0.5, 0.6, 0.4, 0.5, 0.5], [0.1] * 8
COLUMNS = {
    "accuracy": mean_of([1, 1, 1, 0, 1, 1, 1, 0]),
    "selected_share": mean_of([0.4] * 8),
    "token_f1": [(2, 4)] * 3 + [(0, 4)] + [(4, 4)] * 3 + [(0, 0)],
    "floor/random/token_f1": [(1, 4)] * 7 + [(0, 0)],
    "floor/all/token_f1": [(5, 7)] * 7 + [(0, 0)],
    "floor/oracle/token_f1": [(4, 4)] * 7 + [(0, 0)],
    "comprehensiveness": mean_of(LOW),
    "floor/random/comprehensiveness": mean_of(HIGH),
    "sufficiency": mean_of(LOW),
    "floor/random/sufficiency": mean_of(HIGH),
    "leakage": mean_of([None, *LOW[1:]]),
    "mask_signal": mean_of([1] * 8),
    "floor/random/mask_signal": mean_of([0] * 8),
    "floor/majority/mask_signal": mean_of([0] * 8),
    "label_signal": mean_of([None] * 8),
    "right_on_own": mean_of([1] * 8),
    "right_on_human": mean_of([0] * 8),
    "edit_overlap": mean_of(HIGH),
    "floor/random/edit_overlap": mean_of(LOW),
}
INTERVALS = {"token_f1": (0.3, 0.7), "floor/random/token_f1": (0.2, 0.26), "leakage": (0.05, 0.15)}


def evaluated(tmp_path, **changes):
    folder = write_run(tmp_path)
    write_evaluation(folder, **{"columns": COLUMNS, "intervals": INTERVALS, "curve": CURVE, **changes})
    return folder


def page(folder):
    return check_page(write_report(folder).read_text("utf-8"))


def flat(text):
    return " ".join(text.split())


def test_the_page_has_every_part(tmp_path):
    found = page(evaluated(tmp_path, notes=["mask_signal is unknown: here one answer stands for all."]))
    text = flat(found.text)
    assert "Evaluation Own rationale test split, 8 examples, absent: compact" in text
    assert "Not measured mask_signal is unknown: here one answer stands for all." in text
    assert "absent means: units are cut out, and the others close up" in text
    assert "Faithfulness over sizes, test-own-compact" in text
    for heading in ("Agreement with human evidence", "What the rationale may hide", "Lowest token F1", "Highest token F1"):
        assert heading in text
    assert "Everything is selected" not in text
    assert found.tags.count("article") == 8 + 6


def test_a_run_that_was_not_evaluated_has_no_such_part(tmp_path):
    assert panels(read_result(write_run(tmp_path / "a"))) == []
    assert "Evaluation" not in page(write_run(tmp_path / "b")).text


def test_numbers_stand_with_their_intervals_and_floors(tmp_path):
    found = page(evaluated(tmp_path))
    rows = [[flat(cell) for cell in row] for row in found.rows]
    assert ["Metric", "model", "random", "all", "oracle"] in rows
    assert ["Token F1", "0.643[0.300, 0.700]", "0.250[0.200, 0.260]", "▲0.714", "1.000"] in rows
    leak = next(row for row in rows if row[0].startswith("Leakage"))
    assert leak[1:4] == ["0.100[0.050, 0.150]", "–", "–"]
    assert leak[4] == "7"
    assert leak[5].startswith("▲ is above 0 [0.1, 0.1]: the prediction depends on what was not selected")
    signal = next(row for row in rows if row[0].startswith("Mask signal"))
    assert signal[-1].endswith("the label can be read from the places alone")
    unknown = next(row for row in rows if row[0].startswith("Label signal"))
    assert unknown[1:] == ["–", "–", "–", "0", ""]
    assert next(row for row in rows if row[0].startswith("Right on human"))[-1].startswith("▲ is below")
    assert next(row for row in rows if row[0].startswith("Overlap after"))[-1].startswith("is above that of two random")
    assert "▲ is below that of random units" in next(row for row in rows if row[0].startswith("Comprehensiveness,"))[0]
    assert "▲" not in next(row for row in rows if row[0].startswith("Sufficiency,"))[0]


def test_floors_are_marked_where_the_model_does_not_beat_them_or_by_no_more_than_the_noise(tmp_path):
    floors = {
        "floor/first/token_f1": [(0, 4), (4, 4)] * 3 + [(4, 4), (0, 0)],  # 0.571, below 0.643 by a chance
        "floor/last/token_f1": [(4, 4)] * 7 + [(0, 0)],
        "token_recall": mean_of(HIGH),
        "floor/all/token_recall": mean_of([1] * 8),
    }
    run = read_result(evaluated(tmp_path, columns={**COLUMNS, **floors}))
    run = run.with_evaluation(run.evaluations["test-own-compact"])
    assert marks(run, "token_f1") == {"first": "near", "last": "beaten", "all": "beaten"}
    assert marks(run, "token_recall") == {}


def test_the_own_rationale_comes_first(tmp_path):
    folder = evaluated(tmp_path)
    for explained_by, absence in (("saliency", "remove"), ("attention", "compact"), ("saliency", "compact")):
        write_evaluation(folder, COLUMNS, explained_by=explained_by, absence=absence)
    found = panels(read_result(folder))
    assert [(each["heading"], each["absence"]) for each in found] == [
        ("Own rationale", "compact"), ("attention", "compact"), ("saliency", "compact"), ("saliency", "remove"),
    ]  # fmt: skip
    page(folder)


def test_the_ends_are_shown_with_the_explanation_that_was_evaluated(tmp_path):
    other = [record(id=line["id"], selected=[[0, 1], [4, 5]]) for line in records()]
    folder = write_run(tmp_path)
    write_evaluation(folder, COLUMNS, explained_by="saliency", examples=other)
    (found,) = panels(read_result(folder), examples=1)
    assert [each["card"]["id"] for each in found["extremes"].worst] == ["t/3"]
    assert found["extremes"].best[0]["card"]["agreement"]["hits"] == 0
    assert "open" not in dict(page(folder).attributes)


def test_a_curve_may_leave_the_range_of_shares_and_have_gaps(tmp_path):
    run = read_result(evaluated(tmp_path))
    (evaluation,) = run.evaluations.values()
    svg = chart(evaluation)
    labels = [float(each.replace("−", "-")) for each in re.findall(r">(−?\d\.\d+)</text>", svg)]
    assert min(labels) < -0.1
    assert max(labels) > 1.1
    assert svg.count("var(--series-1)") > 4  # the line with its marks, and the floor with its own
    assert "nan" not in svg.lower()


def test_without_sizes_there_is_no_chart_and_without_evidence_no_agreement(tmp_path):
    columns = {name: pairs for name, pairs in COLUMNS.items() if "token" not in name}
    folder = evaluated(tmp_path, columns=columns, curve={"fractions": []})
    found = panels(read_result(folder))[0]
    assert found["chart"] is None
    assert found["plausibility"] == []
    assert found["extremes"].number == "comprehensiveness"
    text = flat(page(folder).text)
    assert "Least and most lost without the rationale" in text
    assert "Faithfulness over sizes" not in text


def test_a_rationale_that_is_everything_is_said_to_be(tmp_path):
    folder = evaluated(tmp_path, columns={**COLUMNS, "selected_share": mean_of([1] * 8)})
    text = flat(page(folder).text)
    assert "Everything is selected." in text
    assert "▲ is" not in text


def test_everything_from_an_evaluation_is_text(tmp_path):
    hostile = [record(id=f"{HOSTILE}{place}", words=[HOSTILE] * 5, fields={HOSTILE: [[0, 1]]}) for place in range(8)]
    folder = write_run(tmp_path, examples=hostile)
    write_evaluation(folder, COLUMNS, explained_by=HOSTILE, absence=HOSTILE, name="x", notes=[HOSTILE], examples=hostile)
    found = page(folder)
    assert "script" not in found.tags
    assert found.text.count(HOSTILE) > 12


def test_equal_evaluations_have_equal_pages(tmp_path):
    one, other = evaluated(tmp_path / "a"), evaluated(tmp_path / "b")
    assert write_report(one).read_bytes() == write_report(other).read_bytes()


@pytest.mark.parametrize("text", ["{", json.dumps({"format": 1})])
def test_a_broken_evaluation_is_named(tmp_path, text):
    folder = evaluated(tmp_path)
    (folder / "evaluation" / "odd.json").write_text(text)
    with pytest.raises(ValueError, match=r"odd\.json"):
        write_report(folder)


def test_a_graph_is_drawn_in_every_place_with_ids_of_its_own(tmp_path):
    pytest.importorskip("networkx")
    drawn = {"_target_": "graph.explanation.GraphPictures", "source": "", "edges": [[0, 1], [1, 2]], "mask": [0, 1, 1, 0, 0]}
    graphs = [record(id=f"t/{place}", fields={}, values={}, truth={}, unit="", **drawn) for place in range(8)]
    folder = write_run(tmp_path, examples=graphs)
    columns = {"node_f1": COLUMNS["token_f1"], "floor/random/node_f1": COLUMNS["floor/random/token_f1"]}
    for explained_by in ("own", "saliency"):
        write_evaluation(folder, columns, explained_by=explained_by, examples=graphs)
    found = page(folder)  # it has no id twice
    assert found.tags.count("svg") > 2 * (8 + 12)
    assert found.row("Node F1")[1] == "0.643"
    assert "Lowest node F1" in found.text
