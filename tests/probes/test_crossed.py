import pytest
import torch

from rationalizers.language import TokenRationale, greedy_pair
from rationalizers.probes.crossed import _strange, crossed_probe
from tests.probes.models import pair

SOURCES = ["ein Hund läuft", "zwei Kinder spielen", "eine Frau liest", "ein Mann singt"]


@pytest.fixture(scope="module")
def opened():
    return pair(SOURCES, pieces=290)


def rationale(target, *order):
    return TokenRationale(target, 0, order, (0,) * len(order), (0.0,) * len(order), source=7)


@pytest.mark.parametrize(
    ("each", "expected"),
    [
        # Sources of 3 and 3 tokens and their end; translations of 2, at the places 1 and 2, then 3 and 4.
        (rationale(1, 7, 0, 2), (3, 0, None)),
        (rationale(2, 8, 3, 6, 1), (4, 1, None)),  # 3 is of the other source, 6 is its end
        (rationale(3, 9, 0, 4), (3, 1, 0)),  # the last token before the target is in any case
        (rationale(4, 10, 9, 8, 7, 5), (5, 0, 2)),  # 7 is what starts, 8 and 9 are of the first translation
    ],
)
def test_what_is_of_the_other_sentence_is_counted(each, expected):
    assert _strange(each, 7, (3, 2)) == expected


def test_sentences_are_put_in_a_row_and_their_rationales_counted(opened):
    model, tokenizer = opened
    found = crossed_probe(model, tokenizer, SOURCES, name="tiny", searches=["greedy", "everything"], most=3)
    end = model.model.config.eos_token_id
    read = [torch.tensor(tokenizer(each)["input_ids"]) for each in SOURCES]
    written = [model.write(each, most=3)[1:] for each in read]
    written = [each[:-1] if int(each[-1]) == end else each for each in written]
    counts = []
    for row in range(2):
        source = torch.cat([read[row][:-1], read[row + 2]])
        tokens = torch.cat([torch.tensor([model.model.config.decoder_start_token_id]), written[row], written[row + 2]])
        for each in greedy_pair(model, source, tokens):
            counts.append(_strange(each, len(source), (len(read[row]) - 1, len(written[row]))))
    assert found.facts == {"pairs": 2, "target_tokens": len(counts)}
    assert found.value("greedy", "length").value == pytest.approx(sum(length for length, _, _ in counts) / len(counts))
    assert found.value("greedy", "source_share").value == pytest.approx(sum(s > 0 for _, s, _ in counts) / len(counts))
    late = [t for _, _, t in counts if t is not None]
    assert found.value("greedy", "target_mean").value == pytest.approx(sum(late) / len(late))
    assert found.value("everything", "source_share").value == 1


def test_an_odd_number_of_sentences_is_refused(opened):
    with pytest.raises(ValueError, match="expected an even number, got 3"):
        crossed_probe(*opened, SOURCES[:3], name="tiny")
