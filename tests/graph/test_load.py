"""Trained models of molecules as estimators: numbers, one question, several questions."""

import captum.attr
import numpy as np
import pandas as pd
import pytest
import torch

pytest.importorskip("rdkit")

from graph.data.featurize import SmilesFeaturizer
from rationalizers.attribution import IntegratedGradients
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
    assert model.predict([]).shape == (0, 1)
    with pytest.raises(TypeError, match="predicts numbers, which have no classes or probabilities; ask 'predict'"):
        model.predict_proba(SMILES)
    assert list(model.frame(pd.DataFrame({"smiles": SMILES}), "smiles", progress=False)) == ["o2", "rationale", "selected"]


@pytest.mark.parametrize("task", TASKS)
def test_of_no_molecules_there_is_a_frame_without_rows(task):
    model = trained(task)
    found = model.frame(pd.DataFrame({"smiles": []}), "smiles", progress=False)
    assert list(found) == list(model.frame(pd.DataFrame({"smiles": SMILES}), "smiles", progress=False))
    assert len(found) == 0
    assert model([]) == []


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("held", [np.array(SMILES), pd.Series(SMILES, index=[3, 2, 1, 0])], ids=["array", "series"])
def test_it_does_not_matter_what_holds_the_molecules_or_how_many_are_read_at_once(task, held):
    model = trained(task)
    expected = model.predict(SMILES)
    for size in (1, 3, 99):
        values = model.predict(held, batch_size=size)
        assert values.dtype == expected.dtype
        np.testing.assert_allclose(values, expected, rtol=1e-5)
        assert [found.mask for found in model(held, batch_size=size)] == [found.mask for found in model(SMILES)]


@pytest.mark.parametrize("ask", ["predict", "explain", "stream"])
def test_one_molecule_is_not_a_sequence_of_its_letters(ask):
    with pytest.raises(TypeError, match="got the string 'CCO'; give a list of one"):
        list(getattr(trained("number"), ask)("CCO"))


@pytest.mark.parametrize("task", TASKS)
def test_captum_gets_what_we_attribute_ourselves(task):
    # The predictor of this method reads states of a mixture, so that its whole input is what is explained.
    model = trained(task)
    f = model.captum(SMILES)
    found = captum.attr.IntegratedGradients(f).attribute(f.embeddings, baselines=f.baselines, target=0, n_steps=32)
    ours = IntegratedGradients(share=0.5, steps=32)(model.model, model.featurizer.batch(SMILES)).scores
    torch.testing.assert_close(found.sum(-1)[f.here], ours, atol=1e-5, rtol=0, check_dtype=False)
    assert f.here.sum(1).tolist() == [3, 7, 4, 1]
    assert captum.attr.Saliency(f).attribute(f.embeddings, target=0)[~f.here].abs().sum() == 0


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
