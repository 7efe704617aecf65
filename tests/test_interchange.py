import base64
import gzip
import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy
import pytest
import torch
from safetensors.torch import save

from rationalizers.interchange import from_ferret, from_inseq

NAN = float("nan")


@dataclass
class Token:
    token: str
    id: int


@dataclass
class Sequence:
    """The fields of inseq's FeatureAttributionSequenceOutput."""

    source: list
    target: list
    source_attributions: object = None
    target_attributions: object = None
    step_scores: dict = field(default_factory=dict)
    attr_pos_start: int = 0
    attr_pos_end: int | None = None


def tokens(text):
    return [Token(token, place) for place, token in enumerate(text.split())]


def output(*sequences):
    return SimpleNamespace(sequence_attributions=list(sequences), step_attributions=None, info={"model_name": "tiny"})


# A translation of four tokens into two: what the source has at each step, and its mean over steps .3, .7, .1, −.3.
MATRIX = [[0.2, 0.4], [0.9, 0.5], [0.0, 0.2], [-0.6, 0.0]]
SCORES = [0.3, 0.7, 0.1, -0.3]


def translation(attributions=None, **more):
    given = torch.tensor(MATRIX) if attributions is None else attributions
    return Sequence(tokens("the old cat </s>"), tokens("le chat"), given, attr_pos_end=2, **more)


def test_a_source_is_scored_by_the_mean_over_steps():
    found = from_inseq(output(translation()), share=0.5)
    assert found.tokens == (("the", "old", "cat", "</s>"),)
    assert found.rationale.scores.tolist() == pytest.approx(SCORES)
    assert found.rationale.mask.tolist() == [1, 1, 0, 0]
    assert found.rationale.ptr.tolist() == [0, 4]


def test_hidden_axes_are_reduced_to_their_length():
    hidden = torch.tensor([[[3.0, 4.0], [0.0, 1.0]], [[0.0, 0.0], [-2.0, 0.0]]])  # norms 5, 1 and 0, 2
    source = Sequence(tokens("a b"), tokens("x y"), hidden)
    assert from_inseq(output(source), share=1.0).rationale.scores.tolist() == [3, 1]
    layers = hidden[:, :, None].expand(-1, -1, 4, -1)  # four layers alike: twice the length
    assert from_inseq(output(Sequence(tokens("a b"), tokens("x y"), layers)), share=1.0).rationale.scores.tolist() == [6, 2]


def test_a_prompt_takes_the_place_of_a_source():
    # Two tokens are generated after a prompt of three; no token is attributed to itself or to what comes after.
    matrix = torch.tensor([[0.1, 0.3], [0.4, 0.6], [0.0, 0.2], [NAN, 9.0], [NAN, NAN]])
    sequence = Sequence(tokens("x y z"), tokens("x y z u v"), None, matrix, attr_pos_start=3, attr_pos_end=5)
    found = from_inseq(output(sequence), share=0.4)
    assert found.tokens == (("x", "y", "z"),)
    assert found.rationale.scores.tolist() == pytest.approx([0.2, 0.5, 0.1])
    assert found.rationale.mask.tolist() == [0, 1, 0]


def test_what_was_not_attributed_to_the_end_has_rows_up_to_there():
    sequence = Sequence(tokens("x y"), tokens("x y z u v"), None, torch.tensor([[0.1], [0.4], [NAN]]), {}, 2, 3)
    assert from_inseq(output(sequence), share=0.5).rationale.scores.tolist() == pytest.approx([0.1, 0.4])


def test_steps_without_an_attribution_do_not_count_and_tokens_without_any_cannot_be_selected():
    matrix = torch.tensor([[NAN, 0.5], [NAN, NAN], [0.25, NAN]])
    found = from_inseq(output(Sequence(tokens("a b c"), tokens("x y"), matrix)), share=1.0)
    assert found.rationale.scores.tolist() == [0.5, -torch.inf, 0.25]
    assert found.rationale.mask.tolist() == [1, 0, 1]


def test_sequences_are_packed_and_special_tokens_stay_out():
    second = Sequence(tokens("dogs </s>"), tokens("chiens"), torch.tensor([[0.1], [0.9]]))
    found = from_inseq(output(translation(), second), share=0.5, special={"</s>"})
    assert found.tokens == (("the", "old", "cat", "</s>"), ("dogs", "</s>"))
    assert found.rationale.ptr.tolist() == [0, 4, 6]
    assert found.rationale.mask.tolist() == [1, 1, 0, 0, 1, 0]  # half of three, half to even; at least one
    assert found.rationale.selectable.tolist() == [True, True, True, False, True, False]


def instance(name, **attributes):
    return {"__instance_type__": ["inseq.data.attribution", name], "attributes": attributes}


def saved(attributions):
    """What inseq's save() writes of the translation."""
    words = {
        name: [{"__instance_type__": ["inseq.utils.typing", "TokenWithId"], "attributes": vars(token)} for token in found]
        for name, found in (("source", tokens("the old cat </s>")), ("target", tokens("le chat")))
    }
    places = {"attr_pos_start": 0, "attr_pos_end": 2, "target_attributions": None, "step_scores": {}, "_aggregator": "scores"}
    sequence = instance("GranularFeatureAttributionSequenceOutput", source_attributions=attributions, **words, **places)
    return instance("FeatureAttributionOutput", sequence_attributions=[sequence], step_attributions=None, info={})


ARRAY = numpy.array(MATRIX, dtype=numpy.float32)
ABOUT = {"dtype": "float32", "shape": [4, 2], "Corder": True}
FORMS = {
    "safetensors": base64.b64encode(save({"attribution": torch.tensor(MATRIX)})).decode(),
    "half precision": base64.b64encode(save({"attribution": torch.tensor(MATRIX).half()})).decode(),
    "compact": {"__ndarray__": "b64:" + base64.b64encode(ARRAY.tobytes()).decode(), **ABOUT},
    "compressed": {"__ndarray__": "b64.gz:" + base64.b64encode(gzip.compress(ARRAY.tobytes())).decode(), **ABOUT},
    "lists": {"__ndarray__": MATRIX, **ABOUT},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["out.json", "out.json.gz"])
def test_saved_files_are_read_without_inseq(tmp_path, form, name):
    raw = json.dumps(saved(FORMS[form])).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    found = from_inseq(path, share=0.5)
    assert found.tokens == (("the", "old", "cat", "</s>"),)
    assert found.rationale.scores.tolist() == pytest.approx(SCORES, abs=1e-3)


def test_files_of_primitives_are_read(tmp_path):
    source, target = ([vars(token) for token in tokens(text)] for text in ("the old cat </s>", "le chat"))
    row = {"source": source, "target": target, "source_attributions": MATRIX, "attr_pos_start": 0, "attr_pos_end": 2}
    (tmp_path / "out.json").write_text(json.dumps({"sequence_attributions": [row], "info": {}}))
    assert from_inseq(str(tmp_path / "out.json"), share=0.5).rationale.scores.tolist() == pytest.approx(SCORES)


BROKEN = {
    "a row too few": (
        translation(torch.tensor(MATRIX[:3])),
        r"sequence 1: 'source_attributions' should be \[4, 2, …\].* got \[3, 2\]",
    ),
    "a column too many": (translation(torch.zeros(4, 3)), r"'source_attributions' should be \[4, 2, …\].* got \[4, 3\]"),
    "one axis": (translation(torch.zeros(4)), r"got \[4\]"),
    "no attributions": (
        Sequence(tokens("a"), tokens("b")),
        "expected 'source_attributions' or 'target_attributions', got neither",
    ),
    "no prompt": (Sequence([], tokens("a"), None, torch.zeros(1, 1)), "nothing comes before them; give a prompt"),
    "no numbers": (translation("AAAA"), r"sequence 1, source_attributions: expected an array of numbers.*save it again"),
    "objects": (translation({"__ndarray__": "b64:AAAA", "dtype": "object", "shape": [1]}), "the dtype 'object' is no number"),
    "a number": (translation(3), "expected an array of numbers, got int"),
    "no target": (SimpleNamespace(source=tokens("a")), "sequence 1 should have 'target', got SimpleNamespace"),
}


@pytest.mark.parametrize("defect", BROKEN)
def test_what_does_not_fit_is_an_error_that_names_the_sequence(defect):
    second, message = BROKEN[defect]
    with pytest.raises(ValueError, match=message):
        from_inseq(output(translation(), second), share=0.5)


def test_files_of_other_kinds_are_errors(tmp_path):
    (tmp_path / "out.json").write_text("{")
    with pytest.raises(ValueError, match=r"out\.json: expected JSON as inseq saves it"):
        from_inseq(tmp_path / "out.json", share=0.5)
    (tmp_path / "out.json").write_text('{"a": 1}')
    with pytest.raises(ValueError, match="should have 'sequence_attributions', got a; is this"):
        from_inseq(tmp_path / "out.json", share=0.5)
    with pytest.raises(FileNotFoundError, match="what inseq's save"):
        from_inseq(tmp_path / "none.json", share=0.5)


@dataclass
class Explanation:
    """The fields of ferret's Explanation."""

    text: str
    tokens: list
    scores: object
    explainer: str = "Partition SHAP"
    target: int = 1


GREAT = Explanation("great stuff", ["[CLS]", "great", "stuff", "[SEP]"], numpy.array([0.5, 0.25, -0.125, 0.0]))


def test_an_explanation_of_ferret_keeps_its_scores():
    found = from_ferret(GREAT, share=0.5)
    assert found.tokens == (("[CLS]", "great", "stuff", "[SEP]"),)
    assert found.rationale.scores.tolist() == [0.5, 0.25, -0.125, 0]
    assert found.rationale.mask.tolist() == [1, 1, 0, 0]


def test_several_explanations_are_packed():
    poor = Explanation("poor", ["[CLS]", "poor", "[SEP]"], [0.0, 1.0, 2.0])
    found = from_ferret([GREAT, poor], share=0.5, special=("[CLS]", "[SEP]"))
    assert found.rationale.ptr.tolist() == [0, 4, 7]
    assert found.rationale.mask.tolist() == [0, 1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Explanation("a", ["a", "b"], [0.5]), r"explanation 0: 'scores' should be \[2\], one per token, got \[1\]"),
        (Explanation("a", ["a"], [[0.5, 0.5]]), r"got \[1, 2\]; explain one target at a time"),
        (SimpleNamespace(tokens=["a"]), "explanation 0 should have 'scores', got SimpleNamespace"),
        ([], "expected at least one sequence, got none"),
    ],
)
def test_what_is_no_explanation_is_an_error(given, message):
    with pytest.raises(ValueError, match=message):
        from_ferret(given, share=0.5)


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_outside_its_range_is_an_error(share):
    with pytest.raises(ValueError, match=r"'share' must be in \(0, 1\], got"):
        from_ferret(GREAT, share=share)
