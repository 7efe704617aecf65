"""All numbers of a split."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from torchmetrics import Metric

from graph.batch import Graph
from rationalizers.batch import Packed
from rationalizers.metrics.floors import FLOORS, floors
from rationalizers.metrics.plausibility import SpanF1, TokenAUPRC, TokenF1
from rationalizers.metrics.scores import Scores
from rationalizers.metrics.selection import Selection
from rationalizers.rationale import Rationale
from rationalizers.segment import segment_runs
from rationalizers.task import BinaryTasks, Classification, Regression

PREDICTION = {"loss", "accuracy", "macro_f1"}
WHOLE = {"whole_input/accuracy", "whole_input/macro_f1"}
SELECTION = {"selected_share", "runs", "empty_share"}
UNITS = {f"token_{name}{kind}" for name in ("precision", "recall", "f1") for kind in ("", "_macro")}
SPANS = {"iou_f1@0.1", "iou_f1@0.5", "exact_f1"}
PLAUSIBILITY = UNITS | SPANS | {"auprc"}
TASK = Classification(labels=["no", "maybe", "yes"])


def example(seed, *, evidence=True):
    generator = torch.Generator().manual_seed(seed)
    n = [6, 1, 9, 0, 4][seed % 5]
    truth = torch.rand(n, generator=generator) < (0.0 if seed % 4 == 3 else 0.4)
    runs = segment_runs(truth, torch.tensor([0, n]))
    batch = Packed(
        units=torch.arange(n),
        ptr=torch.tensor([0, n]),
        y=torch.tensor([seed % 3]),
        fields={"evidence": truth} if evidence else {},
        spans=torch.nn.functional.pad(runs, (1, 1)),
        index=torch.tensor([seed]),
    )
    scores = torch.randn(n, generator=generator)
    return torch.randn(1, 3, generator=generator), Rationale(scores, (scores > 0).float(), batch.ptr), batch


def join(parts):
    logits, rationales, batches = zip(*parts, strict=True)
    batch = Packed.collate(batches)
    rationale = Rationale(torch.cat([r.scores for r in rationales]), torch.cat([r.mask for r in rationales]), batch.ptr)
    return torch.cat(logits), rationale, batch


def scored(*updates, floors=False):
    scores = Scores(TASK, floors=floors)
    for update in updates:
        scores.update(*update)
    return scores.compute()


def split(count=11, **more):
    return [example(seed, **more) for seed in range(count)]


def on_whole(batch):
    """Probabilities of the three classes on whole inputs, of an example the same in any batch."""
    each = [torch.randn(3, generator=torch.Generator().manual_seed(100 + row)) for row in batch.index.tolist()]
    return torch.stack(each).softmax(1)


def scored_whole(*updates):
    scores = Scores(TASK, floors=True, whole=True)
    for logits, rationale, batch in updates:
        scores.update(logits, rationale, batch, whole=on_whole(batch))
    return scores.compute()


# Names


def test_without_evidence_there_are_task_and_selection():
    for flag in (False, True):
        assert set(scored(join(split(evidence=False)), floors=flag)) == PREDICTION | SELECTION


def test_with_evidence_there_is_plausibility():
    numbers = scored(join(split()))
    assert set(numbers) == PREDICTION | SELECTION | PLAUSIBILITY | {"examples_without_evidence"}
    assert all(isinstance(value, float) for value in numbers.values())


def test_every_plausibility_number_has_its_floors():
    numbers = scored(join(split()), floors=True)
    beside = {f"floor/{which}/{name}" for which in FLOORS for name in PLAUSIBILITY}
    assert set(numbers) == PREDICTION | SELECTION | PLAUSIBILITY | {"examples_without_evidence"} | beside


def test_predictions_on_whole_inputs_stand_beside_the_deployed_ones_and_change_none_of_them():
    numbers, without = scored_whole(join(split())), scored(join(split()), floors=True)
    assert set(numbers) == set(without) | WHOLE
    assert {name: numbers[name] for name in without} == without
    assert not any("whole_input" in name for name in numbers if name.startswith("floor/"))
    assert set(scored_whole(join(split(evidence=False)))) == PREDICTION | WHOLE | SELECTION


def test_units_without_order_have_no_spans_and_no_ends():
    logits, rationale, batch = join(split())
    nodes = SimpleNamespace(**{name: getattr(batch, name) for name in batch.__dataclass_fields__} | {"spans": None})
    numbers = scored((logits, rationale, nodes), floors=True)
    assert set(numbers) == PREDICTION | SELECTION - {"runs"} | {"examples_without_evidence"} | (UNITS | {"auprc"}) | {
        f"floor/{which}/{name}" for which in ("random", "all", "oracle") for name in UNITS | {"auprc"}
    }


def test_nodes_are_ranked_and_so_are_their_edges():
    batch = Graph(
        x=torch.zeros(5, 1),
        edge_index=torch.tensor([[0, 1, 2, 3], [1, 2, 0, 4]]),
        ptr=torch.tensor([0, 3, 5]),
        y=torch.tensor([0, 1]),
        field_evidence=torch.tensor([True, False, False, True, False]),
        edge_evidence=torch.tensor([True, False, False, False]),
    )
    scores = Scores(TASK, floors=True, unit="node")
    mask = torch.tensor([0.9, 0.1, 0.2, 0.4, 0.6])
    scores.update(torch.randn(2, 3), Rationale(mask, mask, batch.ptr), batch)
    numbers = scores.compute()
    of_each = ("roc_auc", "roc_auc_pooled", "precision@5", "precision@evidence")
    ranked = {f"{unit}_{name}" for unit in ("node", "edge") for name in of_each}
    assert {name for name in numbers if name.startswith(("node", "edge"))} == ranked | {
        f"node_{name}{how}" for name in ("f1", "precision", "recall") for how in ("", "_macro")
    }
    assert numbers["node_roc_auc"] == 0.5
    assert numbers["floor/all/node_roc_auc"] == 0.5
    assert numbers["floor/oracle/node_roc_auc"] == 1.0
    assert "floor/first/node_f1" not in numbers
    assert "mean_mask" not in numbers


def test_soft_masks_have_a_mean():
    logits, rationale, batch = join(split())
    soft = Rationale(rationale.scores, rationale.mask * 0.6, rationale.ptr)
    scores = Scores(TASK, soft=True)
    scores.update(logits, soft, batch)
    numbers = scores.compute()
    assert numbers["mean_mask"] == pytest.approx(0.6 * numbers["selected_share"], abs=1e-6)


# Numbers


def test_task_numbers_are_those_of_scikit_learn():
    logits, rationale, batch = join(split())
    numbers = scored((logits, rationale, batch))
    predicted = logits.argmax(1)
    assert numbers["accuracy"] == pytest.approx(accuracy_score(batch.y, predicted))
    assert numbers["macro_f1"] == pytest.approx(f1_score(batch.y, predicted, average="macro", zero_division=0))
    assert numbers["loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, batch.y).item())


def test_numbers_on_whole_inputs_are_those_of_scikit_learn():
    logits, rationale, batch = join(split())
    predicted = on_whole(batch).argmax(1)
    assert not predicted.equal(logits.argmax(1))
    numbers = scored_whole((logits, rationale, batch))
    assert numbers["whole_input/accuracy"] == pytest.approx(accuracy_score(batch.y, predicted))
    expected = f1_score(batch.y, predicted, average="macro", zero_division=0)
    assert numbers["whole_input/macro_f1"] == pytest.approx(expected)


def test_on_whole_inputs_answers_and_numbers_are_taken_as_the_task_predicts_them():
    """A sigmoid of probabilities would say yes to everything, and values would be put on the data's scale twice."""
    _, rationale, batch = join(split(4, evidence=False))
    asked, measured = BinaryTasks(targets=["toxic"]), Regression(targets=["length"], mean=[3.0], std=[2.0])
    errors = {"r2": 1 - 4.25 / 20.75, "rmse": (4.25 / 4) ** 0.5, "mae": 0.625}
    for task, whole, y, expected in (
        (asked, [0.1, 0.8, 0.4, 0.6], [0.0, 1.0, 1.0, 0.0], {"roc_auc": 0.75, "accuracy": 0.5}),
        (measured, [1.0, 2.5, 3.0, 9.0], [1.0, 2.0, 3.0, 7.0], errors),
    ):
        scores = Scores(task, whole=True)
        labelled = replace(batch, y=torch.tensor(y)[:, None])
        scores.update(torch.zeros(4, 1), rationale, labelled, whole=torch.tensor(whole)[:, None])
        numbers = scores.compute()
        told = {name: value for name, value in numbers.items() if name.startswith("whole_input/")}
        assert told == pytest.approx({f"whole_input/{name}": value for name, value in expected.items()})


@pytest.mark.parametrize(
    ("collected", "whole", "message"),
    [
        (False, torch.zeros(11, 3), r"'whole' is not collected here and must be None; make Scores with whole=True"),
        (True, None, r"\[B, C\] like the logits \(11, 3\), got None; make Scores with whole=False"),
        (True, torch.zeros(11), r"\[B, C\] like the logits \(11, 3\), got \(11,\)"),
    ],
)
def test_predictions_on_whole_inputs_are_given_where_they_are_collected(collected, whole, message):
    scores = Scores(TASK, whole=collected)
    with pytest.raises(ValueError, match=message):
        scores.update(*join(split()), whole=whole)
    assert scores.compute() == {}


def test_predictions_from_the_rationale_alone_stand_beside_the_others():
    logits, rationale, batch = join(split())
    scores = Scores(TASK, whole=True, alone=True)
    scores.update(logits, rationale, batch, whole=logits, alone=on_whole(batch))
    numbers = scores.compute()
    assert numbers["whole_input/accuracy"] == numbers["accuracy"]
    assert numbers["rationale_input/accuracy"] == pytest.approx(accuracy_score(batch.y, on_whole(batch).argmax(1)))
    scores.reset()
    assert scores.compute() == {}


def test_nothing_is_counted_where_one_of_the_predictions_is_missing():
    scores = Scores(TASK, whole=True, alone=True)
    logits, rationale, batch = join(split())
    with pytest.raises(
        ValueError, match=r"'alone' must be predictions from the rationale alone, .* got None; make .* alone=False"
    ):
        scores.update(logits, rationale, batch, whole=logits)
    assert scores.compute() == {}
    assert not scores.whole.accuracy.update_called


def test_the_other_numbers_are_those_of_their_metrics():
    logits, rationale, batch = join(split())
    numbers = scored((logits, rationale, batch), floors=True)
    for prefix, each in {"": rationale, **{f"floor/{name}/": floor for name, floor in floors(rationale, batch).items()}}.items():
        for metric in (TokenF1(), SpanF1(), TokenAUPRC(), *([] if prefix else [Selection()])):
            metric.update(each, batch)
            for name, value in metric.compute().items():
                if f"{prefix}{name}" in numbers:
                    assert numbers[f"{prefix}{name}"] == pytest.approx(float(value)), prefix + name
    assert numbers["floor/oracle/token_f1"] >= numbers["token_f1"]
    assert numbers["floor/all/token_recall"] == 1


def test_batches_and_their_order_change_nothing():
    parts = split()
    whole = scored(join(parts), floors=True)
    assert scored(*parts, floors=True) == pytest.approx(whole, abs=1e-6)
    assert scored(join(parts[6:]), join(parts[:6]), floors=True) == pytest.approx(whole, abs=1e-6)
    assert scored(join(parts[::-1]), floors=True) == pytest.approx(whole, abs=1e-6)
    assert scored_whole(*parts[::-1]) == pytest.approx(scored_whole(join(parts)), abs=1e-6)


def test_an_example_without_units_is_scored():
    numbers = scored(example(3), floors=True)
    assert numbers["empty_share"] == numbers["examples_without_evidence"] == 1
    assert all(value == value for value in numbers.values())  # no NaN
    assert {numbers[name] for name in PLAUSIBILITY} == {0.0}


# Life


def test_reset_starts_over():
    scores = Scores(TASK, floors=True)
    scores.update(*join(split()))
    scores.compute()
    scores.reset()
    scores.update(*example(2))
    assert scores.compute() == pytest.approx(scored(example(2), floors=True))


def test_reset_starts_over_with_whole_inputs():
    scores = Scores(TASK, floors=True, whole=True)
    for part in (join(split()), example(2)):
        scores.reset()
        scores.update(*part, whole=on_whole(part[2]))
        scores.compute()
    assert scores.compute() == pytest.approx(scored_whole(example(2)))


def test_reset_forgets_that_there_was_evidence():
    scores = Scores(TASK)
    scores.update(*join(split()))
    scores.reset()
    scores.update(*join(split(evidence=False)))
    assert set(scores.compute()) == PREDICTION | SELECTION


def test_before_the_first_batch_there_are_no_numbers():
    assert Scores(TASK, floors=True, whole=True).compute() == {}


def test_every_state_knows_how_to_meet_that_of_another_process():
    scores = Scores(TASK, floors=True, whole=True)
    metrics = [module for module in scores.modules() if isinstance(module, Metric)]
    assert len(metrics) == 4 + len(WHOLE) + 4 * (1 + len(FLOORS))
    for metric in metrics:
        assert metric._reductions
        assert all(reduction is not None for reduction in metric._reductions.values())


def test_states_of_two_processes_add_up():
    parts = split()
    left, right = (Scores(TASK, floors=True, whole=True) for _ in range(2))
    for scores, part in ((left, join(parts[:4])), (right, join(parts[4:]))):
        scores.update(*part, whole=on_whole(part[2]))
    for ours, theirs in zip(left.modules(), right.modules(), strict=True):
        if isinstance(ours, Metric):
            ours.merge_state(theirs)
    assert left.compute() == pytest.approx(scored_whole(join(parts)), abs=1e-6)


def test_scoring_leaves_no_gradient_and_no_parameters():
    logits, rationale, batch = join(split())
    scores = Scores(TASK, whole=True)
    scores.update(logits.requires_grad_(), rationale, batch, whole=logits.softmax(1))
    assert isinstance(scores.compute()["loss"], float)
    assert not list(scores.parameters())
    assert not scores.state_dict()
