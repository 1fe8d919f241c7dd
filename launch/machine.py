"""What this machine has for trainings: cores, memory, GPUs."""

import importlib.util
import math
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")
_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")  # without one, JAX knows no GPU
_SPARE = 0.05  # of the free memory, for all else


def cores() -> list[int]:
    """Numbers of the cores that this process may use; as many as a container's quota allows."""
    try:
        own = sorted(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        own = list(range(os.cpu_count() or 1))
    return own[: _quota(_CGROUP / "cpu.max") or None]


def _quota(cpu_max: Path) -> int:
    """Whole cores of a file '200000 100000', rounded up; 0 where there is no limit."""
    try:
        quota, period = cpu_max.read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no such file; 'max'
        return 0


def free_memory() -> int:
    """Bytes of RAM that trainings may take, of the machine or of the container."""
    free = psutil.virtual_memory().available
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text()) - _page_cache(_CGROUP / "memory.stat")
        free = min(free, limit - max(used, 0))
    except (OSError, ValueError):
        pass
    return int(free * (1 - _SPARE))


def _page_cache(memory_stat: Path) -> int:
    """Bytes that a container counts as used, and gives up when they are needed."""
    try:
        lines = memory_stat.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(x.split()[1]) for x in lines if x.startswith("inactive_file "))


def gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """What CUDA_VISIBLE_DEVICES may say to choose one: what it says now, else nvidia-smi's.

    None where JAX trains on the CPU.
    """
    if environment.get("JAX_PLATFORMS") == "cpu" or not any(map(_is_installed, _PLUGINS)):
        return []
    given = environment.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [x.strip() for x in given.split(",") if x.strip() not in ("", "-1")]
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if program is None:
        return []
    query = [program, "--query-gpu=index", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split() if done.returncode == 0 else []


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
