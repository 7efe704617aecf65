"""BA-2motifs: the published graphs as networkx knows them, and lines made by hand."""

import gzip
import json

import networkx as nx
import pytest
import torch

from graph.data.ba2motifs import BA2Motifs

CYCLE = [[5, 6], [6, 7], [7, 8], [8, 9], [9, 5]]
TREE = [[0, 1], [1, 2], [2, 3], [3, 4]]


def store(root, **last):
    rows = [{"num_nodes": 10, "edges": [*TREE, *CYCLE, [0, 5]], "label": 0} for _ in range(10)]
    rows[-1] |= last
    path = root / "graph_synthetic" / "ba_2motifs.jsonl.gz"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return BA2Motifs(root=str(root))


def every(corpus):
    return sorted((graph for graphs in corpus.splits.values() for graph in graphs), key=lambda graph: int(graph.id))


def test_the_last_five_nodes_are_the_motif(data_root):
    corpus = BA2Motifs(root=str(data_root)).load()
    assert [len(corpus.splits[split]) for split in ("train", "val", "test")] == [800, 100, 100]
    assert corpus.report["loops"] == 40
    motifs, apart = (nx.cycle_graph(5), nx.house_graph()), 0
    for graph in every(corpus):
        found = nx.Graph(graph.edge_index.T.tolist())
        assert nx.is_isomorphic(found.subgraph(range(20, 25)), motifs[int(graph.y)])
        assert int(graph.edge_evidence.sum()) == 2 * motifs[int(graph.y)].number_of_edges()
        assert graph.field_evidence.tolist() == [False] * 20 + [True] * 5
        apart += not nx.is_connected(found)
    assert apart == 40
    assert sum(int(graph.y) for graph in every(corpus)) == 500


def test_loops_are_left_out_and_counted(tmp_path):
    corpus = store(tmp_path, edges=[*CYCLE, [5, 5]]).load()
    assert corpus.report["loops"] == 1
    last = every(corpus)[-1]
    assert last.edge_index.shape == (2, 10)
    assert last.edge_evidence.all()
    assert torch.equal(last.x, torch.ones(10, 1))


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ({"label": 2}, "ba_2motifs.jsonl.gz:10: 'label' should be 0 or 1, got 2"),
        ({"edges": [[0, 10]]}, "ba_2motifs.jsonl.gz:10: 'edges' should be pairs of the 10 nodes"),
        ({"edges": [[[0], 1]]}, "ba_2motifs.jsonl.gz:10: 'edges' should be pairs of the 10 nodes"),
        ({"edges": [[0, 1, 2]]}, "ba_2motifs.jsonl.gz:10: 'edges' should be pairs of the 10 nodes"),
    ],
)
def test_lines_that_do_not_fit_are_named(tmp_path, last, message):
    with pytest.raises(ValueError, match=message):
        store(tmp_path, **last).load()


def test_an_absent_file_says_where_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"ba_2motifs.jsonl.gz is not there; get it from https://github.com/flyingdoog"):
        BA2Motifs(root=str(tmp_path)).load()
