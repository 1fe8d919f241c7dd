"""What the ratios were measured on."""

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import psutil

from benchmarks.pairs import REPOSITORY


def describe() -> dict[str, Any]:
    """CPU, memory, system and commit; what the machine does not say is ''."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "ram_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()).strip(),
        "python": platform.python_version(),
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def cores() -> list[int]:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def load() -> list[float]:
    """Processes that ran or waited to, over 1, 5 and 15 minutes."""
    return [round(x, 2) for x in os.getloadavg()]


def _cpu_model() -> str:
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1) if found else platform.processor()


def _git(*arguments: str) -> str:
    try:
        command = ["git", *arguments]
        return subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True
        ).stdout.strip()
    except FileNotFoundError:
        return ""
