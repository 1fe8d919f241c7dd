"""The exceptions that a user is meant to see, each said in one line."""

import difflib
from collections.abc import Iterable


class ConfigError(ValueError):
    """A flag, file or gin binding is wrong; the message names it and what was expected.

    `python -m prune_rl.train` prints the message alone and exits with code 2.
    """


class AllDivergedError(RuntimeError):
    """No seed of a run is finite any more; the message says since when.

    `python -m prune_rl.train` prints the message alone and exits with code 1.
    """


def nearest(name: str, choices: Iterable[str], *, listed: int = 12) -> str:
    """Says which of `choices` is closest to `name`, or lists the choices if none is close."""
    choices = sorted(choices)
    by_folded = {choice.casefold(): choice for choice in choices}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    if close:
        return f"did you mean {by_folded[close[0]]!r}?"
    shown = ", ".join(choices[:listed])
    return f"choose from {shown}{', …' if len(choices) > listed else ''}"


def require(condition: bool, binding: str, value: object, expected: str) -> None:
    """Raises `ConfigError` naming `binding`, its `value` and what was `expected` of it."""
    if not condition:
        raise ConfigError(f"{binding}={value!r}: expected {expected}")


def require_integer(binding: str, value: object, least: int) -> None:
    """Raises `ConfigError` unless `value` is an integer, and no boolean, of at least `least`."""
    valid = isinstance(value, int) and not isinstance(value, bool) and value >= least
    require(valid, binding, value, f"an integer >= {least}")


def require_boolean(binding: str, value: object) -> None:
    """Raises `ConfigError` unless `value` is True or False."""
    require(isinstance(value, bool), binding, value, "True or False")


def require_choice(binding: str, value: object, choices: Iterable[str]) -> None:
    """Raises `ConfigError` with the nearest valid choice unless `value` is one of `choices`."""
    choices = list(choices)
    if value not in choices:
        raise ConfigError(f"{binding}={value!r}: no such choice; {nearest(str(value), choices)}")
