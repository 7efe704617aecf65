"""Are a language model's predictions from parts of a text those of one distribution? Where the truth is known, it can be seen.

Of a sequence of `Majority`, P(majority is 1 | some of its bits) is known. A *compatible* model says the same from those bits
alone (Rationales for Sequential Predictions, Vafa et al., 2021, https://arxiv.org/abs/2109.06387). The paper's plot: of 101
test sequences every bit is shown with probability one half.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import torch

from rationalizers.batch import Packed
from rationalizers.build import build, trusting
from rationalizers.data.document import Document, Source
from rationalizers.data.majority import Majority, perplexity_bound, probability_of_one
from rationalizers.data.text import TextFeaturizer
from rationalizers.load import Trained, load_rationalizer
from rationalizers.methods.sequential import Sequential


@dataclass(frozen=True)
class Compatibility:
    """What a model says of parts, and what is true.

    Args:
        name: of the run.
        perplexity: of whole test sequences, bits, question, label and end.
        bound: the least that is possible.
        truth: P(majority is 1 | shown bits) of each sequence.
        said: the model's probability of 1, of the two labels.
    """

    name: str
    perplexity: float
    bound: float
    truth: tuple[float, ...]
    said: tuple[float, ...]

    @property
    def error(self) -> float:
        """Mean distance of what is said from the truth."""
        return sum(abs(one - other) for one, other in zip(self.truth, self.said, strict=True)) / len(self.truth)


@torch.no_grad()
def compatibility(
    folder: str | Path,
    *,
    examples: int = 101,
    seed: int = 0,
    batch_size: int = 500,
    trust: Sequence[str] = (),
    device: str = "cpu",
) -> Compatibility:
    """Ask a finished run of ``method=sequential data=majority``.

    Args:
        folder: the run.
        examples: test sequences of which a part is shown, from the first on.
        seed: of what is shown.
        batch_size: sequences at a time.
        trust: packages whose classes the run may use beyond this project's own.
        device: where the model goes.

    Raises:
        ValueError: a run of another method or on other data, or a folder that `load_rationalizer` refuses.
    """
    trained = load_rationalizer(folder, trust=trust, device=device)
    model = trained.model
    with trusting(trust):
        source = build(trained.config["data"]["corpus"], Source) if "corpus" in trained.config["data"] else None
    if not isinstance(model, Sequential) or not isinstance(source, Majority):
        raise ValueError(
            f"{folder} was trained with {type(model).__name__} on {type(source).__name__}; expected a run of "
            "method=sequential data=majority, whose truth is known"
        )
    documents = source.load().splits["test"]
    surprise = [
        model.language(_packed(trained, documents[start : start + batch_size]).to(device))
        for start in range(0, len(documents), batch_size)
    ]
    some = documents[:examples]
    packed = _packed(trained, some).to(device)
    shown = torch.rand(len(some), source.bits, generator=torch.Generator().manual_seed(seed)) < 0.5
    mask = torch.ones(packed.units.shape[0])
    bits = (~packed.fixed.cpu()).view(len(some), -1)
    mask.view(len(some), -1)[bits] = torch.cat([shown.float(), torch.ones(len(some), 1)], 1).flatten()  # the question is shown
    said = model.task.predict(model.logits(packed, mask.to(device)))[:, 1]
    truth = []
    for document, row in zip(some, shown.tolist(), strict=True):
        seen = list(compress(document.words, row))
        truth.append(probability_of_one(seen.count("1"), len(seen), source.bits))
    perplexity = math.exp(float(torch.cat(surprise).double().mean()))
    return Compatibility(trained.config["name"], perplexity, perplexity_bound(source.bits), tuple(truth), tuple(said.tolist()))


def _packed(trained: Trained, documents: Sequence[Document]) -> Packed:
    featurizer, labels = trained.featurizer, trained.config["model"]["task"]["labels"]
    assert isinstance(featurizer, TextFeaturizer)  # it reads the words of Majority
    return Packed.collate([featurizer.encode(each, target=labels.index(each.label)) for each in documents])
