"""The same in other words, and which word stands for which."""

import os
from pathlib import Path

import pytest
import torch

from rationalizers.data.document import Document
from rationalizers.data.eraser import Eraser
from rationalizers.data.text import Layout, TextFeaturizer
from rationalizers.data.words import WordFeaturizer
from rationalizers.levels import group
from rationalizers.rewording import SUBSTITUTIONS, reword
from tests.tiny import TinyCorpus


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("it is n't a film", "it is not a movie"),
        ("we ca n't , wo n't and sha n't", "we can not , will not and shall not"),
        ("I 'm sure they 're good", "I am sure they are good"),
        ("we ’ll do n’t", "we will do not"),
        ("FILM Film film fiLm", "MOVIE Movie movie fiLm"),
        ("Wo N'T CA n't", "Will NOT CAN not"),
        ("grey colours of the theater", "gray colors of the theatre"),
        ("50 % & more", "50 percent and more"),
        ("filming ca wo movie-goer 's 'd", "filming ca wo movie-goer 's 'd"),
        ("", ""),
    ],
)
def test_whole_words_become_others_in_their_case(before, after):
    assert " ".join(reword(before.split())) == after


def test_no_substitute_is_the_word_itself_or_more_than_one_word():
    for word, substitute in SUBSTITUTIONS.items():
        assert word == word.lower() != substitute
        assert len(substitute.split()) == 1
        assert len(reword((word,))) == 1
    # Spellings and synonyms lead back.
    both = {word for word, substitute in SUBSTITUTIONS.items() if SUBSTITUTIONS.get(substitute) == word}
    assert {"film", "movie", "grey", "gray"} <= both
    assert len(both) > 50


def fitted(*documents, **more):
    words = WordFeaturizer(min_count=1, **more)
    words.fit(documents)
    return words


DOCUMENT = Document(
    id="a",
    words=("a", "film", "is", "n't", "bad"),
    spans=((1, 2, 0),),
    query=("is", "the", "film", "bad"),
    fields={"sentence": [0, 0, 1, 1, 2], "weight": [0.5, 1.0, 1.5, 2.0, 2.5]},
)
PLAIN = Document(id="b", words=("nothing", "here"), query=("really",), fields={"sentence": [0, 1], "weight": [1.0, 2.0]})


def test_documents_are_read_again_with_their_facts():
    words = fitted(DOCUMENT, PLAIN, Document(id="c", words=("movie", "not")))
    batch = words.batch((DOCUMENT, PLAIN))
    found = words.reworded(batch)
    assert found.batch.words[0] == ("is", "the", "film", "bad", "<sep>", "a", "movie", "is", "not", "bad")
    assert found.batch.words[1] == batch.words[1]
    assert found.edits.tolist() == [2, 0]
    assert found.source.equal(torch.arange(batch.units.shape[0]))
    same = batch.units == found.batch.units
    assert (~same).nonzero().flatten().tolist() == [6, 8]
    for name in ("ptr", "fixed", "position", "index"):
        assert getattr(found.batch, name).equal(getattr(batch, name)), name
    for name in ("sentence", "weight", "word", "segment"):
        assert found.batch.fields[name].equal(batch.fields[name]), name
    assert found.batch.ids == batch.ids
    assert not found.batch.fields["evidence"].any()
    assert not found.batch.annotated.any()


def test_what_was_cut_off_before_stays_counted():
    words = fitted(DOCUMENT, PLAIN, max_words=2)
    batch = words.batch((DOCUMENT, PLAIN))
    assert batch.fields["sentences_cut"].unique().tolist() == [0, 2]
    assert words.reworded(batch).batch.fields["sentences_cut"].equal(batch.fields["sentences_cut"])


def test_no_example_depends_on_its_company():
    documents = TinyCorpus(query=True).load().splits["test"]
    words = fitted(*documents)
    batch = words.batch(documents)
    together = words.reworded(batch)
    for b, document in enumerate(documents):
        alone = words.reworded(words.batch([document]))
        assert alone.edits.tolist() == together.edits[b : b + 1].tolist() == [document.words.count("film")]
        assert alone.batch.units.equal(together.batch.units[batch.ptr[b] : batch.ptr[b + 1]])


class Letters(TextFeaturizer):
    """One unit per letter between two signs, the last letters cut off."""

    def fit(self, documents):
        raise NotImplementedError

    facts = units_of = save = load = fit

    def layout(self, document):
        inside = [(ord(sign), place) for place, word in enumerate(document.words) for sign in word][:14]
        units, word = zip((0, -1), *inside, (0, -1), strict=True)
        return Layout(torch.tensor(units), torch.tensor(word), (1, 1 + len(inside)))


def test_pieces_of_words_are_matched_by_their_words():
    letters = Letters()
    documents = [Document(id="a", words=tuple(text.split())) for text in ("he 'll film a dog", "oh", "we 've 'm a lot now")]
    batch = letters.batch(documents)
    found = letters.reworded(batch)
    assert [" ".join(words) for words in batch.words] == ["he 'll film a dog", "oh", "we 've 'm a lot now"]
    # `have` has a letter more, and `movie`, so that the last word of two no longer fits: partly, or at all.
    assert [" ".join(words) for words in found.batch.words] == ["he will movie a dog", "oh", "we have am a lot now"]
    # In the original, signs and words are counted together: 0 is the first sign, 1 `he`, 6 and 7 are signs, 8 `oh`, and so on.
    assert found.source.tolist() == [-1, 1, 2, 3, 4, 5, -1, -1, 8, -1, -1, 11, 12, 13, 14, 15, 16, -1]
    assert found.edits.tolist() == [2, 0, 2]


def test_words_that_no_longer_fit_stand_for_nothing():
    letters = Letters()
    batch = letters.batch([Document(id="a", words=("film", "film", "film", "it"))])
    found = letters.reworded(batch)
    assert found.batch.words == (("movie", "movie", "movie"),)
    assert found.source.tolist() == [-1, 1, 2, 3, -1]
    assert group(batch, "word").batch.units.shape == (6,)


def test_every_review_of_movies_has_something_to_reword():
    root = os.environ.get("RATIONALIZERS_DATA")
    if not root:
        pytest.skip("RATIONALIZERS_DATA is not set: no published data to check against")
    if not Path(root, "eraser", "movies").is_dir():
        pytest.skip(f"{root}/eraser/movies does not exist")
    reviews = Eraser(name="movies", splits={"train": None, "val": None}, download=False).load().splits["test"]
    edits = [sum(a != b for a, b in zip(each.words, reword(each.words), strict=True)) for each in reviews]
    assert min(edits) >= 1
    assert sorted(edits)[len(edits) // 2] == 16
