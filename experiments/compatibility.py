"""Do predictions from parts fit together? ``python -m experiments.compatibility runs/sequential-majority-s0 --html a.html``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask finished runs of ``method=sequential data=majority``, print a table, write a page."""
    parser = argparse.ArgumentParser(prog="python -m experiments.compatibility", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a finished run")
    parser.add_argument("--examples", type=int, default=101, metavar="N", help="sequences of which a part is shown")
    parser.add_argument("--seed", type=int, default=0, help="of what is shown")
    parser.add_argument("--html", metavar="FILE", help="write a page to open")
    given = parser.parse_args(arguments)

    from rich.console import Console
    from rich.progress import track
    from rich.table import Table
    from rich.text import Text

    from rationalizers.compatibility import compatibility
    from rationalizers.report.compatibility import compatibility_page
    from rationalizers.run import write_atomically

    found = [
        compatibility(run, examples=given.examples, seed=given.seed)
        for run in track(given.runs, description="runs", transient=True)
    ]
    table = Table("run", "mean distance from the truth", "perplexity", "least possible")
    for each in found:
        table.add_row(Text(each.name), f"{each.error:.3f}", f"{each.perplexity:.3f}", f"{each.bound:.3f}")
    Console().print(table)
    if given.html is not None:
        write_atomically(Path(given.html), str(compatibility_page(found)))


if __name__ == "__main__":
    main()
