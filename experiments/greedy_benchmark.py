"""Seconds of greedy search over one context, three ways to the same rationale: ``make bench BENCH=greedy``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.benchmark import Benchmark, Measured

if TYPE_CHECKING:
    from rationalizers.language import TokenRationale

REFERENCE, PREFIX, CACHES = "reference", "known prefix", "known prefix, last step's branches"
LOCKSTEP, HALF = "lockstep", "lockstep, half precision"


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


class LockstepBenchmark:
    """All tokens of a text: one after the other by `greedy_reference`, in lockstep, and in lockstep with half precision.

    On a CUDA device where there is one. Seconds are those of the wall. Rationales that two ways find differently, as rounding may
    decide between near equals, are counted in the facts ``different``.

    Args:
        model: of transformers' ``GPT2Config``; the weights are drawn.
        tokens: of the text.
        size: tokens of the rationales.
        max_tokens: that are read in one pass.
        seed: of weights and tokens.
    """

    def __init__(self, *, model: Mapping[str, Any], tokens: int, size: int, max_tokens: int, seed: int) -> None:
        self.settings, self.tokens, self.size, self.max_tokens, self.seed = dict(model), tokens, size, max_tokens, seed

    def measure(self, *, rounds: int, threads: int) -> Measured:
        """Let the contenders take turns."""
        import torch
        import transformers

        from rationalizers.language import CausalModel, certify, greedy, greedy_reference

        torch.manual_seed(self.seed)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = CausalModel(transformers.GPT2LMHeadModel(transformers.GPT2Config(**self.settings)).to(device))
        text = torch.randint(0, model.model.config.vocab_size, (self.tokens,), device=device)
        settings: dict[str, Any] = {"max_size": self.size, "max_tokens": self.max_tokens}
        half = model.halved()
        found: dict[str, list[TokenRationale]] = {}

        def turn(name: str, call: Callable[[], list[TokenRationale]]) -> Callable[[], None]:
            def timed() -> None:
                found[name] = call()  # on the host by then: nothing is left to wait for

            return timed

        def one_by_one() -> list[TokenRationale]:
            each = [greedy_reference(model, text, target, **settings) for target in range(1, self.tokens)]
            return certify(model, text, each, max_tokens=self.max_tokens)

        ways: dict[str, Callable[[], list[TokenRationale]]] = {
            REFERENCE: one_by_one,
            LOCKSTEP: lambda: greedy(model, [text], **settings)[0],
            HALF: lambda: greedy(model, [text], half=half, **settings)[0],
        }
        measured = Benchmark(
            contenders={name: turn(name, call) for name, call in ways.items()},
            headlines={"lockstep": (REFERENCE, LOCKSTEP), "half": (REFERENCE, HALF)},
        ).measure(rounds=rounds, threads=threads)
        orders = {name: [each.order for each in rationales] for name, rationales in found.items()}
        measured.facts["device"] = torch.cuda.get_device_name() if device == "cuda" else "cpu"
        measured.facts["different"] = {
            name: sum(one != other for one, other in zip(orders[name], orders[REFERENCE], strict=True))
            for name in (LOCKSTEP, HALF)
        }
        measured.notes.append(f"of {self.tokens - 1} rationales differ: {measured.facts['different']}")
        return measured
