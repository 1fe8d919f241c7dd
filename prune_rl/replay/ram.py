"""Refuses a replay buffer that the machine has no RAM for, before it is filled."""

from pathlib import Path

import jax
import psutil

from prune_rl.errors import ConfigError

GIB = 1 << 30
# Per cgroup version: controller field of /proc/self/cgroup, mount, limit, usage, droppable cache.
_V2 = ("", "", "memory.max", "memory.current", "inactive_file")
_V1 = ("memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def require_ram(
    num_rows: int,
    num_seeds: int,
    bytes_per_row: int,
    frame_shape: tuple[int, ...],
    *,
    on_device: bool = False,
) -> None:
    """Raises `ConfigError` if there is not the memory that a buffer will take.

    `bytes_per_row` is what a row of one seed takes at most: frame, other fields, sampler's share.
    """
    needed = num_rows * num_seeds * bytes_per_row
    available = available_on_device() if on_device else available_bytes()
    where = "free on the device" if on_device else "available"
    what = f"{num_seeds} seeds x {num_rows:,} frames of {'x'.join(map(str, frame_shape))}"
    if needed > available:
        largest = available // (num_seeds * bytes_per_row)
        raise ConfigError(
            f"ReplayBuffer.max_capacity: {what} need {needed / GIB:.2f} GiB, "
            f"{available / GIB:.2f} GiB are {where}; the largest that fits is {largest}"
        )


def require_room(binding: str, value: int, needed: int) -> None:
    """Raises `ConfigError` if what a `binding` of this `value` asks for, in bytes, does not fit."""
    available = available_bytes()
    if needed > available:
        room = f"{needed / GIB:,.2f} GiB, {available / GIB:.2f} GiB are available"
        largest = max(value * available // needed, 1)
        raise ConfigError(f"{binding}={value}: needs {room}; the largest that fits is {largest}")


def available_on_device() -> int:
    """Bytes that the device may still take; of a CPU, the machine's RAM."""
    stats = jax.local_devices()[0].memory_stats()
    if not stats or "bytes_limit" not in stats:
        return available_bytes()
    return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))


def available_bytes(proc: Path = Path("/proc"), mount: Path = Path("/sys/fs/cgroup")) -> int:
    """RAM this process may still take: the machine's, or less where a cgroup limits it."""
    free = [psutil.virtual_memory().available]
    for controller, subfolder, limit, usage, cache in (_V2, _V1):
        root = mount / subfolder
        group = root / _own_group(proc, controller)
        # A limit may sit on any ancestor (Slurm's job above its step, a container's root).
        for folder in (group, *group.parents):
            if folder.is_relative_to(root):
                free += _left_in(folder, limit, usage, cache)
    return max(min(free), 0)


def _own_group(proc: Path, controller: str) -> str:
    """Path of this process's cgroup below the controller's mount, "" if there is none."""
    try:
        lines = (proc / "self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return ""
    fields = (line.split(":", 2) for line in lines)
    own = [path for _, names, path in fields if controller in names.split(",")]
    return own[0].lstrip("/") if own else ""


def _left_in(folder: Path, limit: str, usage: str, cache: str) -> list[int]:
    """[bytes left] under one cgroup's limit, [] where it has none."""
    try:
        allowed, used = (folder / limit).read_text(), int((folder / usage).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return []
    # The kernel drops unused page cache before it refuses memory, so that counts as free.
    return [] if allowed.strip() == "max" else [int(allowed) - used + int(stat.get(cache, 0))]
