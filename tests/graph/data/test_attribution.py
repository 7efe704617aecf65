"""Benzene: attributions as evidence, against substructure search, and on files made by hand."""

import gzip
import json

import pytest
import torch
from rdkit import Chem

from graph.data.attribution import Benzene

BIPHENYL = "c1ccccc1-c1ccccc1"
RINGS = [[1] * 6 + [0] * 6, [0] * 6 + [1] * 6, [1] * 12]


def row(i=0, smiles="CC", label=0, split="train", marks=None):
    atoms = Chem.MolFromSmiles(smiles).GetNumAtoms() if Chem.MolFromSmiles(smiles) else 0
    return {"id": f"m{i}", "smiles": smiles, "label": label, "split": split, "atom_attributions": marks or [[0] * atoms]}


def store(root, rows, **changes):
    path = root / "mol_attribution" / "benzene.jsonl.gz"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress("".join(json.dumps(each) + "\n" for each in rows).encode()))
    return Benzene(root=str(root), **changes)


def some(**last):
    benzene = row(0, "Cc1ccccc1", 1, marks=[[0] + [1] * 6])
    return [benzene, row(1, BIPHENYL, 1, marks=RINGS), *(row(i) for i in range(2, 10)), {**row(10, split="test"), **last}]


def test_alternatives_are_kept_padded_and_united(tmp_path):
    corpus = store(tmp_path, some(), val=0.2).load()
    assert [len(corpus.splits[split]) for split in ("train", "val", "test")] == [8, 2, 1]
    graphs = {graph.id: graph for graphs in corpus.splits.values() for graph in graphs}
    one, two, none = graphs["m0"], graphs["m1"], graphs["m10"]
    assert two.field_alternatives.T.long().tolist() == RINGS
    assert two.field_evidence.all()
    assert one.field_alternatives.T.long().tolist() == [[0] + [1] * 6] * 3
    assert one.field_evidence.long().tolist() == [0] + [1] * 6
    assert not none.field_evidence.any()
    assert not none.field_alternatives.any()
    assert [bool(graph.annotated) for graph in (one, two, none)] == [True, True, False]
    assert [graph.y.tolist() for graph in (one, none)] == [[[1.0]], [[0.0]]]
    assert (two.source, corpus.report["alternatives"]) == (BIPHENYL, 3)
    assert corpus.task == {"_target_": "rationalizers.task.BinaryTasks", "targets": ["benzene"]}


def test_validation_is_a_seeded_part_of_training(tmp_path):
    def names(split, **changes):
        return [graph.id for graph in store(tmp_path, some(), val=0.3, **changes).load().splits[split]]

    assert names("val") == names("val", seed=0)
    assert len({tuple(names("val", seed=seed)) for seed in range(5)}) > 1
    assert sorted([*names("train"), *names("val")]) == sorted(f"m{i}" for i in range(10))
    assert names("test") == ["m10"]


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ({"smiles": "C1C"}, "benzene.jsonl.gz:11: 'smiles': 'C1C' is not a molecule"),
        ({"split": "val"}, "benzene.jsonl.gz:11: 'split' should be train or test, got 'val'"),
        ({"label": 1}, "benzene.jsonl.gz:11: 'label' is 1, but atoms are marked exactly where it is 1"),
        ({"label": None}, "benzene.jsonl.gz:11: 'label' should be int"),
        ({"atom_attributions": [[0]]}, "a 0 or 1 for each of the 2 atoms, at least one list"),
        ({"atom_attributions": [[0, 2]]}, "a 0 or 1 for each of the 2 atoms, at least one list"),
        ({"atom_attributions": []}, "a 0 or 1 for each of the 2 atoms, at least one list"),
    ],
)
def test_lines_that_do_not_fit_are_named(tmp_path, last, message):
    with pytest.raises(ValueError, match=message):
        store(tmp_path, some(**last)).load()


def test_bad_arguments_and_absent_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'val' must be a share of the training split in \(0, 1\), got 1"):
        Benzene(val=1)
    with pytest.raises(FileNotFoundError, match=r"benzene.jsonl.gz is not there; get it from https://github.com/google-research"):
        Benzene(root=str(tmp_path)).load()


@pytest.mark.slow
def test_published_attributions_are_the_benzene_rings(data_root):
    corpus = Benzene(root=str(data_root)).load()
    assert [len(corpus.splits[split]) for split in ("train", "val", "test")] == [9000, 1000, 2000]
    positives = [corpus.report[f"{split}/positive"] for split in ("train", "val", "test")]
    assert (positives[0] + positives[1], positives[2]) == (5002, 999)
    ring = Chem.MolFromSmarts("c1ccccc1")
    for graph in corpus.splits["test"][:500]:
        expected = torch.zeros(graph.x.shape[0], dtype=torch.bool)
        for atoms in Chem.MolFromSmiles(graph.source).GetSubstructMatches(ring):
            expected[list(atoms)] = True
        assert torch.equal(graph.field_evidence, expected), graph.source
        assert torch.equal(graph.field_alternatives.any(1), graph.field_evidence)
