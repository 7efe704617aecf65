"""A corpus of sixty short documents, and configurations of runs on it that take about a second."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rationalizers.data.document import Corpus, Document, Source

ROOT = Path(__file__).resolve().parent.parent
# Started as a script, pytest puts the repository first on the path, where `build` expects the working directory.
if str(ROOT) not in sys.path[1:]:
    sys.path.append(str(ROOT))


def fresh_process(
    arguments: list[str], *, cwd: Path, stdin: str | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """What a new Python says with the repository on its path and one thread; its exit status is the caller's to judge."""
    return subprocess.run(
        [sys.executable, *arguments],
        input=stdin,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


CUES = {"bad": ("dull", "awful", "bleak"), "good": ("fine", "superb", "bright")}
FILLER = ("the", "film", "a", "story", "of", "people", "Who", "walk", "home", ",", "and", "then", "talk", ".")
SIZES = {"train": 36, "val": 12, "test": 12}


class TinyCorpus(Source):
    """Filler with one or two cue words that give the label away and are the evidence; every seventh is not annotated.

    Args:
        query: whether each document comes with a question.
        discovered: whether training documents come with their shortcuts, the word "Who"; two in three have none.
    """

    def __init__(self, *, query: bool = False, discovered: bool = False) -> None:
        self.query = ("was", "it", "good", "?") if query else ()
        self.discovered = discovered

    def load(self) -> Corpus:
        """Generate it, the same every time."""
        draw = random.Random(7)
        splits = {split: [self._document(f"{split}-{i}", i, draw) for i in range(size)] for split, size in SIZES.items()}
        return Corpus(tuple(CUES), splits, {"train/generated": SIZES["train"]})

    def _document(self, name: str, row: int, draw: random.Random) -> Document:
        label = draw.choice(list(CUES))
        words = draw.choices(FILLER, k=draw.randint(3, 12))
        places = sorted(draw.sample(range(len(words)), k=draw.randint(1, 2)))
        for place in places:
            words[place] = draw.choice(CUES[label])
        annotated = row % 7 != 6
        shortcut = [int(word == "Who") for word in words]
        known = {"discovered": shortcut} if self.discovered and name.startswith("train") else {}
        return Document(
            id=name,
            words=tuple(words),
            label=label,
            spans=tuple((place, place + 1, group) for group, place in enumerate(places)) if annotated else (),
            query=self.query,
            fields={"shortcut": shortcut, **known},
            annotated=annotated,
        )


ENCODER = {
    "_target_": "rationalizers.encoders.GRUEncoder",
    "vocabulary": "???",
    "mask_id": "???",
    "embedding": 16,
    "hidden": 16,
    "dropout": 0.1,
}
_PARENT = {"task": 1.0, "sparsity": 0.1, "continuity": 0.01, "evidence": 2.0}
_SSR = {
    "task": "???",
    "encoder": ENCODER,
    "selector": {"_target_": "rationalizers.selectors.StraightThroughGumbel"},
    "optimizer": {"lr": 0.05, "schedule": "linear"},
    "share": 0.2,
    "dropout": 0.0,
    "absence": "mask_token",
}
MODELS: dict[str, dict[str, Any]] = {
    "full": {
        "_target_": "rationalizers.methods.full.Full",
        "task": "???",
        "encoder": ENCODER,
        "weights": {"task": 1.0},
        "optimizer": {"lr": 0.05},
    },
    "rnp": {
        "_target_": "rationalizers.methods.rnp.RNP",
        "task": "???",
        "encoder": ENCODER,
        "selector": {"_target_": "rationalizers.selectors.StraightThroughGumbel"},
        "weights": {"task": 1.0, "sparsity": 0.1, "continuity": 0.01, "evidence": 2.0},
        "optimizer": {"lr": 0.05, "schedule": "linear"},
        "share": 0.2,
    },
    "fr": {
        **_SSR,
        "_target_": "rationalizers.methods.fr.FR",
        "weights": _PARENT,
        "labelled_reads": "text",
    },
    "ssr_unif": {
        **_SSR,
        "_target_": "rationalizers.methods.ssr.SSRUnif",
        "weights": {**_PARENT, "shortcut": 0.5},
    },
    "ssr_virt": {
        **_SSR,
        "_target_": "rationalizers.methods.ssr.SSRVirt",
        "weights": {**_PARENT, "imitation": 0.5, "shortcut_task": 0.5, "virtual": 0.5},
    },
    "noise": {
        "_target_": "rationalizers.methods.noise.Noise",
        "task": "???",
        "generator": ENCODER,
        "predictor": ENCODER,
        "weights": {"task": 1.0, "attention": 1.0, "agreement": 0.1, "replaced": 0.0},
        "optimizer": {"lr": {"generator": 0.02, "predictor": 0.05}, "schedule": "linear"},
        "noise": 0.5,
        "share": 0.2,
    },
}


def data_config(**changes: Any) -> dict[str, Any]:
    """Description of the data module."""
    return {
        "_target_": "rationalizers.data.module.TextData",
        "corpus": {"_target_": "tests.tiny.TinyCorpus"},
        "featurizer": {"_target_": "rationalizers.data.words.WordFeaturizer", "min_count": 2},
        "batch_size": 6,
        "labelled_share": 0.8,
        "seed": 0,
        **changes,
    }


TRAINER = {
    "max_epochs": 3,
    "patience": 9,
    "monitor": "val/loss",
    "mode": "min",
    "accelerator": "cpu",
    "devices": 1,
    "gradient_clip_val": 1.0,
    "enable_progress_bar": False,
}


def run_config(
    folder: Path,
    *,
    method: str = "rnp",
    model: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    seed: int = 0,
    **trainer: Any,
) -> dict[str, Any]:
    """What `rationalizers.training.train` takes: three epochs of six batches, unless changed."""
    return plain(
        {
            "name": f"{method}-tiny",
            "folder": str(folder),
            "seed": seed,
            "trust": ["tests"],
            "method": {"name": method, "model": {**MODELS[method], **(model or {})}},
            "data": {"name": "tiny", "module": data_config(seed=seed, **(data or {}))},
            "trainer": {**TRAINER, **trainer},
        }
    )


def plain(value: Any) -> Any:
    """A deep copy that proves to be JSON."""
    return json.loads(json.dumps(value))


def finished_run(folder: Path, **changes: Any) -> Path:
    """A finished run without its page, for a fixture that lives longer than a test; ``changes`` are those of `run_config`."""
    import pytest
    import torch

    from rationalizers import training

    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "write_report", lambda _: None)
        found = training.train(run_config(folder, **changes))
    torch.use_deterministic_algorithms(False)
    return found


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit status, what was said and what was logged."""
    said, logged = process.communicate()
    return process.returncode, said, logged
