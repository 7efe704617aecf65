"""SMILES strings, read by RDKit within bounds: beyond some ten thousand atoms it ends the process, or never ends."""

from __future__ import annotations

from typing import Any

from rationalizers.extras import require

# More than any molecule of MoleculeNet has. With 20,000, RDKit's writing of a string overflows the stack; drawing takes time
# that grows faster than with the square.
ATOMS_AT_MOST = 1000
LETTERS_AT_MOST = 20 * ATOMS_AT_MOST


def parse_smiles(smiles: str) -> Any:
    """The RDKit molecule of a SMILES string.

    Raises:
        TypeError: not a string.
        ValueError: RDKit cannot read it, it has no atoms, or more than `ATOMS_AT_MOST`.
        ImportError: RDKit is not installed.
    """
    if not isinstance(smiles, str):
        raise TypeError(f"'smiles' must be a string, got {type(smiles).__name__}")
    base, chem = require("rdkit.rdBase", extra="graph"), require("rdkit.Chem", extra="graph")
    molecule = None
    if len(smiles) <= LETTERS_AT_MOST:
        # RDKit explains itself on standard error, which belongs to whoever calls.
        with base.BlockLogs():
            molecule = chem.MolFromSmiles(smiles.strip())
    found = f"{len(smiles)} letters" if molecule is None else f"{molecule.GetNumAtoms()} atoms"
    if len(smiles) > LETTERS_AT_MOST or (molecule is not None and molecule.GetNumAtoms() > ATOMS_AT_MOST):
        raise ValueError(
            f"{smiles[:40]!r}… should have at most {ATOMS_AT_MOST} atoms and {LETTERS_AT_MOST} letters, got {found}; remove it"
        )
    if molecule is None or not molecule.GetNumAtoms():
        reason = "RDKit cannot read it" if molecule is None else "it has no atoms"
        raise ValueError(f"{smiles!r} is not a molecule in SMILES notation: {reason}; correct or remove it")
    return molecule
