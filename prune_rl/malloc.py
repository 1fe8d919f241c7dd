"""Keeps freed memory in the process, so that an update does not fault its buffers in anew.

By default glibc gives the buffers that XLA frees after every update, tens to hundreds of MiB, back
to Linux, which zeroes them page by page when they are taken again: a third of the CPU time of a
Nature update. Other C libraries are left as they are.
"""

import ctypes
import os
from collections.abc import Callable

# Numbers of malloc.h. A block from the first size on is still Linux's own once it is freed: a
# replay of a million Atari frames is, what an update needs is not.
_THRESHOLD = {"M_MMAP_THRESHOLD": (-3, 2**30)}
_NO_THRESHOLD = {"M_MMAP_MAX": (-4, 0)}  # for older versions, which take none above 32 MiB
# One arena for all threads: each one's own would give back what is larger than 64 MiB.
_ALWAYS = {"M_TRIM_THRESHOLD": (-1, 2**31 - 1), "M_ARENA_MAX": (-8, 1)}
_kept: str | None = None


def keep_memory() -> str | None:
    """Lets this process keep the memory that it frees; best before it starts any thread.

    New zeros of NumPy still take no memory before they are written.

    Returns:
        What was set, as 'NAME=VALUE, ...'. None, and nothing is: this is not glibc, or the
        environment decides (MALLOC_*, GLIBC_TUNABLES, another malloc in LD_PRELOAD).
    """
    global _kept
    if _kept is None and _is_glibc() and not _environment_decides():
        _kept = _set(ctypes.CDLL(None).mallopt)
    return _kept


def kept() -> str | None:
    """What `keep_memory` returned in this process; None if it was not called."""
    return _kept


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, OSError, ValueError):  # Windows, musl, macOS
        return False


def _environment_decides() -> bool:
    tuned = "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "")
    replaced = "malloc" in os.environ.get("LD_PRELOAD", "")
    return tuned or replaced or any(name.startswith("MALLOC_") for name in os.environ)


def _set(mallopt: Callable[[int, int], int]) -> str | None:
    """None if glibc takes neither threshold: the rest alone would make it slower."""

    def take(settings: dict[str, tuple[int, int]]) -> list[str]:
        return [f"{name}={own[1]}" for name, own in settings.items() if mallopt(*own)]

    done = take(_THRESHOLD) or take(_NO_THRESHOLD)
    return ", ".join(done + take(_ALWAYS)) if done else None
