"""Why a language model says what it says: a text with the rationale of each of its tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from rationalizers.encoders.sources import pretrained_folder
from rationalizers.extras import require
from rationalizers.language.causal import CausalModel
from rationalizers.language.pair import PairModel, greedy_pair
from rationalizers.language.search import greedy
from rationalizers.language.sequence_rationale import TokenRationale

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SequenceExplanation:
    """Tokens and their rationales; shows itself in a notebook, where the pointer on a token shows what it came from.

    Args:
        tokens: the text in pieces, which put together are the text; of an encoder-decoder, source and translation.
        rationales: of some of them, by place.
        generated: place of the first token that the model wrote itself; the number of tokens where it wrote none.
        source: tokens of the source.
    """

    tokens: tuple[str, ...]
    rationales: tuple[TokenRationale, ...]
    generated: int
    source: int = 0

    def to_frame(self) -> pd.DataFrame:
        """One row per rationale, whose tokens are listed in the order of addition.

        Raises:
            ImportError: pandas is not installed.
        """
        pandas = require("pandas", extra="report")
        rows = [
            {
                "target": each.target,
                "token": self.tokens[each.before],
                "size": len(each.order),
                "reached_argmax": each.reached_argmax,
                "certified": each.certified,
                "probability": each.probability[-1],
                "because": [self.tokens[place] for place in each.order],
            }
            for each in self.rationales
        ]
        frame: pd.DataFrame = pandas.DataFrame(rows)
        return frame

    def record(self) -> dict[str, Any]:
        """Everything as plain values, for a file."""
        rows = [{**asdict(each), "reached_argmax": each.reached_argmax} for each in self.rationales]
        return {"tokens": list(self.tokens), "generated": self.generated, "source": self.source, "rationales": rows}

    def _repr_html_(self) -> str:
        from rationalizers.report.sequence import sequence_html

        html: str = sequence_html(self.record())
        return html


def open_language_model(name: str, *, device: str = "cpu") -> tuple[CausalModel | PairModel, Any]:
    """A language model of either kind and its tokenizer, by name, folder or package; see `CausalModel.load`."""
    folder = str(pretrained_folder(name))
    transformers = require("transformers", extra="text")
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    model = (PairModel if config.is_encoder_decoder else CausalModel).load(folder, device=device)
    return model, transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def explain_text(
    model: CausalModel,
    tokenizer: Any,
    text: str,
    *,
    generate: int = 0,
    targets: Sequence[int] | None = None,
    max_size: int | None = None,
    max_tokens: int = 4096,
    half: CausalModel | None = None,
    approximate: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SequenceExplanation:
    """Say of tokens of a text why the model says them.

    Args:
        model: the language model.
        tokenizer: its tokenizer.
        text: what it reads.
        generate: tokens that it goes on to write, always the most probable one.
        targets: places of the tokens to explain; ``None`` is those that it wrote, or all where it wrote none.
        max_size: tokens of a rationale at most.
        max_tokens: that are read in one pass.
        half: see `rationalizers.language.greedy`.
        approximate: see `rationalizers.language.greedy`.
        progress: called with the number of tokens that are explained, and of all.

    Raises:
        ValueError: see `check_text`, fewer than two tokens, or ``generate`` below 0.
    """
    if generate < 0:
        raise ValueError(f"'generate' must be at least 0, got {generate}")
    ids = torch.tensor(tokenizer(text)["input_ids"], dtype=torch.long, device=model.device)
    written = ids.shape[0]
    if ids.shape[0] + generate < 2 or not ids.shape[0]:
        raise ValueError(f"expected a text of at least two tokens, of which the first has nothing before it, got {text!r}")
    if ids.shape[0] + generate > model.longest:
        raise ValueError(
            f"{ids.shape[0]} tokens and {generate} more are longer than the {model.longest} positions of this model; cut the text"
        )
    for _ in range(generate):
        following = model.read(ids[None], torch.arange(ids.shape[0], device=ids.device)[None])[0].argmax()
        ids = torch.cat([ids, following[None]])
    if targets is None:
        targets = range(written if generate else 1, ids.shape[0])
    settings: dict[str, Any] = {"max_size": max_size, "max_tokens": max_tokens, "half": half, "approximate": approximate}
    found = greedy(model, [ids], [targets], **settings, progress=progress)[0]
    return SequenceExplanation(tuple(tokenizer.decode([token]) for token in ids.tolist()), tuple(found), written)


def explain_translation(
    model: PairModel,
    tokenizer: Any,
    source: str,
    *,
    target: str | None = None,
    generate: int = 64,
    max_size: int | None = None,
    max_tokens: int = 4096,
    progress: Callable[[int, int], None] | None = None,
) -> SequenceExplanation:
    """Say of every token of a translation what it came from, in the source and in what was written before.

    Args:
        model: the language model.
        tokenizer: its tokenizer.
        source: what it reads.
        target: what it is to have written; ``None`` lets it write, always the most probable token, until it ends.
        generate: tokens that it writes at most.
        max_size: tokens of a rationale at most.
        max_tokens: that are read in one pass.
        progress: called with the number of tokens that are explained, and of all.

    Raises:
        ValueError: see `greedy_pair`, or ``generate`` below 1.
    """
    if generate < 1:
        raise ValueError(f"'generate' must be at least 1, got {generate}")
    ours = torch.tensor(tokenizer(source)["input_ids"], dtype=torch.long, device=model.device)
    if target is None:
        theirs = model.write(ours, most=generate)
    else:
        given = [model.model.config.decoder_start_token_id, *tokenizer(text_target=target)["input_ids"]]
        theirs = torch.tensor(given, device=model.device)
    found = greedy_pair(model, ours, theirs, max_size=max_size, max_tokens=max_tokens, progress=progress)
    tokens = tuple(tokenizer.decode([token]) for token in [*ours.tolist(), *theirs.tolist()])
    written = len(tokens) if target is not None else len(ours)
    return SequenceExplanation(tokens, tuple(found), written, source=len(ours))
