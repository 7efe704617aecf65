"""Embeddings of categorical features, and the few distinct rows that many units share.

Letters: ``N`` units, ``F`` features of each, ``U`` distinct rows, ``D`` width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class CategoricalEmbedding(nn.Module):
    """Sum of one embedding per feature: ``e = Σ_f table_f[x_f]``, as in the atom and bond encoders of OGB.

    Open Graph Benchmark: Datasets for Machine Learning on Graphs (Hu et al., 2020, https://arxiv.org/abs/2005.00687).

    Args:
        sizes: values that each of the F features can take.
        width: D.
        spare: further rows of the first table, which stand for no value.

    Raises:
        ValueError: no feature, or one without values.
    """

    def __init__(self, sizes: Sequence[int], width: int, *, spare: int = 0) -> None:
        super().__init__()
        if not sizes or min(sizes) < 1:
            raise ValueError(f"'sizes' must be the number of values of each feature, got {list(sizes)}")
        self.sizes = tuple(sizes)
        first, *others = sizes
        self.tables = nn.ModuleList(nn.Embedding(size, width) for size in (first + spare, *others))
        for table in self.tables:
            nn.init.xavier_uniform_(table.weight)  # type: ignore[arg-type]

    def forward(self, rows: Tensor) -> Tensor:
        """Embeddings ``[N, D]`` of rows ``[N, F]``."""
        return torch.stack([table(rows[:, place]) for place, table in enumerate(self.tables)]).sum(0)


def distinct(rows: Tensor, sizes: Sequence[int], *, name: str) -> tuple[Tensor, Tensor]:
    """The distinct rows of categorical features, and which of them each unit has.

    Args:
        rows: ``[N, F]``, integers.
        sizes: values that each of the F features can take.
        name: of ``rows`` in an error.

    Returns:
        one unit of each kind ``[U]``, and the kind of every unit ``[N]`` in [0, U).

    Raises:
        TypeError: the features are not integers.
        ValueError: not F features, or one outside its values.
    """
    if rows.is_floating_point() or rows.is_complex() or rows.dtype == torch.bool:
        raise TypeError(f"{name!r} must hold categories (integers), got {rows.dtype}; numbers take the encoder's 'features'")
    if rows.dim() != 2 or rows.shape[1] != len(sizes):
        raise ValueError(f"{name!r} must hold {len(sizes)} features per row, got shape {tuple(rows.shape)}")
    limit = torch.tensor(tuple(sizes), device=rows.device)
    wrong = ((rows < 0) | (rows >= limit)).any(0)
    if bool(wrong.any()):
        place = int(wrong.nonzero()[0])
        column = rows[:, place]
        raise ValueError(
            f"{name!r}: feature {place} must be in [0, {sizes[place]}), got {int(column.min())} to {int(column.max())}; "
            "were the sizes taken from another featurizer?"
        )
    return kinds(list(rows.long().unbind(1)), list(sizes))


def kinds(columns: Sequence[Tensor], sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Units that agree in every column are of one kind.

    Args:
        columns: integers ``[N]`` each, at least one.
        sizes: column ``f`` is in ``[0, sizes[f])``.

    Returns:
        one unit of each kind ``[U]``, and the kind of every unit ``[N]`` in [0, U).
    """
    key, values = columns[0], sizes[0]
    for column, size in zip(columns[1:], sizes[1:], strict=True):
        if values * size >= 2**63:
            key = torch.unique(key, return_inverse=True)[1]
            values = key.numel()
        key, values = key * size + column, values * size
    found, kind = torch.unique(key, return_inverse=True)
    unit = torch.arange(kind.numel(), device=kind.device)
    # Any unit of a kind will do; the first is the same one on every device.
    return unit.new_zeros(found.numel()).scatter_reduce(0, kind, unit, "amin", include_self=False), kind
