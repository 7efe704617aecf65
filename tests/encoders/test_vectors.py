"""Pretrained vectors from files."""

import gzip

import pytest
import torch
from safetensors.torch import save_file

from rationalizers.encoders import GRUEncoder, read_vectors
from tests.encoders.tiny_transformers import VOCABULARY, WIDTH, saved

WORDS = ["<pad>", "<mask>", "film", "good", "at home"]


def write(tmp_path, text, name="vectors.txt"):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["vectors.txt", "vectors.txt.gz"])
@pytest.mark.parametrize("header", ["", "999 2\n"])
@pytest.mark.parametrize("end", ["\n", " \n", "\r\n"])
def test_vectors_are_found_in_every_published_form(tmp_path, name, header, end):
    lines = ["good 1 2", "unknown 9 9", "at home -0.5 1e-3", "film 3 4"]
    path = write(tmp_path, header + "".join(line + end for line in lines), name)
    found = read_vectors(path, WORDS, width=2)
    assert {row: vector.tolist() for row, vector in found.items()} == {
        3: [1, 2],
        4: pytest.approx([-0.5, 1e-3]),
        2: [3, 4],
    }


def test_unusual_words_and_a_missing_line_end_are_read(tmp_path):
    path = write(tmp_path, "é 1 2\n\u00a0 3 4\n\u0085 5 6\n“ 7 8")
    found = read_vectors(path, ["“", "é", "\u00a0", "\u0085"], width=2)
    assert {row: vector.tolist() for row, vector in found.items()} == {1: [1, 2], 2: [3, 4], 3: [5, 6], 0: [7, 8]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("film 1 2 3\ngood 1 2\n", "vectors.txt:2: expected a word and 3 values, got 2"),
        ("film 1 2 3\n\n", "vectors.txt:2: expected a word and 3 values, got 0"),
        ("9 3\nfilm 1\n", "vectors.txt:2: expected a word and 3 values, got 1"),
        ("film 1 2 x\n", "vectors.txt:1: expected 3 numbers after 'film': could not convert string to float: 'x'"),
    ],
)
def test_a_broken_line_is_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_vectors(write(tmp_path, text), WORDS, width=3)


def test_a_first_line_that_is_no_header_is_not_skipped(tmp_path):
    with pytest.raises(ValueError, match=r"vectors.txt:1: expected a word and 3 values, got 1"):
        read_vectors(write(tmp_path, "film 1\ngood 1 2 3\n"), WORDS, width=3)


def test_vectors_of_one_number_have_a_first_line_too(tmp_path):
    found = read_vectors(write(tmp_path, "film 1\ngood 2\n"), WORDS, width=1)
    assert {row: vector.tolist() for row, vector in found.items()} == {2: [1], 3: [2]}


# Word pieces ----------------------------------------------------------------------------------------------------------


def piece_gru(folder, **changes):
    arguments = {"vocabulary": VOCABULARY, "mask_id": 3, "embedding": WIDTH, "hidden": 8, "pretrained": str(folder), **changes}
    return GRUEncoder(**arguments)


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta"])
def test_a_gru_starts_from_the_word_piece_vectors_of_a_transformer(tmp_path, family):
    model = saved(tmp_path, family)
    gru = piece_gru(tmp_path)
    gru.initialize(())
    assert gru.table.weight.equal(model.get_input_embeddings().weight)
    assert gru.table.weight.requires_grad


def test_a_table_of_another_size_is_named(tmp_path):
    saved(tmp_path)
    with pytest.raises(ValueError, match=r"its word embeddings are \(40, 8\), the table to fill is \(40, 6\).*must be 8"):
        piece_gru(tmp_path, embedding=6).initialize(())


def test_weights_without_word_embeddings_are_named(tmp_path):
    saved(tmp_path)
    save_file({"other": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="expected one table of word embeddings, got none"):
        piece_gru(tmp_path).initialize(())


def test_two_sources_of_starting_values_are_one_too_many(tmp_path):
    with pytest.raises(ValueError, match="from 'vectors' or from 'pretrained', not from both"):
        piece_gru(tmp_path, vectors="glove.txt")
