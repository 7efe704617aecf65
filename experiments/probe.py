"""What do rationales of a language model find where it is known? ``python -m experiments.probe passages ./models/a/model``.

passages     the last words of annotated passages of LAMBADA
agreement    words that follow from one word far before, with a distractor in between
alignments   words of Romanian and English sentences that people aligned, or of German and English ones that a statistical
             model did (--links multi30k); for encoder-decoders
crossed      two sentences translated in a row, which nothing connects; for encoder-decoders
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rationalizers.data.alignments import Aligned
    from rationalizers.probes.probe import Probe

TESTS = ("passages", "agreement", "alignments", "crossed")
SOURCES = "parallel/multi30k/test_2016_flickr.de.gz"


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask models, print a table for each, write a page and a file."""
    given = _parser().parse_args(arguments)
    from experiments.evaluate import bars
    from rationalizers.report.probe import probe_page
    from rationalizers.run import write_atomically
    from rationalizers.sequence import open_language_model

    ask = _asking(given.test, given)
    records: list[dict[str, Any]] = []
    for name in given.models:
        model, tokenizer = open_language_model(name, device=given.device)
        with bars() as bar:
            task = bar.add_task(name, total=None)

            def progress(done: int, total: int, task: Any = task) -> None:
                bar.update(task, completed=done, total=total)

            settings: dict[str, Any] = {"name": name, "seed": given.seed, "progress": progress}
            if given.searches:
                settings["searches"] = given.searches
            found = ask(model, tokenizer, settings)
        records.append(found.record())
        show(found, records[-1])
    if given.html is not None:
        write_atomically(Path(given.html), str(probe_page(records)))
    if given.json is not None:
        write_atomically(Path(given.json), json.dumps(records, indent=1) + "\n")


def _asking(test: str, given: argparse.Namespace) -> Callable[[Any, Any, dict[str, Any]], Probe]:
    """The test of a name, with the examples that it is about."""
    if test == "passages":
        from rationalizers.data.lambada import annotated_passages
        from rationalizers.probes.passages import passages_probe

        passages = annotated_passages()[: given.examples]
        return lambda model, tokenizer, settings: passages_probe(model, tokenizer, passages, max_size=given.max_size, **settings)
    if test == "agreement":
        from rationalizers.data.analogies import agreements
        from rationalizers.probes.agreement import agreement_probe

        sentences = _spread(agreements(), given.examples)
        return lambda model, tokenizer, settings: agreement_probe(model, tokenizer, sentences, **settings)
    if test == "alignments":
        from rationalizers.data.alignments import aligned_pairs
        from rationalizers.probes.alignments import alignment_probe

        pairs = aligned_pairs() if given.links == "romanian" else _silver()
        short = [each for each in pairs if given.words is None or max(len(each.source), len(each.target)) <= given.words]
        some = _spread(short, given.examples)
        return lambda model, tokenizer, settings: alignment_probe(model, tokenizer, some, **settings)
    from rationalizers.data.texts import located, read
    from rationalizers.probes.crossed import crossed_probe

    sources = read(located(given.sources, None)).splitlines()
    sources = _spread(sources, None if given.examples is None else 2 * given.examples)
    return lambda model, tokenizer, settings: crossed_probe(model, tokenizer, sources, **settings)


def _silver() -> list[Aligned]:
    """Test sentences of Multi30k, aligned by a statistical model that learns from all of it."""
    from rationalizers.data.silver import silver_pairs
    from rationalizers.data.texts import ParallelFiles

    files = {
        split: [f"parallel/multi30k/{name}.{side}.gz" for side in ("de", "en")]
        for split, name in (("train", "train"), ("val", "val"), ("test", "test_2016_flickr"))
    }
    texts = {split: [(pair[0], pair[1]) for pair in pairs] for split, pairs in ParallelFiles(**files).texts().items()}
    return silver_pairs(texts["train"], texts["test"])


def _spread(examples: Sequence[Any], most: int | None) -> Sequence[Any]:
    """So many of some examples, from all over them."""
    if most is None or most >= len(examples):
        return examples
    return [examples[place * len(examples) // most] for place in range(most)]


def show(probe: Probe, record: Mapping[str, Any]) -> None:
    """Print one row per search, with the floor of a random set of the same size in brackets.

    A star marks what differs from greedy search by more than chance would have it (95 %).

    Args:
        probe: what was found.
        record: of it, which has all intervals.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from rationalizers.probes.probe import FLOOR

    facts = ", ".join(f"{name} {value:g}" for name, value in probe.facts.items())
    numbers = [number for number in probe.numbers() if not number.endswith(FLOOR)]
    table = Table("search", *numbers, title=f"{probe.name}: {probe.model}", caption=facts)
    for search, row in record["numbers"].items():
        cells: list[str | Text] = []
        for number in numbers:
            found = row.get(number)
            if found is None or not found["examples"]:
                cells.append("")
                continue
            star = "*" if "minus_greedy" in found and found["minus_greedy"]["p"] < 0.05 else ""
            floor = f" [{row[number + FLOOR]['value']:.2f}]" if number + FLOOR in row else ""
            cells.append(Text(f"{found['value']:.2f}{star}{floor}"))
        table.add_row(Text(search), *cells)
    Console(width=max(120, Console().width)).print(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rationalize-probe", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("test", choices=TESTS)
    parser.add_argument(
        "models", nargs="+", metavar="MODEL", help="owner/name on the Hugging Face hub, a folder, or package://package/folder"
    )
    parser.add_argument("--searches", type=lambda text: text.split(","), metavar="A,B", help="ways to a rationale; else all")
    parser.add_argument("--examples", type=int, metavar="N", help="that are asked about at most; else all")
    parser.add_argument("--max-size", type=int, metavar="N", help="passages: tokens of a rationale at most; else any number")
    parser.add_argument("--links", choices=("romanian", "multi30k"), default="romanian", help="alignments: of which sentences")
    parser.add_argument("--words", type=int, metavar="N", help="alignments: of a sentence at most; else any number")
    parser.add_argument("--sources", default=SOURCES, metavar="FILE", help=f"crossed: sentences, one a line ({SOURCES})")
    parser.add_argument("--seed", type=int, default=0, help="of what is random")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--html", metavar="FILE", help="write a page to open")
    parser.add_argument("--json", metavar="FILE", help="write everything as JSON")
    return parser


if __name__ == "__main__":
    main()
