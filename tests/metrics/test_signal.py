"""Whether a label can be read from the places of a mask."""

import pytest
import torch

from graph.batch import Graph
from rationalizers.batch import Packed
from rationalizers.metrics.signal import ORDERED, UNORDERED, answers, mask_features, mask_looks, mask_signal, probe
from rationalizers.rationale import Rationale
from rationalizers.segment import lengths, offsets
from rationalizers.task import BinaryTasks, Classification, Regression

NAN = float("nan")


def text(mask, *, sizes=None, lead=0, **facts):
    """A selection of words after some fixed ones."""
    mask = torch.tensor(mask, dtype=torch.float)
    sizes = torch.tensor(sizes or [mask.shape[0]])
    fixed = torch.arange(mask.shape[0]) < lead
    batch = Packed(units=torch.arange(mask.shape[0]), ptr=offsets(sizes), fixed=fixed, **facts)
    return Rationale(mask.masked_fill(fixed, -torch.inf), mask.masked_fill(fixed, 0.0), batch.ptr), batch


def features(rationale, batch):
    """Of the first example by name."""
    names = ORDERED if batch.edge_index is None else UNORDERED
    found = mask_features(rationale, batch)
    assert found.shape == (lengths(batch.ptr).numel(), len(names))
    return dict(zip(names, found[0].tolist(), strict=True))


def test_a_mask_on_words_by_hand():
    found = features(*text([1, 1, 0, 1, 0]))
    # Each of the five words fills two of ten stretches; they lie at .1, .3, .5, .7 and .9.
    assert [found[f"share of bin {q}"] for q in range(1, 11)] == pytest.approx([1, 1, 1, 1, 0, 0, 1, 1, 0, 0], abs=1e-9)
    assert {name: found[name] for name in ORDERED[10:]} == pytest.approx(
        {
            "share": 3 / 5,
            "runs per selected": 2 / 3,
            "longest run": 2 / 3,
            "mean position": 1.1 / 3,
            "spread": (((0.1 - 1.1 / 3) ** 2 + (0.3 - 1.1 / 3) ** 2 + (0.7 - 1.1 / 3) ** 2) / 3) ** 0.5,
            "first": 0.1,
            "last": 0.7,
            "empty": 0,
        }
    )


def test_a_word_may_lie_in_two_stretches():
    found = features(*text([1, 0, 1]))
    # The first word ends at 1/3, a third of the fourth stretch, and the last begins at 2/3.
    assert [found[f"share of bin {q}"] for q in range(1, 11)] == pytest.approx([1, 1, 1, 1 / 3, 0, 0, 1 / 3, 1, 1, 1])


def test_nothing_selected_and_nothing_to_select_look_alike():
    for rationale, batch in (text([0, 0, 0]), text([]), text([1, 1], lead=2)):
        assert features(rationale, batch) == {**dict.fromkeys(ORDERED, 0), "empty": 1}


def test_fixed_words_and_the_length_do_not_show():
    plain, led = features(*text([1, 1, 0, 1, 0])), features(*text([1, 1, 1, 0, 1, 0], lead=1))
    assert led == plain
    longer = features(*text([1, 1, 1, 1, 0, 0, 1, 1, 0, 0]))
    same = {*ORDERED[:11], "longest run", "mean position", "empty"}
    assert {name: longer[name] for name in same} == pytest.approx({name: plain[name] for name in same})


def test_words_count_not_their_pieces():
    pieces = text([0, 1, 0, 0, 1, 0], fields={"word": torch.tensor([0, 0, 0, 1, 2, 3])})
    assert features(*pieces) == pytest.approx(features(*text([1, 0, 1, 0])))


def square(mask, *, extra=()):
    """A ring of four nodes and further pairs of nodes."""
    mask = torch.tensor(mask, dtype=torch.float)
    pairs = torch.tensor([(0, 1), (1, 2), (2, 3), (3, 0), *extra]).T
    edges = torch.cat([pairs, pairs.flip(0)], 1)
    batch = Graph(x=torch.zeros(mask.shape[0], 1), edge_index=edges)
    return Rationale(mask, mask, batch.ptr), batch


def test_a_mask_on_nodes_by_hand():
    # The ring with a tail of two: 0 and 1 hang together, 5 is at the end of the tail.
    found = features(*square([1, 1, 0, 0, 0, 1], extra=[(2, 4), (4, 5)]))
    assert found == pytest.approx(
        {
            "share": 3 / 6,
            "edges within": 1 / 6,
            "edges across": 3 / 6,
            "components per selected": 2 / 3,
            "alone": 1 / 3,
            "degree": ((2 + 2 + 1) / 3) / (12 / 6) - 1,
            "empty": 0,
        }
    )
    assert features(*square([0, 0, 0, 0])) == {**dict.fromkeys(UNORDERED, 0), "empty": 1}


def test_components_are_those_of_networkx():
    networkx = pytest.importorskip("networkx")
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        pairs = torch.randint(30, (2, 25), generator=generator)
        mask = (torch.rand(30, generator=generator) < 0.7).float()
        batch = Graph(x=torch.zeros(30, 1), edge_index=torch.cat([pairs, pairs.flip(0)], 1))
        chosen = networkx.Graph(pairs.T.tolist()).subgraph(mask.nonzero().flatten().tolist())
        off_edges = int(mask.sum()) - chosen.number_of_nodes()  # nodes without any edge are not in that graph
        expected = (networkx.number_connected_components(chosen) + off_edges) / float(mask.sum())
        assert features(Rationale(mask, mask, batch.ptr), batch)["components per selected"] == pytest.approx(expected)


def test_company_changes_no_mask():
    masks = [[1, 0, 1], [], [0, 1, 1, 0, 0, 1, 0], [0], [1]]
    together = mask_features(*text([each for mask in masks for each in mask], sizes=[len(mask) for mask in masks]))
    apart = torch.cat([mask_features(*text(mask)) for mask in masks])
    torch.testing.assert_close(together, apart)
    graphs = [square([1, 1, 0, 0, 1], extra=[(0, 4)]), square([0, 1, 0, 1]), square([0, 0, 0, 0])]
    batch = Graph.collate([graph for _, graph in graphs])
    mask = torch.cat([rationale.mask for rationale, _ in graphs])
    torch.testing.assert_close(
        mask_features(Rationale(mask, mask, batch.ptr), batch), torch.cat([mask_features(*each) for each in graphs])
    )


# Cheaters and honest selectors ------------------------------------------------------------------------------------------


def corpus(examples=120, seed=0):
    """Texts of random length with one word of evidence anywhere, and a class that nothing tells."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(5, 25, (examples,), generator=generator)
    ptr = offsets(sizes)
    cue = ptr[:-1] + (torch.rand(examples, generator=generator) * sizes).long()
    evidence = torch.zeros(int(ptr[-1]), dtype=torch.bool).index_fill(0, cue, True)
    label = torch.randint(2, (examples,), generator=generator)
    batch = Packed(units=torch.arange(int(ptr[-1])), ptr=ptr, fields={"evidence": evidence})
    return batch, label, cue


def selecting(batch, rows):
    mask = torch.zeros(batch.units.shape[0]).index_fill(0, rows, 1.0)
    return Rationale(mask, mask, batch.ptr)


def mean(found, name):
    return float(found[name].nanmean())


def test_a_selector_that_says_the_class_by_where_it_selects_is_caught():
    batch, label, _ = corpus()
    cheating = selecting(batch, torch.where(label == 0, batch.ptr[:-1], batch.ptr[1:] - 1))
    found = mask_signal(mask_looks(cheating, batch), label, seed=0)
    assert mean(found, "mask_signal") == 1
    assert all(mean(found, f"floor/{name}/mask_signal") < 0.65 for name in ("random", "oracle", "majority"))


def test_a_selector_that_says_it_by_how_much_is_no_better_than_random_masks_of_that_size():
    batch, label, _ = corpus()
    some = torch.cat([batch.ptr[:-1], batch.ptr[:-1][label == 0] + 2])
    found = mask_signal(mask_looks(selecting(batch, some), batch), label, seed=0)
    assert mean(found, "mask_signal") > 0.95
    assert mean(found, "floor/random/mask_signal") > 0.75


def test_an_honest_selector_lies_at_its_floor():
    shown = []
    for seed in range(5):
        batch, label, cue = corpus(seed=seed)
        found = mask_signal(mask_looks(selecting(batch, cue), batch), label, seed=0)
        shown.append([mean(found, f"{which}mask_signal") for which in ("", "floor/random/", "floor/oracle/", "floor/majority/")])
    own, random, oracle, majority = torch.tensor(shown).mean(0).tolist()
    assert own == oracle  # it selects the evidence
    assert own == pytest.approx(random, abs=0.06)
    assert own < majority + 0.02


def test_a_cheater_on_graphs_is_caught():
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(2, (60,), generator=generator)
    # Two neighbours for one class, two opposite nodes for the other.
    graphs = [square([1, 1, 0, 0] if each else [1, 0, 1, 0]) for each in label]
    batch = Graph.collate([graph for _, graph in graphs])
    mask = torch.cat([rationale.mask for rationale, _ in graphs])
    found = mask_signal(mask_looks(Rationale(mask, mask, batch.ptr), batch), label, seed=0)
    assert mean(found, "mask_signal") == 1
    assert mean(found, "floor/random/mask_signal") < 0.7
    assert set(found) == {"mask_signal", "floor/random/mask_signal", "floor/majority/mask_signal"}


def test_what_is_unknown_takes_no_part():
    batch, label, cue = corpus()
    batch.annotated[:30] = False
    label[-10:] = -1
    found = mask_signal(mask_looks(selecting(batch, cue), batch), label, seed=0, name="true_signal")
    known = torch.arange(120) < 110
    for name, rows in (("", known), ("floor/majority/", known), ("floor/oracle/", known & (torch.arange(120) >= 30))):
        assert found[f"{name}true_signal"].isfinite().equal(rows)
    assert float(found["floor/majority/true_signal"].nansum()) == int(label[:110].bincount().max())
    # Where evidence is known of hardly anyone, nothing is read from it.
    batch.annotated[:] = torch.arange(120) < 6
    few = mask_signal(mask_looks(selecting(batch, cue), batch), label, seed=0)
    assert few["floor/oracle/mask_signal"].isnan().all()
    assert few["mask_signal"].isfinite().equal(known)


# The probe --------------------------------------------------------------------------------------------------------------


def test_the_probe_reads_what_is_there_the_same_each_time():
    generator = torch.Generator().manual_seed(1)
    label = torch.randint(3, (90,), generator=generator)
    told = torch.nn.functional.one_hot(label, 3) + 0.1 * torch.rand(90, 3, generator=generator)
    assert probe(told, label, seed=0).equal(label)
    noise = torch.rand(90, 3, generator=generator)
    first, again, other = (probe(noise, label, seed=seed) for seed in (0, 0, 1))
    assert first.equal(again)
    assert not first.equal(other)
    assert float((first == label).double().mean()) < 0.6


def test_a_rare_class_costs_only_its_own():
    label = torch.cat([torch.arange(60) % 2, torch.tensor([2])])
    found = probe(torch.nn.functional.one_hot(label, 3).double(), label, seed=0)
    assert found[:60].equal(label[:60])


@pytest.mark.parametrize("label", [torch.ones(30).long(), torch.arange(30), (torch.arange(30) < 4).long()])
def test_one_answer_for_all_and_too_few_examples_are_named(label):
    features = torch.rand(30, 2)
    with pytest.raises(ValueError, match="5 folds needs two classes with 5 examples each"):
        probe(features, label, seed=0)
    with pytest.raises(ValueError, match="5 folds needs two classes with 5 examples each"):
        mask_signal({"model": features}, label, seed=0)


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"must be \[B, Q\] and 'label' \[B\], got \(3, 2\) and \(4,\)"):
        probe(torch.zeros(3, 2), torch.zeros(4).long(), seed=0)


def test_what_is_read_is_a_class_an_answer_or_more_than_the_median():
    classes, binary, numbers = Classification(labels=["a", "b"]), BinaryTasks(targets=["a", "b"]), Regression(targets=["a"])
    assert answers(torch.tensor([[0.2, 0.8], [0.7, 0.3]]), task=classes).tolist() == [1, 0]
    assert answers(torch.tensor([1, 0]), task=classes).tolist() == [1, 0]
    assert answers(torch.tensor([[1.0, 0.0], [NAN, 1.0], [0.0, 1.0]]), task=binary).tolist() == [1, -1, 0]
    assert answers(torch.tensor([[3.0], [NAN], [9.0], [1.0]]), task=numbers).tolist() == [0, -1, 1, 0]
    assert answers(torch.tensor([[NAN], [NAN]]), task=numbers).tolist() == [-1, -1]
