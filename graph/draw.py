"""Drawings of graphs with what a model pointed at: molecules by RDKit, other graphs by networkx."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from graph.smiles import parse_smiles
from rationalizers.extras import require
from rationalizers.report.figure import INK, MUTED, drawing

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes

# The colours of rationale and evidence in highlighted text.
SELECTED, MARKED = (245 / 255, 170 / 255, 0.0), (47 / 255, 125 / 255, 225 / 255)
SIZE = (320, 240)
LAID_OUT = 300


def molecule_svg(smiles: str, weights: Sequence[float], *, title: str, color: tuple[float, float, float] = SELECTED) -> Markup:
    """A molecule with each atom, and each bond between two, shaded by its weight.

    Args:
        smiles: whose atoms are in the order of the weights.
        weights: in [0, 1], one per atom; 0 leaves it white.
        title: what a screen reader says.
        color: of weight 1, red, green and blue in [0, 1].

    Raises:
        ValueError: the SMILES has no atoms, too many, or cannot be read, or there are not as many weights as atoms.
        ImportError: RDKit is not installed.
    """
    molecule, draw = parse_smiles(smiles), require("rdkit.Chem.Draw.rdMolDraw2D", extra="graph")
    if molecule.GetNumAtoms() != len(weights):
        raise ValueError(f"'weights' must be one number for each of the {molecule.GetNumAtoms()} atoms, got {len(weights)}")
    atoms = {atom: _shade(color, weight) for atom, weight in enumerate(weights) if weight > 0}
    bonds = {}
    for bond in molecule.GetBonds():
        weight = min(weights[bond.GetBeginAtomIdx()], weights[bond.GetEndAtomIdx()])
        if weight > 0:
            bonds[bond.GetIdx()] = _shade(color, weight)
    drawer = draw.MolDraw2DSVG(*SIZE)
    drawer.drawOptions().clearBackground = False
    drawer.drawOptions().fixedBondLength = 22
    draw.PrepareAndDrawMolecule(
        drawer,
        molecule,
        highlightAtoms=list(atoms),
        highlightAtomColors=atoms,
        highlightBonds=list(bonds),
        highlightBondColors=bonds,
    )
    drawer.FinishDrawing()
    return _element(drawer.GetDrawingText(), title)


def graph_svg(nodes: int, edges: Iterable[tuple[int, int]], weights: Sequence[float], *, title: str) -> Markup:
    """A graph with each node as large and as dark as its weight; the layout depends on the graph alone.

    Where nodes are more than `LAID_OUT`, they stand on a circle: a better place for each takes time with their third power.

    Args:
        nodes: how many.
        edges: pairs of nodes; both directions are drawn as one line.
        weights: in [0, 1], one per node.
        title: what a screen reader says.

    Raises:
        ValueError: there are not as many weights as nodes.
        ImportError: matplotlib or networkx is not installed.
    """
    if len(weights) != nodes:
        raise ValueError(f"'weights' must be one number for each of the {nodes} nodes, got {len(weights)}")
    networkx = require("networkx", extra="graph")
    picture: Any = networkx.Graph()
    picture.add_nodes_from(range(nodes))
    picture.add_edges_from(edges)
    layout = networkx.circular_layout if nodes > LAID_OUT else networkx.kamada_kawai_layout
    places = layout(picture) if nodes > 1 else {0: (0.0, 0.0)}

    def draw(axes: Axes) -> None:
        networkx.draw_networkx_edges(picture, places, ax=axes, edge_color=MUTED, width=1.2)
        for node, weight in enumerate(weights):
            x, y = places[node]
            axes.scatter([x], [y], s=18 + 90 * weight, color=INK, alpha=0.25 + 0.75 * weight, linewidths=0, zorder=3)
        axes.set_axis_off()

    return drawing(title, draw, size=(3.2, 2.4), legend=False)


def _shade(color: tuple[float, float, float], weight: float) -> tuple[float, float, float]:
    """The color mixed with white."""
    red, green, blue = (1 - min(1.0, weight) * (1 - part) for part in color)
    return red, green, blue


def _element(document: str, title: str) -> Markup:
    """An SVG document of RDKit as an element of a page, on white, since atoms have colours of their own."""
    markup = require("markupsafe", extra="report").Markup
    found = re.search(r"<svg .*?viewBox='([^']*)'>", document, flags=re.DOTALL)
    assert found is not None
    # Classes that nothing refers to, one for every atom.
    body = re.sub(r" class='[^']*'", "", document[found.end() :]).replace("<!-- END OF HEADER -->", "").strip()
    opening: Markup = markup('<svg class="molecule" role="img" viewBox="{}" aria-label="{}"><title>{}</title>')
    element: Markup = opening.format(found[1], title, title) + markup(body)
    return element
