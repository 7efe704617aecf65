"""Seconds of greedy search over one context, three ways to the same rationale: ``make bench BENCH=greedy``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.benchmark import Benchmark, Measured

if TYPE_CHECKING:
    from rationalizers.language import TokenRationale

REFERENCE, PREFIX, CACHES = "reference", "known prefix", "known prefix, last step's branches"


class GreedyBenchmark:
    """`rationalizers.language.greedy` against `greedy_reference`, whose rationale gets its certificate, too.

    Args:
        model: of transformers' ``GPT2Config``; the weights are drawn.
        context: tokens before the target.
        sizes: tokens of the rationales; one contender of each way for each.
        seed: of weights and tokens.

    Raises:
        RuntimeError: two ways find different rationales.
    """

    def __init__(self, *, model: Mapping[str, Any], context: int, sizes: Sequence[int], seed: int) -> None:
        self.settings, self.context, self.sizes, self.seed = dict(model), context, list(sizes), seed

    def measure(self, *, rounds: int, threads: int) -> Measured:
        """Let the contenders take turns; tell the places that were picked."""
        import torch
        import transformers

        from rationalizers.language import CausalModel, certify, greedy, greedy_reference

        torch.set_num_threads(threads)
        torch.manual_seed(self.seed)
        model = CausalModel(transformers.GPT2LMHeadModel(transformers.GPT2Config(**self.settings)))
        text = torch.randint(0, model.model.config.vocab_size, (self.context + 1,))
        text[-1] = model.read(text[None, :-1], torch.arange(self.context)[None])[0].argmin()
        found: dict[str, TokenRationale] = {}

        def fast(size: int, cache: float) -> TokenRationale:
            return greedy(model, [text], [[self.context]], max_size=size, cache_megabytes=cache)[0][0]

        def plain(size: int) -> TokenRationale:
            return certify(model, text, [greedy_reference(model, text, self.context, max_size=size)])[0]

        def contender(name: str, call: Callable[[], TokenRationale]) -> Callable[[], None]:
            def turn() -> None:
                found[name] = call()

            return turn

        contenders, headlines = {}, {}
        for size in self.sizes:
            ways: dict[str, Callable[[], TokenRationale]] = {
                REFERENCE: lambda size=size: plain(size),  # type: ignore[misc]
                PREFIX: lambda size=size: fast(size, 0),  # type: ignore[misc]
                CACHES: lambda size=size: fast(size, 1024),  # type: ignore[misc]
            }
            contenders |= {f"{way}, k={size}": contender(f"{way}, k={size}", call) for way, call in ways.items()}
            headlines[f"k{size}"] = f"{REFERENCE}, k={size}", f"{PREFIX}, k={size}"
            headlines[f"k{size}_caches"] = f"{REFERENCE}, k={size}", f"{CACHES}, k={size}"
        measured = Benchmark(contenders=contenders, headlines=headlines, clock=time.process_time).measure(
            rounds=rounds, threads=threads
        )
        for size in self.sizes:
            orders = {found[f"{way}, k={size}"].order for way in (REFERENCE, PREFIX, CACHES)}
            if len(orders) > 1:
                raise RuntimeError(f"expected one rationale of {size} tokens from three ways, got {sorted(orders)}")
            (order,) = orders
            measured.facts[f"picks_k{size}"] = list(order)
            measured.notes.append(f"k={size}: all three ways add {', '.join(map(str, order))}")
        return measured
