"""Transformers of every supported family with random weights, small enough to build in milliseconds."""

import pytest
import torch

from rationalizers.batch import Packed
from rationalizers.segment import offsets

transformers = pytest.importorskip("transformers")

VOCABULARY, WIDTH = 40, 8
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 24,
    "pad_token_id": 1,
}
DISTILLED = {"vocab_size": VOCABULARY, "dim": WIDTH, "n_layers": 2, "n_heads": 2, "hidden_dim": 16, "max_position_embeddings": 24}
ARCHITECTURES = {
    "albert": {**SHAPE, "embedding_size": 6},
    "bert": SHAPE,
    "camembert": SHAPE,
    "distilbert": DISTILLED,
    "electra": {**SHAPE, "embedding_size": 6},
    "roberta": {**SHAPE, "type_vocab_size": 1},
    "xlm-roberta": SHAPE,
}


def architecture(family):
    """The configuration of a family as a featurizer hands it over."""
    return {"model_type": family, **ARCHITECTURES[family]}


def saved(folder, family="bert", *, seed=0, large=True):
    """A folder with a model of that family with random weights, and the model."""
    transformers.set_seed(seed)
    model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(**architecture(family))).eval()
    if large:
        # Fresh weights are so small that all states look alike.
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.data.mul_(12)
    model.save_pretrained(folder)
    return model


def texts(sizes, seed=0):
    """Random examples that begin and end with a fixed unit, where they have any."""
    generator = torch.Generator().manual_seed(seed)
    ptr = offsets(torch.tensor(sizes, dtype=torch.long))
    fixed = torch.zeros(sum(sizes), dtype=torch.bool)
    for start, end in zip(ptr[:-1].tolist(), ptr[1:].tolist(), strict=True):
        fixed[[start, end - 1] if end > start else []] = True
    return Packed(units=torch.randint(5, VOCABULARY, (sum(sizes),), generator=generator), ptr=ptr, fixed=fixed)
