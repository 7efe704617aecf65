import pytest
import torch

from experiments.compatibility import main
from rationalizers import training
from rationalizers.compatibility import Compatibility, compatibility
from rationalizers.data.majority import Majority, perplexity_bound, probability_of_one
from rationalizers.load import load_rationalizer
from rationalizers.report.compatibility import compatibility_page
from rationalizers.training import train
from tests.report.page_check import Page
from tests.tiny import run_config

DECODER = {
    "_target_": "rationalizers.encoders.CausalEncoder",
    "architecture": {"model_type": "gpt2", "n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 2},
    "vocabulary": "???",
    "mask_id": "???",
}
MODEL = {
    "_target_": "rationalizers.methods.sequential.Sequential",
    "task": "???",
    "encoder": DECODER,
    "weights": {"language": 1.0},
    "optimizer": {"lr": 0.02},
    "answers": "???",
    "separator_id": "???",
}
CORPUS = {"_target_": "rationalizers.data.majority.Majority", "bits": 5, "train": 200, "val": 10, "test": 30}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "sequential"
    config = run_config(folder, data={"corpus": CORPUS}, max_epochs=3)
    config["method"] = {"name": "sequential", "model": MODEL}
    config["data"]["module"]["featurizer"] = {"_target_": "rationalizers.data.words.WordFeaturizer", "min_count": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "write_report", lambda folder: None)
        train(config)
    torch.use_deterministic_algorithms(False)
    return folder


def test_a_trained_model_has_a_rationale_for_every_word(run):
    trained = load_rationalizer(run)
    found = trained("0 1 1 0 1 =")
    # The first word has nothing before it.
    assert [each.target for each in found.targets] == [1, 2, 3, 4, 5]
    words = found.tokens
    for each in found.targets:
        assert each.order[0] == each.target - 1
        assert each.certified == each.reached_argmax
        assert each.rationale().mask.sum() == len(each.order)
    goals = {words[each.target]: each.goal for each in found.targets}
    assert len(set(goals.values())) == len(goals) == 3
    assert [each.goal for each in found.targets] == [goals[word] for word in words[1:]]
    several = trained(["0 1 =", "0 1 1 0 1 ="])
    assert several[1].targets == found.targets
    assert len(several[0].targets) == 2


def test_a_trained_model_explains_a_sequence(run):
    found = load_rationalizer(run)("0 1 1 0 1 =")
    assert found.tokens == ("0", "1", "1", "0", "1", "=")
    assert found.mask[-1]
    assert set(found.probabilities) == {"0", "1"}


def test_what_it_says_of_parts_is_what_it_says_of_texts_in_which_the_rest_is_missing(run):
    found, trained = compatibility(run, examples=8), load_rationalizer(run)
    documents = Majority(**{name: value for name, value in CORPUS.items() if name != "_target_"}).load().splits["test"]
    shown = torch.rand(8, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    assert len(found.truth) == len(found.said) == 8
    for document, row, truth, said in zip(documents, shown.tolist(), found.truth, found.said, strict=False):
        bits = [word for word, seen in zip(document.words, row, strict=False) if seen]
        assert truth == probability_of_one(bits.count("1"), len(bits), 5)
        whole = trained.featurizer.encode(document)
        lead = [True] * int(whole.fixed.sum())
        part = whole.select(torch.tensor([*lead, *row, True]), positions="kept")
        with torch.no_grad():
            p = trained.model.logits(part, torch.ones(len(part.units))).softmax(-1)[0, 1]
        assert said == pytest.approx(float(p), abs=1e-5)


def test_perplexity_lies_above_its_bound_and_below_guessing(run):
    found = compatibility(run)
    assert found.bound == perplexity_bound(5)
    assert found.bound < found.perplexity < 5
    assert len(found.truth) == 30
    assert found.error == pytest.approx(sum(abs(a - b) for a, b in zip(found.truth, found.said, strict=True)) / 30)


def test_it_is_the_same_in_other_company(run):
    one, other = compatibility(run), compatibility(run, batch_size=7)
    assert one.perplexity == pytest.approx(other.perplexity, rel=1e-5)


def test_another_run_is_refused(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "write_report", lambda folder: None)
        train(run_config(tmp_path / "run", max_epochs=1))
    torch.use_deterministic_algorithms(False)
    with pytest.raises(ValueError, match="trained with RNP on TinyCorpus; expected a run of method=sequential"):
        compatibility(tmp_path / "run", trust=["tests"])


def test_the_command_prints_a_table_and_writes_a_page(run, tmp_path, capsys):
    main([str(run), "--examples", "5", "--html", str(tmp_path / "page.html")])
    found = compatibility(run, examples=5)
    printed = capsys.readouterr().out
    for number in (found.error, found.perplexity, found.bound):
        assert f"{number:.3f}" in printed
    page = Page((tmp_path / "page.html").read_text("utf-8"))
    assert "svg" in page.tags
    assert found.name in page.text


def test_a_page_shows_every_run():
    found = [Compatibility(name, 1.9, 1.8, (0.0, 1.0), (0.5, 0.5)) for name in ("one <", "two")]
    page = Page(compatibility_page(found))
    assert ["one <", "0.500", "1.900", "1.800"] in page.rows
    assert ["two", "0.500", "1.900", "1.800"] in page.rows
