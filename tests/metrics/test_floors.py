"""Selections that know nothing, and one that knows everything."""

import gzip
import json
import math

import pytest
import torch

from graph.batch import Graph
from rationalizers.batch import Packed
from rationalizers.metrics.floors import FLOORS, floors, uniform_hash
from rationalizers.metrics.plausibility import TokenAUPRC, TokenF1
from rationalizers.rationale import Rationale
from rationalizers.segment import offsets

INF = float("inf")
SEEDS = range(6)


def drawn(seed, sizes=(7, 0, 1, 12, 5), first=0):
    generator = torch.Generator().manual_seed(seed)
    n = sum(sizes)
    fixed = torch.rand(n, generator=generator) < 0.15
    batch = Packed(
        units=torch.arange(n),
        ptr=offsets(torch.tensor(sizes)),
        fixed=fixed,
        fields={"evidence": (torch.rand(n, generator=generator) < 0.4) & ~fixed},
        index=torch.arange(first, first + len(sizes)),
    )
    scores = torch.randn(n, generator=generator).masked_fill(fixed, -INF)
    mask = (torch.rand(n, generator=generator) < 0.4).float().masked_fill(fixed, 0.0)
    return Rationale(scores, mask, batch.ptr), batch


def uniform(n, k, *, examples=1, first=0):
    """Examples of n units that all select k."""
    batch = Packed(
        units=torch.arange(n * examples),
        ptr=torch.arange(0, n * examples + 1, n),
        fields={"evidence": torch.arange(n * examples) % n < 2},
        index=torch.arange(first, first + examples),
    )
    mask = (torch.arange(n * examples) % n < k).float()
    return Rationale(mask, mask, batch.ptr), batch


def token_f1(rationale, batch):
    metric = TokenF1()
    metric.update(rationale, batch)
    return float(metric.compute()["token_f1"])


@pytest.mark.parametrize("seed", SEEDS)
def test_every_floor_is_as_large_as_the_rationale_and_leaves_fixed_units_alone(seed):
    rationale, batch = drawn(seed)
    found = floors(rationale, batch)
    assert tuple(found) == FLOORS
    for name, floor in found.items():
        expected = rationale.selectable_size() if name == "all" else rationale.size()
        assert floor.size().tolist() == expected.tolist(), name
        assert floor.selectable.equal(rationale.selectable), name
        assert not floor.mask[batch.fixed].any(), name


def test_first_and_last_are_the_ends_of_what_can_be_selected():
    batch = Packed(
        units=torch.arange(7),
        ptr=torch.tensor([0, 5, 7]),
        fixed=torch.tensor([1, 0, 0, 0, 0, 0, 0], dtype=torch.bool),
        fields={"evidence": torch.tensor([0, 0, 1, 0, 0, 1, 0], dtype=torch.bool)},
    )
    mask = torch.tensor([0, 0, 1, 0, 1, 0, 1.0])
    found = floors(Rationale(mask.masked_fill(batch.fixed, -INF), mask, batch.ptr), batch)
    assert found["first"].mask.tolist() == [0, 1, 1, 0, 0, 1, 0]
    assert found["last"].mask.tolist() == [0, 0, 0, 1, 1, 0, 1]
    assert found["all"].mask.tolist() == [0, 1, 1, 1, 1, 1, 1]
    assert found["oracle"].mask.tolist() == [0, 1, 1, 0, 0, 1, 0]  # evidence, then in order


def test_soft_masks_have_the_size_that_counts_as_selected():
    rationale, batch = uniform(5, 0)
    soft = Rationale(rationale.scores, torch.tensor([0.45, 0.52, 0.9, 0.45, 0.45]), rationale.ptr)
    assert floors(soft, batch)["first"].mask.tolist() == [1, 1, 0, 0, 0]
    assert token_f1(soft, batch) <= token_f1(floors(soft, batch)["oracle"], batch)


def test_an_empty_rationale_has_empty_floors():
    rationale, batch = uniform(4, 0, examples=2)
    found = floors(rationale, batch)
    assert {name: float(floor.size().sum()) for name, floor in found.items()} == {**dict.fromkeys(FLOORS, 0.0), "all": 8.0}


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_of_the_same_size_beats_the_oracle(seed):
    rationale, batch = drawn(seed)
    found = floors(rationale, batch)
    best = token_f1(found["oracle"], batch)
    assert all(token_f1(each, batch) <= best for each in (rationale, found["random"], found["first"], found["last"]))


@pytest.mark.parametrize("seed", SEEDS)
def test_selecting_everything_has_a_closed_form(seed):
    rationale, batch = drawn(seed)
    free = [~batch.fixed[a:b] for a, b in zip(batch.ptr[:-1].tolist(), batch.ptr[1:].tolist(), strict=True)]
    truth = batch.fields["evidence"].split([len(each) for each in free])
    counted = [(t[f].sum(), f.sum()) for t, f in zip(truth, free, strict=True) if t[f].any()]
    p = float(sum(t for t, _ in counted) / sum(n for _, n in counted))
    assert token_f1(floors(rationale, batch)["all"], batch) == pytest.approx(2 * p / (1 + p))


def test_floors_come_with_the_scores_they_rank_by():
    rationale, batch = drawn(1)
    auprc = {}
    for name, floor in floors(rationale, batch).items():
        metric = TokenAUPRC()
        metric.update(floor, batch)
        auprc[name] = float(metric.compute()["auprc"])
    assert auprc["oracle"] == 1
    assert all(0 < value < 1 for name, value in auprc.items() if name != "oracle")
    counted = [slice(a, b) for a, b in zip(batch.ptr[:-1].tolist(), batch.ptr[1:].tolist(), strict=True)]
    rates = [batch.fields["evidence"][each][~batch.fixed[each]].double().mean() for each in counted]
    rates = [float(rate) for rate in rates if 0 < rate < 1]
    assert auprc["all"] == pytest.approx(sum(rates) / len(rates))  # constant scores


# Chance


def test_the_random_floor_does_not_depend_on_the_batch():
    rationale, batch = drawn(2, first=40)
    whole = floors(rationale, batch)["random"].mask
    for b, (start, end) in enumerate(zip(batch.ptr[:-1].tolist(), batch.ptr[1:].tolist(), strict=True)):
        part = Packed(
            units=batch.units[start:end],
            ptr=torch.tensor([0, end - start]),
            fixed=batch.fixed[start:end],
            fields={"evidence": batch.fields["evidence"][start:end]},
            index=batch.index[b : b + 1],
        )
        alone = floors(Rationale(rationale.scores[start:end], rationale.mask[start:end], part.ptr), part)["random"]
        assert alone.mask.equal(whole[start:end])


def test_the_random_floor_is_not_drawn_from_the_global_generator():
    rationale, batch = drawn(3)
    state = torch.get_rng_state()
    first = floors(rationale, batch)["random"].mask
    assert torch.get_rng_state().equal(state)
    torch.manual_seed(99)
    assert floors(rationale, batch)["random"].mask.equal(first)


@pytest.mark.parametrize(("n", "k"), [(10, 3), (4, 1)])
def test_the_random_floor_chooses_every_unit_equally_often(n, k):
    examples = 4000
    rationale, batch = uniform(n, k, examples=examples)
    chosen = floors(rationale, batch)["random"].mask.view(examples, n)
    # Four and a half standard errors: exceeded once in 150 000.
    bound = 4.5 * math.sqrt(k / n * (1 - k / n) / examples)
    assert (chosen.mean(0) - k / n).abs().max() < bound
    # Pairs occur as in draws without replacement.
    together = (chosen.T @ chosen / examples)[~torch.eye(n, dtype=torch.bool)]
    pair = k * (k - 1) / (n * (n - 1))
    assert (together - pair).abs().max() <= 4.5 * math.sqrt(pair * (1 - pair) / examples)


def distance(sample):
    """Kolmogorov's distance to the uniform distribution, in units of 1/√n; above 1.95 once in a thousand."""
    x, n = sample.flatten().sort().values, sample.numel()
    grid = torch.arange(n + 1, dtype=torch.float64) / n
    return float(torch.maximum((x - grid[:-1]).abs(), (grid[1:] - x).abs()).max()) * math.sqrt(n)


def test_the_hash_is_uniform_over_rows_positions_and_pairs():
    example, position = (torch.arange(300)[:, None], torch.arange(300)[None])
    u = uniform_hash(example, position)
    assert u.dtype == torch.float64
    assert ((u >= 0) & (u < 1)).all()
    assert u.unique().numel() == u.numel()
    assert distance(u) < 1.95
    assert distance(u[:, 0]) < 1.95
    assert distance(u[0]) < 1.95
    assert u.mean().item() == pytest.approx(0.5, abs=4 / math.sqrt(12 * u.numel()))
    neighbours = [(u[1:], u[:-1]), (u[:, 1:], u[:, :-1]), (u[1:, 1:], u[:-1, :-1]), (u, u.T)]
    for left, right in neighbours[:3]:
        pairs = torch.stack([left.flatten(), right.flatten()])
        assert abs(float(torch.corrcoef(pairs)[0, 1])) < 4 / math.sqrt(left.numel())
    upper = torch.triu_indices(300, 300, 1)
    assert abs(float(torch.corrcoef(torch.stack([u[*upper], u.T[*upper]]))[0, 1])) < 4 / math.sqrt(upper.shape[1])


def test_the_hash_is_the_one_of_unbounded_integers_cut_to_64_bits():
    def reference(example, position):
        x = example * 0x1F123BB5 + position * 0x2545F491 + 0x9E3779B9
        for multiplier, shift in ((0x4F6CDD1D, 30), (0x133111EB, 27), (0x2127599B, 31)):
            x = (x ^ (x >> shift)) * multiplier % 2**64
        return (x >> 11) / 2**53

    rows = [(0, 0), (1, 0), (0, 1), (199, 511), (10**7, 10**5), (2**31, 2**20)]
    found = uniform_hash(*(torch.tensor(column) for column in zip(*rows, strict=True)))
    assert found.tolist() == [reference(*row) for row in rows]


# Published data


def movies(path):
    """Pieces of BERT as units, with [CLS] and [SEP] as plain ones; k = 20 % of each document, rounded."""
    units, evidence, sizes = [], [], []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            ids, tags = (each[0] if isinstance(each[0], list) else each for each in (row["input_ids"], row["tag_ids"]))
            assert len(ids) == len(tags)
            units += ids
            evidence += tags
            sizes.append(len(ids))
    batch = Packed(
        units=torch.tensor(units),
        ptr=offsets(torch.tensor(sizes)),
        fields={"evidence": torch.tensor(evidence, dtype=torch.bool)},
    )
    k = torch.tensor([round(0.2 * n) for n in sizes])
    nothing = Rationale(torch.zeros(len(units)), torch.zeros(len(units)), batch.ptr)
    return nothing.topk(k), batch


def test_floors_of_eraser_movies_are_as_measured(data_root):
    """On SSR's release of the test split (Yue et al., 2023), where the paper's unsupervised models score .28 to .37."""
    rationale, batch = movies(data_root / "ssr_movies" / "test.json.gz")
    assert len(batch) == 199
    found = {name: token_f1(floor, batch) for name, floor in floors(rationale, batch).items()}
    assert found == pytest.approx({"random": 0.22, "first": 0.21, "last": 0.31, "all": 0.405, "oracle": 0.705}, abs=0.01)


def test_units_without_an_order_have_no_ends():
    graph = Graph(
        x=torch.zeros(4, 1),
        edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]),
        field_evidence=torch.tensor([False, True, False, False]),
        row=torch.tensor([3]),
    )
    mask = torch.tensor([1.0, 0, 0, 0])
    found = floors(Rationale(mask, mask, graph.ptr), graph)
    assert set(found) == {"random", "all", "oracle"}
    assert found["oracle"].mask.tolist() == [0, 1, 0, 0]
    assert [int(floor.size()) for floor in found.values()] == [1, 4, 1]
