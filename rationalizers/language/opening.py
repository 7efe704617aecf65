"""Opening a language model of Hugging Face by name, nothing of it run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rationalizers.encoders.sources import check_weights, pretrained_folder
from rationalizers.extras import require


def opened(name: str, kind: str, check: Callable[[Any], None], *, device: str, **settings: Any) -> Any:
    """A model of transformers, its architecture checked before its weights are read.

    Args:
        name: name, folder or package (`rationalizers.encoders.sources.pretrained_folder`).
        kind: the class of transformers that opens it.
        check: raises where a configuration will not do.
        device: where the model goes.
        settings: further arguments of ``from_pretrained``.

    Raises:
        ValueError: ``check`` does.
        FileNotFoundError: there is none, or its weights are no safetensors.
    """
    folder = pretrained_folder(name)
    check_weights(folder)
    transformers = require("transformers", extra="text")
    check(transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False))
    loader = getattr(transformers, kind)
    return loader.from_pretrained(folder, use_safetensors=True, trust_remote_code=False, **settings).to(device)
