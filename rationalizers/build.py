"""Build objects from plain dictionaries: the only registry is ``_target_``, and it cannot be talked into running strangers' code.

A ``_target_`` is ``package.module.Class``. It is accepted when the class subclasses the expected base, is defined in
``rationalizers``, ``graph`` or a package that the caller trusts by name, and that package is not picked up from the working
directory by accident. Nothing is imported before its top-level package has passed these checks.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

OWN = ("rationalizers", "graph")
_trusted: ContextVar[tuple[str, ...]] = ContextVar("trusted", default=())


@contextmanager
def trusting(packages: Sequence[str]) -> Iterator[None]:
    """Within this context `build` also accepts classes defined in these top-level packages."""
    token = _trusted.set(tuple(packages))
    try:
        yield
    finally:
        _trusted.reset(token)


def trusted() -> tuple[str, ...]:
    """The packages that are trusted here, beyond this project's own."""
    return _trusted.get()


def build(config: Mapping[str, Any], base: type[T], /, **facts: Any) -> T:
    """The object that ``config`` describes: its ``_target_`` called with the other entries.

    Args:
        config: plain primitives with a ``_target_``; nested dictionaries are passed on as they are, and each class builds
            its own parts.
        base: what the target must be a subclass of.
        **facts: further arguments that the caller knows; they may not repeat an entry.

    Raises:
        TypeError: no ``_target_``, or arguments that the class does not take.
        ValueError: the target is not allowed, does not exist or is not a ``base``.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("_target_"), str):
        raise TypeError(f"expected a mapping with a '_target_' naming a {base.__name__}, got {config!r}")
    arguments = {str(key): value for key, value in config.items() if key != "_target_"}
    cls = locate(config["_target_"], base)
    try:
        return cls(**arguments, **facts)
    except TypeError as error:
        raise TypeError(f"{config['_target_']}: {error}") from error


def locate(target: str, base: type[T]) -> type[T]:
    """The class named by ``target``, after all checks (see the module's first lines)."""
    module_name, _, name = target.rpartition(".")
    package = module_name.partition(".")[0]
    allowed = (*OWN, *trusted())
    if package not in allowed:
        raise ValueError(
            f"_target_ {target!r} lies outside the packages {', '.join(allowed)}; if you trust its author, "
            f"name the package: trust=[{package or target}]"
        )
    _refuse_impostor(package)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ValueError(f"_target_ {target!r}: there is no module {module_name!r} ({error})") from error
    found = vars(module).get(name)
    if not isinstance(found, type) or not issubclass(found, base):
        raise ValueError(f"_target_ {target!r} is not a subclass of {base.__module__}.{base.__name__}")
    if found.__module__.partition(".")[0] not in allowed:
        raise ValueError(f"_target_ {target!r} is defined in {found.__module__!r}, outside {', '.join(allowed)}")
    return found


def _refuse_impostor(package: str) -> None:
    """Raise unless ``import package`` would run the installed package, not a folder that happens to lie nearby."""
    found = _origin(importlib.util.find_spec(package))
    if package in OWN:
        wanted = Path(__file__).resolve().parent.parent / package
        if found != wanted:
            raise ValueError(
                f"package {package!r} resolves to {found or 'nothing'}, not to {wanted}; nothing was imported. "
                "Run from another folder, or remove the folder of that name from the import path"
            )
    elif found is None or found != _origin(_installed(package)):
        raise ValueError(
            f"trusted package {package!r} resolves to {found or 'nothing'} through the working directory; nothing was "
            "imported. Install it (pip install -e .) or put its folder on PYTHONPATH"
        )


def _origin(spec: importlib.machinery.ModuleSpec | None) -> Path | None:
    """The folder of a package, or the file of a single-module one."""
    if spec is None or spec.origin in (None, "built-in", "frozen", "namespace"):
        return None
    file = Path(str(spec.origin)).resolve()
    return file.parent if file.name == "__init__.py" else file


def _installed(package: str) -> importlib.machinery.ModuleSpec | None:
    """The spec of a top-level package as found without the implicit entry for the working directory or the script."""
    explicit = _explicit_path()
    for finder in sys.meta_path:
        path = explicit if finder is importlib.machinery.PathFinder else None
        spec = finder.find_spec(package, path)
        if spec is not None:
            return spec
    return None


def _explicit_path() -> list[str]:
    """The import path without the entry that Python put there unasked: the script's folder, or the working directory."""
    entries = [entry for entry in sys.path if entry]
    if sys.flags.safe_path or len(entries) < len(sys.path):
        return entries
    main = sys.modules.get("__main__")
    file = None if getattr(main, "__spec__", None) else getattr(main, "__file__", None)
    implicit = Path(file).resolve().parent if file else Path.cwd()
    for place, entry in enumerate(entries):
        if Path(entry).resolve() == implicit:
            return entries[:place] + entries[place + 1 :]
    return entries
