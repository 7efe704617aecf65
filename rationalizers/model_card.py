"""A model card: what the page of a published rationalizer says of it, from its run alone.

Its head is the metadata of the Hugging Face Hub (https://huggingface.co/docs/hub/model-cards).
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

import yaml

from rationalizers.base import Rationalizer
from rationalizers.task import Regression

FLOOR = "floor/"


def model_card(model: Rationalizer, config: Mapping[str, Any], *, metrics: Mapping[str, Any] | None, source: str) -> str:
    """The card in Markdown.

    Args:
        model: what is published.
        config: of its run.
        metrics: of its run, where they are known.
        source: what `rationalizers.load.load_rationalizer` is to be given.
    """
    task, trust = model.task, trusted(config)
    head = yaml.safe_dump(
        {"library_name": "rationalizers", "tags": ["rationalizers", "rationalization", "explainability", str(config["method"])]},
        sort_keys=False,
    )
    facts = {
        "method": f"`{config['method']}`: {_first_line(inspect.getmodule(type(model)))} {_first_line(type(model))}",
        "predicts": ", ".join(task.names) + (f" in {task.unit}" if isinstance(task, Regression) and task.unit else ""),
        "data": f"`{config['dataset']}`, seed {config['seed']}",
        "versions": ", ".join(f"{name} {version}" for name, version in config.get("versions", {}).items()),
    }
    asked = json.dumps(source) + (f", trust={json.dumps(trust)}" if trust else "")
    return f"""---
{head}---

# {_cell(config["name"])}

A rationalizer: it predicts, and points at the part of the input that it predicted from.

{_table(("", ""), [(name, said) for name, said in facts.items() if said])}

## Use

```python
from rationalizers import load_rationalizer  # pip install rationalizers

model = load_rationalizer({asked})
found = model(example)  # one raw input of the kind that it was trained on, as a text or a SMILES string
found.prediction, found.rationale
```

Opening it executes nothing that it brings along: weights are safetensors, and classes come from installed packages alone.

## Numbers

{_numbers(config, metrics)}

## Licence

None is stated. Whoever publishes this model decides, and adds `license:` to the head of this file.
"""


def trusted(config: Mapping[str, Any]) -> list[str]:
    """The packages that opening a run needs beyond this project's own: of those that training trusted, some only held data."""
    found: set[str] = set()
    below: list[Any] = [config["model"], config["featurizer"]]
    while below:
        value = below.pop()
        if isinstance(value, Mapping):
            found.add(str(value.get("_target_", "")).partition(".")[0])
            below += value.values()
        elif isinstance(value, list):
            below += value
    return [package for package in config.get("trust", []) if package in found]


def _first_line(documented: Any) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0]


def _numbers(config: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> str:
    if metrics is None:
        return "They are not kept with this model."
    test: Mapping[str, float] = metrics["test"]
    split = {name: name.removeprefix(FLOOR).partition("/") for name in test if name.startswith(FLOOR)}
    floors = list(dict.fromkeys(which for which, _, _ in split.values()))
    rows = [
        (name, _number(test.get(name)), *(_number(test.get(f"{FLOOR}{which}/{name}")) for which in floors))
        for name in test
        if name not in split
    ]
    told = (
        " Each floor is what a selection that knows nothing of the model reaches; `oracle` knows the evidence of people. "
        "A number that does not beat the others shows no agreement, whatever its value."
        if floors
        else ""
    )
    chosen = config.get("trainer", {}).get("monitor")
    by = f"; the epoch was chosen by `{chosen}`" if chosen else ""
    return f"Of the test split{by}.{told}\n\n{_table(('number', 'model', *(f'floor: {which}' for which in floors)), rows)}"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: Any) -> str:
    """One line of a table; a bar would begin the next cell."""
    return " ".join(str(text).split()).replace("|", "\\|")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
