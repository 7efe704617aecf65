"""Mutagenicity: published counts, the groups as chemistry knows them, and an archive made by hand."""

import zipfile

import pytest
import torch

from graph.data.mutagenicity import ELEMENTS, Mutagenicity

# Ten graphs C–N=O; the bond N=O is marked where there is a mark.
FILES = {
    "A": "\n".join(f"{3 * g + u}, {3 * g + v}" for g in range(10) for u, v in ((1, 2), (2, 1), (2, 3), (3, 2))),
    "edge_gt": "\n".join("0\n0\n1\n1" if g < 6 else "0\n0\n0\n0" for g in range(10)),
    "edge_labels": "0\n0\n1\n1\n" * 10,
    "graph_indicator": "\n".join(str(g + 1) for g in range(10) for _ in range(3)),
    "graph_labels": "0\n1\n" * 5,
    "node_labels": "0\n4\n1\n" * 10,
}


def store(root, **changes):
    path = root / "tudataset" / "Mutagenicity_with_edge_gt.zip"
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for stem, text in {**FILES, **changes}.items():
            if text is not None:
                archive.writestr(f"Mutagenicity_{stem}.txt", text.strip() + "\n")
    return Mutagenicity(root=str(root))


def everything(corpus):
    return sorted((graph for graphs in corpus.splits.values() for graph in graphs), key=lambda graph: int(graph.id))


def test_files_become_graphs(tmp_path):
    corpus = store(tmp_path).load()
    graphs = everything(corpus)
    assert [graph.id for graph in graphs] == [str(g) for g in range(10)]
    assert [len(corpus.splits[split]) for split in ("train", "val", "test")] == [8, 1, 1]
    for g, graph in enumerate(graphs):
        assert graph.x.tolist() == [[0], [4], [1]]
        assert graph.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
        assert graph.edge_attr.tolist() == [[0], [0], [1], [1]]
        assert graph.y.tolist() == [[float(g % 2 == 0)]]
        assert graph.edge_evidence.tolist() == [False, False, g < 6, g < 6]
        assert graph.field_evidence.tolist() == [False, g < 6, g < 6]
        assert bool(graph.annotated) == (g in (0, 2, 4))


def test_edges_may_come_in_any_order(tmp_path):
    shuffled = torch.randperm(40, generator=torch.Generator().manual_seed(0)).tolist()
    changes = {stem: [*FILES[stem].strip().split("\n")] for stem in ("A", "edge_gt", "edge_labels")}
    mixed = {stem: "\n".join(lines[place] for place in shuffled) for stem, lines in changes.items()}
    straight, other = everything(store(tmp_path).load()), everything(store(tmp_path, **mixed).load())
    for one, two in zip(straight, other, strict=True):
        for graph in (one, two):
            graph["edges"] = torch.cat([graph.edge_index.T, graph.edge_attr, graph.edge_evidence[:, None].long()], dim=1)
        assert sorted(one.edges.tolist()) == sorted(two.edges.tolist())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edge_gt": "1\n0"}, "list different numbers of nodes, edges or graphs"),
        ({"node_labels": "1\n0"}, "list different numbers of nodes, edges or graphs"),
        ({"A": FILES["A"].replace("1, 2", "1, 5", 1)}, "edges lie within one"),
        ({"node_labels": "C" + FILES["node_labels"][1:]}, r"Mutagenicity_node_labels.txt:1: 0 should be a number, got 'C'"),
        ({"edge_gt": None}, "has no Mutagenicity_edge_gt.txt; it has Mutagenicity_A.txt"),
    ],
)
def test_files_that_contradict_each_other_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        store(tmp_path, **changes).load()


def test_what_is_no_archive_is_refused(tmp_path):
    source = store(tmp_path)
    (tmp_path / "tudataset/Mutagenicity_with_edge_gt.zip").write_text("no")
    with pytest.raises(ValueError, match="is not a zip archive"):
        source.load()
    with pytest.raises(FileNotFoundError, match=r"is not there; get it from https://github.com/flyingdoog/PGExplainer"):
        Mutagenicity(root=str(tmp_path / "elsewhere")).load()


def test_published_counts_and_groups(data_root):
    corpus = Mutagenicity(root=str(data_root)).load()
    graphs = everything(corpus)
    assert len(graphs) == 4337
    assert [len(corpus.splits[split]) for split in ("train", "val", "test")] == [3469, 434, 434]
    assert sum(graph.x.shape[0] for graph in graphs) == 131488
    assert sum(graph.edge_index.shape[1] for graph in graphs) == 266894
    assert sum(int(graph.edge_evidence.sum()) for graph in graphs) == 7352
    assert sum(int(graph.y) for graph in graphs) == 2401
    assert sum(bool(graph.annotated) for graph in graphs) == 1015
    assert sum(bool(graph.edge_evidence.any()) for graph in graphs) == 1356
    # NO₂ and NH₂ groups hold nitrogen, oxygen and hydrogen.
    found = torch.cat([graph.x[graph.field_evidence, 0] for graph in graphs]).unique().tolist()
    assert {ELEMENTS[element] for element in found} == {"N", "O", "H"}
