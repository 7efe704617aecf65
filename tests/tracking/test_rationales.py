"""The table of test examples says what rationales.jsonl says."""

import wandb

from rationalizers.tracking.rationales import bracketed, rationale_table
from tests.report.run_folders import record, records


def test_brackets_are_around_what_is_selected():
    words = ["a", "truly", "awful", "film", "."]
    assert bracketed(words, [[1, 3]]) == "a ⟦truly awful⟧ film ."
    assert bracketed(words, [[0, 1], [1, 2], [4, 5]]) == "⟦a⟧ ⟦truly⟧ awful film ⟦.⟧"
    assert bracketed(words, []) == "a truly awful film ."
    assert words[1] == "truly"


def test_a_row_for_each_text():
    table = rationale_table([*records(), record(id="t/8", label=None)], examples=100)
    rows = {row[0]: row for row in table.data}
    assert table.columns[-1] == "text"
    assert rows["t/0"] == ["t/0", "bad", "bad", True, 0.9, 0.4, "truly awful", "a ⟦truly awful⟧ film ."]
    assert rows["t/1"][1:5] == ["bad", "good", False, 0.8]
    assert rows["t/8"][1:4] == [None, "bad", None]


def test_some_of_many_are_chosen_by_name_and_not_by_place():
    chosen = [row[0] for row in rationale_table(records(), examples=3).data]
    assert len(chosen) == 3
    assert chosen == [row[0] for row in rationale_table(records()[::-1], examples=3).data]


def test_graphs_are_drawn_and_numbers_are_named(tmp_path):
    graph = {
        "_target_": "graph.explanation.GraphPictures",
        "id": "g",
        "source": "CCO",
        "words": ["C", "C", "O"],
        "edges": [[0, 1], [1, 2]],
        "query": [],
        "selected": [[2, 3]],
        "mask": [0.1, 0.2, 0.9],
        "scores": [0.1, 0.2, 0.9],
        "evidence": None,
        "label": None,
        "prediction": None,
        "probabilities": {},
        "values": {"logS": -1.25},
        "truth": {"logS": None},
        "unit": "",
        "fields": {},
    }
    (row,) = (table := rationale_table([graph], examples=5)).data
    assert table.columns[-1] == "drawing"
    assert row[:5] == ["g", None, "logS -1.25", None, None]
    assert row[6] == "O"
    assert isinstance(row[7], wandb.Html)
    assert "<svg" in row[7].html
