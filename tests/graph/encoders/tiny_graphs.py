"""Small random graphs with categories or numbers, and twins of our encoders that loop over edges."""

import torch

from graph.batch import Graph

ATOMS, BONDS = (3, 2), (2, 3)


def one_graph(nodes, edges, *, seed, atoms=ATOMS, bonds=BONDS, directed=False):
    """A random graph; without categories of nodes, three numbers describe them. Loops and repeated edges may occur."""
    generator = torch.Generator().manual_seed(seed)

    def categories(rows, sizes):
        columns = [torch.randint(0, size, (rows,), generator=generator) for size in sizes]
        return torch.stack(columns, dim=1)

    edge_index = torch.randint(0, max(nodes, 1), (2, edges), generator=generator)
    features = None if bonds is None else categories(edges, bonds)
    if not directed:
        edge_index = torch.cat([edge_index, edge_index.flip(0)], dim=1)
        features = None if features is None else torch.cat([features, features])
    x = torch.randn(nodes, 3, generator=generator) if atoms is None else categories(nodes, atoms)
    return Graph(x=x, edge_index=edge_index) if bonds is None else Graph(x=x, edge_index=edge_index, edge_attr=features)


def some_graphs(*, atoms=ATOMS, bonds=BONDS, directed=False):
    """Among them one without edges and one without nodes."""
    sizes = ((5, 6), (1, 0), (4, 3), (0, 0), (6, 5), (3, 0), (7, 9))
    return [
        one_graph(nodes, edges, seed=seed, atoms=atoms, bonds=bonds, directed=directed)
        for seed, (nodes, edges) in enumerate(sizes)
    ]


def batch_of(graphs):
    return Graph.collate(graphs)


def alike_graphs(copies=6, *, bonds=BONDS):
    """Many nodes in few environments."""
    return [one_graph(5, 4, seed=seed % 2, bonds=bonds) for seed in range(copies)]


def batch_norm(norm, rows):
    """Batch normalisation by its formula."""
    mean, variance = rows.mean(0), rows.var(0, correction=0)
    if not norm.training:
        mean, variance = norm.running_mean, norm.running_var
    return (rows - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias


def perceptron(mlp, rows):
    inner = batch_norm(mlp.norm, rows @ mlp.inner.weight.T + mlp.inner.bias).relu()
    return inner @ mlp.outer.weight.T + mlp.outer.bias


def embedding(tables, features):
    return sum(table.weight[feature] for table, feature in zip(tables, features.tolist(), strict=True))


def arrivals(x, batch, bonds, factors):
    """``Σ f_uv ReLU(x_u + e_uv)``, edge by edge."""
    arrived = [torch.zeros_like(row) for row in x]
    for edge, (source, target) in enumerate(batch.edge_index.T.tolist()):
        e = 0 if bonds is None else embedding(bonds.tables, batch.edge_attr[edge])
        arrived[target] = arrived[target] + factors[edge] * (x[source] + e).relu()
    return torch.stack(arrived)


def gin(convolution, x, batch, weight):
    return perceptron(convolution.mlp, (1 + convolution.eps) * x + arrivals(x, batch, convolution.bonds, weight))


def gcn(convolution, x, batch, weight):
    z = x @ convolution.linear.weight.T + convolution.linear.bias
    degree = [1 + (batch.edge_index[0] == node).sum().item() for node in range(len(x))]
    factors = [
        weight[edge] / (degree[source] * degree[target]) ** 0.5
        for edge, (source, target) in enumerate(batch.edge_index.T.tolist())
    ]
    itself = torch.stack([(z[node] + convolution.root).relu() / degree[node] for node in range(len(x))])
    return arrivals(z, batch, convolution.bonds, factors) + itself


def stack(model, one_layer, batch, *, weight=None):
    """What `ConvolutionStack` computes without dropout, node by node and edge by edge."""
    weight = torch.ones(batch.edge_index.shape[1], dtype=torch.float64) if weight is None else weight
    owner = [graph for graph in range(len(batch.ptr) - 1) for _ in range(batch.ptr[graph], batch.ptr[graph + 1])]
    x = torch.stack([embedding(model.atoms.tables, row) for row in batch.x])
    v = None if model.virtual_start is None else [model.virtual_start] * (len(batch.ptr) - 1)
    last = len(model.convolutions) - 1
    for layer, convolution in enumerate(model.convolutions):
        read = x if v is None else torch.stack([row + v[graph] for row, graph in zip(x, owner, strict=True)])
        x = batch_norm(model.norms[layer], one_layer(convolution, read, batch, weight))
        x = (x if layer == last else x.relu()) + (read if model.residual else 0)
        if v is not None and layer < last:
            sums = [sum((row for row, of in zip(read, owner, strict=True) if of == graph), v[graph]) for graph in range(len(v))]
            out = batch_norm(model.virtual_norms[layer], perceptron(model.virtual[layer], torch.stack(sums))).relu()
            v = [after + (before if model.residual else 0) for after, before in zip(out, v, strict=True)]
    return x
