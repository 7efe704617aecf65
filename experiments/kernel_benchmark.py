"""Time of the operators, forward and backward: eager torch, compiled torch, and ours: ``make bench BENCH=kernels``.

On a CUDA device ours are the Triton twins, elsewhere the CPU path. An operator whose tests are red is not timed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from experiments.benchmark import Measured

if TYPE_CHECKING:
    import torch
    from torch import Tensor

TESTS = Path(__file__).absolute().parent.parent / "tests" / "kernels"
EAGER, COMPILED, OURS = "eager", "compiled", "ours"
FRACTIONS = (0.01, 0.05, 0.1, 0.2, 0.5)
Call = Callable[[], object]


@dataclass(frozen=True)
class Work:
    """One operator at one size.

    Args:
        eager: from a function, its compiled form or itself, to a call of the reference, gradients included.
        reference: that function.
        ours: a call of the operator, gradients included.
        moved: bytes that must at least be read and written, or ``None`` where arithmetic decides.
    """

    eager: Callable[[Callable[..., Any]], Call]
    reference: Callable[..., Any]
    ours: Call
    moved: int | None


class KernelBenchmark:
    """Every operator at several sizes of text and of graphs.

    Args:
        sizes: name → ``examples``, mean ``units`` of each, and ``width`` of a state.
        large: numbers of the largest tensor of a further size, for CUDA devices alone; its width and units are those of the last.
        grids: name → ``rows`` of the grid of replacements, B, and ``width`` of a pooled state.
        seconds: that a turn of a contender takes at least.
        compile: time the compiled reference too (some 20 seconds for each operator).
        threads: on the CPU.

    Raises:
        FileNotFoundError: the tests are not beside this file, as in an installed package.
    """

    def __init__(
        self,
        *,
        sizes: Mapping[str, Mapping[str, int]],
        large: int,
        grids: Mapping[str, Mapping[str, int]],
        seconds: float,
        compile: bool,
        threads: int,
    ) -> None:
        if not TESTS.is_dir():
            raise FileNotFoundError(f"{TESTS}: operators are timed if their tests are green; run this in a checkout")
        self.sizes, self.large, self.grids = dict(sizes), large, dict(grids)
        self.seconds, self.compile, self.threads = seconds, compile, threads

    def measure(self, *, rounds: int, threads: int) -> Measured:
        """Let the contenders of each size take turns; ``threads`` is overruled by the benchmark's own."""
        import torch
        from rich.progress import track
        from rich.table import Table

        torch.set_num_threads(self.threads)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
        measured = Measured(threads=self.threads, facts={"device": name})
        bandwidth = copy_bandwidth(device)
        measured.facts["copy_gigabytes_per_second"] = bandwidth / 1e9
        measured.notes.append(f"{name}: a copy of 256 MB moves {bandwidth / 1e9:.1f} GB/s")
        columns = "operator", "size", "eager ms", "compiled ms", "ours ms", "eager / ours", "compiled / ours", "of copy bandwidth"
        table = Table(*columns, title="forward and backward")
        for operator, build in OPERATORS.items():
            if red := failing(operator):
                measured.notes.append(f"{operator}: not timed, since its tests are red: {red}")
                measured.facts.setdefault("red", []).append(operator)
                continue
            for size in track(list(self._sizes(operator, device)), description=operator, transient=True):
                self._time(measured, table, operator, size, build, device=device, bandwidth=bandwidth, rounds=rounds)
        measured.tables.append(table)
        if device.type == "cuda":
            self._grid_memory(measured, device)
        else:
            measured.notes.append(f"on the CPU without the size of {self.large} numbers, which is for CUDA devices")
        return measured

    def _sizes(self, operator: str, device: torch.device) -> Mapping[str, Mapping[str, int]]:
        if operator == "swap_grid":
            return self.grids
        if device.type == "cpu":
            return self.sizes
        last = list(self.sizes.values())[-1]
        per_example = last["units"] * (last["width"] if operator in STATES else 1)
        return {**self.sizes, f"{self.large >> 20} M": {**last, "examples": self.large // per_example}}

    def _time(
        self,
        measured: Measured,
        table: Any,
        operator: str,
        size: str,
        build: Callable[..., Work],
        *,
        device: torch.device,
        bandwidth: float,
        rounds: int,
    ) -> None:
        import torch
        from torch.utils.benchmark import Timer

        work = build(**self._sizes(operator, device)[size], device=device)
        calls = {EAGER: work.eager(work.reference), OURS: work.ours}
        if self.compile:
            compiled = work.eager(torch.compile(work.reference, dynamic=True))
            try:
                compiled()
                calls[COMPILED] = compiled
            except Exception as error:  # a compiler may fail in any way, and then there is nothing to compare with
                measured.notes.append(f"{operator}: torch.compile fails on its reference ({type(error).__name__})")
        timers = {name: Timer("call()", globals={"call": call}, num_threads=self.threads) for name, call in calls.items()}
        # As often as it takes for the clock to be exact; this warms up, too.
        repeats = {name: max(1, round(self.seconds / timer.timeit(2).mean)) for name, timer in timers.items()}
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(rounds):
            for name, timer in timers.items():
                seconds[name].append(timer.timeit(repeats[name]).mean)
        typical = {name: median(times) for name, times in seconds.items()}
        measured.seconds |= {f"{operator}, {size}, {name}": times for name, times in seconds.items()}
        shares = [f"{1000 * typical[name]:.3f}" if name in typical else "" for name in (EAGER, COMPILED, OURS)]
        for name in (EAGER, COMPILED):
            if name in typical:
                measured.ratios[f"{operator}, {size}, {name}"] = typical[name] / typical[OURS]
            shares.append(f"{typical[name] / typical[OURS]:.2f}" if name in typical else "")
        if work.moved is None:
            shares.append("")
        else:
            share = work.moved / typical[OURS] / bandwidth
            measured.facts.setdefault("share_of_copy_bandwidth", {})[f"{operator}, {size}"] = share
            shares.append(f"{share:.2f}")
        table.add_row(operator, size, *shares)

    def _grid_memory(self, measured: Measured, device: torch.device) -> None:
        import torch

        work = OPERATORS["swap_grid"](**list(self.grids.values())[-1], device=device)
        needed = []
        for call in (work.eager(work.reference), work.ours):
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            call()
            torch.cuda.synchronize()
            needed.append(torch.cuda.max_memory_allocated() - before)
        measured.ratios["swap_grid, memory"] = needed[0] / needed[1]


def failing(operator: str) -> str:
    """The last line of the tests of an operator and its twin if they fail, else nothing."""
    files = [str(file) for file in (TESTS / f"test_{operator}.py", TESTS / "cuda" / f"test_{operator}.py")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files],
        cwd=TESTS.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else (done.stdout.strip() or done.stderr.strip()).splitlines()[-1]


def copy_bandwidth(device: torch.device, *, numbers: int = 2**25) -> float:
    """Bytes per second that copying a large tensor reads and writes, the best of ten times."""
    import torch
    from torch.utils.benchmark import Timer

    source = torch.ones(numbers, device=device)  # 128 MB of float32
    target = torch.empty_like(source)
    timer = Timer("target.copy_(source)", globals={"target": target, "source": source}, num_threads=torch.get_num_threads())
    return 8 * numbers / min(timer.timeit(3).mean for _ in range(10))


def lengths_of(examples: int, units: int) -> Tensor:
    """Log-normal lengths with a mean of ``units``, the same every time."""
    import torch

    spread = 0.4
    draws = torch.randn(examples, generator=torch.Generator().manual_seed(0))
    return (units * (spread * draws - spread**2 / 2).exp()).round().clamp(min=1).long()


def packed(examples: int, units: int, device: torch.device) -> tuple[Tensor, Tensor, int]:
    """Offsets of examples, fixed units (a tenth) and their number N."""
    import torch

    from rationalizers.segment import offsets

    ptr = offsets(lengths_of(examples, units))
    n = int(ptr[-1])
    fixed = torch.rand(n, generator=torch.Generator().manual_seed(1)) < 0.1
    return ptr.to(device), fixed.to(device), n


def blend(examples: int, units: int, width: int, *, device: torch.device) -> Work:
    """Rows beside one row for what is hidden."""
    import torch

    from rationalizers.kernels.blend import blend as ours
    from rationalizers.kernels.blend import blend_reference

    _, _, n = packed(examples, units, device)
    leaves = [torch.randn(*shape, device=device, requires_grad=True) for shape in ((n, width), (n,), (width,))]
    upstream = torch.randn(n, width, device=device)

    def through(function: Callable[..., Any]) -> Call:
        return lambda: torch.autograd.grad(function(*leaves), leaves, upstream)

    # x twice, the result, both gradients of that size; the mask twice and its gradient.
    return Work(through, blend_reference, through(ours), 4 * (5 * n * width + 3 * n))


def split_pool(examples: int, units: int, width: int, *, device: torch.device) -> Work:
    """Both sums of every example."""
    import torch

    from rationalizers.kernels.split_pool import split_pool as ours
    from rationalizers.kernels.split_pool import split_pool_reference

    ptr, _, n = packed(examples, units, device)
    leaves = [torch.randn(*shape, device=device, requires_grad=True) for shape in ((n, width), (n,))]
    upstream = [torch.randn(examples, width, device=device) for _ in range(2)]

    def through(function: Callable[..., Any]) -> Call:
        return lambda: torch.autograd.grad(function(*leaves, ptr), leaves, upstream)

    return Work(through, split_pool_reference, through(ours), 4 * (3 * n * width + 3 * n + 4 * examples * width))


def segment_topk(examples: int, units: int, width: int, *, device: torch.device) -> Work:
    """A fifth of the units of every example."""
    import torch

    from rationalizers.kernels.segment_topk import segment_topk as ours
    from rationalizers.kernels.segment_topk import segment_topk_reference
    from rationalizers.segment import lengths

    ptr, _, n = packed(examples, units, device)
    k = lengths(ptr) // 5
    scores, upstream = (torch.randn(n, device=device) for _ in range(2))
    leaf = scores.clone().requires_grad_()

    def eager(function: Callable[..., Any]) -> Call:
        # Straight through: the gradient of the scores is what comes from above.
        return lambda: (function(scores, ptr, k), torch.where(scores > -torch.inf, upstream, 0.0))

    return Work(eager, segment_topk_reference, lambda: torch.autograd.grad(ours(leaf, ptr, k), leaf, upstream), 4 * 5 * n)


def perturb(examples: int, units: int, width: int, *, device: torch.device) -> Work:
    """Copies at the five fractions of ERASER; integers have no gradient."""
    import torch

    from rationalizers.kernels.perturb import perturb as ours
    from rationalizers.kernels.perturb import perturb_reference
    from rationalizers.segment import segment_rank

    ptr, fixed, n = packed(examples, units, device)
    always = int(fixed.sum())
    ranks = segment_rank(torch.rand(n, device=device).masked_fill(fixed, -1.0), ptr)

    def eager(function: Callable[..., Any]) -> Call:
        return lambda: function(ranks, ptr, fixed, list(FRACTIONS), always)

    def twin() -> object:
        return ours(ranks, ptr, fixed, FRACTIONS, fixed_count=always)

    return Work(eager, perturb_reference, twin, 9 * n + 8 * len(FRACTIONS) * (n + always))


def gated_sample(examples: int, units: int, width: int, *, device: torch.device) -> Work:
    """Straight-through masks with their share and transitions."""
    import torch

    from rationalizers.kernels.gated_sample import STRAIGHT_THROUGH, gated_sample_reference, straight_through_sample

    ptr, fixed, n = packed(examples, units, device)
    seed = torch.tensor(5)
    logits = torch.randn(n, device=device, requires_grad=True)
    upstream = [torch.randn(size, device=device) for size in (n, examples, examples)]

    def eager(function: Callable[..., Any]) -> Call:
        def call() -> object:
            drawn = function(logits[None], ptr, seed, fixed, STRAIGHT_THROUGH, 1.0)
            return torch.autograd.grad(drawn[:3], logits, upstream)

        return call

    def twin() -> object:
        return torch.autograd.grad(straight_through_sample(logits, ptr, seed, fixed=fixed, temperature=1.0), logits, upstream)

    # Forward: logits, fixed, mask. Backward: gradient, mask, logits, fixed, gradient.
    return Work(eager, gated_sample_reference, twin, n * (4 + 1 + 4 + 4 + 4 + 4 + 1 + 4))


def swap_grid(rows: int, width: int, *, device: torch.device) -> Work:
    """All B² pairs of one target."""
    import torch

    from rationalizers.kernels.swap_grid import swap_grid as ours
    from rationalizers.kernels.swap_grid import swap_grid_dense

    hidden = 2 * width
    shapes = (rows, hidden), (rows, hidden), (1, hidden), (1,)
    leaves = [torch.randn(*shape, device=device, requires_grad=True) for shape in shapes]
    y = torch.randn(rows, 1, device=device)

    def through(function: Callable[..., Any]) -> Call:
        return lambda: torch.autograd.grad(function(*leaves, y, criterion="squared_error"), leaves)

    return Work(through, swap_grid_dense, through(ours), None)


OPERATORS: dict[str, Callable[..., Work]] = {
    each.__name__: each for each in (blend, split_pool, gated_sample, perturb, segment_topk, swap_grid)
}
STATES = ("blend", "split_pool")
