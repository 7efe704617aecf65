"""Packed attention: the same numbers as set by set, gradients too, and no matrix where none is needed."""

import math

import pytest
import torch
from torch.nn import MultiheadAttention
from torch.nn.functional import relu

from graph.encoders.transformer import TransformerLayer, buckets, crossing, packed_attention, pool_each
from rationalizers.segment import lengths, offsets

SIZES = torch.tensor([3, 0, 7, 1, 8, 20, 0, 9])


def test_buckets_hold_every_token_once_and_little_else():
    ptr = offsets(torch.randint(0, 60, (200,), generator=torch.Generator().manual_seed(0)))
    seen, places = [], 0
    for rows, token in buckets(ptr):
        size = lengths(ptr)[rows]
        assert (size > 0).all()
        assert token.shape[1] == size.max() <= max(1.25 * size.min(), size.min() + 1)
        assert ((token >= 0).sum(1) == size).all()
        seen.append(token[token >= 0])
        places += token.numel()
    assert torch.cat(seen).sort().values.equal(torch.arange(int(ptr[-1])))
    assert places < 1.25 * int(ptr[-1])


def test_no_set_has_no_bucket():
    assert list(buckets(torch.tensor([0]))) == []
    assert packed_attention(*(torch.zeros(0, 2, 4) for _ in range(3)), torch.tensor([0, 0])).shape == (0, 2, 4)


@pytest.mark.parametrize("values", [5, 6, 11])
def test_attention_is_softmax_within_each_set_and_so_are_its_gradients(values):
    torch.manual_seed(0)
    ptr = offsets(SIZES)
    q, k = (torch.randn(48, 2, 5, dtype=torch.double, requires_grad=True) for _ in range(2))
    v = torch.randn(48, 2, values, dtype=torch.double, requires_grad=True)
    out, expected = packed_attention(q, k, v, ptr), []
    for start, end in zip(ptr[:-1].tolist(), ptr[1:].tolist(), strict=True):
        p = (torch.einsum("qhd,khd->hqk", q[start:end], k[start:end]) / math.sqrt(5)).softmax(-1)
        expected.append(torch.einsum("hqk,khd->qhd", p, v[start:end]))
    expected = torch.cat(expected)
    torch.testing.assert_close(out, expected)
    direction = torch.randn_like(out)
    for ours, theirs in zip(
        torch.autograd.grad(out, (q, k, v), direction), torch.autograd.grad(expected, (q, k, v), direction), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_a_layer_is_that_of_torch():
    torch.manual_seed(0)
    layer = TransformerLayer(8, heads=2, hidden=16, dropout=0.3).eval()
    attention = MultiheadAttention(8, 2, batch_first=True)
    attention.load_state_dict(
        {
            "in_proj_weight": layer.project.weight,
            "in_proj_bias": layer.project.bias,
            "out_proj.weight": layer.join.weight,
            "out_proj.bias": layer.join.bias,
        }
    )
    x, ptr = torch.randn(9, 8), torch.tensor([0, 4, 9])
    marked = torch.rand(9) > 0.5
    out, paid = layer(x, ptr, marked=marked)
    for start, end in ((0, 4), (4, 9)):
        own, s = x[start:end][None], marked[start:end].float()
        joined, p = attention(own, own, own)
        y = layer.first_norm(own + joined)
        first, _, _, last = layer.feed_forward
        y = layer.second_norm(y + last(relu(first(y))))
        torch.testing.assert_close(out[start:end], y[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(paid[start:end], p[0] @ s, atol=1e-6, rtol=1e-5)
        mass = (s @ p[0] @ (1 - s) + (1 - s) @ p[0] @ s) / (end - start)
        torch.testing.assert_close(crossing(paid, marked, ptr)[int(start > 0)], mass, atol=1e-6, rtol=1e-5)
    again, nothing = layer(x, ptr)
    torch.testing.assert_close(again, out)
    assert nothing is None


def test_what_is_paid_has_the_gradient_of_the_matrix():
    torch.manual_seed(0)
    layer, ptr = TransformerLayer(8, heads=2, hidden=16, dropout=0.0).double(), torch.tensor([0, 4, 9])
    x, marked = torch.randn(9, 8, dtype=torch.double, requires_grad=True), torch.arange(9) % 2 == 0
    _, paid = layer(x, ptr, marked=marked)
    q, k, _ = layer.project(x).view(9, 3, 2, 4).unbind(1)
    expected = []
    for rows in (slice(0, 4), slice(4, 9)):
        p = (torch.einsum("qhd,khd->hqk", q[rows], k[rows]) / 2).softmax(-1).mean(0)
        expected.append(p @ marked[rows].double())
    expected = torch.cat(expected)
    direction = torch.randn(9, dtype=torch.double)
    ours, theirs = (torch.autograd.grad(each, x, direction)[0] for each in (paid, expected))
    torch.testing.assert_close(ours, theirs)


def test_a_set_alone_and_in_company_is_the_same():
    torch.manual_seed(0)
    layer, ptr = TransformerLayer(8, heads=2, hidden=16, dropout=0.0).eval(), offsets(SIZES)
    x = torch.randn(48, 8)
    together, _ = layer(x, ptr)
    for start, end in zip(ptr[:-1].tolist(), ptr[1:].tolist(), strict=True):
        alone, _ = layer(x[start:end], torch.tensor([0, end - start]))
        torch.testing.assert_close(alone, together[start:end], atol=1e-6, rtol=1e-5)


def test_pooling_is_a_product_for_each_graph():
    torch.manual_seed(0)
    ptr, weights, values = offsets(SIZES), torch.randn(48, 3), torch.randn(48, 5)
    pooled = pool_each(weights, values, ptr)
    for b, (start, end) in enumerate(zip(ptr[:-1].tolist(), ptr[1:].tolist(), strict=True)):
        torch.testing.assert_close(pooled[b], weights[start:end].T @ values[start:end], atol=1e-5, rtol=1e-5)


def test_heads_share_the_width():
    with pytest.raises(ValueError, match="must be a multiple of it, got 10 and 4"):
        TransformerLayer(10, heads=4, hidden=16, dropout=0.0)
