"""ERASER's numbers by hand, against a slow reading of their definitions, and against the table in docs/eraser.md."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, average_precision_score, classification_report, precision_recall_curve, roc_auc_score

from rationalizers.batch import Packed
from rationalizers.kernels.perturb import perturb
from rationalizers.metrics.eraser import PARITY, Hard, classification_scores, faithfulness_scores, hard_scores, soft_scores
from rationalizers.metrics.plausibility import SpanF1, TokenAUPRC, TokenF1
from rationalizers.rationale import Rationale
from rationalizers.segment import offsets

DOCS = Path(__file__).parent.parent.parent / "docs" / "eraser.md"
KINDS = ("precision", "recall", "f1")


def rows(spans):
    return torch.tensor(spans, dtype=torch.long).reshape(-1, 3)


def hard(predicted, gold, *, keys=None, scored=None):
    """Spans by key; where it is not said otherwise, every key has a prediction, if of nothing."""
    keys = 1 + max([span[0] for span in [*predicted, *gold]], default=-1) if keys is None else keys
    return Hard(
        predicted=rows(predicted),
        gold=rows(gold),
        scored=torch.ones(keys, dtype=torch.bool) if scored is None else torch.tensor(scored, dtype=torch.bool),
        annotated=torch.tensor([any(span[0] == key for span in gold) for key in range(keys)], dtype=torch.bool),
    )


def soft(*documents, **options):
    """From pairs of scores and truth."""
    scores = torch.tensor([score for pair in documents for score in pair[0]], dtype=torch.float64)
    truth = torch.tensor([bool(each) for pair in documents for each in pair[1]], dtype=torch.bool)
    return soft_scores(scores, truth, offsets(torch.tensor([len(pair[0]) for pair in documents])), **options)


# A slow reading of the definitions


def harmonic(p, r):
    return 0 if p == 0 or r == 0 else 2 * p * r / (p + r)


def by_key(spans):
    found = {}
    for key, start, end in spans:
        found.setdefault(key, set()).add((start, end))
    return found


def tokens_of(spans):
    return [(key, token, token + 1) for key, start, end in spans for token in range(start, end)]


def jaccard(a, b):
    a, b = set(range(*a)), set(range(*b))
    return len(a & b) / len(a | b) if a | b else 0


def matched(predicted, gold, name):
    """Micro and macro agreement of identical items."""
    p, g = by_key(predicted), by_key(gold)
    each = []
    for key in p.keys() | g.keys():
        ours, theirs = p.get(key, set()), g.get(key, set())
        both = len(ours & theirs)
        precision, recall = both / len(ours) if ours else 0, both / len(theirs) if theirs else 0
        each.append((precision, recall, harmonic(precision, recall)))
    both = sum(len(p[key] & g[key]) for key in p.keys() & g.keys())
    many, marked = sum(map(len, p.values())), sum(map(len, g.values()))
    precision, recall = both / many if many else 0, both / marked if marked else 0
    means = [sum(column) / len(each) for column in zip(*each, strict=True)] if each else [0, 0, 0]
    micro = dict(zip((f"{name}_{kind}" for kind in KINDS), (precision, recall, harmonic(precision, recall)), strict=True))
    return micro | dict(zip((f"{name}_{kind}_macro" for kind in KINDS), means, strict=True))


def overlapping(predicted, gold, threshold):
    p, g = by_key(predicted), by_key(gold)
    right = Counter()
    for key, spans in p.items():
        right[key] = sum(any(jaccard(span, other) >= threshold for other in g.get(key, ())) for span in spans)
    many, marked = sum(map(len, p.values())), sum(map(len, g.values()))
    found = {}
    precision, recall = right.total() / many if many else 0, right.total() / marked if marked else 0
    values = [(precision, recall, harmonic(precision, recall))]
    precision = sum(right[key] / len(spans) for key, spans in p.items()) / len(p) if p else 0
    recall = sum(right[key] / len(spans) for key, spans in g.items()) / len(g) if g else 0
    values.append((precision, recall, harmonic(precision, recall)))
    for suffix, three in zip(("", "_macro"), values, strict=True):
        found |= {f"iou_{kind}{suffix}@{threshold:g}": value for kind, value in zip(KINDS, three, strict=True)}
    return found


def oracle(predicted, gold, thresholds):
    numbers = matched(predicted, gold, "exact") | matched(tokens_of(predicted), tokens_of(gold), "token")
    for threshold in thresholds:
        numbers |= overlapping(predicted, gold, threshold)
    return numbers


SPAN = st.tuples(st.integers(0, 4), st.integers(0, 7), st.integers(0, 6)).map(lambda s: (s[0], s[1], s[1] + s[2]))
SPANS = st.lists(SPAN, max_size=12)
TAUS = (0.1, 0.25, 0.5, 2 / 3, 1.0)


@settings(max_examples=80, deadline=None)
@given(predicted=SPANS, gold=SPANS)
def test_parity_is_what_the_definitions_say(predicted, gold):
    expected = oracle(predicted, gold, TAUS)
    numbers = hard_scores(hard(predicted, gold, keys=6), thresholds=TAUS, parity="eraser")
    assert {name: numbers[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def drawn(seed):
    generator = np.random.default_rng(seed)
    documents = []
    for _ in range(12):
        n = int(generator.integers(1, 40))
        scores = generator.integers(-3, 4, n) / 3 if seed % 2 else generator.normal(size=n)
        documents.append((scores.tolist(), (generator.random(n) < generator.choice([0, 0.1, 0.5, 1])).tolist()))
    return documents


@pytest.mark.filterwarnings("ignore:No positive class")
@pytest.mark.parametrize("seed", range(10))
def test_curves_are_those_of_scikit_learn(seed):
    documents = drawn(seed)
    trapezoid = []
    for scores, truth in documents:
        precision, recall, _ = precision_recall_curve(truth, scores)
        trapezoid.append(auc(recall, precision))
    mixed = [(truth, scores) for scores, truth in documents if any(truth) and not all(truth)]
    expected = {
        "token_auprc": np.mean(trapezoid),
        "token_average_precision": np.mean([average_precision_score(*pair) for pair in mixed]),
        "token_roc_auc": np.mean([roc_auc_score(*pair) for pair in mixed]),
        "token_documents": len(mixed),
        "token_documents_skipped": len(documents) - len(mixed),
    }
    assert soft(*documents, parity="eraser") == pytest.approx(expected)
    expected["token_auprc"] = expected["token_average_precision"]
    assert soft(*documents) == pytest.approx(expected)


def test_infinite_scores_and_both_zeros_are_ranked():
    inf = float("inf")
    truth, scores = [1, 0, 1, 0, 1], [inf, 0.0, -0.0, -inf, -inf]
    # Behind the first, two that are equal, and then two more.
    assert soft((scores, truth))["token_average_precision"] == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert soft((scores, truth))["token_roc_auc"] == pytest.approx((1 + 3 / 4 + 1 / 4) / 3)


def test_scores_that_differ_beyond_single_precision_differ():
    assert soft(([0.1, 0.1 + 1e-12], [0, 1]))["token_average_precision"] == 1


def test_documents_without_any_kind_give_zero_and_are_counted():
    assert soft(([], []), ([1.0], [1])) == {
        "token_auprc": 0,
        "token_average_precision": 0,
        "token_roc_auc": 0,
        "token_documents": 0,
        "token_documents_skipped": 2,
    }
    assert soft(([], []), ([1.0], [1]), parity="eraser")["token_auprc"] == 1
    assert set(soft(([2.0, 1.0], [1, 0]), prefix="sentence")) == {
        f"sentence_{name}" for name in ("auprc", "average_precision", "roc_auc", "documents", "documents_skipped")
    }


# By hand


def test_spans_by_hand():
    found = hard_scores(hard([(0, 0, 4), (0, 6, 8), (1, 0, 1)], [(0, 2, 6), (0, 6, 8), (1, 0, 2)]), thresholds=(0.3, 0.5))
    # Tokens: 4 of 6 and 1 of 1 are right; 4 of 6 and 1 of 2 are found. Spans: IoU 1/3, 1 and 1/2.
    expected = {
        "exact_precision": 1 / 3,
        "exact_recall": 1 / 3,
        "exact_f1": 1 / 3,
        "exact_precision_macro": 1 / 4,
        "exact_recall_macro": 1 / 4,
        "exact_f1_macro": 1 / 4,
        "token_precision": 5 / 7,
        "token_recall": 5 / 8,
        "token_f1": 2 / 3,
        "token_precision_macro": 5 / 6,
        "token_recall_macro": 7 / 12,
        "token_f1_macro": 2 / 3,
        "iou_precision@0.3": 1,
        "iou_recall@0.3": 1,
        "iou_f1@0.3": 1,
        "iou_precision_macro@0.3": 1,
        "iou_recall_macro@0.3": 1,
        "iou_f1_macro@0.3": 1,
        "iou_precision@0.5": 2 / 3,
        "iou_recall@0.5": 2 / 3,
        "iou_f1@0.5": 2 / 3,
        "iou_precision_macro@0.5": 3 / 4,
        "iou_recall_macro@0.5": 3 / 4,
        "iou_f1_macro@0.5": 3 / 4,
        "keys": 2,
        "keys_without_evidence": 0,
        "keys_without_prediction": 0,
    }
    assert found == pytest.approx(expected)


def test_two_halves_of_a_span_find_it_once_twice_or_as_a_pair():
    halves = hard([(0, 0, 5), (0, 5, 10)], [(0, 0, 10)])
    names = [f"iou_{kind}@0.5" for kind in KINDS]
    for options, expected in (
        ({}, [1, 1, 1]),
        ({"parity": "eraser"}, [1, 2, 4 / 3]),
        ({"one_to_one": True}, [1 / 2, 1, 2 / 3]),
        ({"one_to_one": True, "parity": "eraser"}, [1 / 2, 1, 2 / 3]),
    ):
        found = hard_scores(halves, **options)
        assert [found[name] for name in names] == pytest.approx(expected)


def test_keys_without_evidence_are_left_out_and_count_with_parity():
    spans = hard([(0, 0, 1), (1, 0, 3)], [(0, 0, 1)], keys=3, scored=[1, 1, 0])
    ours, parity = hard_scores(spans), hard_scores(spans, parity="eraser")
    assert (ours["token_precision"], parity["token_precision"]) == (1, 1 / 4)
    assert (ours["token_f1_macro"], parity["token_f1_macro"]) == (1, 1 / 2)
    assert (ours["keys"], parity["keys"]) == (1, 2)
    assert (ours["keys_without_evidence"], ours["keys_without_prediction"]) == (2, 1)


def test_a_span_of_several_groups_counts_once_and_overlapping_groups_are_one_mass():
    once = hard([(0, 1, 3)], [(0, 1, 3), (0, 2, 6)])
    often = hard([(0, 1, 3), (0, 1, 3)], [(0, 2, 6), (0, 1, 3), (0, 1, 3)])
    for parity in (None, "eraser"):
        found = hard_scores(often, parity=parity)
        assert found == hard_scores(once, parity=parity)
        assert (found["exact_recall"], found["token_recall"]) == (1 / 2, 2 / 5)


@pytest.mark.parametrize("options", [{}, {"parity": "eraser"}, {"one_to_one": True}])
@pytest.mark.parametrize(("predicted", "gold"), [([], []), ([], [(0, 0, 2)]), ([(0, 0, 2)], [])])
def test_nothing_predicted_or_nothing_marked_is_zero(options, predicted, gold):
    found = hard_scores(hard(predicted, gold, keys=2), **options)
    assert {value for name, value in found.items() if not name.startswith("keys")} == {0.0}


def test_classes_are_scored_as_scikit_learn_does():
    labels = ["no", "yes", "maybe", "never"]
    generator = np.random.default_rng(0)
    gold, predicted = generator.integers(0, 3, 50), generator.integers(0, 3, 50)
    found = classification_scores(torch.from_numpy(predicted), torch.from_numpy(gold), labels)
    report = classification_report(gold, predicted, labels=range(4), target_names=labels, output_dict=True, zero_division=0)
    for kind, theirs in zip(KINDS, ("precision", "recall", "f1-score"), strict=True):
        assert found[f"macro_{kind}"] == pytest.approx(report["macro avg"][theirs])
        assert found[f"weighted_{kind}"] == pytest.approx(report["weighted avg"][theirs])
        for label in labels:
            assert found[f"class/{label}/{kind}"] == pytest.approx(report[label][theirs])
    assert found["accuracy"] == pytest.approx((gold == predicted).mean())
    assert found["class/never/support"] == 0


def test_the_order_of_labels_changes_no_number():
    predicted, gold = torch.tensor([0, 1, 2, 2]), torch.tensor([0, 2, 2, 1])
    there = classification_scores(predicted, gold, ["a", "b", "c"])
    back = classification_scores(2 - predicted, 2 - gold, ["c", "b", "a"])
    assert there == pytest.approx(back)


def test_a_side_without_probabilities_is_not_told():
    whole, part = torch.tensor([[0.7, 0.3]]), torch.tensor([[0.4, 0.6]])
    both = faithfulness_scores(whole, part, part, predicted=None)
    assert both["comprehensiveness"] == both["sufficiency"] == pytest.approx(0.3)
    assert set(faithfulness_scores(whole, part, None, predicted=None)) == {name for name in both if name[0] == "c"}
    assert set(faithfulness_scores(whole, None, part, predicted=None)) == {name for name in both if name[0] == "s"}
    flips = {"flips": torch.tensor([1]), "lengths": torch.tensor([4])}
    assert faithfulness_scores(whole, None, None, predicted=None, **flips) == {"tokens_to_flip": 0.25}


# The metrics of training mean the same


def batch_of(spans, sizes, annotated):
    n, ptr = sum(sizes), offsets(torch.tensor(sizes))
    truth = torch.zeros(n, dtype=torch.bool)
    for key, start, end in spans:
        truth[ptr[key] + start : ptr[key] + end] = True
    return Packed(
        units=torch.arange(n),
        ptr=ptr,
        fields={"evidence": truth},
        annotated=annotated,
        spans=torch.tensor([[*span, group] for group, span in enumerate(spans)]).reshape(-1, 4),
    )


@pytest.mark.parametrize("parity", [None, *PARITY])
@pytest.mark.parametrize("seed", range(8))
def test_metrics_of_units_and_of_spans_agree(parity, seed):
    generator = torch.Generator().manual_seed(seed)
    sizes = [6, 1, 9, 4, 12, 3, 5]
    n, ptr = sum(sizes), offsets(torch.tensor(sizes))
    mask = (torch.rand(n, generator=generator) < 0.5).float()
    scores = torch.randint(0, 5, (n,), generator=generator).float()
    gold = []
    for key, size in enumerate(sizes):
        for _ in range(int(torch.randint(0, 3, (), generator=generator))):
            start = int(torch.randint(0, size, (), generator=generator))
            gold.append((key, start, int(torch.randint(start + 1, size + 1, (), generator=generator))))
    rationale = Rationale(scores, mask, ptr)
    spans = hard(rationale.spans().tolist(), gold, keys=len(sizes))
    batch = batch_of(gold, sizes, spans.annotated)
    expected = hard_scores(spans, thresholds=(0.2, 0.5), parity=parity)
    units, runs, area = TokenF1(parity=parity), SpanF1((0.2, 0.5), parity=parity), TokenAUPRC(parity=parity)
    for metric in (units, runs, area):
        metric.update(rationale, batch)
    found = {name: float(value) for name, value in units.compute().items()}
    assert found.pop("examples_without_evidence") == expected["keys_without_evidence"]
    assert found == pytest.approx({name: value for name, value in expected.items() if name.startswith("token_")})
    found = {name: float(value) for name, value in runs.compute().items()}
    names = {"iou_f1@0.2": "iou_f1_macro@0.2", "iou_f1@0.5": "iou_f1_macro@0.5", "exact_f1": "exact_f1_macro"}
    assert found == pytest.approx({name: expected[theirs] for name, theirs in names.items()})
    told = soft_scores(scores, batch.fields["evidence"], ptr, parity=parity)
    assert float(area.compute()["auprc"]) == pytest.approx(told["token_auprc"])


def test_fixed_units_do_not_count_with_parity_either():
    fixed = torch.tensor([True, False, False, True])
    truth = torch.tensor([False, True, True, False])
    batch = Packed(units=torch.arange(4), ptr=torch.tensor([0, 3, 4]), fixed=fixed, fields={"evidence": truth})
    metric = TokenAUPRC(parity="eraser")
    metric.update(Rationale(torch.ones(4).masked_fill(fixed, -torch.inf), torch.zeros(4), batch.ptr), batch)
    # All that can be ranked is evidence, and an example with nothing to rank is none.
    assert float(metric.compute()["auprc"]) == float(metric.examples) == 1


# What is refused


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"predicted": rows([(0, 3, 2)])}, ValueError, r"'predicted' must hold keys below K=2 .* got \[0, 3, 2\] in row 0"),
        ({"predicted": rows([(0, 0, 1), (0, -1, 2)])}, ValueError, r"got \[0, -1, 2\] in row 1"),
        ({"gold": rows([(2, 0, 1)])}, ValueError, "'gold' must hold keys below K=2"),
        ({"gold": rows([(1, 0, 1)])}, ValueError, "'gold' has spans of key 1, for which 'annotated' is false"),
        ({"scored": torch.tensor([False, True])}, ValueError, "'predicted' has spans of key 0, for which 'scored' is false"),
        ({"gold": torch.zeros(0, 2).long()}, ValueError, r"'gold' must be \[S, 3\]"),
        ({"gold": torch.zeros(0, 3)}, TypeError, "'gold' must be int64"),
        ({"scored": torch.ones(2)}, TypeError, "'scored' must be bool"),
        ({"annotated": torch.ones(3, dtype=torch.bool)}, ValueError, r"must both be \[K\]"),
    ],
)
def test_spans_that_cannot_be_are_named(change, error, message):
    right = {
        "predicted": rows([(0, 0, 1)]),
        "gold": rows([(0, 0, 1)]),
        "scored": torch.tensor([True, True]),
        "annotated": torch.tensor([True, False]),
    }
    with pytest.raises(error, match=message):
        Hard(**{**right, **change})


@pytest.mark.parametrize(
    "call",
    [
        lambda: hard_scores(hard([], []), parity="script"),
        lambda: soft(([1.0], [1]), parity="script"),
        lambda: faithfulness_scores(torch.ones(1, 2), None, None, predicted=None, parity="script"),
        lambda: TokenF1(parity="script"),
        lambda: SpanF1(parity="script"),
        lambda: TokenAUPRC(parity="script"),
    ],
)
def test_an_unknown_parity_is_answered_with_the_known_ones(call):
    with pytest.raises(ValueError, match=r"'parity' must be None \(ours\) or one of eraser; got 'script'"):
        call()


def test_arrays_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"'thresholds' must lie in \(0, 1\], got \[0\.5, 0\]"):
        hard_scores(hard([], []), thresholds=(0.5, 0))
    with pytest.raises(ValueError, match="got NaN at unit 1 of document 1"):
        soft(([1.0], [1]), ([0.0, float("nan")], [0, 1]))
    with pytest.raises(ValueError, match=r"must both be \[N=3\], as 'ptr' has it; got \[2\] and \[2\]"):
        soft_scores(torch.zeros(2), torch.zeros(2).bool(), torch.tensor([0, 3]))
    with pytest.raises(ValueError, match=r"'predicted' must be classes below 2, as many as 'labels'; got \[0, 2\]"):
        classification_scores(torch.tensor([0, 2]), torch.tensor([0, 1]), ["a", "b"])
    with pytest.raises(ValueError, match="'labels' must be different class names"):
        classification_scores(torch.tensor([0]), torch.tensor([0]), ["a", "a"])
    with pytest.raises(ValueError, match=r"'predicted' and 'gold' must both be \[B\]"):
        classification_scores(torch.tensor([0]), torch.tensor([0, 1]), ["a", "b"])
    with pytest.raises(ValueError, match="'flips' and 'lengths' go together"):
        faithfulness_scores(torch.ones(1, 2), None, None, predicted=None, flips=torch.tensor([1]))


# The table of quirks


def of(name, *cases, **options):
    """One number of spans, with our definitions and with ERASER's."""
    return [[hard_scores(hard(*case, **options), parity=parity)[name] for parity in (None, "eraser")] for case in cases]


def constant(share):
    document = ([0.3] * 10, [place < share for place in range(10)])
    return [soft(document, parity=parity)["token_auprc"] for parity in (None, "eraser")]


def flipped():
    whole, counts = torch.ones(2, 2) / 2, {"flips": torch.tensor([2, 3]), "lengths": torch.tensor([10, 10])}
    found = [faithfulness_scores(whole, None, None, predicted=None, parity=parity, **counts) for parity in (None, "eraser")]
    return [each.get("tokens_to_flip") for each in found]


def in_both_parts():
    fixed = torch.zeros(100, dtype=torch.bool)
    index, _ = perturb(torch.arange(100), torch.tensor([0, 100]), fixed, (0.07,), fixed_count=0)
    return [len(set(index.tolist()))] * 2


def both(call):
    return [call(parity) for parity in (None, "eraser")]


RANKED = ([2.0, 1.0], [1, 0])
CASES = {
    1: lambda: of("iou_f1@0.5", ([(0, 0, 5), (0, 5, 10)], [(0, 0, 10)])),
    2: lambda: of("exact_f1_macro", ([(0, 0, 1), (1, 0, 1), (1, 5, 6)], [(0, 0, 1), (0, 5, 6), (1, 0, 1)])),
    3: lambda: of("iou_precision_macro@0.5", ([(0, 0, 2)], [(0, 0, 2), (1, 0, 2)]), scored=[1, 0]),
    4: lambda: of("token_f1", ([(1, 0, 2)], [(0, 0, 2), (1, 0, 2)])),
    5: lambda: [both(lambda parity: soft(RANKED, ([2.0, 1.0], [0, 0]), parity=parity)["token_auprc"])],
    6: lambda: [constant(5), constant(1)],
    7: lambda: [flipped()],
    8: lambda: of("exact_precision", ([(0, 0, 2), (0, 5, 5)], [(0, 0, 2)])),
    9: lambda: [[classification_scores(torch.tensor([0, 2]), torch.tensor([0, 1]), ["a", "b", "c"])["accuracy"]] * 2],
    10: lambda: [both(lambda parity: soft(RANKED, ([1.0, 2.0], [1, 0]), parity=parity)["token_average_precision"])],
    11: lambda: [in_both_parts()],
    12: lambda: of("token_precision", ([], [(0, 0, 2)])),
}


def documented():
    """Ours and parity's number of every row of the table, by quirk."""
    section = DOCS.read_text("utf-8").split("## Twelve quirks")[1].split("\n## ")[0]
    found = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.fullmatch(r"\d+", cells[0]):
            assert len(cells) == 7, line
            found.setdefault(int(cells[0]), []).append(cells[5:])
    return found


def test_every_quirk_of_the_table_has_a_case():
    assert sorted(documented()) == sorted(CASES) == list(range(1, 13))


@pytest.mark.parametrize("quirk", sorted(CASES))
def test_the_table_tells_what_its_cases_give(quirk):
    found = [["absent" if value is None else f"{value:.4f}" for value in pair] for pair in CASES[quirk]()]
    assert documented()[quirk] == found


def test_units_out_of_order_are_refused_as_parts():
    batch = Packed(units=torch.arange(4), ptr=torch.tensor([0, 4]))
    with pytest.raises(ValueError, match="in rising order"):
        batch.gather(torch.tensor([2, 0]), torch.tensor([0, 2]), positions="kept")


def test_every_number_is_documented():
    page = DOCS.read_text("utf-8")
    names = {name.partition("@")[0] for name in hard_scores(hard([], []))}
    for name in names:
        assert re.sub(r"_macro$|_f1(_macro)?$", "", name) in page, name
    assert all(f"`{name}`" in page for name in soft(([1.0], [1])))
