"""A trained model in the form in which captum (https://captum.ai) takes one: a function of padded tensors.

The attributions of this package give captum packed ``[N, D]``. What others do with captum expects a first dimension of examples,
which its methods repeat: steps of a path, noisy or perturbed copies.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rationalizers.attribution.embedding import embedded, logits_from
from rationalizers.base import Rationalizer
from rationalizers.batch import Batch
from rationalizers.segment import lengths, members, offsets, owners


class Padded:
    """f(e): the logits of whole inputs as a function of the padded embeddings of their units, ``[R, L, D] → [R, C]``.

        f = Padded(model, batch)
        captum.attr.IntegratedGradients(f).attribute(f.embeddings, baselines=f.baselines, target=1).sum(-1)  # [B, L]

    captum calls it with copies of the examples, R of them. ``IntegratedGradients``, ``FeatureAblation``, ``Occlusion`` and
    ``ShapleyValueSampling`` put all examples once, then all again, which is what is taken for granted here. ``NoiseTunnel`` and
    ``GradientShap`` put all copies of an example together: give such methods ``additional_forward_args=f.rows``. Methods that
    hook modules (``DeepLift``, those of layers) do not take a function; `rationalizers.attribution.DeepLift` needs no hooks.

    Args:
        model: in evaluation mode.
        batch: with B examples, at least one unit.

    Raises:
        ValueError: the model is in training mode or does not embed the batch exactly once, or there is nothing to embed.

    Attributes:
        batch: the batch.
        embeddings: ``[B, L, D]``, a leaf that gradients reach; zero behind the last unit of an example.
        baselines: the same with zeros in place of what can be selected (absence ``zero``); fixed units are never absent.
        here: where a unit stands, ``[B, L]`` bool.
        rows: the example that each row is of, ``[B]``.
    """

    def __init__(self, model: Rationalizer, batch: Batch) -> None:
        if model.training:
            raise ValueError("attributions are computed in evaluation mode; call model.eval() first")
        n, length = batch.position.shape[0], lengths(batch.ptr)
        if not n:
            raise ValueError("there is no unit to embed; give at least one input")
        self.model, self.batch = model, batch
        self.encoder, e = embedded(model, batch)
        self.rows = torch.arange(length.numel(), device=length.device)
        self.here = torch.arange(int(length.max()), device=length.device) < length[:, None]
        owner = owners(batch.ptr, n)
        at = owner, torch.arange(n, device=owner.device) - batch.ptr[owner]
        empty = e.new_zeros(*self.here.shape, e.shape[1])
        self.embeddings = empty.index_put(at, e).requires_grad_()
        self.baselines = empty.index_put(at, e * batch.fixed[:, None])

    def __call__(self, e: Tensor, rows: Tensor | None = None) -> Tensor:
        """Of embeddings ``[R, L, D]`` the logits ``[R, C]``; what stands behind the last unit of an example is not read.

        Args:
            e: embeddings.
            rows: the example that each is of, ``[R]``; all examples once, then all again where not given.

        Raises:
            ValueError: another shape than that of copies of the embeddings.
        """
        examples = self.rows.numel()
        if e.shape[1:] != self.embeddings.shape[1:] or (rows is None and e.shape[0] % examples):
            raise ValueError(
                f"expected copies of embeddings {tuple(self.embeddings.shape)}, got {tuple(e.shape)}; "
                "where not all examples are repeated, say which are: additional_forward_args=rows"
            )
        if rows is None:
            rows = self.rows.repeat(e.shape[0] // examples)
        copy, unit = members(rows, self.batch.ptr)
        ptr = offsets(lengths(self.batch.ptr)[rows])
        copies = self.batch.gather(unit, ptr, positions="kept", rows=rows)
        return logits_from(e[copy, unit - self.batch.ptr[rows[copy]]], self.model, self.encoder, copies)
