"""Reads a run's config.gin as text: what was set, without building or importing anything."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prune_rl.errors import ConfigError

Config = Mapping[str, str]  # binding, as 'torso/MinAtarTorso.width', to its text, as '8'
_JOINED = re.compile(r"\\?\n +")  # over which gin breaks a long value


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

    What is no Python literal, as '@DQNAgent()', is its text. Of several scopes it is the first's.
    """
    for name, text in config.items():
        if name.rpartition("/")[2] == binding:
            try:
                return ast.literal_eval(text)
            except (ValueError, SyntaxError):
                return text
    return default
