"""A directory that is filled as a whole or not at all."""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from prune_rl.errors import ConfigError

PARTIAL = ".partial"


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Gives `out`/.partial to write to; what is there in the end is moved up into `out`.

    If anything is raised, all of it is removed, with the folders made for it. A process that is
    killed leaves `.partial`, which the next one removes and says so.

    Raises:
        ConfigError: `out` is not empty, is being filled by another process, or cannot be made.
        OSError: writing failed; the message names `out`.
    """
    partial = out / PARTIAL
    made = [folder for folder in (out, *out.parents) if not os.path.exists(folder)]
    try:
        yield from _filled(out, partial)
    finally:
        with suppress(OSError):
            _remove_empty(made)


def _filled(out: Path, partial: Path) -> Iterator[Path]:
    lock = _locked(out, partial)
    try:
        _require_empty(out)
        _clear(partial)
        yield partial
        for path in sorted(partial.iterdir()):
            path.rename(out / path.name)
        _sync(out)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"--out={out}: {reason}; nothing of it is kept") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(lock)


def _locked(out: Path, partial: Path) -> int:
    """A descriptor of `partial`, made if need be; the kernel's lock of it ends with the process."""
    try:
        partial.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        reason = f"cannot be made or written to: {error.strerror}"
        raise ConfigError(f"--out={out}: {reason}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ConfigError(f"--out={out}: another process is writing it; let it end") from error
    return descriptor


def _require_empty(out: Path) -> None:
    found = sorted(path.name for path in out.iterdir() if path.name != PARTIAL)
    if found:
        advice = "name a new or empty directory, or move it away"
        raise ConfigError(f"--out={out}: not empty, it holds {found[0]!r}; {advice}")


def _clear(partial: Path) -> None:
    leftover = list(partial.iterdir())
    for path in leftover:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if leftover:
        said = f"--out={partial.parent}: removed {PARTIAL}, which a process that was ended had left"
        print(said, file=sys.stderr, flush=True)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Those that are there; raises `OSError` at the first that holds something."""
    for folder in folders:
        if os.path.isdir(folder):
            folder.rmdir()


def _sync(folder: Path) -> None:
    """Makes the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
