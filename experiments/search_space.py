"""What a search may propose, written as Hydra's sweeps: ``interval``, ``range``, ``choice``, and lists with commas."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from rationalizers.extras import require

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

# What the trials of a search must have in common for their numbers to be comparable, and their folders to be told apart.
FIXED = ("seed", "trainer.monitor", "trainer.mode", "name", "folder", "runs", "trials", "proposal_seed", "space")

# What folders are not named with.
UNFIT = r"[^\w.+-]"


def gathered(typed: Sequence[str]) -> list[str]:
    """A command line with its sweeps collected in one entry, ``space=[…]``, since Hydra would refuse them in a single run."""
    given = [each for each in typed if re.match(r"[\w/.@:+]+=", each)]
    try:
        sweeps = [parsed.input_line for parsed in OverridesParser.create().parse_overrides(given) if parsed.is_sweep_override()]
    except HydraException:
        return list(typed)  # Hydra says what is wrong with it
    if not sweeps:
        return list(typed)
    quoted = ",".join("'" + each.replace("\\", "\\\\").replace("'", "\\'") + "'" for each in sweeps if each)
    return [*(each for each in typed if each not in sweeps), f"space=[{quoted}]"]


def space_of(written: Sequence[str]) -> dict[str, BaseDistribution]:
    """Distributions by the entry or group that each is of.

    Args:
        written: sweeps, such as ``method.model.optimizer.lr=tag(log, interval(1e-4, 1e-2))``.

    Raises:
        ImportError: Optuna is not installed.
        ValueError: not a sweep, a shuffled one, or of something that all trials must share.
    """
    space = {}
    for override in OverridesParser.create().parse_overrides(list(written)):
        name = override.get_key_element()
        if not override.is_sweep_override():
            raise ValueError(f"'space' must hold ranges, got {override.input_line!r}; what is fixed stands beside it")
        if name in FIXED:
            raise ValueError(f"a search cannot choose {name!r}, got {override.input_line!r}; give it one value for all trials")
        if getattr(override.value(), "shuffle", False):
            raise ValueError(f"a search draws by itself, got {override.input_line!r}; leave 'shuffle' out")
        space[name] = _distribution(override)
    return space


def _distribution(override: Override) -> BaseDistribution:
    distributions = require("optuna.distributions", extra="search")
    value = override.value()
    if isinstance(value, IntervalSweep):
        whole = isinstance(value.start, int) and isinstance(value.end, int)
        kind = distributions.IntDistribution if whole else distributions.FloatDistribution
        return kind(value.start, value.end, log="log" in value.tags)
    if isinstance(value, RangeSweep):
        # Hydra's ranges end before their stop, Optuna's at their highest.
        steps = [round(each, 12) for each in value.range()]
        kind = distributions.IntDistribution if isinstance(value.range(), range) else distributions.FloatDistribution
        return kind(min(steps), max(steps), step=abs(value.step))
    return distributions.CategoricalDistribution(list(override.sweep_string_iterator()))


def ending(distribution: BaseDistribution) -> Sequence[Any]:
    """All choices, or where a range begins and ends."""
    choices: Sequence[Any] | None = getattr(distribution, "choices", None)
    return (distribution.low, distribution.high) if choices is None else choices


def overrides_of(values: Mapping[str, Any]) -> list[str]:
    """What was proposed, as on the command line; numbers with four significant digits, which are those of the run."""
    return [f"{name}={_digits(value)}" for name, value in values.items()]


def label_of(values: Mapping[str, Any]) -> str:
    """What was proposed, as part of a folder's name: ``lr_0.001234-share_0.1``."""
    short = _short(list(values))
    return "-".join(f"{short[name]}_{re.sub(UNFIT, '-', _digits(value))}" for name, value in values.items())


def _digits(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _short(names: Sequence[str]) -> dict[str, str]:
    """Each name's last part, or as many of its last parts as tell it from the others."""
    parts = {name: re.split(r"[./@]", name) for name in names}
    short = {}
    for name, own in parts.items():
        others = [other for each, other in parts.items() if each != name]
        length = next((some for some in range(1, len(own)) if all(own[-some:] != other[-some:] for other in others)), len(own))
        short[name] = ".".join(own[-length:])
    return short
