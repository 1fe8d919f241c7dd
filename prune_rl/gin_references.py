"""What gin's references refer to: a circle of them would never end."""

from collections.abc import Iterator
from typing import Any

import gin

from prune_rl.errors import ConfigError

_Key = tuple[str, str]  # scope and selector, as gin keys its bindings


def require_no_circle() -> None:
    """Raises `ConfigError` if a value needs itself to be made, as of `torso = %torso`."""
    safe: set[_Key] = set()
    for key in list(gin.config._CONFIG):  # gin offers no public list
        _follow(key, [], safe)


def _follow(key: _Key, path: list[tuple[_Key, str]], safe: set[_Key]) -> None:
    if key in safe:
        return
    for binding, reference in _needed(key):
        where = [*path, (key, binding)]
        scope = "/".join(reference.scopes) or key[0]
        target = (scope, reference.configurable.selector)
        if any(target == own for own, _ in where):
            raise ConfigError(f"{binding}: its value {reference!r} needs itself to be made")
        _follow(target, where, safe)
    safe.add(key)


def _needed(key: _Key) -> Iterator[tuple[str, Any]]:
    """Bindings of what has a key, and the references in their values that are made with it."""
    scope, selector = key
    parts = scope.split("/") if scope else []
    scopes = ["/".join(parts[:length]) for length in range(len(parts) + 1)]
    bound: dict[str, Any] = {}
    for own in scopes:
        bound |= gin.config._CONFIG.get((own, selector), {})
    for parameter, value in bound.items():
        name = scope if selector == "gin.macro" else f"{selector.split('.')[-1]}.{parameter}"
        for reference in gin.config.iterate_references(value):
            if reference.evaluate:
                yield name, reference
