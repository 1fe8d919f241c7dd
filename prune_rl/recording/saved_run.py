"""What a run directory holds of a run, for who uses it: only read, also while the run goes on."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from prune_rl.errors import ConfigError, nearest
from prune_rl.recording.checkpoints import START_AFRESH, Checkpoint, Checkpointer

_CONFIG, _STARTS = "config.gin", "provenance.json"
_NAMED = 6  # of the runs that a folder holds


class SavedRun(NamedTuple):
    """A run as it stands on disk.

    Attributes:
        directory: of the run.
        config: its operative configuration, text of config.gin.
        start: of provenance.json, the last entry.
        checkpoint: the newest that is whole; rows of replays are not read.
    """

    directory: Path
    config: str
    start: dict[str, Any]
    checkpoint: Checkpoint


def read_run(directory: Path) -> SavedRun:
    """The run in a directory.

    Raises:
        ConfigError: there is none, or several, it has no checkpoint yet, or what it holds is
            damaged.
    """
    _require_run(directory)
    config = _read(directory / _CONFIG)
    starts = directory / _STARTS
    text = _read(starts)
    try:
        start = json.loads(text)[-1]
        start["protocol"].get("game")
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        problem = "is not a list of starts in JSON; put back a copy"
        raise ConfigError(f"{starts}: {problem}") from error
    found: list[Checkpoint] = []
    with _told_by_path():
        is_there = Checkpointer(directory / "checkpoints").restore(found.append)
    if not is_there:
        problem = "no checkpoint yet; a run writes the first one before it learns"
        raise ConfigError(f"{directory}: {problem}")
    return SavedRun(directory, config, start, found[0])


@contextmanager
def _told_by_path() -> Iterator[None]:
    """Within, what is wrong with checkpoints is told of the directory, not of who trains in it."""
    try:
        yield
    except ConfigError as error:
        line = str(error).removeprefix("--base_dir=").removesuffix(f", {START_AFRESH}")
        raise ConfigError(line) from error


def _require_run(directory: Path) -> None:
    if not directory.is_dir():
        siblings = (
            [x.name for x in directory.parent.glob("*/")] if directory.parent.is_dir() else []
        )
        hint = f"; {nearest(directory.name, siblings)}" if siblings else ""
        raise ConfigError(f"{directory}: no such directory; expected that of a run{hint}")
    if (directory / _CONFIG).is_file():
        return
    below = sorted(str(x.parent) for x in directory.rglob(_CONFIG))
    if below:
        more = f" and {len(below) - _NAMED} more" if len(below) > _NAMED else ""
        problem = f"holds {len(below)} runs, none itself; name one of"
        raise ConfigError(f"{directory}: {problem} {', '.join(below[:_NAMED])}{more}")
    raise ConfigError(f"{directory}: holds no run ({_CONFIG}); expected what --base_dir named")


def _read(path: Path) -> str:
    """A file's text; raises `ConfigError` if it cannot be read."""
    try:
        return path.read_text("utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: not there yet; a run writes it when it begins") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not text; put back a copy") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
