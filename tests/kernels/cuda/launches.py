"""Compile every kernel ahead of time for some architectures, as its launcher would launch it. Run in a process of its own.

Nothing is launched: what a launcher would launch is written down, with the types of its arguments and its constant expressions.
Prints a line for each kernel, and ends with 1 where one does not compile. No device is needed; Triton brings its assembler.
"""

import inspect
import sys
import time

import torch
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from triton.runtime.jit import JITFunction

TYPES = {
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.int64: "*i64",
    torch.bool: "*i1",
}
LAUNCHED = []


def written_down(kernel, *arguments, grid, warmup, **settings):
    """Takes the place of `JITFunction.run`, with what that makes of arguments: 1 is a constant, and multiples of 16 are known."""
    options = {name: settings.pop(name) for name in ("num_warps", "num_stages") if name in settings}
    bound = inspect.signature(kernel.fn).bind(*arguments, **settings).arguments
    signature, constants, attributes = {}, {}, {}
    for place, parameter in enumerate(kernel.params):
        value = bound[parameter.name]
        whole = isinstance(value, int) and not parameter.do_not_specialize
        if parameter.is_constexpr or (whole and value == 1):
            signature[parameter.name], constants[parameter.name] = "constexpr", value
            continue
        signature[parameter.name] = type_of(value)
        if isinstance(value, torch.Tensor) or (whole and value % 16 == 0):
            attributes[(place,)] = [["tt.divisibility", 16]]
    variant = kernel, signature, constants, attributes, options
    if variant not in LAUNCHED:
        LAUNCHED.append(variant)


def type_of(value):
    if isinstance(value, torch.Tensor):
        return TYPES[value.dtype]
    if isinstance(value, float):
        return "fp32"
    return "i32" if -(2**31) <= value < 2**31 else "i64"


def launch(dtype):
    """Every launcher, at the sizes of a batch and of a single unit; nothing is read, so nothing needs to be there."""
    launch_at(dtype, n=2048, b=8, width=300, seed=2**61)
    if dtype == torch.float32:
        launch_at(dtype, n=1, b=1, width=1, seed=1)


def launch_at(dtype, *, n, b, width, seed):
    """Every launcher, forward and backward."""
    from rationalizers.kernels.cuda import blend, gated_sample, perturb, segment_topk, split_pool, swap_grid

    whole = torch.int64

    def empty(*shape, of=dtype):
        return torch.empty(*shape, dtype=of, device="meta")

    x, unit, ptr, fixed = empty(n, width), empty(n), empty(b + 1, of=whole), empty(n, of=torch.bool)
    for fill in (None, empty(width)):
        blend.blend(x, unit, fill)
        blend.blend_backward(x, x, unit, fill)
    split_pool.split_pool(x, unit, ptr)
    split_pool.split_pool_backward(empty(b, width), empty(b, width), x, unit, ptr)
    segment_topk.segment_topk(unit, ptr, empty(b, of=whole))
    seed = torch.tensor(seed)
    for gate in range(3):
        parameters = empty(2 if gate == 2 else 1, n)
        gated_sample.gated_sample(parameters, ptr, seed, fixed, gate, 0.5)
        counts = empty(2, b, of=torch.float32)
        per_example = empty(b), empty(b)
        gated_sample.gated_sample_backward(unit, *per_example, parameters, unit, counts, ptr, seed, fixed, gate, 0.5)
    if dtype == torch.float32:  # the others have no floating arguments, or convert them first
        ranks = empty(n, of=whole)
        perturb.perturb(ranks, ptr, fixed, empty(5, b, of=whole), empty(10 * b + 1, of=whole), 5 * n)
        for outputs in (1, 12):
            for dropout in (False, True):
                a, other, weight = empty(b, width), empty(b, width), empty(outputs, width)
                drop = (1, 1, 2**15)  # the halves of a seed may be 1
                swap_grid._block_logits(a, other.T, weight, empty(outputs), 0, drop, dropout=dropout)
                grads = [empty(b, width), empty(b, width), empty(outputs, width), empty(outputs)]
                swap_grid._block_gradients(a, other, weight, empty(b, b, outputs), grads, range(b), drop, dropout=dropout)


def main():
    JITFunction.run = written_down
    failed = 0
    launch(getattr(torch, sys.argv[1]))
    for capability in map(int, sys.argv[2:]):
        began, done = time.perf_counter(), {}
        for kernel, signature, constants, attributes, options in LAUNCHED:
            name = f"{kernel.fn.__module__.rpartition('.')[2]}.{kernel.fn.__name__}"
            source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=attributes)
            try:
                compiled = compile(source, target=GPUTarget("cuda", capability, 32), options=options)
                assert f".target sm_{capability}" in compiled.asm["ptx"]
                assert compiled.asm["cubin"]
            except Exception as error:  # whatever stops the compiler, the kernel has to be named
                failed += 1
                print(f"FAILED {name} for sm_{capability} with {constants}: {type(error).__name__}: {error}")  # noqa: T201
            else:
                done[name] = done.get(name, 0) + 1
        seconds = time.perf_counter() - began
        for name, count in done.items():
            print(f"sm_{capability} {sys.argv[1]} {name} {count}")  # noqa: T201
        print(f"sm_{capability} {sys.argv[1]}: {sum(done.values())} variants of {len(done)} kernels in {seconds:.1f} s")  # noqa: T201
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
