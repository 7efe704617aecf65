"""Selecting words of several pieces and whole sentences."""

import math

import pytest
import torch

from rationalizers.batch import Packed
from rationalizers.levels import group, top_share
from rationalizers.metrics.floors import FLOORS, floors
from rationalizers.metrics.scores import Scores
from rationalizers.rationale import Rationale
from rationalizers.segment import segment_sum
from rationalizers.task import Classification

INF = math.inf


def pieces():
    """[CLS] q q2 [SEP] | a | b1 b2 | c | d1 d2 d3 [SEP], and [CLS] e | f1 f2 [SEP]; two sentences, one sentence."""
    word = [*[-1, 0, 0, -1, 2, 3, 3, 4, 5, 5, 5, -1], *[-1, 0, 1, 1, -1]]
    sentence = [*[-1, -1, -1, -1, 0, 0, 0, 1, 1, 1, 1, -1], *[-1, 0, 0, 0, -1]]
    fixed = [*[1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1], *[1, 0, 0, 0, 1]]
    evidence = [*[0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], *[0, 0, 1, 1, 0]]
    return Packed(
        units=torch.arange(17),
        ptr=torch.tensor([0, 12, 17]),
        y=torch.tensor([0, 1]),
        fixed=torch.tensor(fixed, dtype=torch.bool),
        fields={
            "word": torch.tensor(word),
            "sentence": torch.tensor(sentence),
            "evidence": torch.tensor(evidence, dtype=torch.bool),
        },
        spans=torch.tensor([[0, 5, 7, 0], [1, 2, 4, 0]]),
    )


def rationale(mask, level):
    mask = torch.tensor(mask, dtype=torch.float)
    return Rationale(mask.masked_fill(pieces().fixed, -INF), mask, pieces().ptr, level=level)


def test_words_are_runs_of_their_pieces():
    words = group(pieces(), "word").batch
    assert words.units.tolist() == [0, 1, 3, 4, 5, 7, 8, 11, 12, 13, 14, 16]  # first piece of each
    assert words.ptr.tolist() == [0, 8, 12]
    assert words.position.tolist() == [0, 1, 3, 4, 5, 7, 8, 11, 0, 1, 2, 4]
    assert words.fixed.tolist() == [True] * 3 + [False] * 4 + [True] + [True, False, False, True]
    assert words.fields["evidence"].nonzero().flatten().tolist() == [4, 10]
    assert words.spans.tolist() == [[0, 4, 5, 0], [1, 2, 3, 0]]


def test_sentences_are_runs_of_their_units():
    sentences = group(pieces(), "sentence").batch
    assert sentences.units.tolist() == [0, 4, 7, 11, 12, 13, 16]
    assert sentences.fields["evidence"].tolist() == [False, True, False, False, False, True, False]


def test_units_and_batches_without_pieces_stay_as_they_are():
    packed = pieces()
    assert group(packed, "unit").owner.tolist() == list(range(17))
    bare = Packed(units=packed.units, ptr=packed.ptr)
    assert group(bare, "word").owner.tolist() == list(range(17))


def test_a_batch_without_sentences_is_named():
    with pytest.raises(ValueError, match=r"selecting sentences needs batch.fields\['sentence'\]; this batch has none"):
        group(Packed(units=torch.arange(2), ptr=torch.tensor([0, 2])), "sentence")
    with pytest.raises(ValueError, match="'level' must be one of unit, word, sentence; got 'page'"):
        group(pieces(), "page")


def test_what_a_group_has_its_units_have():
    packed = pieces()
    groups = group(packed, "word")
    scores = torch.randn(17).masked_fill(packed.fixed, -INF)
    back = groups.spread(groups.gather(Rationale(scores, torch.zeros(17), packed.ptr)), packed)
    for g in range(12):
        own = groups.owner == g
        assert (back.scores[own] == scores[own].max()).all()
    assert back.level == "word"


def test_a_share_of_words_counts_words_and_weighs_their_mean():
    # Four words: a .2, b (.3, .3), c .35, d (.1, .1, .9), so d has the largest mean and then c, b, a.
    weights = torch.tensor([9.0] * 4 + [0.2, 0.3, 0.3, 0.35, 0.1, 0.1, 0.9, 9.0] + [9.0, 0.1, 0.3, 0.3, 9.0])
    found = top_share(weights, pieces(), share=0.5, level="word")
    assert found.selected.nonzero().flatten().tolist() == [7, 8, 9, 10, 14, 15]
    assert found.scores[8].item() == pytest.approx(math.log(1.1 / 3))
    assert not found.selectable[pieces().fixed].any()


def test_a_share_of_units_counts_units():
    weights = torch.arange(17).float()
    found = top_share(weights, pieces(), share=0.3, level="unit")
    assert found.selected.nonzero().flatten().tolist() == [9, 10, 15]  # round(2.1) of 7, round(.9) of 3


def test_a_share_of_sentences_takes_whole_ones_and_at_least_one():
    weights = torch.tensor([9.0] * 4 + [0.5, 0.0, 0.0, 0.2, 0.2, 0.2, 0.2, 9.0] + [9.0, 0.1, 0.3, 0.3, 9.0])
    found = top_share(weights, pieces(), share=0.2, level="sentence")
    assert found.selected.nonzero().flatten().tolist() == [7, 8, 9, 10, 13, 14, 15]  # mean .2 beats mean 1/6


def test_rounding_is_half_to_even_and_never_to_none():
    packed = Packed(units=torch.arange(16), ptr=torch.tensor([0, 5, 15, 16]))
    found = top_share(torch.ones(16), packed, share=0.25, level="unit")
    assert found.size().tolist() == [1.0, 2.0, 1.0]  # 1.25, 2.5, .25


def test_lost_groups_count_and_take_their_place():
    packed = Packed(units=torch.arange(10), ptr=torch.tensor([0, 5, 10]))
    found = top_share(torch.ones(10), packed, share=0.5, level="unit", lost=torch.tensor([1, 5]))
    assert found.size().tolist() == [2.0, 0.0]  # round(3) − 1, round(5) − 5


def test_the_mask_passes_no_gradient():
    weights = torch.rand(17, requires_grad=True)
    found = top_share(weights, pieces(), share=0.5, level="word")
    assert not found.mask.requires_grad
    assert not found.scores.requires_grad


@pytest.mark.parametrize("level", ["word", "sentence"])
def test_floors_select_as_many_whole_groups(level):
    packed = pieces()
    chosen = [0] * 7 + [1, 1, 1, 1, 0] + [0, 1, 1, 1, 0] if level == "sentence" else [0] * 5 + [1, 1] + [0] * 7 + [1, 1, 0]
    groups = group(packed, level)
    wanted = segment_sum(groups.gather(rationale(chosen, level)).mask, groups.batch.ptr)
    for name, floor in floors(rationale(chosen, level), packed).items():
        got = groups.gather(floor)
        assert floor.level == level
        assert groups.spread(got, packed).mask.equal(floor.mask), name  # whole groups
        if name != "all":
            assert got.size().equal(wanted), name
    assert tuple(floors(rationale(chosen, level), packed)) == FLOORS


def test_scores_count_words_unless_units_were_selected():
    # Word b (two pieces) and word e are selected; b and f (two pieces) are evidence.
    chosen = [0] * 5 + [1, 1] + [0] * 5 + [0, 1, 0, 0, 0]
    scores = {}
    for level in ("unit", "word"):
        collected = Scores(Classification(labels=["a", "b"]), floors=True)
        collected.update(torch.zeros(2, 2), rationale(chosen, level), pieces())
        scores[level] = collected.compute()
    assert scores["word"]["token_precision"] == pytest.approx(1 / 2)
    assert scores["unit"]["token_precision"] == pytest.approx(2 / 3)
    assert scores["word"]["token_recall"] == scores["unit"]["token_recall"] == pytest.approx(1 / 2)
    assert scores["word"]["selected_share"] == pytest.approx((1 / 4 + 1 / 2) / 2)
    assert scores["word"]["floor/all/token_precision"] == pytest.approx(2 / 6)
    assert scores["unit"]["floor/all/token_precision"] == pytest.approx(4 / 10)
    assert not any("sentence" in name for each in scores.values() for name in each)


def test_scores_count_sentences_where_sentences_were_selected():
    chosen = [0] * 7 + [1, 1, 1, 1, 0] + [0, 1, 1, 1, 0]
    collected = Scores(Classification(labels=["a", "b"]), floors=True)
    collected.update(torch.zeros(2, 2), rationale(chosen, "sentence"), pieces())
    numbers = collected.compute()
    assert numbers["sentence_precision"] == numbers["sentence_recall"] == pytest.approx(1 / 2)
    assert numbers["sentence_f1_macro"] == pytest.approx(1 / 2)
    assert numbers["floor/oracle/sentence_f1"] == pytest.approx(1.0)
    assert numbers["floor/all/sentence_precision"] == pytest.approx(2 / 3)
    assert numbers["token_precision"] == pytest.approx(1 / 4)  # c d e f, of which f
    collected.reset()
    assert collected.compute() == {}
