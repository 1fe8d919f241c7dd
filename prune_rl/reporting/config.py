"""Reads a run's config.gin as text: what was set, without building or importing anything."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prune_rl.errors import ConfigError

Config = Mapping[str, str]  # binding, as 'torso/MinAtarTorso.width', to its text, as '8'
_JOINED = re.compile(r"\\?\n +")  # over which gin breaks a long value
_CLASS = re.compile(r"@?(?:[\w.]*/)*(?:[\w.]*\.)?(\w+)")


def read_config(directory: Path) -> dict[str, str]:
    """The statements of a run's config.gin, in its order.

    Raises:
        ConfigError: there is none, or it is no text.
    """
    path = directory / "config.gin"
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        expected = "expected a run directory, with a config.gin"
        raise ConfigError(f"{directory}: {expected} that can be read") from error
    lines = (line for line in _JOINED.sub("", text).splitlines() if not line.startswith("#"))
    pairs = (line.partition(" = ") for line in lines)
    return {name: value for name, equals, value in pairs if equals}


def setting(config: Config, binding: str, default: Any = None) -> Any:
    """The value of `binding`, in whatever scope it stands; `default` where it is not set.

    Of several scopes it is the first's. A macro, as '%torso', is what it stands for; what is no
    Python literal, as '@DQNAgent()', is its text.
    """
    return next(iter(settings(config, binding)), default)


def settings(config: Config, binding: str) -> list[Any]:
    """The values of `binding` in all scopes where it stands; see `setting`."""
    named = (name for name in config if name.endswith(binding))
    texts = [config[name] for name in named if name.rpartition("/")[2] == binding]
    return [_value(config.get(x[1:], x) if x.startswith("%") else x) for x in texts]


def values(config: Config) -> dict[str, Any]:
    """All of it; what is no Python literal, as '@DQNAgent()' and '%torso', is its text."""
    return {name: _value(text) for name, text in config.items()}


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def number(config: Config, binding: str, default: float) -> float:
    """As `setting`, where only a number will do.

    Raises:
        ConfigError: it is another thing; names the binding.
    """
    value = setting(config, binding, default)
    if not isinstance(value, int | float):
        raise ConfigError(f"config.gin: {binding}={value}: expected a number, as {default:g}")
    return value


def class_name(reference: object) -> str:
    """'@scope/module.DQNAgent()' to 'DQNAgent'; '' for what is no reference."""
    found = _CLASS.match(reference) if isinstance(reference, str) else None
    return found.group(1) if found else ""
