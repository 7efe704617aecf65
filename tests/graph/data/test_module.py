"""Graphs as batches: targets, labelled shares, and an order that is a pure function of seed and epoch."""

from itertools import chain

import pytest
import torch

from graph.batch import Graph
from graph.data.corpus import GraphCorpus, GraphSource, measured
from graph.data.module import GraphData, Shuffled
from rationalizers.build import build, trusting
from rationalizers.data.module import RationaleData

SOURCE = {"_target_": "graph.data.toy.ToyGraphs", "train": 33, "val": 9, "test": 8}
FEATURIZER = {"_target_": "graph.data.featurize.GraphFeaturizer", "atoms": [6]}


class Given(GraphSource):
    """Graphs without edges: as many as asked for in each split, evidence on the first node of every second."""

    loaded = 0

    def __init__(self, *, splits):
        self.splits = splits

    def load(self):
        Given.loaded += 1
        return GraphCorpus(
            {split: [self.graph(i) for i in range(n)] for split, n in self.splits.items()}, {"task": 1}, {"seen": 3}
        )

    def graph(self, i):
        facts = {"field_evidence": torch.tensor([True, False]), "annotated": torch.tensor([i % 2 == 0])}
        return Graph(x=torch.zeros(2, 1), edge_index=torch.zeros(2, 0).long(), y=torch.tensor([0]), id=str(i), **facts)


def make(**changes):
    description = {"source": SOURCE, "featurizer": FEATURIZER, "batch_size": 8, "seed": 0, **changes}
    with trusting(["tests"]):
        return build({"_target_": "graph.data.module.GraphData", **description}, RationaleData)


def ready(**changes):
    data = make(**changes)
    data.setup("fit")
    return data


def given(**splits):
    return {
        "source": {"_target_": "tests.graph.data.test_module.Given", "splits": {"train": 20, "val": 1, "test": 1, **splits}},
        "featurizer": {**FEATURIZER, "atoms": None, "features": 1},
    }


def order(data, epoch, *, split="train"):
    return [batch.index.tolist() for batch in data.batches(split, epoch=epoch)]


def test_graphs_are_numbered_and_batched_with_all_they_carry():
    data = ready()
    assert {split: len(graphs) for split, graphs in data.splits.items()} == {"train": 33, "val": 9, "test": 8}
    for split in ("train", "val", "test"):
        for batch in data.batches(split):
            assert isinstance(batch, Graph)
            assert batch.id == [f"{split}-{row}" for row in batch.index.tolist()]
            chosen = [data.splits[split][row] for row in batch.index.tolist()]
            assert torch.equal(batch.x, torch.cat([graph.x for graph in chosen]))
            assert torch.equal(batch.y, torch.cat([graph.y for graph in chosen]))
            assert batch.fields.keys() == {"evidence", "shortcut"}
            assert batch.edge_evidence.shape[0] == batch.edge_index.shape[1]
            assert batch.annotated.all()
            assert not batch.labelled.any()


def test_facts_are_the_task_and_what_an_encoder_needs():
    data = ready()
    task = {"_target_": "rationalizers.task.Classification", "labels": ["cycle", "house"]}
    assert data.facts() == {"task": task, "atoms": [6], "bonds": None, "features": None}
    assert data.report["train/graphs"] == 33
    assert data.featurizer.vocabulary == ()


def test_setting_up_twice_reads_once():
    Given.loaded = 0
    data = ready(**given())
    data.setup("test")
    assert Given.loaded == 1
    assert data.report == {"seen": 3}


# Order ----------------------------------------------------------------------------------------------------------------


def test_the_order_of_training_is_a_function_of_seed_and_epoch():
    data = ready()
    assert order(data, 3) == order(ready(), 3)
    assert order(data, 3) != order(data, 4)
    assert order(data, 3) != order(ready(seed=1), 3)
    torch.manual_seed(7)
    assert order(data, 3) == order(ready(), 3)


def test_every_epoch_has_every_graph_once():
    for epoch in range(3):
        assert sorted(chain(*order(ready(), epoch))) == list(range(33))


@pytest.mark.parametrize("split", ["val", "test"])
def test_other_splits_come_as_they_are(split):
    data = ready()
    assert list(chain(*order(data, 0, split=split))) == list(range(len(data.splits[split])))
    assert order(data, 0, split=split) == order(data, 5, split=split)


def test_lightning_gets_the_loaders():
    data = ready()
    assert [batch.index.tolist() for batch in data.train_dataloader()] == order(data, 0)
    assert [batch.index.tolist() for batch in data.val_dataloader()] == order(data, 0, split="val")
    assert [batch.index.tolist() for batch in data.predict_dataloader()] == order(data, 0, split="test")


@pytest.mark.parametrize(
    ("size", "batch_size", "sizes"),
    [(33, 8, [8, 8, 8, 9]), (32, 8, [8] * 4), (34, 8, [8] * 4 + [2]), (3, 2, [3]), (3, 1, [1, 1, 1]), (1, 8, [1]), (8, 8, [8])],
)
def test_a_last_batch_of_one_joins_the_one_before(size, batch_size, sizes):
    sampler = Shuffled(size, batch_size=batch_size, seed=0, epoch=0)
    batches = list(sampler)
    assert [len(batch) for batch in batches] == sizes
    assert len(sampler) == len(sizes)
    assert sorted(chain(*batches)) == list(range(size))


# Labelled graphs ------------------------------------------------------------------------------------------------------


def test_a_share_of_the_annotated_training_graphs_is_labelled():
    def labelled(share, seed=0, split="train"):
        data = ready(**given(), labelled_share=share, seed=seed)
        return {row for row, graph in enumerate(data.splits[split]) if bool(graph.labelled)}

    assert labelled(1.0) == set(range(0, 20, 2))
    assert labelled(0.0) == set()
    assert len(labelled(0.3)) == 3
    assert labelled(0.3) < labelled(0.6) < labelled(1.0)
    assert len({tuple(sorted(labelled(0.3, seed=seed))) for seed in range(5)}) > 1
    assert labelled(1.0, split="test") == set()


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "'batch_size' must be at least 1, got 0"),
        ({"labelled_share": 1.5}, r"'labelled_share' must be in \[0, 1\], got 1.5"),
    ],
)
def test_bad_arguments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_an_empty_split_is_refused():
    with pytest.raises(ValueError, match=r"the source has no graphs in its split 'val'; it has \['test', 'train', 'val'\]"):
        ready(**given(val=0))


def test_a_featurizer_of_other_graphs_is_refused():
    with pytest.raises(ValueError, match=r"graph 0 of train must have 'x' with 9 columns of categories"):
        ready(featurizer={"_target_": "graph.data.featurize.SmilesFeaturizer"})
    # A type that only some graphs have.
    with pytest.raises(
        ValueError, match=r"graph \d+ of train has a category in 'x' outside of its table; the tables have \[5\] rows"
    ):
        ready(featurizer={**FEATURIZER, "atoms": [5]})


def test_what_is_measured_is_counted_from_the_graphs():
    graphs = [Given(splits={}).graph(i) for i in range(3)]
    assert measured({"train": graphs, "val": []}) == {
        "train/graphs": 3,
        "train/mean_nodes": 2.0,
        "train/mean_edges": 0.0,
        "train/annotated": 2,
        "train/evidence": 0.5,
    }
    assert isinstance(make(), GraphData)
