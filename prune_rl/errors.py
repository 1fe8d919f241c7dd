"""The exceptions a user is meant to see, in one line: what must change, or why a run ended."""

import contextlib
import difflib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path


class ConfigError(ValueError):
    """A flag, file or gin binding is wrong; the message names it and what was expected.

    `python -m prune_rl.train` prints the message alone and exits with code 2.
    """


class Blamed(ConfigError):  # noqa: N818
    """A user's own function raised; a command adds that --traceback shows where."""


class RunEnded(Exception):  # noqa: N818
    """A run ended early, saved as far as it could be; the message says where it stands.

    `python -m prune_rl.train` prints the message alone and exits with `exit_code`.
    """

    @property
    def exit_code(self) -> int:
        """1, unless there is more to say."""
        return 1


def nearest(name: str, choices: Iterable[str], *, listed: int = 12) -> str:
    """Says which of `choices` is closest to `name`, or lists the choices if none is close."""
    choices = sorted(choices)
    by_folded = {choice.casefold(): choice for choice in choices}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    if close:
        return f"did you mean {by_folded[close[0]]!r}?"
    shown = ", ".join(choices[:listed])
    return f"choose from {shown}{', …' if len(choices) > listed else ''}"


def shown(value: object, longest: int = 200) -> str:
    """A value in one line, as a binding would have it: '@DQNAgent()' for what has no short form."""
    if callable(value) and hasattr(value, "__name__"):
        return f"@{value.__name__}"
    try:
        text = repr(value)
        line = " ".join(text.split())
    except ValueError:  # Python refuses to print an integer of thousands of digits
        return "(an integer of thousands of digits)"
    formless = len(line) > longest or "\n" in text or line.startswith("<")
    if formless and type(value).__module__ != "builtins":
        return f"@{type(value).__name__}()"
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, or its type if it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def blaming(binding: str, function: object) -> Iterator[None]:
    """Names the binding of a user's own `function` where it raises what is no `ConfigError`.

    Neither memory that is lacking nor a signal that came meanwhile is blamed on it.
    """
    try:
        yield
    except (ConfigError, MemoryError, RunEnded):
        raise
    except Exception as error:
        what = f"it raised {type(error).__name__}: {first_line(error)}"
        raise Blamed(f"{binding}={shown(function)}: {what}") from error


def require(condition: bool, binding: str, value: object, expected: str) -> None:
    """Raises `ConfigError` naming `binding`, its `value` and what was `expected` of it."""
    if not condition:
        raise ConfigError(f"{binding}={shown(value)}: expected {expected}")


def path_of(name: str, value: object) -> Path:
    """The path that an argument is; raises `ConfigError` naming it where it is none."""
    require(isinstance(value, str | os.PathLike), name, value, "a path, as 'runs/x'")
    return Path(value)  # type: ignore[arg-type]


def require_choice(binding: str, value: object, choices: Iterable[str]) -> None:
    """Raises `ConfigError` with the nearest valid choice unless `value` is one of `choices`."""
    choices = list(choices)
    if value not in choices:
        raise ConfigError(f"{binding}={value!r}: no such choice; {nearest(str(value), choices)}")
