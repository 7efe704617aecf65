"""Attention over sets of tokens, packed one after the other as nodes of graphs are, at the cost of their real sizes.

Letters: ``S`` sets, ``T`` tokens, ``L`` tokens of the largest set of a bucket, ``b`` sets of a bucket, ``H`` heads, ``D`` width.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graph.encoders.layers import BitDropout
from rationalizers.segment import lengths, segment_mean, segment_softmax

# A set shares a bucket with sets of up to this many times its size, so that attention costs at most the square of it too much.
STRETCH = 1.25
# Kernels want heads whose width is a multiple of this.
ALIGNED = 8


def buckets(ptr: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Sets of alike sizes, padded to the largest among them; sets without tokens are in none.

    Args:
        ptr: offsets ``[S+1]``.

    Yields:
        the sets ``[b]``, and the token in each of their places ``[b, L]``, −1 where there is none.
    """
    size = lengths(ptr)
    order = torch.argsort(size, stable=True)
    order = order[size[order] > 0]
    sizes = size[order].tolist()
    start = 0
    while start < len(sizes):
        limit = max(sizes[start] * STRETCH, sizes[start] + 1)
        stop = next((place for place in range(start, len(sizes)) if sizes[place] > limit), len(sizes))
        rows = order[start:stop]
        place = torch.arange(sizes[stop - 1], device=ptr.device)
        yield rows, torch.where(place < size[rows, None], ptr[rows, None] + place, -1)
        start = stop


def packed_attention(q: Tensor, k: Tensor, v: Tensor, ptr: Tensor) -> Tensor:
    """Softmax attention of the tokens of each set to each other: ``softmax(q kᵀ / √D) v`` within a set and a head.

    Sets go through torch's ``scaled_dot_product_attention`` in `buckets`, which never holds the attention matrix.

    Args:
        q: queries ``[T, H, D]``.
        k: keys ``[T, H, D]``.
        v: values ``[T, H, E]``.
        ptr: offsets ``[S+1]`` of the sets.

    Returns:
        ``[T, H, E]``.
    """
    width, values = q.shape[-1], v.shape[-1]
    # One width for all three, or torch falls back to the form that holds the matrix; zeros change no product.
    aligned = -(-max(width, values) // ALIGNED) * ALIGNED
    q, k, v = (F.pad(each, (0, aligned - each.shape[-1])) for each in (q, k, v))
    pieces, tokens = [v.new_zeros(0, *v.shape[1:])], [ptr.new_zeros(0)]
    for _, token in buckets(ptr):
        there = token >= 0
        queries, keys, held = (_rows(each, token).transpose(1, 2) for each in (q, k, v))  # [b, H, L, D]
        seen = None if bool(there.all()) else there[:, None, None, :]
        out = F.scaled_dot_product_attention(queries, keys, held, attn_mask=seen, scale=width**-0.5)
        pieces.append(out.transpose(1, 2)[there])
        tokens.append(token[there])
    return torch.cat(pieces)[torch.argsort(torch.cat(tokens))][..., :values]


class TransformerLayer(nn.Module):
    """A layer of a Transformer over packed sets: ``x ← LN(x + attention(x))``, then ``x ← LN(x + FFN(x))``.

    Attention Is All You Need (Vaswani et al., 2017, https://arxiv.org/abs/1706.03762), without positions. Attention weights have
    no dropout, because torch's attention on CPU would hold their matrix for it.

    Args:
        width: D.
        heads: H.
        hidden: width of the feed-forward network.
        dropout: of what is added to x, and within the feed-forward network.

    Raises:
        ValueError: ``width`` is no multiple of ``heads``.
    """

    def __init__(self, width: int, *, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"the width of states is shared by 'heads' and must be a multiple of it, got {width} and {heads}")
        self.heads = heads
        self.project, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed_forward = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), BitDropout(dropout), nn.Linear(hidden, width))
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = BitDropout(dropout)

    def forward(self, x: Tensor, ptr: Tensor, *, marked: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Tokens ``[T, D] → [T, D]``, and how much attention each pays to marked ones.

        With P the attention matrix, the latter is P·marked, one more column of the values: P itself is never held.

        Args:
            x: tokens ``[T, D]``.
            ptr: offsets ``[S+1]`` of the sets.
            marked: bool ``[T]``.

        Returns:
            tokens, and the share of each token's attention that goes to marked tokens of its set, mean over heads ``[T]``, or
            ``None`` where nothing was asked.
        """
        q, k, v = self.project(x).view(x.shape[0], 3, self.heads, x.shape[1] // self.heads).unbind(1)  # [T, H, D/H] each
        if marked is not None:
            v = torch.cat([v, marked.to(v.dtype)[:, None, None].expand(-1, self.heads, 1)], dim=-1)
        out = packed_attention(q, k, v, ptr)  # [T, H, D/H (+ 1)]
        paid = None
        if marked is not None:
            out, paid = out[..., :-1], out[..., -1].mean(1)
        x = self.first_norm(x + self.dropout(self.join(out.flatten(1))))
        return self.second_norm(x + self.dropout(self.feed_forward(x))), paid


class VirtualNodes(nn.Module):
    """A few learned queries that pool the nodes of every graph: ``A = softmax over nodes((Q W_q)(H W_k)ᵀ / √D)``, pooled A H.

    Args:
        count: queries r.
        width: D.
        project: values are H W_v instead of H.

    Raises:
        ValueError: ``count`` is not positive.
    """

    def __init__(self, count: int, *, width: int, project: bool = False) -> None:
        super().__init__()
        if count < 1:
            raise ValueError(f"'virtual_nodes' must be at least 1, got {count}")
        self.queries = nn.Parameter(torch.randn(count, width))
        self.query, self.key = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False) if project else None

    def forward(self, h: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled states of all graphs ``[B·r, D]``, zero where there is no node, and the attention to each node ``[N, r]``.

        Args:
            h: states of nodes ``[N, D]``.
            ptr: offsets ``[B+1]``.
        """
        scores = self.key(h) @ self.query(self.queries).T * h.shape[-1] ** -0.5  # [N, r]
        attention = segment_softmax(scores, ptr)
        values = h if self.value is None else self.value(h)
        return pool_each(attention, values, ptr).flatten(0, 1), attention


def pool_each(weights: Tensor, values: Tensor, ptr: Tensor) -> Tensor:
    """Weighted sums over the nodes of each graph: ``weights [N, r]``, ``values [N, D]`` → ``[B, r, D]``."""
    graphs, pieces = [ptr.new_zeros(0)], [values.new_zeros(0, weights.shape[1], values.shape[1])]
    for rows, token in buckets(ptr):
        # What stands in a place without a node has weight zero.
        weight = _rows(weights, token).masked_fill((token < 0)[..., None], 0.0)
        pieces.append(weight.transpose(1, 2) @ _rows(values, token))  # [b, r, D]
        graphs.append(rows)
    out = values.new_zeros(ptr.numel() - 1, *pieces[0].shape[1:])
    return out.index_copy(0, torch.cat(graphs), torch.cat(pieces))


def crossing(paid: Tensor, marked: Tensor, ptr: Tensor) -> Tensor:
    """Attention between two parts of each set, ``(1/t) [sᵀ P (1 − s) + (1 − s)ᵀ P s]`` in [0, 1], ``[S]``.

    Args:
        paid: ``P s`` ``[T]``, as `TransformerLayer` returns it.
        marked: s, which part each token belongs to, bool ``[T]``.
        ptr: offsets ``[S+1]`` of sets with t tokens each.
    """
    return segment_mean(torch.where(marked, 1 - paid, paid), ptr)


def _rows(x: Tensor, token: Tensor) -> Tensor:
    """Rows of ``x [T, …]`` for places ``[b, L]``; any row where the place is −1."""
    return x.index_select(0, token.clamp(min=0).flatten()).view(*token.shape, *x.shape[1:])
