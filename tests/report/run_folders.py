"""Run folders small enough to know every number of, as a finished training leaves them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from rationalizers.run import FORMAT

TEST = {
    "loss": 0.4,
    "accuracy": 0.8,
    "macro_f1": 0.79,
    "token_precision": 0.6,
    "token_recall": 0.5,
    "token_f1": 0.5454,
    "iou_f1@0.5": 0.3,
    "selected_share": 0.15,
    "examples_without_evidence": 1.0,
    "floor/random/token_f1": 0.12,
    "floor/random/token_recall": 0.15,
    "floor/all/token_f1": 0.2,
    "floor/all/token_recall": 1.0,
    "floor/oracle/token_f1": 0.9,
    "floor/oracle/token_recall": 0.95,
}
PREDICTION = {name: TEST[name] for name in ("loss", "accuracy", "macro_f1", "selected_share")}
# Numbers that the evaluations of `write_many` know example by example.
MANY = (
    "accuracy",
    "token_f1",
    "token_precision",
    "token_recall",
    "selected_share",
    "comprehensiveness",
    "sufficiency",
    "comprehensiveness_aopc",
    "sufficiency_aopc",
    "leakage",
    "floor/random/token_f1",
    "floor/random/comprehensiveness",
    "floor/random/sufficiency",
)
EPOCHS = [
    {"epoch": epoch, "train/loss": 1 / (epoch + 1), "train/task": 0.5, "val/loss": 0.9 - epoch / 10, "val/accuracy": 0.6}
    for epoch in range(3)
]


def record(**changes: Any) -> dict[str, Any]:
    """One line of rationales.jsonl: five words, the second and third selected, the third and fourth evidence."""
    facts = {
        "id": "t/0",
        "words": ["a", "truly", "awful", "film", "."],
        "query": [],
        "selected": [[1, 3]],
        "scores": [-2.0, 1.0, 2.0, -1.0, -3.0],
        "evidence": [[2, 4, 0]],
        "label": "bad",
        "prediction": "bad",
        "probabilities": {"bad": 0.9, "good": 0.1},
        "fields": {"shortcut": [[0, 1]]},
    }
    return {**facts, **changes}


def records() -> list[dict[str, Any]]:
    """Eight texts, of which the second and the sixth are predicted wrongly."""
    wrong = {"prediction": "good", "probabilities": {"bad": 0.2, "good": 0.8}}
    return [record(id=f"t/{place}", **(wrong if place in (1, 5) else {})) for place in range(8)]


def write_run(
    root: Path,
    *,
    method: str = "rnp",
    dataset: str = "toy",
    seed: int = 0,
    test: Mapping[str, Any] | None = None,
    examples: Sequence[Mapping[str, Any]] | None = None,
    data: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
    **config: Any,
) -> Path:
    """Write a finished run and return its folder; ``test`` and ``examples`` replace, the others add to what is there."""
    name = f"{method}-{dataset}-s{seed}"
    folder = root / str(config.pop("folder", name.replace("/", "_")))
    folder.mkdir(parents=True)
    featurizer = {"_target_": "rationalizers.data.words.WordFeaturizer", "length": 128}
    described = {
        "format": FORMAT,
        "name": name,
        "method": method,
        "dataset": dataset,
        "seed": seed,
        "model": {"_target_": "rationalizers.methods.rnp.RNP", "share": 0.15, **(model or {})},
        "featurizer": featurizer,
        "data": {"corpus": {"shortcut": 0.8}, "batch_size": 32, "seed": seed, "featurizer": featurizer, **(data or {})},
        "trainer": {"max_epochs": 30, "monitor": "val/loss", "mode": "min"},
        **config,
    }
    numbers = dict(TEST if test is None else test)
    val = {key: value for key, value in numbers.items() if not key.startswith(("floor/", "whole_input/"))}
    (folder / "config.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in EPOCHS))
    (folder / "metrics.json").write_text(json.dumps({"best_epoch": 1, "epochs": 3, "val": val, "test": numbers}))
    (folder / "timing.json").write_text(json.dumps({"fit_seconds": 83.0, "seconds_per_epoch": 27.7}))
    lines = records() if examples is None else examples
    (folder / "rationales.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def mean_of(values: Sequence[float | None]) -> list[tuple[float, float]]:
    """The column of a mean over `records`: numerators and denominators; what is ``None`` does not count."""
    return [(0.0, 0.0) if value is None else (value, 1.0) for value in values]


def write_evaluation(
    folder: Path,
    columns: Mapping[str, Sequence[tuple[float, float]]],
    *,
    explained_by: str = "own",
    absence: str = "compact",
    split: str = "test",
    name: str | None = None,
    numbers: Mapping[str, float | None] | None = None,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    curve: Mapping[str, Sequence[float]] | None = None,
    notes: Sequence[str] = (),
    examples: Sequence[Mapping[str, Any]] | None = None,
    **settings: Any,
) -> str:
    """Write an evaluation of a run as it is left behind, and return its name; ``columns`` are over the examples in their order.

    Numbers are Σ a / Σ b of the columns, null where that is nothing; ``numbers`` are more of them.
    """
    name = name or f"{split}-{explained_by}-{absence}"
    lines = records() if examples is None else examples
    place = folder / "evaluation"
    place.mkdir(exist_ok=True)
    sums = {key: [sum(each) for each in zip(*pairs, strict=True)] for key, pairs in columns.items()}
    told = {
        "format": 1,
        "name": name,
        "settings": {
            "split": split,
            "explained_by": explained_by,
            "attribution": None if explained_by == "own" else {"_target_": explained_by},
            "absence": absence,
            "fractions": [0.1, 0.5],
            **settings,
        },
        "numbers": {**{key: a / b if b else None for key, (a, b) in sums.items()}, **(numbers or {})},
        "intervals": dict(intervals or {}),
        "curve": {"fractions": []} if curve is None else dict(curve),
        "notes": list(notes),
    }
    rows = [
        {"id": line["id"], "columns": {key: list(pairs[row]) for key, pairs in columns.items()}} for row, line in enumerate(lines)
    ]
    (place / f"{name}.json").write_text(json.dumps(told))
    (place / f"{name}.examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (place / f"{name}.rationales.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return name


def write_many(root: Path, *, methods: int, seeds: int, examples: int, words: int = 40, evaluated: bool = True) -> list[Path]:
    """Many runs with their evaluations, numbers and texts all different: ``methods`` × ``seeds`` folders."""
    folders = []
    for method, seed in product(range(methods), range(seeds)):
        generator = np.random.default_rng([method, seed])
        noise = dict(zip(TEST, generator.normal(0, 0.02, len(TEST)).tolist(), strict=True))
        test = {name: float(np.clip(value + noise[name] + 0.01 * method, 0, 1)) for name, value in TEST.items()}
        lines = [
            record(
                id=f"t/{place}",
                words=[f"word{(7 * place + word) % 997}" for word in range(words)],
                selected=[[start, start + 4] for start in sorted({int(generator.integers(0, words // 8)) * 8})],
                scores=generator.normal(size=words).round(3).tolist(),
                evidence=[[place % (words - 4), place % (words - 4) + 3, 0]],
                prediction="bad" if generator.random() < 0.7 else "good",
                fields={},
            )
            for place in range(examples)
        ]
        settings = {"share": 0.1, "weight": method}
        folders.append(
            write_run(
                root, method=f"method{method:02d}", seed=seed, test=test, examples=lines, model=settings, data={"seed": seed}
            )
        )
        if evaluated:
            values = generator.random((len(MANY), examples)).round(4)
            columns = {name: mean_of(each) for name, each in zip(MANY, values.tolist(), strict=True)}
            sizes = {"fractions": [0.05, 0.1, 0.2, 0.5]}
            for name, high in (("comprehensiveness", 0.5), ("sufficiency", -0.4)):
                sizes[name] = [0.4 + high * share + 0.01 * method for share in sizes["fractions"]]
                sizes[f"floor/random/{name}"] = [0.3 + high * share for share in sizes["fractions"]]
            write_evaluation(folders[-1], columns, curve=sizes, examples=lines)
    return folders
