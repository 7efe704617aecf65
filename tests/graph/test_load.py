"""Trained models of molecules as estimators: numbers, one question, several questions."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("rdkit")

from graph.data.featurize import SmilesFeaturizer
from rationalizers.base import Rationalizer
from rationalizers.build import build
from rationalizers.load import Trained
from tests.graph.contract import ENCODER

SMILES = ["CCO", "c1ccccc1O", "CC(=O)N", "C"]
TASKS = {
    "number": {"_target_": "rationalizers.task.Regression", "targets": ["o2"], "mean": [2.0], "std": [3.0]},
    "question": {"_target_": "rationalizers.task.BinaryTasks", "targets": ["toxic"]},
    "questions": {"_target_": "rationalizers.task.BinaryTasks", "targets": ["toxic", "soluble"]},
}


def trained(task):
    featurizer = SmilesFeaturizer()
    facts = {name: featurizer.facts()[name] for name in ("atoms", "bonds")}
    config = {
        "_target_": "graph.methods.igt.IGT",
        "task": TASKS[task],
        "encoder": {**ENCODER, **facts},
        "weights": {"task": 1.0, "swap": 1.0, "mixing": 1.0, "size": 0.0},
        "optimizer": {"lr": 0.01},
    }
    return Trained(build(config, Rationalizer), featurizer, {"name": "igt"})


def test_numbers_are_in_the_unit_of_the_data():
    model = trained("number")
    values = model.predict(SMILES, batch_size=3)
    assert values.shape == (4, 1)
    np.testing.assert_allclose(values[:, 0], [each.values["o2"] for each in model(SMILES)], rtol=1e-5)
    with pytest.raises(TypeError, match="predicts numbers, which have no classes or probabilities; ask 'predict'"):
        model.predict_proba(SMILES)
    assert list(model.frame(pd.DataFrame({"smiles": SMILES}), "smiles", progress=False)) == ["o2", "rationale", "selected"]


def test_one_question_is_answered_by_yes_or_no():
    model = trained("question")
    yes = model.predict_proba(SMILES)
    assert model.classes == ("toxic",)
    assert yes.shape == (4, 1)
    assert model.predict(SMILES).tolist() == (yes > 0.5).tolist()
    found = model.frame(pd.DataFrame({"smiles": SMILES}), "smiles", progress=False)
    assert found["prediction"].tolist() == ["toxic" if each > 0.5 else "not toxic" for each in yes[:, 0]]
    # ⌈n / 2⌉ of n atoms, one at least.
    assert [len(each) for each in found["rationale"]] == [2, 4, 2, 1]
    assert found["selected"].tolist() == pytest.approx([2 / 3, 4 / 7, 1 / 2, 1])


def test_several_questions_have_a_column_each():
    model = trained("questions")
    found = model.frame(pd.DataFrame({"smiles": SMILES}), "smiles", progress=False)
    assert list(found) == ["toxic", "soluble", "rationale", "selected"]
    np.testing.assert_allclose(found[["toxic", "soluble"]].to_numpy(), model.predict_proba(SMILES), rtol=1e-5)
