import pytest
import torch

from rationalizers.data.alignments import Aligned
from rationalizers.language import greedy_pair
from rationalizers.metrics.alignment import alignment_error, coded_alignment_error
from rationalizers.probes.alignments import alignment_probe
from tests.probes.models import pair

PAIRS = [
    Aligned(("o", "zi", "frumoasă"), ("a", "nice", "day"), frozenset({(0, 0), (1, 2), (2, 1)}), frozenset({(0, 1)})),
    Aligned(("nu", "ştiu"), ("I", "do", "not", "know"), frozenset({(0, 2), (1, 3)}), frozenset()),
]


@pytest.fixture(scope="module")
def opened():
    return pair([" ".join(side) for each in PAIRS for side in (each.source, each.target)], pieces=290)


def test_everything_is_the_floor_that_can_be_counted(opened):
    found = alignment_probe(*opened, PAIRS, name="tiny", searches=["greedy", "everything"])
    assert found.facts == {"sentences": 2, "words": 5}
    words = [({0}, set(), 3), ({2}, {0}, 3), ({1}, set(), 3), ({0}, set(), 2), ({1}, set(), 2)]  # sure, possible, of how many
    assert found.value("everything", "length").value == pytest.approx(13 / 5)
    errors = [alignment_error(range(size), sure, possible) for sure, possible, size in words]
    assert found.value("everything", "aer").value == pytest.approx(sum(a for a, _ in errors) / sum(b for _, b in errors))
    coded = [coded_alignment_error(range(size), sure, possible) for sure, possible, size in words]
    assert found.value("everything", "aer_coded").value == pytest.approx(sum(coded) / 5)
    iou = [len(sure | possible) / size for sure, possible, size in words]
    assert found.value("everything", "iou").value == pytest.approx(sum(iou) / 5)


def test_numbers_of_greedy_search_are_those_of_its_rationales(opened):
    model, tokenizer = opened
    found = alignment_probe(model, tokenizer, PAIRS[1:], name="tiny", searches=["greedy"])
    ours, theirs = (tokenizer(" ".join(side), return_offsets_mapping=True) for side in (PAIRS[1].source, PAIRS[1].target))
    tokens = torch.tensor([model.model.config.decoder_start_token_id, *theirs["input_ids"]])
    sets = {2: set(), 3: set()}
    for place, (start, end) in enumerate(theirs["offset_mapping"], start=1):
        word = " ".join(PAIRS[1].target)[:end].count(" ") if end > start else None
        if word in sets:
            (each,) = greedy_pair(model, torch.tensor(ours["input_ids"]), tokens, [place])
            for i in each.order:
                if i < len(ours["input_ids"]) - 1:  # the last is the end
                    sets[word].add(" ".join(PAIRS[1].source)[: ours["offset_mapping"][i][1]].count(" "))
    assert found.value("greedy", "length").value == sum(map(len, sets.values())) / 2
    errors = [alignment_error(sets[2], {0}, set()), alignment_error(sets[3], {1}, set())]
    assert found.value("greedy", "aer").value == pytest.approx(sum(a for a, _ in errors) / sum(b for _, b in errors))


def test_a_random_ranking_is_the_same_for_a_seed(opened):
    first = [
        alignment_probe(*opened, PAIRS, name="tiny", searches=["random"], seed=seed).parts["random"]["top1"][0].tolist()
        for seed in (0, 0, 1, 2, 3)
    ]
    assert first[0] == first[1]
    assert any(each != first[0] for each in first[2:])


def test_another_search_is_named(opened):
    with pytest.raises(ValueError, match=r"one of the searches greedy, .*; got 'attention_rollout'"):
        alignment_probe(*opened, PAIRS, name="tiny", searches=["attention_rollout"])
