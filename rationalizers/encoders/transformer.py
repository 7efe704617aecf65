"""Transformers of the families that can be given embeddings and positions, and nothing of them that runs strangers' code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from rationalizers.extras import require

# Both directions, and a forward pass that takes embeddings and explicit positions (read in transformers 5.23).
FAMILIES = ("albert", "bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta")
# torch's own attention, the quickest, which keeps no weights; and the one that does.
QUICK, SHOWN = "sdpa", "eager"
# Entries of a model's configuration that say how it was stored or should be run, not what it computes.
NOT_ARCHITECTURE = (
    "architectures",
    "attn_implementation",
    "auto_map",
    "distributed_config",
    "dtype",
    "experts_implementation",
    "quantization_config",
    "torch_dtype",
    "transformers_version",
    "use_kernels",
)


def check_architecture(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """What of a model's configuration describes the model.

    Raises:
        ValueError: a family that is not supported, or a decoder.
    """
    family = architecture.get("model_type")
    if family not in FAMILIES:
        raise ValueError(
            f"'architecture' must be the configuration of one of {', '.join(FAMILIES)}; got model_type {family!r}, which "
            "cannot be given embeddings with positions of its own, or reads in one direction only"
        )
    if architecture.get("is_decoder") or architecture.get("add_cross_attention"):
        raise ValueError("'architecture' must be that of an encoder; got a decoder (is_decoder or add_cross_attention)")
    return {name: value for name, value in architecture.items() if not name.startswith("_") and name not in NOT_ARCHITECTURE}


def random_model(architecture: Mapping[str, Any]) -> Any:
    """A model with random weights, from its configuration alone: neither disk nor network is touched.

    Raises:
        ValueError: a configuration that describes no model.
        ImportError: the extra ``text`` is not installed.
    """
    transformers, hub = require("transformers", extra="text"), require("huggingface_hub", extra="text")
    try:
        return _model(transformers, architecture)
    except (AssertionError, KeyError, RuntimeError, TypeError, hub.errors.StrictDataclassError) as error:
        raise ValueError(f"'architecture' describes no model: {type(error).__name__}: {error}") from error


def pretrained_model(folder: Path, like: Any) -> Any:
    """A model with the weights that lie in a folder.

    Args:
        folder: with ``model.safetensors``.
        like: a model of the architecture that the weights must fit.

    Raises:
        ValueError: they are broken, do not fit or are not all there.
    """
    transformers = require("transformers", extra="text")
    try:
        with _quiet(transformers.utils.logging):
            model, report = transformers.AutoModel.from_pretrained(
                folder,
                config=like.config,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
                **_no_pooler(like.config.model_type),
            )
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(f"{folder}: the weights cannot be read or do not fit the architecture: {error}") from error
    if report["missing_keys"]:
        raise ValueError(f"{folder}: the weights lack {', '.join(sorted(report['missing_keys']))}")
    return model


@contextmanager
def showing_weights(model: Any) -> Iterator[None]:
    """A model of `random_model` attends in the slower way, whose weights can be seen, for as long as the context lasts."""
    model.set_attn_implementation(SHOWN)
    try:
        yield
    finally:
        model.set_attn_implementation(QUICK)


def _model(transformers: Any, architecture: Mapping[str, Any]) -> Any:
    config = transformers.AutoConfig.for_model(**architecture)
    arguments = {
        "attn_implementation": QUICK,
        "dtype": torch.float32,
        "trust_remote_code": False,
        **_no_pooler(config.model_type),
    }
    return transformers.AutoModel.from_config(config, **arguments)


def _no_pooler(family: str) -> dict[str, bool]:
    """The argument that leaves out the layer behind the states, where the family has one."""
    return {} if family in ("distilbert", "electra") else {"add_pooling_layer": False}


@contextmanager
def _quiet(logging_of_transformers: Any) -> Iterator[None]:
    """Without the progress bar and the list of heads that are left out, which transformers writes to standard error."""
    verbosity, bar = logging_of_transformers.get_verbosity(), logging_of_transformers.is_progress_bar_enabled()
    logging_of_transformers.set_verbosity_error()
    logging_of_transformers.disable_progress_bar()
    try:
        yield
    finally:
        logging_of_transformers.set_verbosity(verbosity)
        if bar:
            logging_of_transformers.enable_progress_bar()
