"""How well scores rank evidence: against scikit-learn, by hand, and by drawing orders of ties."""

import itertools
import math

import pytest
import torch
from sklearn.metrics import roc_auc_score

from graph.batch import Graph
from rationalizers.metrics.ranking import EdgeRanking, Ranking, roc_auc, ties
from rationalizers.rationale import Rationale
from rationalizers.segment import offsets

INF = math.inf


def graphs(scores, evidence, sizes, *, annotated=None, alternatives=None):
    """A batch of graphs without edges, and a rationale with these scores."""
    n = sum(sizes)
    ptr = offsets(torch.tensor(sizes))
    more = {} if alternatives is None else {"field_alternatives": torch.tensor(alternatives, dtype=torch.bool)}
    batch = Graph(
        x=torch.zeros(n, 1),
        edge_index=torch.zeros(2, 0, dtype=torch.long),
        ptr=ptr,
        field_evidence=torch.tensor(evidence, dtype=torch.bool),
        annotated=torch.ones(len(sizes), dtype=torch.bool) if annotated is None else torch.tensor(annotated),
        **more,
    )
    scores = torch.tensor(scores, dtype=torch.float)
    return Rationale(scores, (scores > 0).float(), ptr), batch


def measured(metric, *batches):
    for rationale, batch in batches:
        metric.update(rationale, batch)
    return {name: float(value) for name, value in metric.compute().items()}


def drawn(seed, sizes=(7, 1, 12, 5)):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(-3, 4, (sum(sizes),), generator=generator).float()  # many ties
    evidence = torch.rand(sum(sizes), generator=generator) < 0.4
    return graphs(scores.tolist(), evidence.tolist(), sizes)


def test_ties_share_their_place():
    start, size = ties(torch.tensor([1.0, 3.0, 1.0, 3.0, 2.0, 5.0, 5.0]), torch.tensor([0, 5, 5, 7]))
    assert start.tolist() == [3, 0, 3, 0, 2, 0, 0]
    assert size.tolist() == [2, 2, 2, 2, 1, 2, 2]


@pytest.mark.parametrize("seed", range(5))
def test_the_area_is_that_of_scikit_learn(seed):
    rationale, batch = drawn(seed)
    truth = batch.fields["evidence"]
    found = roc_auc(rationale.scores, truth[:, None], rationale.ptr)[:, 0]
    for b, (start, end) in enumerate(itertools.pairwise(rationale.ptr.tolist())):
        part = truth[start:end]
        if part.any() and not part.all():
            assert float(found[b]) == pytest.approx(roc_auc_score(part, rationale.scores[start:end]))
        else:
            assert found[b].isnan()


def test_all_examples_at_once_and_each_by_itself():
    rationale, batch = drawn(3)
    truth, owner = batch.fields["evidence"], torch.tensor([0] * 7 + [1] + [2] * 12 + [3] * 5)
    both = [b for b in range(4) if 0 < int(truth[owner == b].sum()) < int((owner == b).sum())]
    assert len(both) == 3
    rows = torch.isin(owner, torch.tensor(both))
    found = measured(Ranking(prefix="node"), (rationale, batch))
    assert found["node_roc_auc_pooled"] == pytest.approx(roc_auc_score(truth[rows], rationale.scores[rows]))
    each = [roc_auc_score(truth[owner == b], rationale.scores[owner == b]) for b in both]
    assert found["node_roc_auc"] == pytest.approx(sum(each) / 3)


def test_numbers_do_not_depend_on_how_examples_meet():
    together, parts = Ranking(prefix="node"), Ranking(prefix="node")
    rationale, batch = drawn(1)
    together.update(rationale, batch)
    scores, evidence = rationale.scores.tolist(), batch.fields["evidence"].tolist()
    for start, end in itertools.pairwise(rationale.ptr.tolist()):
        parts.update(*graphs(scores[start:end], evidence[start:end], (end - start,)))
    assert {k: float(v) for k, v in together.compute().items()} == pytest.approx(
        {k: float(v) for k, v in parts.compute().items()}
    )


def test_precision_is_what_random_orders_of_ties_give_on_average():
    scores, evidence = [2.0, 1.0, 1.0, 1.0, 0.0], [False, True, True, False, False]
    found = measured(Ranking(prefix="node", k=3), graphs(scores, evidence, (5,)))
    orders = [order for order in itertools.permutations(range(5)) if [scores[i] for i in order] == sorted(scores, reverse=True)]
    at = {k: sum(sum(evidence[i] for i in order[:k]) / k for order in orders) / len(orders) for k in (2, 3)}
    assert found["node_precision@3"] == pytest.approx(at[3])
    assert found["node_precision@evidence"] == pytest.approx(at[2])


def test_small_examples_have_fewer_than_k_places():
    found = measured(Ranking(prefix="node"), graphs([3.0, 2.0, 1.0], [True, False, False], (3,)))
    assert found["node_precision@5"] == pytest.approx(1 / 3)


def test_perfect_reversed_and_constant_scores_are_the_ends_and_the_middle():
    evidence = [True, True, False, False, False]
    for scores, expected in (([2, 1, 0, -1, -2], 1.0), ([-2, -1, 0, 1, 2], 0.0), ([7] * 5, 0.5)):
        found = measured(Ranking(prefix="node"), graphs([float(s) for s in scores], evidence, (5,)))
        assert found["node_roc_auc"] == found["node_roc_auc_pooled"] == pytest.approx(expected)


def test_the_best_of_several_valid_explanations_counts():
    scores = [5.0, 4.0, 0.0, 0.0]
    alternatives = [[1, 0, 1], [1, 0, 1], [0, 1, 1], [0, 1, 1]]
    found = measured(Ranking(prefix="node"), graphs(scores, [True] * 4, (4,), alternatives=alternatives))
    assert found["node_roc_auc"] == found["node_precision@evidence"] == 1.0


def test_what_cannot_be_ranked_does_not_count():
    one_kind = graphs([1.0, 2.0], [True, True], (2,))
    unknown = graphs([1.0, 2.0], [True, False], (2,), annotated=[False])
    metric = Ranking(prefix="node")
    for rationale, batch in (one_kind, unknown):
        metric.update(rationale, batch)
    assert metric.compute() == {}
    fixed = graphs([1.0, -INF, 0.0], [True, True, False], (3,))
    assert measured(Ranking(prefix="node"), fixed)["node_precision@evidence"] == 1.0


def test_an_edge_is_as_important_as_its_ends():
    rationale, batch = graphs([3.0, 2.0, 1.0, 0.0, 9.0, 0.0], [True, True, False, False, False, True], (4, 2))
    batch.edge_index = torch.tensor([[4, 0, 1, 2, 1], [5, 1, 2, 3, 0]])  # not in the order of the graphs
    batch.edge_evidence = torch.tensor([True, True, False, False, True])
    found = measured(EdgeRanking(), (rationale, batch))
    # The second graph has one edge, hence nothing to rank it against; the first ranks 0–1 above the others in both directions.
    assert found["edge_roc_auc"] == found["edge_precision@evidence"] == 1.0
    batch.edge_evidence = torch.tensor([True, False, True, False, False])
    assert measured(EdgeRanking(), (rationale, batch))["edge_roc_auc"] == pytest.approx(1 / 3)


def test_k_must_be_a_count():
    with pytest.raises(ValueError, match="'k' must be at least 1, got 0"):
        Ranking(prefix="node", k=0)
