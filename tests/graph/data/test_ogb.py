"""Sets of the Open Graph Benchmark: published counts, and a set of three molecules made by hand."""

import gzip

import pytest
import torch

from graph.data.ogb import OGB

COUNTS = {
    "bace": ((1210, 151, 152), (480, 130, 81)),
    "bbbp": ((1631, 204, 204), (1369, 83, 108)),
    "esol": ((902, 113, 113), None),
    "freesolv": ((513, 64, 65), None),
}
# Methanol, methane and water.
FILES = {
    "mapping/mol.csv.gz": "p_np,smiles,mol_id\n1,CO,methanol\n0,C,methane\n,O,water\n",
    "raw/graph-label.csv.gz": "1\n0\n\n",
    "raw/num-node-list.csv.gz": "2\n1\n1\n",
    "raw/num-edge-list.csv.gz": "1\n0\n0\n",
    "raw/node-feat.csv.gz": "5,0,4,5,3,0,2,0,0\n7,0,2,5,1,0,2,0,0\n5,0,4,5,4,0,2,0,0\n7,0,2,5,2,0,2,0,0\n",
    "raw/edge.csv.gz": "0,1\n",
    "raw/edge-feat.csv.gz": "0,0,0\n",
    "split/scaffold/train.csv.gz": "2\n",
    "split/scaffold/valid.csv.gz": "0\n",
    "split/scaffold/test.csv.gz": "1\n",
}


def store(root, **changes):
    for name, text in {**FILES, **changes}.items():
        path = root / "ogb" / "ogbg_molbbbp" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()))
    return OGB(name="bbbp", root=str(root))


@pytest.mark.parametrize("name", COUNTS)
def test_splits_have_the_published_sizes_and_positives(data_root, name):
    corpus = OGB(name=name, root=str(data_root)).load()
    sizes, positives = COUNTS[name]
    assert tuple(len(corpus.splits[split]) for split in ("train", "val", "test")) == sizes
    assert len({graph.id for graphs in corpus.splits.values() for graph in graphs}) == sum(sizes)
    if positives is not None:
        assert tuple(corpus.report[f"{split}/positive"] for split in ("train", "val", "test")) == positives


def test_numbers_are_standardized_on_request(data_root):
    train = torch.cat([graph.y for graph in OGB(name="esol", root=str(data_root)).load().splits["train"]]).double()
    task = OGB(name="esol", root=str(data_root), standardize=True).load().task
    assert task["mean"] == [pytest.approx(train.mean().item())]
    assert task["std"] == [pytest.approx(train.std(correction=0).item())]
    assert task["unit"] == "log mol/L"


def test_tables_become_graphs(tmp_path):
    corpus = store(tmp_path).load()
    (water,), (methanol,), (methane,) = (corpus.splits[split] for split in ("train", "val", "test"))
    assert (water.source, methanol.source, methane.source) == ("O", "CO", "C")
    assert (water.id, methanol.id) == ("2", "0")
    assert methanol.edge_index.tolist() == [[0, 1], [1, 0]]
    assert methanol.edge_attr.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert methane.edge_index.shape == (2, 0)
    assert water.x.tolist() == [[7, 0, 2, 5, 2, 0, 2, 0, 0]]
    assert methanol.y.tolist() == [[1.0]]
    assert water.y.isnan().tolist() == [[True]]
    assert corpus.task == {"_target_": "rationalizers.task.BinaryTasks", "targets": ["p_np"]}
    assert corpus.report["train/unknown"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"raw/num-edge-list.csv.gz": "1\n1\n0\n"}, "counts other nodes or edges than it lists"),
        ({"raw/num-node-list.csv.gz": "2\n2\n1\n"}, "counts other nodes or edges than it lists"),
        ({"raw/edge-feat.csv.gz": "0,0\n"}, "9 features for each atom and 3 for each bond"),
        ({"raw/graph-label.csv.gz": "1\n0\n"}, r"\(2, 1\) labels for 3 molecules and 1 targets"),
        ({"raw/graph-label.csv.gz": "1\n3\n0\n"}, r"graph-label.csv.gz:2: 'p_np' should be 0 or 1 or empty, got 3"),
        ({"raw/edge.csv.gz": "0,b\n"}, r"edge.csv.gz:1: 1 should be a number, got 'b'"),
        ({"split/scaffold/test.csv.gz": "3\n"}, "names molecules that are not there; there are 3"),
    ],
)
def test_files_that_contradict_each_other_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        store(tmp_path, **changes).load()


def test_absent_sets_and_files_say_where_to_get_them(tmp_path):
    address = "http://snap.stanford.edu/ogb/data/graphproppred/csv_mol_download/bbbp.zip"
    with pytest.raises(FileNotFoundError, match=f"ogbg_molbbbp is not there; get it from {address}, unpacked and called"):
        OGB(name="bbbp", root=str(tmp_path)).load()
    source = store(tmp_path)
    (tmp_path / "ogb/ogbg_molbbbp/raw/edge.csv.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"raw/edge.csv.gz is not there"):
        source.load()


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"'name' must be one of bace, bbbp, .*; got 'qm9'"):
        OGB(name="qm9")
    with pytest.raises(ValueError, match="'standardize' is for numbers; leave it out for bace"):
        OGB(name="bace", standardize=True)
