from rationalizers.data.silver import silver_pairs

WORDS = {"der": "the", "Hund": "dog", "Hase": "hare", "rennt": "runs", "schläft": "sleeps", "Ein": "a"}
TEXTS = [f"{a} {b} {c}." for a in ("der", "Ein") for b in ("Hund", "Hase") for c in ("rennt", "schläft")]


def said(text):
    return " ".join(WORDS[word.strip(".")] + "." * word.endswith(".") for word in text.split())


def test_words_that_always_come_together_are_aligned_in_any_order():
    train = [(text, said(text)) for text in TEXTS]
    (found,) = silver_pairs(train, [("ein Hase rennt.", "runs. a hare")])
    assert found.source == ("ein", "Hase", "rennt.")
    assert found.target == ("runs.", "a", "hare")
    assert found.sure == {(0, 1), (1, 2), (2, 0)}
    assert found.possible == frozenset()


def test_links_of_one_direction_are_possible():
    # Two words for one: it gives both, but only one of them can give it.
    train = [("Hund", "bow wow"), ("Hase", "hare"), ("Hund", "bow wow")]
    (found,) = silver_pairs(train, [("Hund", "bow wow")])
    assert len(found.sure) == len(found.possible) == 1
    assert found.sure | found.possible == {(0, 0), (0, 1)}
