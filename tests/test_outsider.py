"""Someone else's method: one file and one YAML in their own package, trained and loaded without touching this project."""

import json
import os
import subprocess
import sys

import pytest

from rationalizers.load import load_rationalizer

METHOD = '''
"""Top words: a fixed share of the words, those with the best scores; trained straight through."""

from rationalizers import Output, Rationale, Rationalizer
from rationalizers.build import build
from rationalizers.encoders import Encoder
from rationalizers.predictors import Predictor
from torch import nn


class TopWords(Rationalizer):
    def __init__(self, *, task, encoder, weights, optimizer, share):
        super().__init__(task=task, weights=weights, optimizer=optimizer, absence="zero")
        self.reader, self.share = build(encoder, Encoder), share
        self.score = nn.Linear(self.reader.width, 1)
        self.predictor = Predictor(build(encoder, Encoder), outputs=self.task.outputs, dropout=0.0)

    def forward(self, batch):
        scores = self.score(self.reader.encode(self.reader.embed(batch), batch)).squeeze(-1)
        scores = scores.masked_fill(batch.fixed, float("-inf"))
        rationale = Rationale(scores, scores.sigmoid(), batch.ptr)
        hard = rationale.topk((self.share * rationale.selectable_size()).round().clamp(min=1).long())
        mask = (hard.mask - rationale.mask).detach() + rationale.mask if self.training else hard.mask
        logits = self.logits(batch, mask)
        terms = {"task": self.task.loss(logits, batch.y)} if batch.y is not None else {}
        return Output(logits, Rationale(scores, mask, batch.ptr), terms)

    def logits(self, batch, mask, *, absence=None):
        return self.predictor(batch, mask, absence=absence or self.absence)
'''
YAML = """
name: top_words
model:
  _target_: outsider.top_words.TopWords
  task: ???
  encoder: ${encoder.model}
  weights: {task: 1.0}
  optimizer: {lr: 3.0e-3}
  share: 0.1
"""


@pytest.fixture
def package(tmp_path):
    """The two files."""
    (tmp_path / "outsider").mkdir()
    (tmp_path / "outsider" / "__init__.py").touch()
    (tmp_path / "outsider" / "top_words.py").write_text(METHOD)
    (tmp_path / "outsider" / "conf" / "method").mkdir(parents=True)
    (tmp_path / "outsider" / "conf" / "method" / "top_words.yaml").write_text(YAML)
    return tmp_path


def command(package, *overrides):
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    path = os.pathsep.join([root, str(package)])
    small = [f"data.module.corpus.{split}=32" for split in ("train", "val", "test")]
    return subprocess.run(
        [sys.executable, "-m", "experiments.train", "--config-dir", str(package / "outsider" / "conf"), "method=top_words",
         "trainer=smoke", f"runs={package / 'runs'}", *small, *overrides],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, cwd=package, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_an_outside_method_trains_and_loads(package, monkeypatch):
    done = command(package, "trust=[outsider]")
    assert done.returncode == 0, done.stderr
    run = package / "runs" / "top_words-toy_text-s0"
    assert json.loads((run / "metrics.json").read_text())["test"]["selected_share"] == pytest.approx(0.1, abs=0.02)
    monkeypatch.syspath_prepend(str(package))
    # As a test's own entry it stands where the working directory would; a later entry is an installed one.
    sys.path.append(str(package))
    with pytest.raises(ValueError, match=r"trust=\[outsider\]"):
        load_rationalizer(run)
    found = load_rationalizer(run, trust=["outsider"])("the waiter was rude and the soup was delicious")
    assert sum(found.mask) == 1


@pytest.mark.slow
def test_an_outside_method_needs_trust(package):
    done = command(package)
    assert done.returncode != 0
    assert "trust=[outsider]" in done.stderr
