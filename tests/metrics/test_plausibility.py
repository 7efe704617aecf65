"""Agreement with evidence, against scikit-learn and sets."""

from itertools import pairwise

import pytest
import torch
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from rationalizers.batch import Packed
from rationalizers.metrics.plausibility import SpanF1, TokenAUPRC, TokenF1, average_precision, best_iou, f1, ratio
from rationalizers.rationale import Rationale, select_all
from rationalizers.segment import offsets, segment_runs

INF = float("inf")
SEEDS = range(12)
METRICS = [TokenF1, SpanF1, TokenAUPRC]


def example(mask, truth, *, scores=None, spans=None, annotated=True, fixed=()):
    """One example; where no spans are given, they are the runs of the evidence."""
    mask, truth = torch.tensor(mask, dtype=torch.float32), torch.tensor(truth, dtype=torch.bool)
    hidden = torch.tensor([place in fixed for place in range(len(mask))], dtype=torch.bool)
    scores = mask.clone() if scores is None else torch.tensor(scores, dtype=torch.float32)
    ptr = torch.tensor([0, len(mask)])
    runs = segment_runs(truth, ptr).tolist()
    batch = Packed(
        units=torch.arange(len(mask)),
        ptr=ptr,
        fixed=hidden,
        fields={"evidence": truth},
        annotated=torch.tensor([annotated]),
        spans=torch.tensor([[0, *span, 0] for span in runs] if spans is None else [[0, *span] for span in spans])
        .long()
        .view(-1, 4),
    )
    return Rationale(scores.masked_fill(hidden, -INF), mask.masked_fill(hidden, 0.0), ptr), batch


def join(pairs):
    rationales, batches = zip(*pairs, strict=True)
    batch = Packed.collate(batches)
    return Rationale(torch.cat([r.scores for r in rationales]), torch.cat([r.mask for r in rationales]), batch.ptr), batch


def drawn(seed, count=9):
    """Random examples: without units, without evidence, unannotated, all evidence, tied scores, fixed units."""
    generator = torch.Generator().manual_seed(seed)

    def coins(n, share=0.5):
        return (torch.rand(n, generator=generator) < share).tolist()

    pairs = []
    for _ in range(count):
        n = int(torch.randint(0, 9, (), generator=generator))
        truth = coins(n, float(torch.rand((), generator=generator)) * 1.2)
        scores = torch.randint(0, 4, (n,), generator=generator).tolist()
        fixed = [place for place in range(n) if coins(1, 0.15)[0] and not truth[place]]
        pairs.append(example(coins(n), truth, scores=scores, annotated=coins(1, 0.8)[0], fixed=fixed))
    return pairs


def scored(metric, *batches):
    for rationale, batch in batches:
        metric.update(rationale, batch)
    return {name: float(value) for name, value in metric.compute().items()}


def pairs_of(rationale, batch):
    """(truth, chosen, scores) of the selectable units of every example that counts."""
    found = []
    for b, (start, end) in enumerate(pairwise(batch.ptr.tolist())):
        free = ~batch.fixed[start:end]
        truth = batch.fields["evidence"][start:end][free]
        if batch.annotated[b] and truth.any():
            found.append((truth.numpy(), rationale.selected[start:end][free].numpy(), rationale.scores[start:end][free].numpy()))
    return found


# What all three owe


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", SEEDS)
def test_batches_and_their_order_change_nothing(metric, seed):
    pairs = drawn(seed)
    whole = scored(metric(), join(pairs))
    assert scored(metric(), *pairs) == pytest.approx(whole, abs=1e-12)
    assert scored(metric(), join(pairs[5:]), join(pairs[:5])) == pytest.approx(whole, abs=1e-12)
    assert scored(metric(), join(pairs[::-1])) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_are_shares(metric, seed):
    numbers = scored(metric(), join(drawn(seed)))
    assert all(0 <= value <= 1 for name, value in numbers.items() if name != "examples_without_evidence")


@pytest.mark.parametrize("metric", METRICS)
def test_evidence_itself_is_perfect(metric):
    _, batch = join(drawn(1))
    truth = batch.fields["evidence"].float()
    oracle = Rationale(truth.masked_fill(batch.fixed, -INF), truth, batch.ptr)
    numbers = scored(metric(), (oracle, batch))
    numbers.pop("examples_without_evidence", None)
    assert set(numbers.values()) == {1.0}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("sizes", [(0,), (0, 0), (3,), (2, 0, 1)])
def test_without_a_counting_example_the_numbers_are_zero(metric, sizes):
    rationale, batch = join([example([1] * n, [0] * n) for n in sizes])
    numbers = scored(metric(), (rationale, batch))
    assert numbers.pop("examples_without_evidence", len(sizes)) == len(sizes)
    assert set(numbers.values()) == {0.0}


@pytest.mark.parametrize("metric", METRICS)
def test_an_empty_rationale_scores_zero_and_not_nothing(metric):
    numbers = scored(metric(), example([0, 0, 0], [0, 1, 1], scores=[3, 2, 1]))
    numbers.pop("examples_without_evidence", None)
    assert all(value == value for value in numbers.values())  # no NaN
    if metric is not TokenAUPRC:
        assert set(numbers.values()) == {0.0}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("skipped", [example([1, 0, 1], [0, 0, 0]), example([1, 0], [1, 1], annotated=False), example([], [])])
def test_examples_without_evidence_are_skipped(metric, skipped):
    kept = example([1, 1, 0, 0], [0, 1, 1, 0], scores=[4, 3, 2, 1])
    alone, beside = scored(metric(), kept), scored(metric(), join([skipped, kept, skipped]))
    if metric is TokenF1:
        assert (alone.pop("examples_without_evidence"), beside.pop("examples_without_evidence")) == (0, 2)
    assert beside == pytest.approx(alone)


@pytest.mark.parametrize("metric", METRICS)
def test_fixed_units_do_not_count(metric):
    bare = example([1, 1, 0, 0], [0, 1, 1, 0], scores=[4, 3, 2, 1])
    rationale, batch = example([0, 1, 1, 0, 0, 0], [0, 0, 1, 1, 0, 0], scores=[9, 4, 3, 2, 1, 9], fixed=(0, 5))
    assert scored(metric(), (rationale, batch)) == pytest.approx(scored(metric(), bare))


def test_evidence_on_fixed_units_is_no_evidence():
    rationale, batch = example([0, 1, 0], [1, 1, 0], fixed=(0,))
    assert scored(TokenF1(), (rationale, batch))["token_recall"] == 1
    for metric in METRICS:
        numbers = scored(metric(), example([0, 1, 0], [1, 0, 0], fixed=(0,)))
        assert numbers.pop("examples_without_evidence", 1) == 1
        assert set(numbers.values()) == {0.0}


def test_a_span_of_fixed_units_alone_does_not_count():
    numbers = scored(SpanF1(), example([0, 0, 1, 0], [1, 0, 1, 0], fixed=(0,)))
    assert numbers["exact_f1"] == 1


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(3))
def test_states_of_two_processes_add_up(metric, seed):
    pairs = drawn(seed)
    whole, left, right = metric(), metric(), metric()
    whole.update(*join(pairs))
    left.update(*join(pairs[:4]))
    right.update(*join(pairs[4:]))
    assert all(reduction is not None for reduction in left._reductions.values())
    left.merge_state(right)
    ours, theirs = ({name: float(v) for name, v in each.compute().items()} for each in (left, whole))
    assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_a_reset_metric_starts_over(metric):
    fresh = scored(metric(), join(drawn(2)))
    used = metric()
    scored(used, join(drawn(3)))
    used.reset()
    assert scored(used, join(drawn(2))) == pytest.approx(fresh)


# Units


@pytest.mark.parametrize("seed", SEEDS)
def test_token_f1_is_that_of_scikit_learn(seed):
    rationale, batch = join(drawn(seed))
    found = pairs_of(rationale, batch)
    truth, chosen = (torch.cat([torch.tensor(pair[side]) for pair in found]).numpy() for side in (0, 1))
    micro = precision_recall_fscore_support(truth, chosen, average="binary", zero_division=0)[:3]
    each = [precision_recall_fscore_support(t, c, average="binary", zero_division=0)[:3] for t, c, _ in found]
    macro = torch.tensor(each, dtype=torch.float64).mean(0).tolist()
    numbers = scored(TokenF1(), (rationale, batch))
    names = ("token_precision", "token_recall", "token_f1")
    assert [numbers[name] for name in names] == pytest.approx(list(micro))
    assert [numbers[f"{name}_macro"] for name in names] == pytest.approx(macro)
    assert numbers["examples_without_evidence"] == len(batch) - len(found)


def test_micro_pools_units_and_macro_averages_examples():
    numbers = scored(TokenF1(), join([example([1, 0], [1, 0]), example([1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 1])]))
    assert numbers["token_precision"] == pytest.approx(2 / 5)
    assert numbers["token_recall"] == pytest.approx(2 / 3)
    assert numbers["token_f1"] == pytest.approx(1 / 2)
    assert numbers["token_precision_macro"] == pytest.approx((1 + 1 / 4) / 2)
    assert numbers["token_recall_macro"] == pytest.approx((1 + 1 / 2) / 2)
    assert numbers["token_f1_macro"] == pytest.approx((1 + 1 / 3) / 2)


def test_more_than_half_of_a_soft_mask_is_selected():
    numbers = scored(TokenF1(), example([0.5, 0.51, 0.2], [1, 1, 0]))
    assert (numbers["token_precision"], numbers["token_recall"]) == (1, 0.5)


# Spans


def jaccard(left, right):
    left, right = set(range(*left)), set(range(*right))
    return len(left & right) / len(left | right)


def span_oracle(rationale, batch, threshold):
    """Macro F1 with units as sets."""
    precision, recall = [], []
    for b, (start, end) in enumerate(pairwise(batch.ptr.tolist())):
        if not batch.annotated[b] or not (batch.fields["evidence"] & ~batch.fixed)[start:end].any():
            continue
        runs = [tuple(run[1:]) for run in rationale.spans().tolist() if run[0] == b]
        gold = {tuple(span[1:3]) for span in batch.spans.tolist() if span[0] == b}
        for name, ours, theirs in ((precision, runs, gold), (recall, gold, runs)):
            hits = [any(jaccard(a, c) >= threshold for c in theirs) for a in ours]
            name.append(sum(hits) / len(hits) if hits else 0.0)
    p, r = (sum(values) / len(values) if values else 0.0 for values in (precision, recall))
    return 2 * p * r / (p + r) if p + r else 0.0


@pytest.mark.parametrize("seed", SEEDS)
def test_span_f1_is_that_of_sets(seed):
    rationale, batch = join(drawn(seed))
    numbers = scored(SpanF1(thresholds=(0.1, 0.5, 0.8)), (rationale, batch))
    expected = {f"iou_f1@{threshold}": span_oracle(rationale, batch, threshold) for threshold in (0.1, 0.5, 0.8)}
    assert numbers == pytest.approx({**expected, "exact_f1": span_oracle(rationale, batch, 1)})


@pytest.mark.parametrize("seed", SEEDS)
def test_best_iou_is_that_of_sets(seed):
    generator = torch.Generator().manual_seed(seed)
    sizes = [6, 4, 9]

    def spans(count):
        rows = []
        for _ in range(count):
            b = int(torch.randint(0, 3, (), generator=generator))
            start = int(torch.randint(0, sizes[b], (), generator=generator))
            rows.append([b, start, int(torch.randint(start + 1, sizes[b] + 1, (), generator=generator))])
        return torch.tensor(rows, dtype=torch.long).view(-1, 3)

    predicted, gold = spans(seed % 5), spans((seed * 7) % 4)

    def best(one, others):
        return max([jaccard(one[1:], other[1:]) for other in others.tolist() if other[0] == one[0]], default=0.0)

    ours, theirs = best_iou(predicted, gold, offsets(torch.tensor(sizes)))
    assert ours.tolist() == pytest.approx([best(one, gold) for one in predicted.tolist()])
    assert theirs.tolist() == pytest.approx([best(one, predicted) for one in gold.tolist()])


def test_spans_of_touching_examples_do_not_meet():
    rationale, batch = join([example([0, 1], [1, 0]), example([1, 0], [0, 1])])
    assert set(scored(SpanF1(), (rationale, batch)).values()) == {0.0}


def test_many_runs_in_one_span_do_not_raise_recall_above_one():
    # Each run covers 2 of 5 words: ERASER's own count would give the one span a recall of 2.
    numbers = scored(SpanF1(thresholds=(0.4,)), example([1, 1, 0, 1, 1], [1, 1, 1, 1, 1]))
    assert numbers == {"iou_f1@0.4": 1.0, "exact_f1": 0.0}


def test_adjacent_spans_are_two():
    truth, spans = [1, 1, 1, 1, 0], [(0, 2, 0), (2, 4, 0)]
    # One run over both: half of each, but neither exactly.
    assert scored(SpanF1(), example([1, 1, 1, 1, 0], truth, spans=spans)) == {"iou_f1@0.1": 1, "iou_f1@0.5": 1, "exact_f1": 0}
    # One of two found: precision 1, recall 1/2.
    numbers = scored(SpanF1(), example([1, 1, 0, 0, 0], truth, spans=spans))
    assert numbers["exact_f1"] == pytest.approx(2 / 3)


def test_a_span_of_several_groups_counts_once():
    truth = [1, 1, 0, 1, 0]
    once, often = ([(0, 2, 0), (3, 4, 0)], [(0, 2, 0), (0, 2, 1), (0, 2, 2), (3, 4, 0)])
    ours, theirs = (scored(SpanF1(), example([1, 1, 0, 0, 0], truth, spans=spans)) for spans in (once, often))
    assert ours == theirs
    assert ours["exact_f1"] == pytest.approx(2 / 3)


def test_the_same_place_in_two_examples_counts_twice():
    numbers = scored(SpanF1(), join([example([1, 0], [1, 0]), example([0, 1], [1, 0])]))
    assert numbers["exact_f1"] == pytest.approx(1 / 2)


def test_spans_below_on_and_above_a_threshold():
    # Two words of four: IoU exactly 1/2; one word of four: 1/4.
    assert scored(SpanF1(), example([1, 1, 0, 0], [1] * 4))["iou_f1@0.5"] == 1
    assert scored(SpanF1(), example([1, 0, 0, 0], [1] * 4)) == {"iou_f1@0.1": 1, "iou_f1@0.5": 0, "exact_f1": 0}


@pytest.mark.parametrize("thresholds", [(0.0,), (0.5, 1.2), (-0.1,)])
def test_thresholds_outside_their_range_are_named(thresholds):
    with pytest.raises(ValueError, match=r"'thresholds' must lie in \(0, 1\]"):
        SpanF1(thresholds=thresholds)


# Scores


@pytest.mark.parametrize("seed", SEEDS)
def test_auprc_is_the_mean_of_scikit_learn_over_documents(seed):
    rationale, batch = join(drawn(seed))
    expected = [average_precision_score(t, s) for t, _, s in pairs_of(rationale, batch) if not t.all()]
    assert scored(TokenAUPRC(), (rationale, batch))["auprc"] == pytest.approx(sum(expected) / max(1, len(expected)))


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_average_precision_of_long_documents_with_ties(levels):
    generator = torch.Generator().manual_seed(levels)
    sizes = [300, 1, 0, 450, 2]
    n = sum(sizes)
    scores = torch.randint(-levels, levels, (n,), generator=generator).float()
    truth = torch.rand(n, generator=generator) < 0.3
    found = average_precision(scores, truth, offsets(torch.tensor(sizes)))
    cuts = zip(scores.split(sizes), truth.split(sizes), strict=True)
    expected = [average_precision_score(t.numpy(), s.numpy()) if t.any() else 0.0 for s, t in cuts]
    assert found.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("share", [1, 3, 7])
def test_constant_scores_have_the_rate_of_evidence(share):
    truth = [place < share for place in range(10)]
    assert scored(TokenAUPRC(), example([0] * 10, truth, scores=[0.3] * 10))["auprc"] == pytest.approx(share / 10)


def test_auprc_by_hand():
    # Hits at ranks 1 and 3: (1 + 2/3) / 2; and the worst order of one hit in four.
    assert scored(TokenAUPRC(), example([0] * 4, [1, 0, 1, 0], scores=[4, 3, 2, 1]))["auprc"] == pytest.approx(5 / 6)
    assert scored(TokenAUPRC(), example([0] * 4, [1, 0, 0, 0], scores=[1, 2, 3, 4]))["auprc"] == pytest.approx(1 / 4)


def test_documents_with_evidence_everywhere_say_nothing_about_a_ranking():
    mixed = example([0, 0], [0, 1], scores=[2, 1])
    full = example([0, 0], [1, 1], scores=[2, 1])
    assert scored(TokenAUPRC(), join([mixed, full])) == scored(TokenAUPRC(), mixed) == {"auprc": 0.5}
    assert scored(TokenAUPRC(), full) == {"auprc": 0.0}


def test_the_order_of_the_scores_is_all_that_counts():
    rationale, batch = join(drawn(4))
    curved = Rationale((rationale.scores / 3).exp().where(rationale.selectable, rationale.scores), rationale.mask, batch.ptr)
    assert scored(TokenAUPRC(), (curved, batch)) == scored(TokenAUPRC(), (rationale, batch))


# Parts


def test_nothing_divided_is_zero():
    zero, one = torch.zeros(()), torch.ones(())
    assert ratio(zero, zero) == f1(zero, zero) == f1(zero, one) == 0
    assert f1(one, one) == ratio(one, one) == 1


def test_select_all_reaches_every_unit():
    _, batch = join(drawn(6))
    numbers = scored(TokenF1(), (select_all(batch.fixed, batch.ptr), batch))
    assert numbers["token_recall"] == numbers["token_recall_macro"] == 1
