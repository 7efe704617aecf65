"""Discover potential shortcuts: ``python -m experiments.discover run=runs/fr_unlabelled-toy_text-rho0.9-s0 min_run=1``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from experiments.command import command

if TYPE_CHECKING:
    from rationalizers.discovery import Discovery


@command("discover")
def main(config: DictConfig) -> None:
    """Mark what the run selects and people did not, keep it in its folder, print how much it is."""
    settings: dict[str, Any] = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    from experiments.evaluate import bars
    from rationalizers.discovery import discover

    run = settings.pop("run")
    with bars() as bar:
        task = bar.add_task("examples", total=None)
        found = discover(run, progress=lambda done, total: bar.update(task, completed=done, total=total), **settings)
    show(found)


def show(found: Discovery) -> None:
    """Print coverage of each class as a table, below it the agreement with planted shortcuts, and where it all is kept."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Discovered shortcuts", title_justify="left")
    table.add_column("class")
    for head in ("documents", "with shortcuts", "share of words"):
        table.add_column(head, justify="right")
    for label, each in found.coverage.items():
        # Text objects are not parsed: a class may have brackets in its name.
        table.add_row(Text(label), str(each["documents"]), str(each["with_shortcuts"]), f"{each['word_share']:.3f}")
    said = [f"{name} {value:.3f}" for name, value in found.planted.items()]
    console = Console()
    console.print(table)
    for line in (*([f"planted shortcuts: {', '.join(said)}"] if said else []), f"shortcuts: {found.shortcuts.folder}"):
        console.print(line, soft_wrap=True, markup=False, highlight=False)


if __name__ == "__main__":
    main()
