"""The worst and the best examples are just those, whatever order they are in."""

import hashlib

from rationalizers.report.example_extremes import extremes
from rationalizers.report.result import read_result
from tests.report.run_folders import mean_of, record, records, write_evaluation, write_run

NOTHING = [(0, 0)] * 8


def found(tmp_path, columns, count=3, **changes):
    folder = write_run(tmp_path)
    run = read_result(folder)
    write_evaluation(folder, columns, **changes)
    run = run.with_evaluation(*run.evaluations.values())
    each = extremes(run, count)
    ids = [[shown["card"]["id"] for shown in end] for end in (each.worst, each.best)]
    return each, *ids


def by_hash(*places):
    return sorted((f"t/{place}" for place in places), key=lambda name: hashlib.sha256(name.encode()).hexdigest())


def test_lowest_and_highest_agreement(tmp_path):
    f1 = [(2, 4), (0, 5), (3, 4), (0, 0), (1, 4), (4, 4), (1, 5), (2, 5)]
    each, worst, best = found(tmp_path, {"token_f1": f1, "comprehensiveness": mean_of(range(8))}, count=2)
    assert (worst, best) == (["t/1", "t/6"], ["t/5", "t/2"])
    assert [shown["value"] for shown in (*each.worst, *each.best)] == [0, 0.2, 1, 0.75]
    assert (each.number, each.agreement) == ("token F1", True)


def test_ties_are_ordered_by_a_hash_of_the_names(tmp_path):
    f1 = [(0, 4)] * 3 + [(2, 4)] * 2 + [(4, 4)] * 3
    _, worst, best = found(tmp_path, {"token_f1": f1}, count=2)
    assert (worst, best) == (by_hash(0, 1, 2)[:2], by_hash(5, 6, 7)[:2])


def test_without_evidence_the_fall_of_the_prediction_orders_them(tmp_path):
    columns = {"token_f1": NOTHING, "comprehensiveness": mean_of([0.5, 0.1, None, 0.3, -0.2, 0.9, 0.4, 0.6])}
    each, worst, best = found(tmp_path, columns, count=1)
    assert (worst, best, each.number, each.agreement) == (["t/4"], ["t/5"], "comprehensiveness", False)


def test_no_example_is_shown_twice(tmp_path):
    few = [(1, 4), (2, 4), (3, 4)] + [(0, 0)] * 5
    _, worst, best = found(tmp_path / "three", {"token_f1": few})
    assert (worst, best) == (["t/0", "t/1"], ["t/2"])
    _, worst, best = found(tmp_path / "one", {"token_f1": [(1, 4), *NOTHING[1:]]})
    assert (worst, best) == (["t/0"], [])
    _, worst, best = found(tmp_path / "none", {"token_f1": NOTHING})
    assert (worst, best) == ([], [])


def test_cards_are_of_the_explanation_that_was_evaluated(tmp_path):
    other = [record(id=line["id"], selected=[[4, 5]]) for line in records()]
    each, _, _ = found(tmp_path, {"node_f1": mean_of(range(8))}, explained_by="saliency", examples=other)
    assert each.number == "node F1"
    assert each.worst[0]["card"]["agreement"]["hits"] == 0
