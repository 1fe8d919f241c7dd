"""What vectors made here say of themselves: JSON in a file of D4RL's form, or beside Minari's."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from prune_rl.datasets.experience import Damaged
from prune_rl.environments.games import SIZES


def require_claims(where: str, about: Any, actions: int) -> dict[str, Any]:
    """`about`, if it is as `dataset_tool.making` writes it: "game" and "run", perhaps more.

    Args:
        where: it lies; begins every message.
        about: what JSON holds there.
        actions: numbers in an action.

    Raises:
        Damaged: it is not.
    """
    if not isinstance(about, dict):
        raise Damaged(f"{where}: {str(about)[:80]!r}, expected an object with game and run")
    are_borders = partial(_are_numbers, count=actions)
    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "game": (_is_text, "a text"),
        "run": (_is_number_of_run, "an integer >= 1"),
        "protocol": (_is_object, "an object"),
        "low": (are_borders, f"{actions} finite numbers"),
        "high": (are_borders, f"{actions} finite numbers"),
    }
    for name, (fits, expected) in checks.items():
        needed = name in ("game", "run")
        value = about.get(name)
        if (needed or name in about) and not fits(value):
            raise Damaged(f"{where}: {name}={str(value)[:80]!r}, expected {expected}")
    low, high = borders(about, actions)
    if not all(x < y for x, y in zip(low, high, strict=True)):
        raise Damaged(f"{where}: low={low}, expected less than high={high}, number by number")
    return about


def borders(about: Mapping[str, Any], actions: int) -> tuple[list[float], list[float]]:
    """Of each number of an action, as said, or from -1 to 1.

    D4RL normalises every environment so (`NormalizedBoxEnv`).
    """
    return about.get("low", [-1] * actions), about.get("high", [1] * actions)


def require_sizes(
    path: Path, game: str, found: tuple[int, int], expected: tuple[int, int] | None = None
) -> None:
    """Raises `Damaged` unless a game has so many numbers in an observation and an action.

    Args:
        path: to the data.
        game: what they are said to be of; others than ours may have any.
        found: of the data.
        expected: of the game, where it is not what it shows here.
    """
    known = expected or SIZES.get(game, found)
    if found != known:
        said = f"observations of {found[0]} and actions of {found[1]} numbers"
        raise Damaged(
            f"{path}: {said}, expected those of {game}, which are {known[0]} and {known[1]}"
        )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number_of_run(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _are_numbers(value: Any, count: int) -> bool:
    numbers = isinstance(value, list) and len(value) == count
    return numbers and all(type(x) in (int, float) and math.isfinite(x) for x in value)
