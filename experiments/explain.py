"""Explain inputs by a trained model: ``python -m experiments.explain run=runs/rnp-toy_text-s0 'text=the soup was cold'``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from experiments.command import command
from experiments.inputs import Inputs, check_suffix, literal, read_inputs, write_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from rationalizers.load import Trained

# Entries whose values are taken as they are typed.
LITERAL = ("text", "file", "column", "out", "page")
# Of a selected word on a terminal; elsewhere there are brackets.
SELECTED = "bold reverse"


def main() -> None:
    """Explain what the command line names."""
    sys.argv[1:] = literal(sys.argv[1:], LITERAL)
    explain()


@command("explain")
def explain(config: DictConfig) -> None:
    """Open the run, look whether it can read every input, explain them; show or write what was found."""
    settings: dict[str, Any] = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    out, page = (_place(key, settings[key]) for key in ("out", "page"))
    if out is not None:
        check_suffix(out, "out")
    inputs = read_inputs(settings["text"], settings["file"], column=settings["column"])

    from rich.console import Console

    from experiments.evaluate import bars
    from rationalizers.load import load_rationalizer

    model = load_rationalizer(settings["run"], trust=settings["trust"], device=settings["device"])
    with bars() as bar:
        check(model, inputs, bar)
    if out is None and page is None:
        console = Console()
        for found in model.stream(inputs.values, batch_size=settings["batch_size"]):
            show(found.record(), console)
        return
    rows, records = [], []
    with bars() as bar:
        task = bar.add_task("explaining", total=len(inputs.values))
        for row, found in enumerate(model.stream(inputs.values, batch_size=settings["batch_size"])):
            rows.append(found.row())
            if page is not None and row < settings["examples"]:
                records.append({**found.record(), "id": inputs.place(row)})
            bar.advance(task)
    if out is not None:
        write_table(joined(inputs, settings["column"], rows), out)
        print(f"explained: {out}")  # noqa: T201
    if page is not None:
        from rationalizers.report.explained import explained_page
        from rationalizers.run import write_atomically

        title = f"Explained by {model.config['name']}"
        write_atomically(page, str(explained_page(records, title=title, of=len(rows))))
        print(f"page: {page}")  # noqa: T201


def check(model: Trained, inputs: Inputs, bar: Progress) -> None:
    """Raise unless there are inputs and the model can read each of them: before any is explained, which takes longer.

    Raises:
        SystemExit: names the place of the first that it cannot read.
    """
    if not inputs.values:
        raise SystemExit("there is nothing to explain: no input was given")
    task = bar.add_task("reading", total=len(inputs.values))
    for row, each in enumerate(inputs.values):
        try:
            model.featurizer.batch([each], first=row)
        except (TypeError, ValueError) as error:
            raise SystemExit(f"{inputs.place(row)}: {error}; correct or remove it") from error
        bar.advance(task)


def show(record: Mapping[str, Any], console: Console) -> None:
    """Print what was predicted, and the words with the rationale marked."""
    from rich.text import Text

    words, selected = record["words"], record["selected"]
    mark = ("", "") if console.is_terminal else ("[", "]")
    pieces: list[Text] = []
    last = 0
    for start, end in selected:
        pieces += [Text(word) for word in words[last:start]]
        pieces.append(Text(" ".join(words[start:end]).join(mark), style=SELECTED))
        last = end
    pieces += [Text(word) for word in words[last:]]
    # Text objects are not parsed: an input may have brackets.
    for line in (Text(prediction(record)), Text(" ").join(pieces)):
        console.print(line, soft_wrap=not console.is_terminal, highlight=False)


def prediction(record: Mapping[str, Any]) -> str:
    """The answer in a line: a class and its probability, or numbers by target; and how much was selected."""
    share = f"{sum(end - start for start, end in record['selected'])} of {len(record['words'])} selected"
    if record["prediction"] is not None:
        return f"{record['prediction']} {record['probabilities'][record['prediction']]:.3f}, {share}"
    unit = f" {record['unit']}" if record["unit"] else ""
    return ", ".join([*(f"{target} {value:.4g}{unit}" for target, value in record["values"].items()), share])


def joined(inputs: Inputs, column: str, rows: list[dict[str, Any]]) -> Any:
    """The table that inputs are from, else one of the inputs, with what was found beside them.

    Raises:
        SystemExit: a column of the file has a name that a result has, too.
    """
    import pandas as pd

    found = pd.DataFrame(rows)
    table = pd.DataFrame({column: list(inputs.values)}) if inputs.table is None else inputs.table
    both = [str(name) for name in found.columns if name in table.columns]
    if both:
        raise SystemExit(f"the file has a column {', '.join(both)}, as the explanations have; rename it")
    return table.reset_index(drop=True).join(found)


def _place(key: str, name: str | None) -> Path | None:
    """Where a file is to be written."""
    if name is None:
        return None
    path = Path(name).expanduser()
    if not path.parent.is_dir():
        raise SystemExit(f"{key}={path}: there is no folder {path.parent}; make it first")
    return path


if __name__ == "__main__":
    main()
