"""Every twin compiles for the devices that it is made for, without one."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")
ROOT = Path(__file__).resolve().parents[3]
KERNELS = ROOT / "rationalizers" / "kernels" / "cuda"


def launched_kernels():
    """Names of the functions that are launched, as in ``_forward[grid](…)``."""
    return {
        f"{file.stem}.{node.func.value.id}"
        for file in KERNELS.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Subscript)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id.startswith("_")
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "capabilities"),
    [("float32", ("90", "80")), ("bfloat16", ("90",)), ("float16", ("90",))],
    ids=lambda each: str(each),
)
def test_every_kernel_compiles_for_hopper_and_ampere(tmp_path, dtype, capabilities, capsys):
    # Of its own, since what the interpreter takes cannot be compiled; and with an empty cache, or nothing might be.
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("launches.py")), dtype, *capabilities],
        env={**environment, "TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    with capsys.disabled():
        print("", *re.findall(r"^sm_\d+ \w+: .*$", done.stdout, re.MULTILINE), sep="\n")  # noqa: T201
    assert done.returncode == 0, done.stdout + done.stderr
    compiled = set(re.findall(r"^sm_90 \w+ (\S+) \d+$", done.stdout, re.MULTILINE))
    only_once = {name for name in launched_kernels() if name.startswith(("perturb.", "swap_grid."))}
    assert compiled == launched_kernels() - (set() if dtype == "float32" else only_once)
    assert len(launched_kernels()) >= 10


def test_a_kernel_that_does_not_compile_fails(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text(
        "import triton\nimport triton.language as tl\nimport tests.kernels.cuda.launches as launches\n\n\n"
        "@triton.jit\ndef _forward(x, N: tl.constexpr):\n    tl.store(x + tl.arange(0, N), tl.nothing_of_this_name(x))\n\n\n"
        "launches.launch = lambda dtype: _forward[(1,)](launches.torch.empty(4), N=4)\nlaunches.main()\n",
        "utf-8",
    )
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, str(broken), "float32", "90"],
        env={**environment, "TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "FAILED broken._forward for sm_90" in done.stdout or "FAILED __main__._forward for sm_90" in done.stdout
