"""Settings of a run as one Python dict, in place of gin files and bindings.

    {"gin_files": ["experiments/minatar_breakout.gin", "pruning/magnitude.gin"],
     "Runner.num_seeds": 3, "DQNAgent.gamma": 0.97, "Runner.interventions": ["@ReDo()"]}

Every other key is a gin name, with a scope if need be ('actor/create_optimizer.learning_rate').
Values are numbers, booleans, None, strings, and lists, tuples and dicts of them; NumPy's numbers
and paths too. A string that reads as one of gin's references is one: '@DQNAgent()' is made anew,
'@OnlineSource' is the function or class itself, '%torso' a macro's value.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np

from prune_rl.errors import ConfigError, first_line, require, shown

Settings = Mapping[str, Any]

_FILES = "gin_files"
_NAME = re.compile(r"(\w+/)*\w+(\.\w+)*")
_REFERENCE = re.compile(r"@(\w+/)*\w+(\.\w+)*(\(\))?|%\w+(\.\w+)*")
_VALUES = "a number, a string, True, False, None, or a list, tuple or dict of such"
_ONE = "expected the files of one; the command line's --list prints those of each"
_BY_NAME = "a function or class by its name, as '@OnlineSource', once it is registered with gin"


class Composition(NamedTuple):
    """What the command line would be given: files, and the binding of each other setting."""

    gin_files: list[str]
    bindings: dict[str, str]


def composition(settings: Settings) -> Composition:
    """Reads a dict of settings.

    Raises:
        ConfigError: a key is no gin name, or a value nothing that gin could write down.
    """
    require(isinstance(settings, Mapping), "settings", settings, "a dict")
    files = settings.get(_FILES, [])
    files = [files] if isinstance(files, str | PurePath) else files
    require(_are_names(files), _key(_FILES), files, "a list of gin files, as ['agents/dqn.gin']")
    bindings = {}
    for name, value in settings.items():
        if name == _FILES:
            continue
        is_name = isinstance(name, str) and _NAME.fullmatch(name) is not None
        require(is_name, "settings: the key", name, "gin_files or a gin name, as 'DQNAgent.gamma'")
        _require_other_key(name, value)
        flat = "." in name or not isinstance(value, Mapping)
        require(flat, _key(name), value, f"a flat dict, as {name + '.gamma'!r}: 0.99")
        bindings[name] = f"{name} = {_text(_key(name), value)}"
    return Composition([str(x) for x in files], bindings)


def _are_names(value: Any) -> bool:
    return isinstance(value, Sequence) and all(isinstance(x, str | PurePath) for x in value)


def _require_other_key(name: str, value: Any) -> None:
    """Raises `ConfigError` for a key that gin would take for a macro, and that means our own."""
    if name == "gin_bindings":
        raise ConfigError(f"{_key(name)}: expected a key for each, as 'DQNAgent.gamma': 0.99")
    meant = get_close_matches(name.casefold(), [_FILES], cutoff=0.8)
    if meant and _are_names(value):
        raise ConfigError(f"settings: the key={name!r}: did you mean {_FILES!r}?")


def _key(name: str) -> str:
    return f"settings[{name!r}]"


def _text(key: str, value: Any) -> str:
    """A value as a gin file would have it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, PurePath):
        value = str(value)
    if isinstance(value, str):
        return value if _REFERENCE.fullmatch(value) else repr(value)
    if value is None or isinstance(value, int):
        return repr(value)
    if isinstance(value, float):
        require(math.isfinite(value), key, value, "a finite number")
        return repr(value)
    if isinstance(value, Mapping):
        pairs = [f"{_text(key, x)}: {_text(key, own)}" for x, own in value.items()]
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_text(key, own) for own in value)}]"
    raise ConfigError(f"{key}={shown(value)}: expected {_BY_NAME if callable(value) else _VALUES}")


@contextmanager
def told_in_python(bindings: Mapping[str, str]) -> Iterator[None]:
    """Within, what is wrong with settings is told in one line, by their keys and not by flags."""
    try:
        yield
    except ConfigError as error:
        line = first_line(error)
        for name, binding in bindings.items():
            line = line.replace(f"--gin_bindings={binding!r}", _key(name))
        line = re.sub(r"add --gin_files=(\S+\.gin)", r"add '\1' to gin_files", line)
        line = re.sub(r"^--gin_files=(\S+): ", rf"{_key(_FILES)}: \1: ", line)
        line = re.sub(r"^--gin_files: (a grid of .*?);.*", rf"{_key(_FILES)}: \1; {_ONE}", line)
        line = re.sub(r"^--base_dir=", "base_dir=", line)
        raise ConfigError(line) from error
