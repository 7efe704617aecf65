"""Why a language model says what it says: ``rationalize-sequence --model ./my-gpt2 --generate 20 "Once upon a time"``.

With an encoder-decoder the text is the source; its translation is written, or given with ``--target``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rationalizers.sequence import SequenceExplanation


def main(arguments: Sequence[str] | None = None) -> None:
    """Explain the tokens of a text, or those that the model goes on to write; print a table, write a page or a file."""
    given = _parser().parse_args(arguments)
    from experiments.evaluate import bars
    from rationalizers.language import CausalModel
    from rationalizers.sequence import explain_text, explain_translation, open_language_model

    model, tokenizer = open_language_model(given.model, device=given.device)
    settings: dict[str, Any] = {"max_size": given.max_size, "max_tokens": given.max_tokens}
    if given.generate is not None:
        settings["generate"] = given.generate
    with bars() as bar:
        task = bar.add_task("tokens", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        if isinstance(model, CausalModel):
            if given.target is not None:
                raise ValueError("--target is for encoder-decoders; this model reads one text, give it whole")
            settings |= {"half": model.halved() if given.half else None, "approximate": given.approximate}
            found = explain_text(model, tokenizer, given.text, targets=given.targets, progress=progress, **settings)
        else:
            if given.half or given.approximate is not None:
                raise ValueError("--half and --approximate are for models of one text")
            if given.targets is not None:
                raise ValueError("--targets is for models of one text; of an encoder-decoder all tokens are explained")
            found = explain_translation(model, tokenizer, given.text, target=given.target, progress=progress, **settings)
    show(found)
    write(found, html=given.html, data=given.json, title=f"{given.model} on {given.text[:60]!r}")


def show(found: SequenceExplanation) -> None:
    """Print one row per token."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("token", "needed", "p", "certificate", "because of, in order of addition")
    for each in found.rationales:
        certificate = "never said" if not each.reached_argmax else "yes" if each.certified else "no"
        because = " · ".join(found.tokens[place].strip() or "␣" for place in each.order)
        size = f"{len(each.order)} of {each.before}"
        # Text objects are not parsed: a text may have brackets.
        table.add_row(Text(found.tokens[each.before]), size, f"{each.probability[-1]:.3f}", certificate, Text(because))
    Console().print(table)


def write(found: SequenceExplanation, *, html: str | None, data: str | None, title: str) -> None:
    """Write the page and the file that were asked for."""
    from rationalizers.report.sequence import sequence_page
    from rationalizers.run import write_atomically

    if html is not None:
        write_atomically(Path(html), str(sequence_page(found.record(), title=title)))
    if data is not None:
        write_atomically(Path(data), json.dumps(found.record(), ensure_ascii=False, indent=1) + "\n")


def _places(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rationalize-sequence", description=__doc__)
    parser.add_argument("text", help="what the model reads")
    parser.add_argument(
        "--model", required=True, help="owner/name on the Hugging Face hub, a folder, or package://package/folder"
    )
    parser.add_argument("--generate", type=int, metavar="N", help="tokens that the model goes on to write (0; at most 64)")
    parser.add_argument("--target", metavar="TEXT", help="of an encoder-decoder: what it is to have written")
    parser.add_argument("--targets", type=_places, metavar="I,J", help="places of the tokens to explain, from 1; else all")
    parser.add_argument("--max-size", type=int, metavar="N", help="tokens of a rationale at most")
    parser.add_argument("--max-tokens", type=int, default=4096, metavar="N", help="tokens that are read in one pass")
    parser.add_argument("--half", action="store_true", help="judge candidates in half precision, and again where in doubt")
    parser.add_argument(
        "--approximate", type=int, metavar="N", help="faster, often longer: N candidates for each token, by gradient"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--html", metavar="FILE", help="write a page to open")
    parser.add_argument("--json", metavar="FILE", help="write everything as JSON")
    return parser


if __name__ == "__main__":
    main()
