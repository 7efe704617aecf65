import pytest
import torch

from rationalizers.data.analogies import Agreement
from rationalizers.language import exhaustive, greedy
from rationalizers.probes import agreement as module
from rationalizers.probes.agreement import agreement_probe
from tests.probes.models import causal

TEXT = "she was in Rome. (it rained.) they like Italy"


def sentence(text):
    start, end, word = text.index("("), text.index(")") + 1, text.index("Rome")
    return Agreement("capital", text, (word, word + 4), (start, end), text.rindex(" ") + 1)


SENTENCES = [sentence(TEXT), sentence(TEXT.replace("was", "sat")), sentence(TEXT.replace("like", "see"))]


@pytest.fixture(scope="module")
def opened():
    return causal([each.text for each in SENTENCES], pieces=320)


@pytest.fixture
def all_said(monkeypatch):
    monkeypatch.setattr(module, "says", lambda model, text, target: True)


def test_everything_has_the_antecedent_and_the_distractor(opened, all_said):
    found = agreement_probe(*opened, SENTENCES, name="tiny", searches=["greedy", "everything"], exhaustive=0)
    assert found.facts == {"sentences": 3, "asked": 3, "exhaustive": 0}
    assert found.value("everything", "antecedent").value == 1
    assert found.value("everything", "no_distractor").value == 0
    sizes = [len(opened[1](each.text)["input_ids"]) - 1 for each in SENTENCES]
    assert found.value("everything", "length").value == sum(sizes) / 3


def test_numbers_of_greedy_search_are_those_of_its_rationales(opened, all_said):
    model, tokenizer = opened
    found = agreement_probe(model, tokenizer, SENTENCES, name="tiny", searches=["greedy"], exhaustive=1, max_size=4)
    rows = []
    for each in SENTENCES:
        read = tokenizer(each.text, return_offsets_mapping=True)
        text = torch.tensor(read["input_ids"])
        words = [each.text[slice(*place)].strip() for place in read["offset_mapping"]]
        (rationale,) = greedy(model, [text], [[len(words) - 1]])[0]
        least = exhaustive(model, text, len(words) - 1, max_size=4)
        first, last = (next(i for i, word in enumerate(words) if sign in word) for sign in "()")
        inside = set(range(first, last + 1))
        rows.append((rationale, words.index("Rome"), inside, least))
    assert found.value("greedy", "antecedent").value == sum(place in each.order for each, place, _, _ in rows) / 3
    assert found.value("greedy", "no_distractor").value == sum(not inside & set(each.order) for each, _, inside, _ in rows) / 3
    assert found.value("greedy", "enough").value == sum(each.reached_argmax for each, *_ in rows) / 3
    known = [(len(each.order), len(least.order)) for each, _, _, least in rows if least]
    assert found.facts["exhaustive"] == len(known)
    if known:
        assert found.value("greedy", "ratio").value == pytest.approx(sum(a / b for a, b in known) / len(known))
        assert found.value("exhaustive", "length").value == pytest.approx(sum(b for _, b in known) / len(known))


def test_sentences_that_the_model_does_not_end_so_are_left_out(opened, monkeypatch):
    # One is said with the distractor alone, one without it alone, one in both ways.
    answers = iter([True, False, False, True, True])
    monkeypatch.setattr(module, "says", lambda model, text, target: next(answers))
    found = agreement_probe(*opened, SENTENCES, name="tiny", searches=["greedy"], exhaustive=0)
    assert found.facts["asked"] == 1
    assert found.parts["greedy"]["length"][0].shape == (1,)


def test_words_of_several_pieces_are_left_out(opened, all_said):
    other = sentence(TEXT.replace("Italy", "Liechtenstein"))
    found = agreement_probe(*opened, [*SENTENCES, other], name="tiny", searches=["greedy"], exhaustive=0)
    assert found.facts["asked"] == 3
