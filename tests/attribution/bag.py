"""Models whose attributions are known in closed form, and one of each kind that is explained."""

import torch
from torch import nn

from graph.batch import Graph
from rationalizers.base import Rationalizer
from rationalizers.build import build
from rationalizers.encoders import Encoder
from rationalizers.predictors import Predictor
from rationalizers.segment import lengths
from tests.contract import ENCODER, LABELS, VOCABULARY, batch
from tests.graph.contract import ENCODER as GIN
from tests.graph.contract import TASKS, graph

COMMON = {
    "task": {"_target_": "rationalizers.task.Classification", "labels": LABELS},
    "optimizer": {"lr": 0.01},
}
FULL = {**COMMON, "_target_": "rationalizers.methods.full.Full", "encoder": ENCODER, "weights": {"task": 1.0}}
MODELS = {
    "full, max": FULL,
    "full, attention": {**FULL, "pooling": "attention"},
    "rnp": {
        **COMMON,
        "_target_": "rationalizers.methods.fr.FR",
        "encoder": ENCODER,
        "selector": {"_target_": "rationalizers.selectors.StraightThroughGumbel", "temperature": 1.0},
        "weights": {"task": 1.0, "sparsity": 1.0, "continuity": 1.0, "evidence": 0.0},
        "share": 0.2,
    },
    "a2r": {
        **COMMON,
        "_target_": "rationalizers.methods.a2r.A2R",
        "generator": ENCODER,
        "predictor": {
            "_target_": "rationalizers.encoders.ConvolutionEncoder",
            "inputs": ENCODER,
            "hidden": 6,
            "kernel": 3,
        },
        "weights": {"task": 1.0, "attention": 1.0, "agreement": 1.0},
    },
    "erm": {
        **COMMON,
        "_target_": "graph.methods.erm.ERM",
        "task": TASKS["classification"],
        "encoder": GIN,
        "weights": {"task": 1.0},
    },
}


def explainable(name):
    """A model and a batch of its own kind, in double precision."""
    torch.manual_seed(0)
    model = build(MODELS[name], Rationalizer).double().eval()
    if name != "erm":
        return model, batch((6, 1, 9), query=1)
    return model, Graph.collate([graph(size, seed=place, query=1) for place, size in enumerate((6, 1, 9))])


def one(packed, row):
    """One example of a batch, alone."""
    first, end = packed.ptr[row : row + 2].tolist()
    return packed.gather(torch.arange(first, end), torch.tensor([0, end - first]), positions="kept", rows=torch.tensor([row]))


class Bag(Encoder):
    """States that have seen nothing but their own unit: its embedding, or what some layers make of it."""

    def __init__(self, *layers):
        super().__init__()
        self.width = self.embedding_width = 4
        self.table = nn.Embedding(VOCABULARY, 4)
        self.layers = nn.Sequential(*layers)

    def embed(self, batch):
        return self.table(batch.units)

    def encode(self, e, batch):
        return self.layers(e)

    def mask_embedding(self):
        return self.table.weight[1]


def bag(*layers):
    """The mean of all states, and a linear layer."""
    torch.manual_seed(0)
    model = build(FULL, Rationalizer)
    model.predictor = Predictor(Bag(*layers), outputs=len(LABELS), dropout=0.0, pooling="mean")
    return model.double().eval()


def parts(model, packed):
    """What each unit adds to the explained logit of a `bag` without layers, ``[N]``."""
    length = lengths(packed.ptr)
    column = model(packed).logits.argmax(-1).repeat_interleave(length)
    weight, e = model.predictor.head.weight[column], model.predictor.encoder.table(packed.units)
    return ((e * weight).sum(1) / length.repeat_interleave(length)).detach()
