"""What a trained rationalizer says about a graph, and how a report shows it."""

import json
import math

import pytest
import torch

pytest.importorskip("rdkit")

from graph.batch import Graph
from graph.explanation import explain_graphs
from rationalizers.base import Output
from rationalizers.rationale import Rationale
from rationalizers.report.highlight import card, key
from rationalizers.report.run_page import group
from rationalizers.task import BinaryTasks, Classification, Regression, Task


def molecules(y=None, *, source=("CCO", "CC"), evidence=True):
    edges = torch.tensor([[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]])
    graph = Graph(x=torch.zeros(5, 1, dtype=torch.long), edge_index=edges, ptr=torch.tensor([0, 3, 5]), id=["a", "b"])
    if source:
        graph.source = list(source)
    if evidence:
        graph.field_evidence = torch.tensor([False, True, True, False, False])
        graph.annotated = torch.tensor([True, False])
    if y is not None:
        graph.y = torch.tensor(y)
    return graph


def explained(task, logits, y=None, **more):
    graph = molecules(y, **more)
    mask = torch.tensor([0.1, 0.8, 0.6, 0.2, 0.9])
    return explain_graphs(graph, Output(torch.tensor(logits), Rationale(torch.logit(mask), mask, graph.ptr)), task)


def test_classes_have_probabilities():
    first, second = explained(Classification(labels=["no", "yes"]), [[0.0, math.log(3)], [5.0, 0.0]], y=[1, 1])
    assert (first.prediction, first.label, first.probabilities["yes"]) == ("yes", "yes", pytest.approx(0.75))
    assert (second.prediction, second.label) == ("no", "yes")
    assert (first.nodes, second.nodes) == (("C", "C", "O"), ("C", "C"))
    assert first.edges == ((0, 1), (1, 0), (1, 2), (2, 1))
    assert second.edges == ((0, 1), (1, 0))
    assert first.rationale == (1, 2)
    assert (first.evidence, second.evidence) == ((1, 2), None)


def test_one_question_is_two_classes():
    (found, unknown) = explained(BinaryTasks(targets=["toxic"]), [[-math.log(3)], [2.0]], y=[[1.0], [math.nan]])
    assert found.probabilities == {"toxic": pytest.approx(0.25), "not toxic": pytest.approx(0.75)}
    assert (found.prediction, found.label, unknown.label) == ("not toxic", "toxic", None)


def test_several_questions_and_numbers_have_values():
    many, _ = explained(BinaryTasks(targets=["a", "b"]), [[0.0, 9.0], [0.0, 0.0]], y=[[1.0, math.nan], [0.0, 0.0]])
    assert many.values == {"a": 0.5, "b": pytest.approx(1.0, abs=1e-3)}
    assert many.truth == {"a": 1.0, "b": None}
    task = Regression(targets=["o2"], unit="Barrer", transform="log10", mean=[1.0], std=[1.0])
    number, _ = explained(task, [[1.0], [0.0]], y=[[90.0], [10.0]])
    assert number.prediction == {"o2": pytest.approx(100.0, rel=1e-5)}
    assert (number.unit, number.truth) == ("Barrer", {"o2": 90.0})


def test_a_task_without_a_reading_is_refused():
    class Ranking(Task):
        names = ("a",)

        def entries(self, logits, y): ...

        def predict(self, logits):
            return logits

    with pytest.raises(TypeError, match="a graph's Ranking has no reading"):
        explained(Ranking(), [[0.0], [0.0]])


def test_it_travels_as_a_frame_and_as_pyg_has_it():
    found, _ = explained(Classification(labels=["no", "yes"]), [[0.0, 1.0], [0.0, 1.0]])
    frame = found.to_frame()
    assert frame["node"].tolist() == ["C", "C", "O"]
    assert frame["evidence"].tolist() == [False, True, True]
    assert frame["mask"].tolist() == pytest.approx([0.1, 0.8, 0.6])
    theirs = found.to_pyg()
    assert theirs.validate()
    assert theirs.node_mask.flatten().tolist() == pytest.approx([0.1, 0.8, 0.6])
    assert theirs.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]


def test_a_notebook_shows_the_molecule_beside_what_is_known():
    known, unknown = explained(Classification(labels=["no", "yes"]), [[0.0, 1.0], [0.0, 1.0]], y=[1, 0])
    assert known._repr_html_().count("<svg") == 2
    assert unknown._repr_html_().count("<svg") == 1
    assert 'aria-label="CCO: model rationale"' in known.svg


def test_a_line_of_the_run_says_how_it_is_drawn():
    task = Regression(targets=["o2"], unit="Barrer")
    found, _ = explained(task, [[1234.5678], [0.0]], y=[[90.0], [10.0]])
    record = json.loads(json.dumps(found.record()))
    shown = card(record)
    assert str(shown["text"]).count("<svg") == 2
    assert shown["numbers"] == [{"target": "o2", "value": 1234.57, "truth": 90.0, "unit": "Barrer"}]
    assert (shown["unit"], shown["agreement"]) == ("nodes", {"words": 3, "selected": 2, "evidence": 2, "hits": 2})
    assert key([shown])["drawn"]
    assert group(record) == "measured"
    assert record["edges"] == [[0, 1], [1, 2]]


def test_graphs_without_a_formula_are_drawn_as_graphs():
    found, _ = explained(Classification(labels=["no", "yes"]), [[0.0, 1.0], [0.0, 1.0]], source=None)
    assert found.nodes == ("0", "1", "2")
    assert found.source == ""
    assert 'aria-label="a: model rationale"' in found._repr_html_()


def test_scores_without_differences_show_what_is_selected():
    graph = molecules(evidence=False)
    mask = torch.tensor([1.0, 1, 0, 0, 0])
    output = Output(torch.zeros(2, 2), Rationale(torch.zeros(5), mask, graph.ptr))
    flat, none = (found.svg for found in explain_graphs(graph, output, Classification(labels=["no", "yes"])))
    assert "#F5AA00" in flat
    assert "#F5AA00" not in none


def test_a_stranger_cannot_draw():
    found, _ = explained(Classification(labels=["no", "yes"]), [[0.0, 1.0], [0.0, 1.0]])
    with pytest.raises(ValueError, match="lies outside the packages"):
        card({**found.record(), "_target_": "os.system"})
