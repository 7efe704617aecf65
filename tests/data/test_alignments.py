import pytest

from rationalizers.data.alignments import AlignedPairs, aligned_pairs, words_of_pieces


def write(root, pairs, links):
    (root / "pairs").write_text(pairs, "utf-8")
    (root / "links").write_text(links, "utf-8")
    return {"pairs": str(root / "pairs"), "links": str(root / "links")}


def test_links_are_counted_from_one_in_the_file_and_from_nought_here(tmp_path):
    found = aligned_pairs(**write(tmp_path, "ajunge !   ||| that 's enough !  \nda ||| yes\n", "1-3 2-4 1p1 1p3\n1-1\n"))
    assert found[0].source == ("ajunge", "!")
    assert found[0].target == ("that", "'s", "enough", "!")
    assert found[0].sure == {(0, 2), (1, 3)}
    assert found[0].possible == {(0, 0)}  # what is sure is not named twice
    assert found[1].possible == frozenset()


@pytest.mark.parametrize(
    ("pairs", "links", "message"),
    [
        ("a b ||| c\n", "3-1\n", r"links:1: expected i-j or ipj with words 1 to 2 and 1 to 1, got '3-1'"),
        ("a b ||| c\n", "0-1\n", "got '0-1'"),
        ("a b ||| c\n", "1_1\n", "got '1_1'"),
        ("a b ||| c\nd ||| \n", "1-1\n", "pairs:2: expected 'source ||| target'"),
        ("a b ||| c\nd ||| e\n", "1-1\n", "links:2: expected 2 lines, got 1"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, pairs, links, message):
    with pytest.raises(ValueError, match=message.replace("|", r"\|")):
        aligned_pairs(**write(tmp_path, pairs, links))


def test_pieces_belong_to_the_word_that_they_end_in():
    # "ab cde f" in pieces " ab", " c", "de", " f" and a special one, offsets with or without the space before a word.
    assert words_of_pieces([(0, 2), (2, 4), (4, 6), (7, 8), (0, 0)], ("ab", "cde", "f")) == [0, 1, 1, 2, None]


def test_the_published_set(data_root):
    found = aligned_pairs(root=str(data_root))
    assert (len(found), sum(len(each.sure) for each in found)) == (248, 6198)
    texts = AlignedPairs(root=str(data_root)).texts()
    assert texts["train"] == texts["test"]
    assert texts["train"][0] == (" ".join(found[0].source), " ".join(found[0].target))
