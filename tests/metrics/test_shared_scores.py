"""The numbers of a split are the same, however its examples are spread over processes."""

import json

import pytest
import torch
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat, dim_zero_sum

from graph.batch import Graph
from rationalizers.build import build
from rationalizers.metrics.faithfulness import Faithfulness
from rationalizers.metrics.scores import Scores
from rationalizers.rationale import Rationale
from rationalizers.task import Task
from tests.graph.contract import TASKS, graph
from tests.members import together
from tests.metrics.test_scores import example

COUNT = 13
PARTS = {"odd": [list(range(0, COUNT, 2)), list(range(1, COUNT, 2))], "none": [[], list(range(COUNT))]}
KINDS = ("text", *TASKS)


def scores_of(kind):
    if kind == "text":
        task = {"_target_": "rationalizers.task.Classification", "labels": ["no", "maybe", "yes"]}
        return Scores(build(task, Task), floors=True, whole=True)
    return Scores(build(TASKS[kind], Task), floors=True, whole=True, alone=True, unit="node", soft=True)


def scored(kind, seeds):
    """Numbers of some examples, one a batch."""
    scores = scores_of(kind)
    for seed in seeds:
        if kind == "text":
            logits, rationale, batch = example(seed)
            scores.update(logits, rationale, batch, whole=logits.flip(1).softmax(-1))
            continue
        generator = torch.Generator().manual_seed(seed)
        batch = Graph.collate([graph(4 + seed % 5, seed=seed, task=kind)])
        if kind == "binary" and seed % 3 == 0:
            batch["y"] = torch.tensor([[torch.nan, 1.0]])
        logits = torch.randn(1, scores.task.outputs, generator=generator)
        values = torch.randn(batch.x.shape[0], generator=generator)
        rationale = Rationale(values, values.sigmoid(), batch.ptr)
        views = {name: scores.task.predict(logits + shift) for name, shift in (("whole", 1.0), ("alone", -1.0))}
        scores.update(logits, rationale, batch, **views)
    return scores.compute()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("scores")
    together("score", {"folder": str(place), "parts": PARTS}, cwd=place)
    return place


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("parts", list(PARTS))
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_do_not_depend_on_how_examples_are_spread(folder, kind, parts, rank):
    alone = scored(kind, range(COUNT))
    assert json.loads((folder / f"{kind}-{parts}-{rank}").read_text()) == pytest.approx(alone, abs=1e-6)
    expected = {"loss", "selected_share"} | (
        {"token_f1", "auprc", "floor/oracle/token_f1"} if kind == "text" else {"node_roc_auc"}
    )
    assert expected <= set(alone)


@pytest.mark.parametrize("kind", KINDS)
def test_every_state_says_how_processes_put_theirs_together(kind):
    metrics = [each for each in (*scores_of(kind).modules(), Faithfulness([0.5])) if isinstance(each, Metric)]
    assert len(metrics) > 10
    for metric in metrics:
        assert metric._reductions or type(metric).__name__ == "MetricCollection"
        for name, reduction in metric._reductions.items():
            expected = dim_zero_cat if isinstance(metric._defaults[name], list) else dim_zero_sum
            assert reduction is expected, f"{type(metric).__name__}.{name}"
