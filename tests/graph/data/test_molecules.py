"""Tables of molecules: what is read, what is counted, and what is refused with its place."""

import gzip
import math

import pytest
import torch

from graph.data.featurize import molecule_graph
from graph.data.molecules import Molecules, O2Perm
from rationalizers.build import build
from rationalizers.task import Regression, Task

ROWS = ["CCO", "OCC", "c1ccccc1", "Cc1ccccc1", "CCCC", "C1CCCCC1", "CCN", "CO", "O", "CC(=O)O"]


def table(root, lines, *, header="smiles,active,toxic", zipped=False):
    text = "\n".join([header, *lines]) + "\n"
    path = root / ("set.csv.gz" if zipped else "set.csv")
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    return path


def source(root, **changes):
    return Molecules(**{"path": "set.csv", "smiles": "smiles", "targets": None, "kind": "binary", "root": str(root), **changes})


def numbered(root, values, **changes):
    table(root, [f"{smiles},{value}" for smiles, value in zip(ROWS, values, strict=True)], header="smiles,p")
    return source(root, targets=["p"], kind="regression", split="size", **changes)


def everything(corpus):
    return sorted((graph for graphs in corpus.splits.values() for graph in graphs), key=lambda graph: int(graph.id))


@pytest.mark.parametrize("zipped", [False, True])
def test_several_questions_with_gaps(tmp_path, zipped):
    table(tmp_path, [f"{smiles},{i % 2},{'' if i < 4 else 1}" for i, smiles in enumerate(ROWS)], zipped=zipped)
    corpus = source(tmp_path, path="set.csv.gz" if zipped else "set.csv", split="random", val=0.2, test=0.2).load()
    graphs = everything(corpus)
    assert corpus.task == {"_target_": "rationalizers.task.BinaryTasks", "targets": ["active", "toxic"]}
    assert [graph.source for graph in graphs] == ROWS
    y = torch.cat([graph.y for graph in graphs])
    assert y.dtype == torch.float32
    assert y[:, 0].tolist() == [0, 1] * 5
    assert y[:, 1].isnan().tolist() == [True] * 4 + [False] * 6
    assert torch.equal(graphs[2].x, molecule_graph("c1ccccc1").x)
    report = corpus.report
    assert [report[f"{split}/graphs"] for split in ("train", "val", "test")] == [6, 2, 2]
    assert sum(report[f"{split}/unknown"] for split in corpus.splits) == 4
    assert sum(report[f"{split}/positive"] for split in corpus.splits) == 11
    assert (report["duplicates"], report["skipped"]) == (1, 0)  # CCO and OCC


def test_only_the_named_targets_are_read(tmp_path):
    table(tmp_path, [f"{smiles},1,what" for smiles in ROWS])
    assert source(tmp_path, targets=["active"], split="size").load().task["targets"] == ["active"]


@pytest.mark.parametrize(("split", "crossed"), [("random", 1), ("canonical", 0)])
def test_duplicates_stay_together_where_asked(tmp_path, split, crossed):
    pairs = ["CCO", "OCC", "CCN", "NCC", "CCS", "SCC", "CCCl", "ClCC", "CCBr", "BrCC", "CCF", "FCC"]
    table(tmp_path, [f"{smiles},1" for smiles in pairs], header="smiles,p")
    report = source(tmp_path, split=split, val=0.2, test=0.2).load().report
    assert report["duplicates"] == 6
    assert (report["duplicates_across_splits"] > 0) == crossed


def test_scaffold_split_reads_the_scaffold_of_each_row(tmp_path):
    table(tmp_path, [f"{smiles},1,1" for smiles in ROWS])
    splits = source(tmp_path, split="scaffold", val=0.2, test=0.1).load().splits
    # Seven chains, two benzenes, one cyclohexane.
    assert {graph.source for graph in splits["val"]} == {"c1ccccc1", "Cc1ccccc1"}
    assert [graph.source for graph in splits["test"]] == ["C1CCCCC1"]


def test_numbers_are_scaled_by_the_training_split(tmp_path):
    values = [10.0 ** (i % 3) for i in range(len(ROWS))]
    corpus = numbered(tmp_path, values, transform="log10", standardize=True, unit="Barrer").load()
    task = build(corpus.task, Task)
    assert isinstance(task, Regression)
    y = torch.cat([graph.y for graph in corpus.splits["train"]])
    assert sorted(y.flatten().tolist()) != sorted(torch.tensor(values).tolist())
    z = task.targets(y)
    assert z.mean().item() == pytest.approx(0, abs=1e-6)
    assert z.std(correction=0).item() == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(task.predict(z), y)
    assert corpus.task["unit"] == "Barrer"
    assert all(isinstance(value, float) for value in (*corpus.task["mean"], *corpus.task["std"]))


def test_unknown_numbers_do_not_count_in_the_scale(tmp_path):
    table(tmp_path, ["C,1", "CC,", "CCC,3", "CCCC,7", "CCCCC,9"], header="smiles,p")
    chosen = {"split": "size", "val": 0.2, "test": 0.2, "kind": "regression", "standardize": True}
    task = source(tmp_path, **chosen).load().task
    assert (task["mean"], task["std"]) == ([2.0], [1.0])


def test_numbers_as_they_are_have_no_scale(tmp_path):
    assert numbered(tmp_path, range(10)).load().task == {
        "_target_": "rationalizers.task.Regression",
        "targets": ["p"],
        "unit": "",
        "transform": "none",
    }


# What is refused ------------------------------------------------------------------------------------------------------


def test_a_bad_molecule_is_named_or_skipped_and_counted(tmp_path):
    path = table(tmp_path, [*(f"{smiles},1,1" for smiles in ROWS), "C1CC,0,0", ",0,0"])
    with pytest.raises(ValueError, match=rf"^{path}:12: column 'smiles': 'C1CC' is not a molecule .* give invalid=skip"):
        source(tmp_path).load()
    corpus = source(tmp_path, invalid="skip", split="size").load()
    assert corpus.report["skipped"] == 2
    assert [graph.source for graph in everything(corpus)] == ROWS


@pytest.mark.parametrize(
    ("lines", "changes", "message"),
    [
        (["C,2,0"], {}, "set.csv:2: 'active' should be 0 or 1 or empty, got 2"),
        (["C,0,1", "C,0,x"], {}, "set.csv:3: 'toxic' should be a number, got 'x'"),
        (["C,0,NA"], {}, "set.csv:2: 'toxic' should be a number, got 'NA'"),
        (["C,1,inf"], {"kind": "regression"}, "set.csv:2: 'toxic' should be a finite number or empty, got inf"),
        (["C,1,0"], {"kind": "regression", "transform": "log10"}, "set.csv:2: 'toxic' should be a positive number"),
        (["C,1,0"], {"smiles": "mol"}, "has no column 'mol' of SMILES strings; it has smiles, active, toxic"),
        (["C,1,0"], {"targets": ["p", "active"]}, "has no column 'p'; it has smiles, active, toxic"),
        (["C,1,0", "C,1,0,0"], {}, "is not a table of comma-separated values"),
    ],
)
def test_bad_cells_and_columns_are_named(tmp_path, lines, changes, message):
    table(tmp_path, lines)
    with pytest.raises(ValueError, match=message):
        source(tmp_path, **changes).load()


def test_a_target_that_does_not_vary_cannot_be_standardized(tmp_path):
    with pytest.raises(ValueError, match="target 'p' does not vary in the training split"):
        numbered(tmp_path, [1] * 10, standardize=True).load()


def test_an_unknown_transform_lists_the_known(tmp_path):
    with pytest.raises(ValueError, match="'transform' must be one of none, log10; got 'sqrt'"):
        numbered(tmp_path, range(10), transform="sqrt").load()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "classes"}, "'kind' must be one of binary, regression; got 'classes'"),
        ({"split": "time"}, "'split' must be one of scaffold, random, canonical, size; got 'time'"),
        ({"invalid": "ignore"}, "'invalid' must be one of error, skip; got 'ignore'"),
        ({"standardize": True}, "'transform', 'standardize' and 'unit' are for numbers"),
        ({"val": 0.0}, "'val' and 'test' must be"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        source(tmp_path, **changes)


def test_an_absent_table_says_where_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"set.csv is not there; get it from the moon, or give the folder of all data"):
        source(tmp_path, origin="the moon").load()


def test_truncated_gzip_is_named(tmp_path):
    path = table(tmp_path, [f"{smiles},1,1" for smiles in ROWS], zipped=True)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(ValueError, match="is not a table of comma-separated values"):
        source(tmp_path, path="set.csv.gz").load()


# Published data -------------------------------------------------------------------------------------------------------


def test_oxygen_permeability_as_published(data_root):
    corpus = O2Perm(root=str(data_root), split="published").load()
    assert [len(corpus.splits[split]) for split in ("train", "val", "test")] == [356, 60, 179]
    assert corpus.report["duplicates"] == 17
    assert corpus.report["duplicates_across_splits"] == 8
    y = torch.cat([graph.y for graphs in corpus.splits.values() for graph in graphs])
    assert (y.min().item(), y.max().item()) == (pytest.approx(0.00028), 18700)
    assert max(int((graph.x[:, 0] == 118).sum()) for graph in corpus.splits["train"]) >= 2  # attachment points
    task = build(corpus.task, Task)
    z = task.targets(torch.cat([graph.y for graph in corpus.splits["train"]]))
    assert z.mean().item() == pytest.approx(0, abs=1e-5)
    assert z.square().mean().item() == pytest.approx(1, abs=1e-5)


def test_oxygen_permeability_of_different_polymers(data_root):
    corpus = O2Perm(root=str(data_root)).load()
    sizes = [len(corpus.splits[split]) for split in ("train", "val", "test")]
    assert sum(sizes) == 595
    assert sizes == [359, 60, 176]
    assert corpus.report["duplicates_across_splits"] == 0


def test_oxygen_permeability_knows_two_splits():
    with pytest.raises(ValueError, match="'split' must be canonical or published, got 'scaffold'"):
        O2Perm(split="scaffold")


@pytest.mark.slow
def test_moleculenet_keeps_the_gaps(data_root):
    targets = ["NR-AR", "NR-AhR", "SR-p53"]
    corpus = Molecules(
        path="moleculenet/tox21.csv", smiles="smiles", targets=targets, kind="binary", invalid="skip", root=str(data_root)
    ).load()
    assert corpus.report["skipped"] == 8
    assert sum(len(graphs) for graphs in corpus.splits.values()) == 7823
    y = torch.cat([graph.y for graph in corpus.splits["test"]])
    assert y.shape == (783, 3)
    assert 0 < y.isnan().double().mean() < 0.5
    assert math.isclose(float(y[~y.isnan()].unique().sum()), 1)
