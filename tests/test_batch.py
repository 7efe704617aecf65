"""The packed batch: defaults, collation, compaction."""

from dataclasses import FrozenInstanceError, fields, replace

import pytest
import torch

from rationalizers.batch import Batch, Packed
from rationalizers.kernels.perturb import perturb
from rationalizers.segment import lengths, members, offsets, owners, segment_rank


def single(n, *, seed, spans=()):
    """One example in which nothing has its default value."""
    generator = torch.Generator().manual_seed(seed)
    evidence = torch.zeros(n, dtype=torch.bool)
    for start, end, _ in spans:
        evidence[start:end] = True
    return Packed(
        units=torch.randint(0, 99, (n,), generator=generator),
        ptr=torch.tensor([0, n]),
        y=torch.tensor([seed % 3]),
        position=2 * torch.arange(n) + seed,
        fixed=torch.rand(n, generator=generator) < 0.3,
        fields={"evidence": evidence, "word": torch.arange(n) // 2},
        labelled=torch.tensor([seed % 2 == 0]),
        annotated=torch.tensor([seed % 2 == 1]),
        spans=torch.tensor([[0, *span] for span in spans], dtype=torch.long).view(-1, 4),
        index=torch.tensor([100 + seed]),
        words=(tuple(f"{seed}/{i}" for i in range(n)),),
        ids=(f"id{seed}",),
    )


def several():
    """Adjacent spans of one example, an example without units, one with a single unit, one without spans."""
    return [
        single(7, seed=1, spans=[(1, 3, 0), (3, 5, 1), (6, 7, 0)]),
        single(0, seed=2),
        single(1, seed=3, spans=[(0, 1, 4)]),
        single(4, seed=4),
        single(5, seed=5, spans=[(0, 5, 0), (2, 4, 1)]),
    ]


def alone(batch, b):
    """Example ``b`` cut out by plain slicing."""
    rows, row = slice(int(batch.ptr[b]), int(batch.ptr[b + 1])), slice(b, b + 1)
    spans = batch.spans[batch.spans[:, 0] == b].clone()
    spans[:, 0] = 0
    return Packed(
        units=batch.units[rows],
        ptr=batch.ptr[b : b + 2] - batch.ptr[b],
        y=None if batch.y is None else batch.y[row],
        position=batch.position[rows],
        fixed=batch.fixed[rows],
        fields={name: each[rows] for name, each in batch.fields.items()},
        labelled=batch.labelled[row],
        annotated=batch.annotated[row],
        spans=spans,
        index=batch.index[row],
        words=batch.words[row],
        ids=batch.ids[row],
    )


def assert_same(ours, theirs):
    for each in fields(Packed):
        left, right = getattr(ours, each.name), getattr(theirs, each.name)
        if each.name == "fields":
            assert set(left) == set(right)
            assert all(left[name].equal(right[name]) for name in left), "fields"
        elif isinstance(left, torch.Tensor):
            assert left.dtype == right.dtype, each.name
            assert left.equal(right), each.name
        else:
            assert left == right, each.name


# Construction


def test_what_is_not_given_has_the_documented_default():
    batch = Packed(units=torch.arange(5), ptr=torch.tensor([0, 2, 2, 5]))
    assert len(batch) == 3
    assert batch.position.tolist() == [0, 1, 0, 1, 2]
    assert batch.fixed.tolist() == [False] * 5
    assert batch.labelled.tolist() == batch.annotated.tolist() == [False] * 3
    assert batch.spans.shape == (0, 4)
    assert batch.index.tolist() == [0, 1, 2]
    assert batch.y is None
    assert batch.fields == {}
    assert isinstance(batch, Batch)


def test_evidence_makes_every_example_annotated():
    batch = Packed(units=torch.arange(3), ptr=torch.tensor([0, 1, 3]), fields={"evidence": torch.zeros(3)})
    assert batch.annotated.tolist() == [True, True]


def test_a_batch_of_no_examples_is_a_batch():
    batch = Packed(units=torch.zeros(0, dtype=torch.long), ptr=torch.tensor([0]))
    assert len(batch) == 0
    assert batch.select(torch.zeros(0, dtype=torch.bool), positions="fresh").ptr.tolist() == [0]


def test_node_features_are_units_too():
    batch = Packed(units=torch.randn(4, 3), ptr=torch.tensor([0, 1, 4]))
    picked = batch.select(torch.tensor([True, False, True, True]), positions="fresh")
    assert picked.units.shape == (3, 3)
    assert picked.ptr.tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"position": torch.arange(4)}, r"'position' must have 5 rows \(B=2, N=5\), got 4"),
        ({"fixed": torch.zeros(6, dtype=torch.bool)}, r"'fixed' must have 5 rows \(B=2, N=5\), got 6"),
        ({"fields": {"word": torch.arange(2)}}, "'word' must have 5 rows"),
        ({"y": torch.zeros(5)}, r"'y' must have 2 rows \(B=2, N=5\), got 5"),
        ({"labelled": torch.zeros(3, dtype=torch.bool)}, "'labelled' must have 2 rows"),
        ({"annotated": torch.zeros(1, dtype=torch.bool)}, "'annotated' must have 2 rows"),
        ({"index": torch.zeros(1)}, "'index' must have 2 rows"),
        ({"spans": torch.zeros(2, 3, dtype=torch.long)}, r"'spans' must be \[S, 4\] = example, start, end, group; got \(2, 3\)"),
        ({"spans": torch.zeros(4, dtype=torch.long)}, r"'spans' must be \[S, 4\]"),
        ({"ptr": torch.tensor([[0, 2, 5]])}, r"'ptr' must be a vector of B \+ 1 offsets, got shape \(1, 3\)"),
    ],
)
def test_facts_that_do_not_fit_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        Packed(**{"units": torch.arange(5), "ptr": torch.tensor([0, 2, 5]), **change})


@pytest.mark.parametrize("ptr", [[0, 3], [0, 7], [1, 5], [0, 3, 2, 5]], ids=["short", "long", "late", "back"])
def test_offsets_that_do_not_fit_the_units_are_named(ptr):
    # With positions given: without, torch 2.13's repeat_interleave may write past its output before it complains.
    with pytest.raises(ValueError, match="'ptr'"):
        Packed(units=torch.arange(5), ptr=torch.tensor(ptr), position=torch.arange(5))


def test_a_batch_does_not_change():
    with pytest.raises(FrozenInstanceError):
        single(3, seed=1).units = torch.arange(3)


def test_to_moves_everything_and_keeps_the_rest():
    batch = Packed.collate(several())
    assert_same(batch.to("cpu"), batch)
    moved = batch.to("meta")
    tensors = [getattr(moved, f.name) for f in fields(Packed) if isinstance(getattr(batch, f.name), torch.Tensor)]
    assert {tensor.device.type for tensor in (*tensors, *moved.fields.values())} == {"meta"}
    assert (moved.words, moved.ids) == (batch.words, batch.ids)


# Collation


def test_collate_carries_everything_of_every_example():
    ours = several()
    batch = Packed.collate(ours)
    assert len(batch) == len(ours)
    assert lengths(batch.ptr).tolist() == [7, 0, 1, 4, 5]
    for b, each in enumerate(ours):
        assert_same(alone(batch, b), each)


def test_adjacent_spans_of_neighbours_and_within_an_example_stay_apart():
    left = single(2, seed=1, spans=[(0, 1, 0), (1, 2, 0)])
    batch = Packed.collate([left, single(2, seed=2, spans=[(0, 2, 3)])])
    assert batch.spans.tolist() == [[0, 0, 1, 0], [0, 1, 2, 0], [1, 0, 2, 3]]
    assert left.spans[:, 0].tolist() == [0, 0]


def test_collate_is_associative_and_of_one_the_identity():
    a, b, c, *_ = several()
    assert_same(Packed.collate([a]), a)
    whole = Packed.collate([a, b, c])
    assert_same(Packed.collate([Packed.collate([a, b]), c]), whole)
    assert_same(Packed.collate([a, Packed.collate([b, c])]), whole)


def test_collate_without_targets_has_none():
    bare = [replace(each, y=None) for each in several()]
    assert Packed.collate(bare).y is None


def test_collate_says_what_does_not_fit():
    ours = single(2, seed=1)
    with pytest.raises(ValueError, match="'batches' must hold at least one batch, got none"):
        Packed.collate([])
    with pytest.raises(ValueError, match=r"batches disagree on fields: \['evidence', 'word'\] and \[\]"):
        Packed.collate([ours, replace(ours, fields={})])
    with pytest.raises(ValueError, match="some batches have targets 'y' and some have none"):
        Packed.collate([ours, replace(ours, y=None)])


@pytest.mark.parametrize("name", ["words", "ids"])
def test_collate_never_gives_an_example_the_words_or_the_name_of_another(name):
    named, nameless = single(2, seed=1), replace(single(2, seed=2), **{name: ()})
    with pytest.raises(ValueError, match=name):
        Packed.collate([nameless, named])


# Selection


def random_masks(batch, count=20):
    generator = torch.Generator().manual_seed(3)
    n = batch.units.shape[0]
    return [torch.rand(n, generator=generator) < keep for keep in torch.linspace(0, 1, count).tolist()]


@pytest.mark.parametrize("positions", ["fresh", "kept"])
def test_select_is_slicing_of_each_example(positions):
    batch = Packed.collate(several())
    for mask in random_masks(batch):
        ours = batch.select(mask, positions=positions)
        for b in range(len(batch)):
            whole, part = alone(batch, b), alone(ours, b)
            keep = mask[int(batch.ptr[b]) : int(batch.ptr[b + 1])]
            spans = []
            for _, start, end, group in whole.spans.tolist():
                kept = [int(keep[:place].sum()) for place in (start, end)]
                if kept[1] > kept[0]:
                    spans.append([0, *kept, group])
            expected = replace(
                whole,
                units=whole.units[keep],
                ptr=torch.tensor([0, int(keep.sum())]),
                position=whole.position[keep] if positions == "kept" else torch.arange(int(keep.sum())),
                fixed=whole.fixed[keep],
                fields={name: each[keep] for name, each in whole.fields.items()},
                spans=torch.tensor(spans, dtype=torch.long).view(-1, 4),
            )
            assert_same(part, expected)


def test_spans_cover_the_evidence_that_is_left():
    batch = Packed.collate(several())
    for mask in random_masks(batch):
        ours = batch.select(mask, positions="kept")
        covered = torch.zeros_like(ours.fields["evidence"])
        for example, start, end, _ in ours.spans.tolist():
            base = int(ours.ptr[example])
            covered[base + start : base + end] = True
        assert covered.equal(ours.fields["evidence"])


def test_cut_spans_shrink_vanish_and_stay_apart():
    batch = single(8, seed=1, spans=[(0, 2, 0), (2, 4, 0), (4, 6, 1), (6, 8, 2)])
    # Half of the first, all of the second (adjacent to it), nothing of the third, the middle gap of the last closes.
    mask = torch.tensor([0, 1, 1, 1, 0, 0, 1, 1], dtype=torch.bool)
    assert batch.select(mask, positions="fresh").spans.tolist() == [[0, 0, 1, 0], [0, 1, 3, 0], [0, 3, 5, 2]]


def test_fresh_positions_count_from_zero_and_kept_ones_stay():
    batch = Packed(units=torch.arange(6), ptr=torch.tensor([0, 4, 6]))
    mask = torch.tensor([0, 1, 0, 1, 0, 1], dtype=torch.bool)
    assert batch.select(mask, positions="fresh").position.tolist() == [0, 1, 0]
    assert batch.select(mask, positions="kept").position.tolist() == [1, 3, 1]


def test_selecting_everything_is_the_identity_and_nothing_leaves_the_examples():
    batch = Packed.collate(several())
    everything = torch.ones(batch.units.shape[0], dtype=torch.bool)
    assert_same(batch.select(everything, positions="kept"), batch)
    empty = batch.select(~everything, positions="fresh")
    assert len(empty) == len(batch)
    assert empty.ptr.tolist() == [0] * 6
    assert empty.units.shape == empty.fields["evidence"].shape == (0,)
    assert empty.spans.shape == (0, 4)
    assert empty.ids == batch.ids


def test_selecting_twice_is_selecting_what_both_keep():
    batch = Packed.collate(several())
    first, second = random_masks(batch)[12], random_masks(batch)[9]
    twice = batch.select(first, positions="kept").select(second[first], positions="kept")
    assert_same(twice, batch.select(first & second, positions="kept"))


def test_kept_and_dropped_units_make_the_whole():
    batch = Packed.collate(several())
    for mask in random_masks(batch):
        kept, dropped = (batch.select(each, positions="kept") for each in (mask, ~mask))
        assert (lengths(kept.ptr) + lengths(dropped.ptr)).equal(lengths(batch.ptr))
        merged = torch.empty_like(batch.units)
        merged[mask], merged[~mask] = kept.units, dropped.units
        assert merged.equal(batch.units)


def test_selection_and_collation_commute():
    ours = several()
    batch = Packed.collate(ours)
    mask = random_masks(batch)[10]
    cut = mask.split(lengths(batch.ptr).tolist())
    apart = [each.select(part, positions="fresh") for each, part in zip(ours, cut, strict=True)]
    assert_same(Packed.collate(apart), batch.select(mask, positions="fresh"))


@pytest.mark.parametrize("mask", [torch.ones(3), torch.ones(2, dtype=torch.bool), torch.ones(3, 1, dtype=torch.bool)])
def test_masks_that_do_not_fit_are_named(mask):
    with pytest.raises(ValueError, match=r"'mask' must be bool \[3\], got torch\."):
        single(3, seed=1).select(mask, positions="fresh")


def test_offsets_of_the_selection_count_its_units():
    batch = Packed.collate(several())
    for mask in random_masks(batch):
        ours = batch.select(mask, positions="fresh")
        counts = torch.bincount(owners(batch.ptr, len(mask))[mask], minlength=len(batch))
        assert ours.ptr.equal(offsets(counts))


# Copies


def gathered(batch, masks):
    """``index`` and ``ptr`` of one copy for each mask."""
    index = torch.cat([torch.nonzero(mask).flatten() for mask in masks])
    counts = [lengths(batch.select(mask, positions="fresh").ptr) for mask in masks]
    return index, offsets(torch.cat(counts))


@pytest.mark.parametrize("positions", ["fresh", "kept"])
def test_copies_are_selections_one_after_the_other(positions):
    batch = Packed.collate(several())
    masks = random_masks(batch)
    expected = Packed.collate([batch.select(mask, positions=positions) for mask in masks])
    assert_same(batch.gather(*gathered(batch, masks), positions=positions), expected)


@pytest.mark.parametrize("positions", ["fresh", "kept"])
def test_a_single_copy_is_the_selection(positions):
    batch = Packed.collate(several())
    for mask in random_masks(batch):
        assert_same(batch.gather(*gathered(batch, [mask]), positions=positions), batch.select(mask, positions=positions))


def test_whole_copies_are_the_batch_again_and_again():
    batch = Packed.collate(several())
    whole = torch.ones(17, dtype=torch.bool)
    assert_same(batch.gather(*gathered(batch, [whole] * 3), positions="kept"), Packed.collate([batch] * 3))


def test_perturbed_copies_are_those_of_a_loop():
    batch = Packed.collate(several())
    scores = torch.rand(17, generator=torch.Generator().manual_seed(2)).masked_fill(batch.fixed, -torch.inf)
    ranks, fractions = segment_rank(scores, batch.ptr), (0.0, 0.3, 1.0)
    index, ptr = perturb(ranks, batch.ptr, batch.fixed, fractions)
    masks = []
    for fraction in fractions:
        top = torch.zeros(17, dtype=torch.bool)
        for start, end in zip(batch.ptr[:-1].tolist(), batch.ptr[1:].tolist(), strict=True):
            n = int((~batch.fixed[start:end]).sum())
            k = max(1, round(fraction * n)) if fraction and n else 0
            top[start + scores[start:end].argsort(descending=True, stable=True)[:k]] = True
        masks += [~top | batch.fixed, top | batch.fixed]
    expected = Packed.collate([batch.select(mask, positions="kept") for mask in masks])
    ours = batch.gather(index, ptr, positions="kept")
    assert_same(ours, expected)
    # Fixed units are in all of the copies.
    assert int(ours.fixed.sum()) == 6 * int(batch.fixed.sum()) > 0


def test_copies_of_nothing_are_nothing():
    bare = Packed(units=torch.arange(3), ptr=torch.tensor([0, 1, 3]))
    none = torch.zeros(0, dtype=torch.long)
    hollow = bare.gather(none, torch.zeros(5, dtype=torch.long), positions="fresh")
    assert (len(hollow), hollow.units.shape, hollow.y) == (4, (0,), None)
    assert len(bare.gather(none, torch.tensor([0]), positions="fresh")) == 0
    empty = Packed(units=none, ptr=torch.tensor([0]))
    assert_same(empty.gather(none, torch.tensor([0]), positions="fresh"), empty)


@pytest.mark.parametrize(
    ("index", "ptr", "error", "message"),
    [
        (torch.arange(3).int(), [0, 1, 3], TypeError, "'index' must be int64, got torch.int32"),
        (torch.zeros(1, 3, dtype=torch.long), [0, 1, 3], ValueError, r"'index' must be \[M\], got \(1, 3\)"),
        (torch.arange(3), [0, 1, 2, 3], ValueError, "'ptr' must be .* whole copies of the B=2 examples, got 4 offsets"),
        (torch.arange(3), [0, 1, 2], ValueError, "'ptr' must rise from 0 to the 3 units"),
        (torch.arange(3), [0, 2, 1], ValueError, "'ptr' must rise from 0 to the 3 units"),
        (torch.tensor([0, 2, 1]), [0, 1, 3], ValueError, "'index' must name .* in rising order"),
        (torch.tensor([0, 1, 1]), [0, 1, 3], ValueError, "'index' must name .* none twice"),
        (torch.tensor([0, 1, 2]), [0, 2, 3], ValueError, "'index' must name units of the example that each copy is of"),
        (torch.tensor([0, 1, 3]), [0, 1, 3], ValueError, "'index' must name units of the example that each copy is of"),
        (torch.tensor([-1, 1, 2]), [0, 1, 3], ValueError, "'index' must name units of the example that each copy is of"),
    ],
)
def test_copies_that_do_not_fit_are_named(index, ptr, error, message):
    with pytest.raises(error, match=message):
        Packed(units=torch.arange(3), ptr=torch.tensor([0, 1, 3])).gather(index, torch.tensor(ptr), positions="fresh")


def test_copies_of_chosen_examples_are_those_among_the_copies_of_all():
    batch = Packed.collate(several())
    masks = random_masks(batch)
    index, ptr = gathered(batch, masks)
    everything = batch.gather(index, ptr, positions="kept")
    chosen = torch.tensor([5, 0, 5, len(batch) * len(masks) - 1, 2])
    copy, unit = members(chosen, ptr)
    some = batch.gather(index[unit], offsets(lengths(ptr)[chosen]), positions="kept", rows=chosen % len(batch))
    keep = torch.zeros(everything.units.shape[0], dtype=torch.bool)
    for place, one in enumerate(chosen.tolist()):
        keep[:] = False
        keep[ptr[one] : ptr[one + 1]] = True
        alone = some.select(owners(some.ptr, some.units.shape[0]) == place, positions="kept")
        whole = everything.select(keep, positions="kept")
        assert alone.units.equal(whole.units)
        assert alone.position.equal(whole.position)
        assert alone.spans[:, 1:].equal(whole.spans[:, 1:])
        assert set(alone.spans[:, 0].tolist()) <= {place}
        assert (some.ids[place], int(some.y[place])) == (everything.ids[one], int(everything.y[one]))
    assert copy.tolist() == owners(some.ptr, some.units.shape[0]).tolist()


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (torch.tensor([0, 2]), ValueError, "'rows' must be of the B=2 examples, got 0 to 2"),
        (torch.tensor([0]), ValueError, r"'rows' must be \[R=2\]"),
        (torch.tensor([0, 1]).int(), TypeError, "'rows' must be int64"),
        (torch.tensor([1, 0]), ValueError, "'index' must name units of the example that each copy is of"),
    ],
)
def test_rows_that_do_not_fit_are_named(rows, error, message):
    batch = Packed(units=torch.arange(3), ptr=torch.tensor([0, 1, 3]))
    with pytest.raises(error, match=message):
        batch.gather(torch.arange(3), torch.tensor([0, 1, 3]), positions="fresh", rows=rows)
