"""The run directory: made when a run is sound, held by one process, never mixed with another's."""

import contextlib
import difflib
import fcntl
import json
import os
import re
import socket
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import TextIO

from prune_rl.errors import ConfigError
from prune_rl.recording import logs, tensor_files

# When a run is saved, and where its data lie: nothing that decides what it does.
_FREE = ("Runner.checkpoint_minutes", "Dataset.path", "Dataset.chunks", "Dataset.cache_gib")
_CONFIG = "config.gin"
_FOLDERS = ("checkpoints", "checkpoints/rows", "diagnostics", "tensorboard", "wandb")
_FILES = ("config.gin", "provenance.json", "curve.png", *logs.FILES)
# What may lie in a directory before a run does: see `check`.
_OF_NOBODY = (".*", "lost+found", "lock", f"{_CONFIG}.part")
_PRINTED = ("*.log", "*.out", "*.err", "*.o[0-9]*", "*.e[0-9]*", "log.txt", "stdout*", "stderr*")


@contextlib.contextmanager
def held(base_dir: Path) -> Iterator[None]:
    """Makes `base_dir` if need be, and keeps other processes out of it.

    The lock is the kernel's (`flock` of the file `lock`), so it ends with the process, however that
    ends. Over NFS, Linux passes it on to the server, and it keeps other machines out too, unless
    the mount says `local_lock` or `nolock`; then it holds on one machine only.

    Raises:
      ConfigError: another process holds it, or the directory cannot be made or written to.
    """
    try:
        if base_dir.exists() and not base_dir.is_dir():
            raise ConfigError(f"--base_dir={base_dir}: expected a directory, found a file")
        base_dir.mkdir(parents=True, exist_ok=True)
        file = (base_dir / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        reason = f"cannot be made or written to: {error.strerror}"
        raise ConfigError(f"--base_dir={base_dir}: {reason}") from error
    with file:
        _lock(file, base_dir)
        yield


def _lock(file: TextIO, base_dir: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read() or "a process that has just started"
        raise ConfigError(f"--base_dir={base_dir}: {holder} is running it; let it end") from error
    except OSError as error:
        reason = f"cannot be locked: {error.strerror}; choose another file system"
        raise ConfigError(f"--base_dir={base_dir}: {reason}") from error
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()


def prepare(base_dir: Path, config: str) -> None:
    """Writes config.gin if there is none; raises like `check`."""
    check(base_dir, config)
    if not (base_dir / _CONFIG).exists():
        tensor_files.write_bytes(base_dir, _CONFIG, config.encode())


def check(base_dir: Path, config: str) -> None:
    """Looks whether `base_dir` can hold a run with the settings `config`; writes nothing.

    A run that is there may have anything beside it: notes, pictures, copies. A new run begins in a
    directory that holds nothing of anybody's. Not counted as such: hidden files (of file systems,
    desktops and editors), `lost+found`, the lock and half a config.gin of a start that was killed,
    what a scheduler or a shell prints into (`*.log`, `*.out`, `*.err`, `job.o123`, `job.e123`,
    `log.txt`, `stdout*`, `stderr*`, and whatever this process prints into), and folders with
    nothing but these, as an empty `tensorboard`.

    Raises:
      ConfigError: `base_dir` holds foreign files, a run with other settings, or files that cannot
        be read.
    """
    try:
        _require_kinds(base_dir)
        recorded = base_dir / _CONFIG
        if not recorded.exists():
            _require_nothing_of_others(base_dir)
            return
        _require_starts(base_dir)
        before = recorded.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"--base_dir={base_dir}: config.gin is not text; {_ADVICE}") from error
    except OSError as error:
        raise ConfigError(f"--base_dir={base_dir}: cannot be read: {error.strerror}") from error
    if not before.strip():
        raise ConfigError(f"--base_dir={base_dir}: config.gin is empty; {_ADVICE}")
    difference = _first_difference(before, config)
    if difference:
        raise ConfigError(
            f"--base_dir={base_dir}: holds a run with other settings ({difference}); "
            f"name another directory, or repeat its settings to resume it"
        )


def _require_nothing_of_others(base_dir: Path) -> None:
    for name in ("metrics.jsonl", "checkpoints"):
        if (base_dir / name).exists():
            raise ConfigError(f"--base_dir={base_dir}: holds {name} but no config.gin")
    foreign = _first_foreign(base_dir) if base_dir.is_dir() else None
    if foreign is not None:
        problem = f"holds {foreign.relative_to(base_dir)}, which is not of this run"
        raise ConfigError(f"--base_dir={base_dir}: {problem}; name another directory")


def _first_foreign(folder: Path) -> Path | None:
    """The first file, by name, that a new run may not find there; None if there is none."""
    for path in sorted(folder.iterdir()):
        if any(fnmatch(path.name, own) for own in _OF_NOBODY):
            continue
        if path.is_dir():
            foreign = _first_foreign(path)
        else:
            foreign = None if _is_printed_into(path) else path
        if foreign is not None:
            return foreign
    return None


def _is_printed_into(path: Path) -> bool:
    if any(fnmatch(path.name, own) for own in _PRINTED):
        return True
    for descriptor in (1, 2):  # stdout and stderr, which a shell may send to a file
        with contextlib.suppress(OSError):
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return True
    return False


_ADVICE = "put back a copy, or move the directory away to start afresh"


def _require_kinds(base_dir: Path) -> None:
    """A run may only find folders where it has folders, and files where it has files."""
    folders = [base_dir / name for name in _FOLDERS]
    folders += (base_dir / "tensorboard").glob("seed_*")
    wrong = [path for path in folders if path.exists() and not path.is_dir()]
    wrong += [base_dir / name for name in _FILES if (base_dir / name).is_dir()]
    for path in wrong:
        kind = "file" if path.is_dir() else "folder"
        problem = f"{path.relative_to(base_dir)} is no {kind}; {_ADVICE}"
        raise ConfigError(f"--base_dir={base_dir}: {problem}")


def _require_starts(base_dir: Path) -> None:
    """provenance.json must be a list that can be added to."""
    path = base_dir / "provenance.json"
    if not path.exists():
        return
    try:
        valid = isinstance(json.loads(path.read_bytes()), list)
    except ValueError:
        valid = False
    if not valid:
        problem = f"provenance.json is not a list of starts in JSON; {_ADVICE}"
        raise ConfigError(f"--base_dir={base_dir}: {problem}")


def _first_difference(recorded: str, now: str) -> str | None:
    delta = [
        line
        for line in difflib.ndiff(_statements(recorded), _statements(now))
        if line[:2] in ("- ", "+ ") and _decides(line[2:].strip())
    ]
    if not delta:
        return None
    was = next((line[2:] for line in delta if line[0] == "-"), "not set")
    now_is = next((line[2:] for line in delta if line[0] == "+"), "not set")
    return f"there: {was}; now: {now_is}"


def _statements(config: str) -> list[str]:
    """The lines of config.gin, those joined over which gin breaks a long value."""
    return re.sub(r"\\?\n +", "", config).splitlines()


def _decides(line: str) -> bool:
    """Whether a line of config.gin says something about what the run does."""
    return bool(line) and not line.startswith(("#", *(f"{name} =" for name in _FREE)))
