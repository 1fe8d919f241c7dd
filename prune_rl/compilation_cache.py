"""Keeps compiled programs on disk, so that a run like an earlier one starts without compiling.

JAX's persistent compilation cache, in the user's cache directory. It never decides a run: where
it cannot be written, or an entry cannot be read, programs are compiled as without it.
"""

import hashlib
import logging
import os
import platform
import re
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import jaxlib

_MAX_BYTES = 2**29
_CPUINFO = Path("/proc/cpuinfo")
_CPU_FACTS = re.compile(
    r"^(vendor_id|cpu family|model|model name|flags|Features|CPU (?:\w+))\s*: .*$", re.MULTILINE
)
_logger = logging.getLogger(__name__)


def enable() -> Path | None:
    """Turns the cache on, to call before anything compiles; returns its folder.

    That is prune_rl/<versions and CPU> in $XDG_CACHE_HOME or ~/.cache, or the one JAX was told
    already, as by JAX_COMPILATION_CACHE_DIR, with the settings it came with. None: there is no
    folder to write to, and there will be no cache.
    """
    jax_config: Any = jax.config  # declares its settings at run time
    given = jax_config.jax_compilation_cache_dir
    if given:
        _mend(Path(given))
        return Path(given)
    try:
        folder = _home() / "prune_rl" / folder_name()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # who may write here may run code
        tempfile.TemporaryFile(dir=folder).close()
        _trim(folder.parent)
    except (OSError, RuntimeError) as error:  # RuntimeError: no home directory
        _logger.debug("no compilation cache: %s", error)
        return None
    _mend(folder)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # A run compiles two dozen programs; a third of the time goes to those of under a second.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    return folder


def disable() -> None:
    """Turns every persistent cache off, that of JAX_COMPILATION_CACHE_DIR too."""
    jax.config.update("jax_enable_compilation_cache", False)


def folder_name() -> str:
    """What compiled code depends on beyond JAX's own keys: versions and, as a digest, the CPU.

    JAX's keys hold the program, XLA's flags and the accelerator, but not the instructions that
    this CPU has and another one of the same name in a cluster lacks.
    """
    digest = hashlib.sha256(cpu_facts().encode()).hexdigest()[:12]
    return f"jax{jax.__version__}-jaxlib{jaxlib.__version__}-{digest}"


def cpu_facts() -> str:
    """Model and instruction sets of the CPU, in any stable form."""
    try:
        cpuinfo = _CPUINFO.read_text()
    except OSError:
        cpuinfo = ""
    facts = sorted({match.group() for match in _CPU_FACTS.finditer(cpuinfo)})
    return "\n".join([platform.machine(), *(facts or [platform.processor()])])


def _home() -> Path:
    named = os.environ.get("XDG_CACHE_HOME", "")
    return Path(named) if os.path.isabs(named) else Path.home() / ".cache"


def _trim(root: Path) -> None:
    """Deletes the entries longest unused, of all versions; JAX's own limit needs `filelock`."""
    entries = []
    for path in root.glob("*/*-cache"):
        with suppress(OSError):  # another run deleted it
            status = path.stat()
            entries.append((max(status.st_atime, status.st_mtime), status.st_size, path))
    size = sum(entry[1] for entry in entries)
    for _, entry_size, path in sorted(entries):
        if size <= _MAX_BYTES:
            break
        with suppress(OSError):
            path.unlink()
        size -= entry_size


def _mend(folder: Path) -> None:
    if not isinstance(warnings.showwarning, _Mender):
        warnings.showwarning = _Mender(folder, warnings.showwarning)
        warnings.filterwarnings("always", _Mender.message.pattern)


class _Mender:
    """Answers JAX's warning of a damaged entry by deleting it; other warnings pass.

    JAX writes entries in place, so one that a kill or a full disk cut short would stay: JAX
    compiles instead of reading it, but does not overwrite it.
    """

    message = re.compile(
        r"Error (?:reading|writing) persistent compilation cache entry for '([^']*)'"
    )

    def __init__(self, folder: Path, show: Callable[..., None]) -> None:
        self._folder, self._show = folder, show

    def __call__(self, message: Warning | str, *args: object, **kwargs: object) -> None:
        found = self.message.match(str(message))
        if not found:
            self._show(message, *args, **kwargs)
            return
        _logger.debug("%s", message)
        program = found.group(1)  # the warning does not say which of the program's entries
        for path in list(self._folder.glob("*-cache")):
            if path.name.startswith(f"{program}-"):
                with suppress(OSError):
                    path.unlink()
