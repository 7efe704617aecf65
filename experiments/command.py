"""What makes a function a command: Hydra composes its configuration, and a mistyped name gets the nearest ones."""

from __future__ import annotations

import difflib
import functools
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import hydra
from omegaconf import DictConfig

Task = Callable[[DictConfig], Any]


def command(config_name: str, *, read: Callable[[Sequence[str]], list[str]] = list) -> Callable[[Task], Callable[[], None]]:
    """Make a function of a configuration a command: ``@command("train")`` composes ``conf/train.yaml``.

    Where Hydra refuses what was typed, it says so; this adds the nearest names that it would have taken.

    Args:
        config_name: of the configuration at the top of ``conf``.
        read: what Hydra is given for what was typed.
    """

    def made(task: Task) -> Callable[[], None]:
        run = hydra.main(version_base="1.3", config_path="pkg://conf", config_name=config_name)(task)

        @functools.wraps(task)
        def main() -> None:
            typed = sys.argv[1:]
            sys.argv[1:] = read(typed)
            try:
                run()
            except SystemExit as end:
                if end.code:
                    for line in hints(config_name, typed):
                        print(line, file=sys.stderr)  # noqa: T201
                raise

        return main

    return made


def hints(config_name: str, typed: Sequence[str]) -> Iterator[str]:
    """A line for every override that names a group's option, or an entry, that is not there, if some are close to it.

    Args:
        config_name: as `command` takes it.
        typed: what stood on the command line.
    """
    from hydra import compose, initialize_config_module
    from hydra.core.config_loader import ConfigLoader
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.object_type import ObjectType
    from hydra.errors import HydraException

    given = [each for each in typed if re.match(r"[\w/.@:]+=", each)]
    GlobalHydra.instance().clear()
    with initialize_config_module("conf", version_base="1.3"):
        loader: ConfigLoader = GlobalHydra.instance().config_loader()
        groups = {each: re.split("[@=]", each, maxsplit=1)[0] for each in given}
        options = {each: loader.get_group_options(group, results_filter=ObjectType.CONFIG) for each, group in groups.items()}
        choices = []
        for each in (each for each in given if options[each]):
            names = [name.strip() for name in each.partition("=")[2].strip("[]").split(",")]
            for name in names:
                if name not in (*options[each], "null", ""):
                    yield from _nearest(f"{groups[each]}={name}", name, options[each])
            if len(names) == 1 and names[0] in options[each]:
                choices.append(each)
        try:
            config = compose(config_name, overrides=choices)
        except HydraException:
            return
        for each in (each for each in given if not options[each]):
            yield from _misspelt(config, each.partition("=")[0])


def _misspelt(config: DictConfig, path: str) -> Iterator[str]:
    """The nearest entries to the first part of a path that is not in the configuration."""
    found: Any = config
    parts = path.split(".")
    for place, part in enumerate(parts):
        if not isinstance(found, DictConfig):
            return
        if part not in list(found):  # a DictConfig does not count what is mandatory and not set
            before = "".join(f"{each}." for each in parts[:place])
            yield from _nearest(path, part, [str(name) for name in found], before=before)
            return
        found = found._get_node(part)


def _nearest(typed: str, name: str, known: Sequence[str], *, before: str = "") -> Iterator[str]:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        yield f"hint: {typed} is unknown; did you mean {' or '.join(before + each for each in close)}?"
