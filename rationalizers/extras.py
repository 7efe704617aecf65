"""Optional dependencies: imported where they are used, with the command that installs them when they are missing."""

from __future__ import annotations

import importlib
from typing import Any


def require(module: str, *, extra: str) -> Any:
    """Import an optional module.

    Raises:
        ImportError: it is not installed; says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = f'{module} is not installed; it comes with: pip install "rationalizers[{extra}]"'
        raise ImportError(message) from error
