"""Drawings of molecules and other graphs."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from graph.draw import graph_svg, molecule_svg

pytest.importorskip("rdkit")


def fills(svg):
    """Colours that areas are filled with; the letters of atoms are areas of their own."""
    return set(re.findall(r"fill:(#[0-9A-F]{6})", svg))


def test_a_molecule_is_an_element_that_says_what_it_shows():
    svg = molecule_svg("CCO", [0.0, 0.0, 0.0], title="ethanol <i>")
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg" or root.tag.endswith("}svg")
    assert root.attrib["aria-label"] == "ethanol <i>"
    assert "<i>" not in svg
    assert "<?xml" not in svg
    assert "END OF HEADER" not in svg


def test_the_weight_of_an_atom_is_how_dark_it_is():
    plain, half, full = (fills(molecule_svg("CCC", [weight, 0.0, 0.0], title="x")) for weight in (0.0, 0.5, 1.0))
    assert len(half - plain) == len(full - plain) == 1
    (pale,), (dark,) = half - plain, full - plain
    assert int(dark[5:], 16) < int(pale[5:], 16)  # less blue in the orange


def test_a_bond_is_as_dark_as_the_lighter_of_its_ends():
    # Atoms are circles (ellipse), bonds lie between them: two weighted neighbours add the shade of the lighter one.
    one = molecule_svg("CC", [1.0, 0.0], title="x")
    both = molecule_svg("CC", [1.0, 1.0], title="x")
    assert len(re.findall("#F5AA00", both)) > len(re.findall("#F5AA00", one)) + 1


def test_the_same_molecule_is_drawn_the_same():
    assert molecule_svg("c1ccccc1O", [0.3] * 7, title="x") == molecule_svg("c1ccccc1O", [0.3] * 7, title="x")


@pytest.mark.parametrize("smiles", ["", "C(", "not a molecule"])
def test_what_is_no_molecule_is_named(smiles, capfd):
    with pytest.raises(ValueError, match=re.escape(f"{smiles!r} is not a molecule in SMILES notation")):
        molecule_svg(smiles, [], title="x")
    assert capfd.readouterr() == ("", "")


def test_weights_must_fit_the_atoms():
    with pytest.raises(ValueError, match="'weights' must be one number for each of the 3 atoms, got 2"):
        molecule_svg("CCO", [1.0, 0.0], title="x")
    with pytest.raises(ValueError, match="'weights' must be one number for each of the 2 nodes, got 1"):
        graph_svg(2, [(0, 1)], [1.0], title="x")


def test_a_graph_shows_every_node_and_each_edge_once():
    svg = graph_svg(4, [(0, 1), (1, 0), (1, 2)], [0.0, 1.0, 0.5, 0.2], title="a graph")
    assert 'aria-label="a graph"' in svg
    assert svg == graph_svg(4, [(0, 1), (1, 0), (1, 2)], [0.0, 1.0, 0.5, 0.2], title="a graph")
    assert len(set(re.findall(r"opacity: (0\.\d+)", svg))) >= 3
    assert "<svg" in graph_svg(1, [], [1.0], title="alone")
    assert "<svg" in graph_svg(3, [], [1.0, 0.0, 0.0], title="apart")
