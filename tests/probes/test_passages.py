import pytest
import torch

from rationalizers.data.lambada import Passage
from rationalizers.language import greedy, in_order, rank
from rationalizers.probes import passages as module
from rationalizers.probes.passages import passages_probe
from tests.probes.models import causal

TEXTS = ("the cat sat on the mat and looked at the other cat", "he saw a dog before the other dog")
PASSAGES = [
    Passage(1, TEXTS[0], TEXTS[0].rindex("cat"), ((4, 7), (43, 46))),
    Passage(2, TEXTS[1], TEXTS[1].rindex("dog"), ((9, 12), (24, 29))),
]


@pytest.fixture(scope="module")
def opened():
    return causal(TEXTS, pieces=300)


def pieces(tokenizer, passage):
    """Ids, which of them are before the last word, and which of those touch an annotated span, by looking at characters."""
    read = tokenizer(passage.text, return_offsets_mapping=True)
    offsets = read["offset_mapping"]
    before = [i for i, (_, end) in enumerate(offsets) if end <= passage.target]
    inside = {i for i in before for start, end in passage.spans if set(range(*offsets[i])) & set(range(start, end))}
    return read["input_ids"], before, inside


def test_everything_is_the_floor_that_can_be_counted(opened):
    found = passages_probe(*opened, PASSAGES, name="tiny", searches=["greedy", "everything"])
    cut = [pieces(opened[1], passage) for passage in PASSAGES]
    length, iou = found.value("everything", "length"), found.value("everything", "iou")
    assert length.value == sum(len(before) for _, before, _ in cut) / 2
    assert iou.value == pytest.approx(sum(len(inside) / len(before) for _, before, inside in cut) / 2)
    pooled = 2 * sum(len(inside) for _, _, inside in cut) / sum(len(before) + len(inside) for _, before, inside in cut)
    assert found.value("everything", "f1").value == pytest.approx(pooled)
    assert found.value("everything", "iou_random").value == pytest.approx(iou.value)
    assert found.facts["annotated_pieces"] == sum(len(inside) for _, _, inside in cut)


def test_a_rationale_of_a_word_is_that_of_its_pieces_before_it(opened):
    model, tokenizer = opened
    found = passages_probe(model, tokenizer, PASSAGES, name="tiny", searches=["greedy", "last_attention"])
    for search in ("greedy", "last_attention"):
        lengths = []
        for passage in PASSAGES:
            ids, before, _ = pieces(tokenizer, passage)
            text, kept = torch.tensor(ids), set()
            for target in range(len(before), len(ids)):
                if search == "greedy":
                    (each,) = greedy(model, [text], [[target]])[0]
                else:
                    each = in_order(model, text, target, rank(model, text, target, search))
                kept |= set(each.order) & set(before)
            lengths.append(len(kept))
        assert found.value(search, "length").value == sum(lengths) / 2


def test_passages_whose_word_is_not_said_are_told_apart(opened, monkeypatch):
    monkeypatch.setattr(module, "says", lambda model, text, target: text.shape[0] < 10)
    sizes = [len(pieces(opened[1], passage)[0]) for passage in PASSAGES]
    assert min(sizes) < 10 <= max(sizes)
    found = passages_probe(*opened, PASSAGES, name="tiny", searches=["greedy", "everything"])
    assert found.facts["said"] == 1
    assert found.value("everything", "said_length").examples == 1


def test_progress_reaches_the_end(opened):
    told = []
    passages_probe(*opened, PASSAGES, name="tiny", searches=["greedy", "random"], progress=lambda *each: told.append(each))
    assert told[-1] == (4, 4)
    assert told == sorted(told)


def test_another_search_is_named(opened):
    with pytest.raises(ValueError, match=r"one of the searches greedy, .*; got 'best'"):
        passages_probe(*opened, PASSAGES, name="tiny", searches=["best"])
