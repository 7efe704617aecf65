"""What every method on graphs owes: the laws of all methods, and those of nodes and edges."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from graph.batch import Graph
from rationalizers.absence import HIDING
from rationalizers.base import Rationalizer
from rationalizers.batch import Batch
from rationalizers.build import build
from tests.contract import Contract

ATOMS, BONDS = [7, 3], [4, 2]
TASKS = {
    "classification": {"_target_": "rationalizers.task.Classification", "labels": ["cycle", "house", "crane"]},
    "binary": {"_target_": "rationalizers.task.BinaryTasks", "targets": ["toxic", "soluble"]},
    "regression": {"_target_": "rationalizers.task.Regression", "targets": ["o2"], "mean": [2.0], "std": [3.0]},
}
ENCODER = {
    "_target_": "graph.encoders.GIN",
    "atoms": ATOMS,
    "features": None,
    "bonds": BONDS,
    "hidden": 8,
    "layers": 2,
    "dropout": 0.3,
    "virtual_node": True,
}


def classifier(task: str, **changes: Any) -> Rationalizer:
    """A plain predictor of graphs with random weights."""
    config = {
        "_target_": "graph.methods.erm.ERM",
        "task": TASKS[task],
        "encoder": ENCODER,
        "weights": {"task": 1.0},
        "optimizer": {"lr": 0.01},
        **changes,
    }
    return build(config, Rationalizer).eval()


def graph(size: int, *, seed: int, query: int = 0, task: str = "classification") -> Graph:
    """A ring with a chord and random features: ``size`` nodes after ``query`` fixed ones."""
    generator = torch.Generator().manual_seed(seed)
    n = query + size
    ring = torch.arange(n)
    there = torch.stack([ring, ring.roll(-1)])[:, : n if n > 2 else max(0, n - 1)]
    if n > 4:
        there = torch.cat([there, torch.tensor([[0], [n // 2]])], 1)
    bonds = torch.stack([torch.randint(high, (there.shape[1],), generator=generator) for high in BONDS], 1)
    evidence = (ring >= query) & (ring < query + 2)
    edges = torch.cat([there, there.flip(0)], 1)
    targets = {
        "classification": torch.tensor([seed % 3]),
        "binary": torch.tensor([[float(seed % 2), float(seed % 3 == 0)]]),
        "regression": torch.tensor([[float(seed) - 1.5]]),
    }
    return Graph(
        x=torch.stack([torch.randint(high, (n,), generator=generator) for high in ATOMS], 1),
        edge_index=edges,
        edge_attr=torch.cat([bonds, bonds]),
        y=targets[task],
        field_evidence=evidence,
        edge_evidence=evidence[edges].all(0),
        fixed=ring < query,
        labelled=torch.tensor([seed % 2 == 0]),
        annotated=torch.tensor([True]),
        row=torch.tensor([seed]),
        id=f"g{seed}",
    )


class GraphContract(Contract):
    """Laws of a rationalizer on graphs."""

    task = "classification"
    # Coupled terms that do not look at targets.
    targetless: tuple[str, ...] = ()

    def example(self, size: int, *, seed: int, query: int = 0) -> Graph:
        return graph(size, seed=seed, query=query, task=self.task)

    def collate(self, examples: list[Batch]) -> Batch:
        return Graph.collate(examples)

    def bare(self, packed: Batch) -> Batch:
        return Graph(x=packed.x, edge_index=packed.edge_index, edge_attr=packed.edge_attr, ptr=packed.ptr)

    def replaced(self, packed: Batch, where: torch.Tensor) -> Batch:
        return packed.with_units(torch.where(where[:, None], (packed.x + 1) % torch.tensor(ATOMS), packed.x))

    def test_a_batch_of_one_word_trains(self, model):
        # Batch normalisation needs two graphs; everything else trains on a graph of one node beside another.
        model.train()
        with pytest.raises(ValueError, match=r"(?i)batch ?norm.* two rows"):
            model(self.example(5, seed=1))
        output = model(self.batch((1, 1)))
        loss = model.loss(output.terms, model.phases()[0].weights)
        loss.backward()
        assert loss.isfinite()

    @pytest.mark.parametrize("task", list(TASKS))
    def test_every_kind_of_target_can_be_learnt(self, task):
        config = {**self.config(), "task": TASKS[task]}
        packed = Graph.collate([graph(size, seed=place, task=task) for place, size in enumerate((5, 3, 7))])
        model = build(config, Rationalizer).train()
        loss = model.loss(model(packed).terms, model.phases()[0].weights)
        loss.backward()
        assert loss.isfinite()
        assert model.eval()(packed).logits.shape == (3, model.task.outputs)

    def test_unknown_targets_teach_nothing(self):
        model = build({**self.config(), "task": TASKS["binary"]}, Rationalizer).eval()
        packed = Graph.collate([graph(size, seed=place, task="binary") for place, size in enumerate((5, 3, 7))])
        packed.y = torch.full_like(packed.y, torch.nan)
        terms = model(packed).terms
        learnt = [name for name in ("task", *model.coupled) if name not in self.targetless]
        torch.stack([terms[name] for name in learnt]).sum().backward()
        assert all(float(terms[name].detach()) == 0 for name in learnt)
        assert all(p.grad is None or not p.grad.any() for p in model.parameters())

    def test_permuted_nodes_give_permuted_masks(self, model):
        packed = self.batch((7, 4))
        order = torch.cat([torch.randperm(7), 7 + torch.randperm(4)])
        place = torch.empty_like(order)
        place[order] = torch.arange(11)
        moved = Graph(x=packed.x[order], edge_index=place[packed.edge_index], edge_attr=packed.edge_attr, ptr=packed.ptr)
        ours, theirs = model(packed), model(moved)
        torch.testing.assert_close(theirs.rationale.mask, ours.rationale.mask[order], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(theirs.rationale.scores, ours.rationale.scores[order], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(theirs.logits, ours.logits, atol=1e-5, rtol=1e-5)

    def test_edges_in_another_order_change_nothing(self, model):
        packed = self.batch((7, 4))
        order = torch.randperm(packed.edge_index.shape[1])
        shuffled = Graph(x=packed.x, edge_index=packed.edge_index[:, order], edge_attr=packed.edge_attr[order], ptr=packed.ptr)
        torch.testing.assert_close(model(shuffled).logits, model(packed).logits, atol=1e-5, rtol=1e-5)

    def test_edges_matter(self, model):
        packed = self.batch((7, 6))
        without = Graph(x=packed.x, edge_index=packed.edge_index[:, :4], edge_attr=packed.edge_attr[:4], ptr=packed.ptr)
        assert not torch.allclose(model(without).logits, model(packed).logits)

    def test_own_absence_shows_what_it_declares(self, model):
        packed = self.batch((7, 6))
        mask = (torch.arange(13) % 3 == 0).float()
        other = self.replaced(packed, mask == 0)
        moved = not torch.allclose(model.logits(packed, mask), model.logits(other, mask))
        assert moved == (model.absence not in HIDING)

    def test_messages_under_a_full_mask_are_all_there(self, model):
        packed = self.batch()
        ones = torch.ones(packed.x.shape[0])
        torch.testing.assert_close(
            model.logits(packed, ones, absence="message"), model.logits(packed, ones), atol=1e-5, rtol=1e-5
        )

    def test_without_messages_nodes_do_not_see_each_other(self):
        config = {**self.config(), "encoder": {**ENCODER, "virtual_node": False}}
        model = build(config, Rationalizer).eval()
        packed = self.batch((7, 6))
        alone = Graph(x=packed.x, edge_index=packed.edge_index[:, :0], edge_attr=packed.edge_attr[:0], ptr=packed.ptr)
        none, ones = torch.zeros(13), torch.ones(13)
        torch.testing.assert_close(
            model.logits(packed, none, absence="message"), model.logits(alone, ones, absence="message"), atol=1e-5, rtol=1e-5
        )
