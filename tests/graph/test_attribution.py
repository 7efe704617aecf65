"""GNNExplainer over batches of graphs, against PyG's own on each graph."""

import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from torch_geometric.explain import Explainer
from torch_geometric.explain.algorithm import GNNExplainer as Theirs

from graph.attribution import GNNExplainer, first_masks
from graph.batch import Graph
from rationalizers.attribution import Attribution
from rationalizers.build import build
from rationalizers.segment import lengths
from tests.contract import batch as texts
from tests.graph.contract import TASKS, classifier, graph

SIZES = (7, 1, 9, 5)
MODES = {"classification": "multiclass_classification", "binary": "binary_classification", "regression": "regression"}


def model(task="classification", **changes):
    torch.manual_seed(0)
    return classifier(task, **changes)


def batch(sizes=SIZES, *, query=0, task="classification"):
    return Graph.collate([graph(size, seed=place, query=query, task=task) for place, size in enumerate(sizes)])


def cut(x, packed):
    return x.split(lengths(packed.ptr).tolist())


class Begun(Theirs):
    """PyG's explainer that starts where ours does."""

    def __init__(self, first, **arguments):
        super().__init__(**arguments)
        self.first = first

    def _initialize_masks(self, x, edge_index):
        super()._initialize_masks(x, edge_index)
        self.node_mask.data.copy_(self.first[:, None])


class OnEmbeddings(torch.nn.Module):
    """A classifier as a function of its embeddings."""

    def __init__(self, erm, one):
        super().__init__()
        self.of = (erm, one)

    def forward(self, x, edge_index):
        erm, one = self.of
        logits = erm.predictor(erm.encoder.encode(x, one).sum(0, keepdim=True))
        return logits if logits.shape[1] == 3 else logits[:, 0]


@pytest.mark.parametrize("task", TASKS)
def test_masks_are_those_of_pyg_on_the_embeddings_of_each_graph(task):
    erm = model(task)
    found = cut(GNNExplainer(share=0.3, epochs=6, lr=0.2)(erm, batch(task=task)).scores, batch(task=task))
    for place, size in enumerate(SIZES):
        one = graph(size, seed=place, task=task)
        explainer = Explainer(
            OnEmbeddings(erm, one),
            Begun(first_masks(one, seed=0), epochs=6, lr=0.2),
            explanation_type="model",
            node_mask_type="object",
            model_config={"mode": MODES[task], "task_level": "graph", "return_type": "raw"},
        )
        expected = explainer(erm.encoder.embed(one).detach(), one.edge_index).node_mask[:, 0]
        torch.testing.assert_close(found[place], expected, atol=1e-5, rtol=1e-4)


def test_company_changes_nothing():
    erm, explainer = model(), GNNExplainer(share=0.3, epochs=6, lr=0.2)
    together = explainer(erm, batch())
    for place, size in enumerate(SIZES):
        alone = explainer(erm, graph(size, seed=place))
        torch.testing.assert_close(alone.scores, cut(together.scores, batch())[place], atol=1e-5, rtol=1e-4)
        assert alone.mask.equal(cut(together.mask, batch())[place])


def test_the_seed_decides_and_the_generator_of_torch_does_not():
    erm, packed = model(), batch()
    state = torch.get_rng_state()
    first = GNNExplainer(share=0.3, epochs=3)(erm, packed).scores
    assert torch.get_rng_state().equal(state)
    torch.manual_seed(1)
    assert GNNExplainer(share=0.3, epochs=3)(erm, packed).scores.equal(first)
    assert not GNNExplainer(share=0.3, epochs=3, seed=1)(erm, packed).scores.equal(first)


def test_first_masks_are_normal():
    masks = first_masks(graph(4000, seed=0), seed=3)
    assert abs(float(masks.mean())) < 0.01
    assert abs(float(masks.std()) - 0.1) < 0.005


def test_the_best_share_is_selected_and_fixed_nodes_never():
    packed = batch(query=2)
    rationale = GNNExplainer(share=0.3, epochs=3)(model(), packed)
    assert rationale.size().tolist() == [2, 1, 3, 2]
    assert not rationale.mask[packed.fixed].any()
    free = rationale.scores[~packed.fixed]
    assert ((free > 0) & (free < 1)).all()


def test_a_mask_keeps_the_prediction_by_few_nodes():
    # Without a price the mask opens where it helps; with a high one it closes.
    erm, packed = model(), batch()
    free, dear = (GNNExplainer(share=0.3, epochs=30, lr=0.3, size=size, entropy=0.0)(erm, packed).scores for size in (0.0, 100.0))
    assert dear.max() < 0.1
    assert free.mean() > dear.mean() + 0.2
    n = packed.x.shape[0]
    predicted = erm.logits(packed, torch.ones(n), absence="zero").argmax(-1)
    loss = [
        torch.nn.functional.cross_entropy(erm.logits(packed, m, absence="zero"), predicted) for m in (free, torch.full((n,), 0.5))
    ]
    assert loss[0] < loss[1]


def test_the_model_is_left_as_it_was():
    erm, packed = model(), batch()
    erm.predictor.head.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in erm.state_dict().items()}
    with torch.no_grad():
        GNNExplainer(share=0.3, epochs=3)(erm, packed)
    assert not erm.training
    assert all(value.equal(before[name]) for name, value in erm.state_dict().items())
    assert all(parameter.grad is None for parameter in erm.parameters())
    assert [name for name, parameter in erm.named_parameters() if not parameter.requires_grad] == ["predictor.head.weight"]


@pytest.mark.parametrize("method", ["grea", "gsat"])
def test_other_methods_are_explained_too(method):
    config = {
        "grea": {
            "_target_": "graph.methods.grea.GREA",
            "separator": {"layers": 1},
            "weights": {"task": 1.0, "swap": 1.0, "size": 1.0},
            "gamma": 0.3,
            "absence": "state",
        },
        "gsat": {"_target_": "graph.methods.gsat.GSAT", "weights": {"task": 1.0, "information": 1.0}, "absence": "message"},
    }
    rationale = GNNExplainer(share=0.3, epochs=3)(model(**config[method]), batch())
    assert rationale.size().tolist() == [2, 1, 3, 2]


@pytest.mark.parametrize("absence", ["mask_token", "state", "message"])
def test_a_mask_may_weigh_something_else(absence):
    erm, packed = model(), batch()
    usual, other = (GNNExplainer(share=0.3, epochs=3, absence=each)(erm, packed) for each in ("zero", absence))
    assert other.size().equal(usual.size())
    assert not other.scores.equal(usual.scores)


def test_graphs_without_nodes_or_edges_are_no_obstacle():
    erm, explainer = model(), GNNExplainer(share=0.3, epochs=3)
    none = graph(4, seed=9).select(torch.zeros(4, dtype=torch.bool), positions="kept")
    assert explainer(erm, none).mask.shape == (0,)
    hollow = Graph.collate([graph(7, seed=0), none, graph(1, seed=1)])
    assert explainer(erm, hollow).size().tolist() == [2, 0, 1]


def test_texts_are_refused():
    with pytest.raises(TypeError, match="Graph, got Packed"):
        GNNExplainer(share=0.3).scores(model(), texts(), torch.zeros(4, dtype=torch.long))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"share": 0.0}, r"'share' must be in \(0, 1\], got 0.0"),
        ({"share": 0.1, "epochs": 0}, "'epochs' must be at least 1, got 0"),
        ({"share": 0.1, "lr": 0.0}, "'lr' must be positive, got 0.0"),
        ({"share": 0.1, "size": -1.0}, "'size' and 'entropy' must not be negative, got -1.0 and 0.1"),
        ({"share": 0.1, "seed": -1}, "'seed' must be in"),
        ({"share": 0.1, "absence": "compact"}, "'absence' must be one that passes a gradient, zero, mask_token.*got 'compact'"),
    ],
)
def test_arguments_outside_their_bounds_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        GNNExplainer(**arguments)


def test_the_configuration_has_the_settings_of_pyg():
    with initialize_config_module("conf", version_base=None):
        config = OmegaConf.to_container(compose("evaluate", ["runs=x", "attribution=gnn_explainer"]).attribution)
    built = build(config, Attribution)
    theirs = Theirs()
    assert (built.epochs, built.lr) == (theirs.epochs, theirs.lr)
    assert (built.size, built.entropy) == (theirs.coeffs["node_feat_size"], theirs.coeffs["node_feat_ent"])
