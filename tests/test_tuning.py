import json
import math

import pytest
import torch
import transformers

from rationalizers.data.language import LanguageData
from rationalizers.language import CausalModel, PairModel
from rationalizers.sequence import explain_text, explain_translation, open_language_model
from rationalizers.tuning import WordDropout, tune
from tests.language.models import PAIR_SETTINGS, SETTINGS, saved

LINES = [
    f"{who} {does} the {what}" for who in ("she", "he") for does in ("saw", "had", "likes") for what in ("cat", "dog", "bird")
]


def files(folder, *, paired=False):
    """A corpus of a few sentences; a pair is a sentence and itself in capitals."""
    folder.mkdir(exist_ok=True)
    (folder / "a").write_text("\n".join(LINES), "utf-8")
    (folder / "b").write_text("\n".join(LINES).upper(), "utf-8")
    (folder / "a.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in LINES), "utf-8")
    kind, paths = ("ParallelFiles", ["a", "b"]) if paired else ("TextFiles", ["a.jsonl"])
    splits = {split: [str(folder / path) for path in paths] for split in ("train", "val", "test")}
    return {"_target_": f"rationalizers.data.texts.{kind}", **splits}


def config(tmp_path, *, paired=False, epochs=2, pretrained=None, **model):
    architecture = {"model_type": "gpt2", "n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 2}
    if paired:
        architecture = {**PAIR_SETTINGS["marian"], "model_type": "marian", "forced_eos_token_id": None}
        architecture = {key: value for key, value in architecture.items() if not key.endswith(("token_id", "vocab_size"))}
    return {
        "name": "tiny",
        "folder": str(tmp_path / "tiny"),
        "seed": 0,
        "trust": [],
        "model": {
            "_target_": "rationalizers.tuning.WordDropout",
            "model": {"pretrained": pretrained} if pretrained else {"architecture": architecture},
            "special": None if pretrained else "???",
            "optimizer": {"lr": 0.01},
            **model,
        },
        "data": {
            "_target_": "rationalizers.data.language.LanguageData",
            "corpus": files(tmp_path / "data", paired=paired),
            "tokenizer": {"pretrained": pretrained} if pretrained else {"pieces": 300},
            "longest": 24,
            "batch_size": 6,
        },
        "trainer": {"max_epochs": epochs, "patience": 9, "monitor": "val/loss", "mode": "min", "accelerator": "cpu"},
    }


def random_batch(lengths, *, sources=None, vocabulary=11):
    """Padded with tokens that would be seen if anything were."""
    batch = {"tokens": torch.randint(0, vocabulary, (len(lengths), max(lengths))), "length": torch.tensor(lengths)}
    if sources:
        batch |= {
            "source": torch.randint(0, vocabulary, (len(sources), max(sources))),
            "source_length": torch.tensor(sources),
        }
    return batch


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_with_words_missing_the_loss_is_that_of_the_oracle(kind, monkeypatch):
    model = WordDropout(model={"architecture": {**SETTINGS[kind], "model_type": kind}}, optimizer={"lr": 0.1}).double().eval()
    batch = random_batch([5, 8, 2])
    drawn = []
    keep = model._visible
    monkeypatch.setattr(model, "_visible", lambda *given: drawn.append(keep(*given)) or drawn[-1])
    logits, target = model(batch, mixture=1.0)
    oracle = CausalModel(model.model)
    rows = []
    for row, length in enumerate(batch["length"].tolist()):
        tokens = batch["tokens"][row, :length]
        for place in range(1, length):
            kept = drawn[0][row, :place].clone()
            kept[-1] = True
            rows.append((oracle.masked(tokens[:place], kept[None])[0], tokens[place]))
    torch.testing.assert_close(logits, torch.stack([each for each, _ in rows]), rtol=1e-4, atol=1e-5)
    assert target.tolist() == [int(each) for _, each in rows]
    assert not drawn[0][torch.arange(7) >= (batch["length"] - 1)[:, None]].any()  # nothing beyond the end


@pytest.mark.parametrize("kind", sorted(PAIR_SETTINGS))
def test_the_same_of_a_source_and_a_translation_which_draw_for_themselves(kind, monkeypatch):
    settings = {**PAIR_SETTINGS[kind], "model_type": kind}
    model = WordDropout(model={"architecture": settings}, optimizer={"lr": 0.1}).double().eval()
    batch = random_batch([5, 3], sources=[4, 6])
    drawn = []
    keep = model._visible
    monkeypatch.setattr(model, "_visible", lambda *given: drawn.append(keep(*given)) or drawn[-1])
    logits, target = model(batch, mixture=1.0)
    theirs, ours = drawn
    oracle, rows = PairModel(model.model), []
    for row, (length, size) in enumerate(zip(batch["length"].tolist(), batch["source_length"].tolist(), strict=True)):
        for place in range(1, length):
            late = theirs[row, :place].clone()
            late[-1] = True
            kept = torch.cat([ours[row, :size], late])[None]
            rows.append(oracle.masked(batch["source"][row, :size], batch["tokens"][row, :place], kept)[0])
    torch.testing.assert_close(logits, torch.stack(rows), rtol=1e-4, atol=1e-5)
    assert target.shape == (6,)


@pytest.mark.parametrize("kind", sorted(PAIR_SETTINGS))
def test_without_any_source_word_there_are_gradients_and_they_are_finite(kind, monkeypatch):
    settings = {**PAIR_SETTINGS[kind], "model_type": kind}
    model = WordDropout(model={"architecture": settings}, optimizer={"lr": 0.1}).train()
    monkeypatch.setattr(model, "_visible", lambda length, longest, mixture: torch.zeros(len(length), longest, dtype=torch.bool))
    loss, _ = model.loss(random_batch([5, 3], sources=[4, 6]), mixture=1.0)
    loss.backward()
    found = [each.grad for each in model.parameters() if each.grad is not None]
    assert found
    assert all(each.isfinite().all() for each in found)


def test_perplexity_is_that_of_the_model_itself():
    model = WordDropout(model={"architecture": {**SETTINGS["gpt2"], "model_type": "gpt2"}}, optimizer={"lr": 0.1}).eval()
    batches = [random_batch([5, 8]), random_batch([3])]
    total, count = 0.0, 0
    for batch in batches:
        for row, length in enumerate(batch["length"].tolist()):
            tokens = batch["tokens"][row, :length]
            logits = model.model(tokens[None]).logits[0, :-1].detach()
            total += float(torch.nn.functional.cross_entropy(logits, tokens[1:], reduction="sum"))
            count += length - 1
    found = model.measure(batches)
    assert found["perplexity"] == pytest.approx(math.exp(total / count), rel=1e-4)
    assert found["loss"] == pytest.approx((math.log(found["perplexity"]) + math.log(found["perplexity_missing"])) / 2)
    assert model.measure(batches) == found  # parts are the same every time


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    return tune(config(folder, epochs=4)), folder


def test_a_trained_model_is_a_folder_that_can_be_asked(tuned):
    folder, _ = tuned
    numbers = json.loads((folder / "metrics.json").read_text())
    assert numbers["after"]["perplexity"] < 0.5 * numbers["before"]["perplexity"]
    assert numbers["after"]["perplexity_missing"] < numbers["before"]["perplexity_missing"]
    model, tokenizer = open_language_model(str(folder / "model"))
    found = explain_text(model, tokenizer, "she saw the cat")
    assert "".join(found.tokens).strip() == "she saw the cat"
    assert all(each.certified == each.reached_argmax for each in found.rationales)
    assert not (folder / "checkpoints").exists()
    assert tune(config(folder.parent, epochs=4)) == folder  # finished already


def test_a_pretrained_model_goes_on(tuned, tmp_path):
    first, _ = tuned
    second = tune(config(tmp_path, pretrained=str(first / "model"), epochs=1))
    before = json.loads((second / "metrics.json").read_text())["before"]
    after = json.loads((first / "metrics.json").read_text())["after"]
    assert before == pytest.approx(after, rel=1e-4)


def test_an_encoder_decoder_learns_to_translate(tmp_path):
    folder = tune(config(tmp_path, paired=True, epochs=3))
    model, tokenizer = open_language_model(str(folder / "model"))
    assert isinstance(model, PairModel)
    found = explain_translation(model, tokenizer, "she saw the cat", target="SHE SAW THE CAT")
    assert found.rationales[-1].goal == tokenizer.eos_token_id  # the end is a target, too
    numbers = json.loads((folder / "metrics.json").read_text())
    assert numbers["after"]["perplexity"] < numbers["before"]["perplexity"]


def test_a_killed_training_ends_as_if_it_had_never_been(tuned, tmp_path, monkeypatch):
    whole, _ = tuned
    epochs = 0

    def stop(self):
        nonlocal epochs
        epochs += 1
        if epochs == 3:
            raise KeyboardInterrupt("killed")

    with monkeypatch.context() as patch:
        patch.setattr(WordDropout, "on_train_epoch_start", stop)
        with pytest.raises(KeyboardInterrupt, match="the same command resumes"):
            tune(config(tmp_path, epochs=4))
    again = tune(config(tmp_path, epochs=4))
    ours, theirs = (json.loads((each / "metrics.json").read_text()) for each in (again, whole))
    assert ours == theirs
    weights = [transformers.AutoModelForCausalLM.from_pretrained(each / "model").state_dict() for each in (again, whole)]
    for name in weights[0]:
        assert torch.equal(weights[0][name], weights[1][name]), name


def test_long_texts_are_cut_into_stretches(tmp_path):
    (tmp_path / "long.txt").write_text("word " * 100, "utf-8")
    splits = {split: [str(tmp_path / "long.txt")] for split in ("train", "val", "test")}
    corpus = {"_target_": "rationalizers.data.texts.TextFiles", **splits}
    data = LanguageData(corpus=corpus, tokenizer={"pieces": 300}, longest=16, batch_size=4)
    data.setup()
    rows = [batch["tokens"][i, :n] for batch in data.test_dataloader() for i, n in enumerate(batch["length"].tolist())]
    ids = [*data.tokenizer("word " * 100)["input_ids"], data.tokenizer.eos_token_id]
    assert sorted(token for row in rows for token in row.tolist()) == sorted(ids)
    assert max(map(len, rows)) == 16


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"pretrained": "./a", "architecture": {"model_type": "gpt2"}}}, "either 'pretrained' or 'architecture'"),
        ({"model": {}}, "either 'pretrained' or 'architecture'"),
        ({"model": {"architecture": {"model_type": "bert"}}}, "architecture 'bert' cannot be guaranteed"),
        ({"mixture": 2.0}, r"'mixture' must be in \[0, 1\], got 2.0"),
        ({"smoothing": 1.0}, r"'smoothing' must be in \[0, 1\), got 1.0"),
    ],
)
def test_a_bad_argument_is_named(changes, message):
    given = {"model": {"architecture": {"model_type": "gpt2"}}, "optimizer": {"lr": 0.1}, **changes}
    with pytest.raises(ValueError, match=message):
        WordDropout(**given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer": {"pieces": 300, "pretrained": "./a"}}, "either 'pretrained' or 'pieces'"),
        ({"longest": 1}, "'longest' must be at least 2"),
        ({"batch_size": 0}, "'batch_size' at least 1"),
    ],
)
def test_bad_data_is_named(tmp_path, changes, message):
    given = {"corpus": files(tmp_path), "tokenizer": {"pieces": 300}, "longest": 8, "batch_size": 2, **changes}
    with pytest.raises(ValueError, match=message):
        LanguageData(**given)


def test_a_tokenizer_without_an_end_is_named(tmp_path):
    folder = saved(tmp_path / "gpt2")
    data = LanguageData(corpus=files(tmp_path / "data"), tokenizer={"pretrained": folder}, longest=8, batch_size=2)
    with pytest.raises(ValueError, match=r"tokenizer of .*gpt2 has no token for the end of a text \(eos_token\)"):
        data.setup()


def test_a_split_without_texts_is_named(tmp_path):
    corpus = files(tmp_path) | {"val": []}
    data = LanguageData(corpus=corpus, tokenizer={"pieces": 300}, longest=8, batch_size=2)
    with pytest.raises(ValueError, match="no texts in val"):
        data.setup()
