"""Molecules whose atoms are known to cause their label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graph.batch import Graph
from graph.data.corpus import GraphCorpus, GraphSource, measured
from graph.data.featurize import molecule_graph
from graph.data.molecules import answered
from graph.data.tables import existing
from graph.data.targets import yes_or_no
from graph.smiles import parse_smiles
from rationalizers.data.download import data_root
from rationalizers.data.records import broken, records, value

FILE = "mol_attribution/benzene.jsonl.gz"
ORIGIN = "https://github.com/google-research/graph-attribution, as lines of id, smiles, label, split and atom_attributions"


class Benzene(GraphSource):
    """12,000 molecules, half of them with a benzene ring, from ``<root>/mol_attribution/benzene.jsonl.gz``.

    "Evaluating Attribution for Graph Neural Networks", NeurIPS 2020,
    https://proceedings.neurips.cc/paper/2020/hash/417fbbf2e9d5a28a855a11894b2e795a-Abstract.html. Training and test are theirs;
    validation is drawn from training. A molecule with several rings has several pieces of evidence, each of which suffices:
    ``field_alternatives [N, A]``, where the first is repeated up to the largest number of any molecule; ``field_evidence`` is
    their union. Molecules without the ring have no evidence and are not annotated.

    Args:
        val: share of the official training split that validates.
        seed: of that choice.
        root: folder of all data; ``None`` is the environment variable ``RATIONALIZERS_DATA``, else the user's cache.

    Raises:
        ValueError: a share outside (0, 1); or, with file and line, a molecule or attribution that does not fit.
        FileNotFoundError: the file is not there.
        ImportError: the extra ``graph`` is not installed.
    """

    def __init__(self, *, val: float = 0.1, seed: int = 0, root: str | None = None) -> None:
        if not 0 < val < 1:
            raise ValueError(f"'val' must be a share of the training split in (0, 1), got {val}")
        self.val, self.seed, self.root = val, seed, root

    def load(self) -> GraphCorpus:
        """Read and split."""
        path = existing(data_root(self.root) / FILE, origin=ORIGIN)
        lines = list(records(path, Counter()))
        molecules = [_molecule(record, where) for where, record in lines]
        alternatives = [
            _alternatives(record, where, molecule.GetNumAtoms())
            for (where, record), molecule in zip(lines, molecules, strict=True)
        ]
        most = max((each.shape[1] for each in alternatives), default=0)
        graphs: dict[str, list[Graph]] = {"train": [], "test": []}
        for (where, record), molecule, evidence in zip(lines, molecules, alternatives, strict=True):
            split = value(record, "split", where, str)
            if split not in graphs:
                raise broken(where, f"'split' should be train or test, got {split!r}")
            label = value(record, "label", where, int)
            if label != int(bool(evidence.any())):
                raise broken(where, f"'label' is {label}, but atoms are marked exactly where it is 1")
            padding = evidence[:, :1].expand(-1, most - evidence.shape[1])
            graphs[split].append(
                molecule_graph(
                    record["smiles"],
                    molecule=molecule,
                    y=torch.tensor([[float(label)]]),
                    id=str(value(record, "id", where, str, int)),
                    field_evidence=evidence.any(1),
                    field_alternatives=torch.cat([evidence, padding], dim=1),
                    annotated=torch.tensor([label == 1]),
                )
            )
        train, chosen = graphs["train"], _chosen(len(graphs["train"]), share=self.val, seed=self.seed)
        splits = {
            "train": [graph for row, graph in enumerate(train) if row not in chosen],
            "val": [graph for row, graph in enumerate(train) if row in chosen],
            "test": graphs["test"],
        }
        report = {"alternatives": most, **measured(splits), **answered(splits)}
        return GraphCorpus(splits, yes_or_no(["benzene"]), report)


def _molecule(record: dict[str, Any], where: str) -> Any:
    try:
        return parse_smiles(value(record, "smiles", where, str))
    except ValueError as error:
        raise ValueError(f"{where}: 'smiles': {error}") from error


def _alternatives(record: dict[str, Any], where: str, atoms: int) -> Tensor:
    """Atoms of every alternative ``[N, A]`` bool."""
    found: Sequence[Any] = value(record, "atom_attributions", where, list)
    if not found or not all(
        isinstance(each, list) and len(each) == atoms and all(mark in (0, 1) for mark in each) for each in found
    ):
        raise broken(where, f"'atom_attributions' should be lists of a 0 or 1 for each of the {atoms} atoms, at least one list")
    return torch.tensor(found).T.bool()


def _chosen(count: int, *, share: float, seed: int) -> set[int]:
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    return set(order[: round(share * count)])
