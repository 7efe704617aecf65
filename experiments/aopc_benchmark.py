"""Seconds of the area over the perturbation curve, by how the copies of documents are read: ``make bench BENCH=aopc``.

Every contender reads the same copies with the same model: the whole document, the document without its rationale, the rationale
alone, and for each size the document without its best words and those words alone. They differ in who is read together:

- ``packed``: copies of all sizes and documents, sorted by length (`rationalizers.copies`), which is what evaluation does;
- ``padded``: the copies of a document together, all as long as the document, as many documents as fit;
- ``by size``: one size and side of all documents at a time;
- ``one at a time``: every copy by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from experiments.benchmark import Benchmark, Measured

if TYPE_CHECKING:
    from torch import Tensor

    from rationalizers.base import Rationalizer
    from rationalizers.batch import Batch
    from rationalizers.copies import Copies
    from rationalizers.rationale import Rationale

PACKED, PADDED, BY_SIZE, SINGLE = "packed", "padded", "by size", "one at a time"


class AOPCBenchmark:
    """The same numbers by four ways.

    Args:
        overrides: of the training configuration, which describes data and model.
        run: folder of a finished run whose weights are used; ``None`` draws them.
        split: of the data.
        batch_size: documents at a time.
        units: read in one pass, padding included.
        absence: what absent means; one that removes units.
    """

    def __init__(
        self, *, overrides: Sequence[str], run: str | None, split: str, batch_size: int, units: int, absence: str
    ) -> None:
        self.overrides, self.run, self.split = list(overrides), run, split
        self.batch_size, self.units, self.absence = batch_size, units, absence

    def measure(self, *, rounds: int, threads: int) -> Measured:
        """Let the contenders take turns; tell how far their numbers lie apart."""
        import torch

        from rationalizers.copies import Copies
        from rationalizers.fidelity import FRACTIONS, copies_at

        torch.set_num_threads(threads)
        model, explained = self._explained()
        made: list[tuple[Batch, Copies]] = []
        for batch, rationale in explained:
            selected = rationale.selected
            masks = torch.stack([torch.ones_like(selected), ~selected, selected])
            copies = [Copies.of_masks(masks, batch), copies_at(rationale.scores, batch, FRACTIONS)]
            made.append((batch, Copies.cat(copies)))
        found: dict[str, tuple[float, float]] = {}

        def contender(name: str, together: Callable[[Copies, Batch], Iterable[Tensor]]) -> Callable[[], None]:
            def turn() -> None:
                found[name] = self._numbers(model, made, together)

            return turn

        ways = {PACKED: self._packed, PADDED: self._padded, BY_SIZE: _by_size, SINGLE: _single}
        measured = Benchmark(
            contenders={name: contender(name, together) for name, together in ways.items()},
            headlines={
                "aopc": (PADDED, PACKED),
                "aopc_by_size": (BY_SIZE, PACKED),
                "aopc_one_at_a_time": (SINGLE, PACKED),
            },
        ).measure(rounds=rounds, threads=threads)
        apart = max(abs(x - y) for each in found.values() for x, y in zip(each, found[PACKED], strict=True))
        documents = sum(batch.ptr.numel() - 1 for batch, _ in made)
        read = sum(copies.index.numel() for _, copies in made)
        padded = sum(int((batch.ptr[1:] - batch.ptr[:-1])[copies.rows].sum()) for batch, copies in made)
        names = ("comprehensiveness_aopc", "sufficiency_aopc")
        measured.facts |= {
            "numbers": dict(zip(names, found[PACKED], strict=True)),
            "largest_difference": apart,
            "documents": documents,
            "units": {"copies": read, "as long as documents": padded},
        }
        measured.notes += [
            f"{documents} documents: comprehensiveness {found[PACKED][0]:.6f}, sufficiency {found[PACKED][1]:.6f}; "
            f"the largest difference between contenders is {apart:.1e}",
            f"units in copies: {read:,}; each as long as its document: {padded:,}, {padded / read:.2f} times as many",
        ]
        return measured

    def _explained(self) -> tuple[Rationalizer, list[tuple[Batch, Rationale]]]:
        """The model and the split, each document with its rationale."""
        import torch

        from rationalizers.base import Rationalizer
        from rationalizers.build import build
        from rationalizers.data.module import RationaleData
        from rationalizers.load import load_rationalizer
        from rationalizers.training import fill

        config = composed([*self.overrides, f"data.module.batch_size={self.batch_size}"])
        data = build(config["data"]["module"], RationaleData)
        data.setup("test")
        if self.run is None:
            torch.manual_seed(0)
            model = build(fill(config["method"]["model"], data.facts()), Rationalizer).eval()
        else:
            model = load_rationalizer(self.run).model
        with torch.no_grad():
            return model, [(batch, model(batch).rationale) for batch in data.batches(self.split)]

    def _numbers(
        self,
        model: Rationalizer,
        made: Sequence[tuple[Batch, Copies]],
        together: Callable[[Copies, Batch], Iterable[Tensor]],
    ) -> tuple[float, float]:
        """Comprehensiveness and sufficiency over sizes, with copies read together as ``together`` says."""
        import torch

        from rationalizers.copies import REMOVING
        from rationalizers.fidelity import fallen

        falls = []
        for batch, copies in made:
            examples = batch.ptr.numel() - 1
            predictions = torch.zeros(copies.rows.numel(), model.task.outputs)
            for places in together(copies, batch):
                some = copies.take(places)
                shown = batch.gather(some.index, some.ptr, positions=REMOVING[self.absence], rows=some.rows)
                with torch.no_grad():
                    logits = model.logits(shown, torch.ones(some.index.numel()), absence=self.absence)
                predictions[places] = model.task.predict(logits)
            whole, _, _, *at = predictions.view(-1, examples, model.task.outputs).unbind()
            falls.append(fallen(model.task, whole, torch.stack(at)))  # [2·F, b]
        fall = torch.cat(falls, 1).double()
        return float(fall[0::2].mean()), float(fall[1::2].mean())

    def _packed(self, copies: Copies, batch: Batch) -> Iterable[Tensor]:
        from rationalizers.copies import passes

        return passes(copies.ptr[1:] - copies.ptr[:-1], units=self.units)

    def _padded(self, copies: Copies, batch: Batch) -> Iterable[Tensor]:
        """The copies of as many documents as fit; the whole document among them makes all as long as it."""
        import torch

        length = batch.ptr[1:] - batch.ptr[:-1]
        of_each = torch.argsort(copies.rows, stable=True).view(length.numel(), -1)  # [b, copies of one]
        documents = max(1, self.units // max(1, int(length.max()) * of_each.shape[1]))
        return [part.flatten() for part in of_each[torch.argsort(length, descending=True)].split(documents)]


def _by_size(copies: Copies, batch: Batch) -> Iterable[Tensor]:
    import torch

    return torch.arange(copies.rows.numel()).split(max(1, batch.ptr.numel() - 1))


def _single(copies: Copies, batch: Batch) -> Iterable[Tensor]:
    import torch

    return torch.arange(copies.rows.numel()).split(1)


def composed(overrides: Sequence[str]) -> dict[str, Any]:
    """The training configuration under some overrides, as plain primitives; inside of Hydra or not."""
    from hydra import compose, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    ready = GlobalHydra.instance().is_initialized()
    with nullcontext() if ready else initialize_config_module("conf", version_base="1.3"):
        config: dict[str, Any] = OmegaConf.to_container(compose("train", overrides=list(overrides)), resolve=True)  # type: ignore[assignment]
    return config
