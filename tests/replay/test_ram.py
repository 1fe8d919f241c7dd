"""A buffer that the machine has no RAM for is refused, and it takes RAM only as it fills."""

import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from prune_rl.errors import ConfigError
from prune_rl.replay import ram
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.replay.samplers import PrioritizedSampler
from prune_rl.replay.sum_tree import SumTrees
from prune_rl.specs import Box, Discrete, ObservationSpec

ATARI = ObservationSpec((84, 84, 1), stack_size=4)
ATARI_BYTES = 84 * 84 + 13  # a frame, the action and the reward, the age and the end


@pytest.fixture
def machine(monkeypatch):
    """Sets what the machine has available, in bytes."""

    def has(available):
        answer = SimpleNamespace(available=available)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: answer)

    return has


def make_buffer(max_capacity=1_000_000, **settings):
    specs = {"observation_spec": ATARI, "action_spec": Discrete(18)}
    return ReplayBuffer(seeds=range(5), max_capacity=max_capacity, **{**specs, **settings})


def test_refuses_and_names_the_largest_capacity_that_fits(machine):
    machine(3 * ram.GIB)
    with pytest.raises(ConfigError) as error:
        make_buffer()
    message = str(error.value)
    # 5 x 1e6 x 7069 bytes = 32.9 GiB
    for part in ("ReplayBuffer.max_capacity", "32.92 GiB", "3.00 GiB"):
        assert part in message
    largest = int(re.search(r"fits is (\d+)", message)[1])
    make_buffer(largest)
    with pytest.raises(ConfigError):
        make_buffer(largest + 1)


def test_vectors_and_boxes_are_charged_for_their_numbers(machine):
    """17 numbers seen and 6 done, of four bytes each, beside the nine of reward, age and end."""
    form = {"observation_spec": ObservationSpec((17,), np.float32)}
    form["action_spec"] = Box((-1.0,) * 6, (1.0,) * 6)
    machine(5 * 1000 * (17 * 4 + 6 * 4 + 9))
    make_buffer(1000, **form)
    with pytest.raises(ConfigError, match="frames of 17 need"):
        make_buffer(1001, **form)


def test_priorities_are_charged_as_their_trees_hold_them():
    rows, trees = 1_000_000, SumTrees(5, 1_000_000)
    held = sum(level.nbytes for level in trees._levels)
    assert held <= 5 * rows * PrioritizedSampler.BYTES_PER_ROW < 2.01 * held


def test_a_prioritized_buffer_is_charged_for_its_priorities(machine):
    machine(5 * 1000 * (ATARI_BYTES + 20))
    make_buffer(1000)
    with pytest.raises(ConfigError, match="max_capacity"):
        make_buffer(1000, create_sampler=PrioritizedSampler)


def test_a_short_run_is_charged_for_its_own_length_only(machine):
    machine(ram.GIB)
    make_buffer(longest_run=10_000)


_GROWTH = """
import psutil
from prune_rl import malloc
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.specs import Discrete, ObservationSpec

malloc.keep_memory()
spec = ObservationSpec((84, 84, 1), stack_size=4)
before = psutil.Process().memory_info().rss
buffer = ReplayBuffer(
    seeds=range(5), observation_spec=spec, action_spec=Discrete(18), max_capacity=20_000
)
print(psutil.Process().memory_info().rss - before, buffer.add_count)
"""


def test_memory_is_taken_only_as_rows_are_written():
    """In a new process: one that keeps what it freed has to zero it where a buffer reuses it."""
    found = subprocess.run([sys.executable, "-c", _GROWTH], capture_output=True, text=True)
    assert not found.returncode, found.stderr
    grown, rows = map(int, found.stdout.split())
    assert rows == 0
    assert grown < 0.1 * 20_000 * 5 * ATARI_BYTES


def write_group(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n")


@pytest.fixture
def fake(tmp_path, machine):
    """A machine with 1,000,000 bytes available; its /proc and /sys/fs/cgroup."""
    machine(1_000_000)
    return tmp_path / "proc", tmp_path / "cgroup"


def v2(limit, usage, cache=0):
    stat = f"anon 5\ninactive_file {cache}"
    return {"memory.max": limit, "memory.current": usage, "memory.stat": stat}


def v1(limit, usage, cache=0):
    stat = f"total_inactive_file {cache}"
    return {
        "memory.limit_in_bytes": limit,
        "memory.usage_in_bytes": usage,
        "memory.stat": stat,
    }


def test_without_cgroups_the_machine_counts(fake):
    assert ram.available_bytes(*fake) == 1_000_000


def test_the_tightest_cgroup_above_the_process_counts(fake):
    proc, mount = fake
    write_group(proc / "self", {"cgroup": "0::/slurm/job/step"})
    write_group(mount / "slurm/job/step", v2("max", 1000))
    write_group(mount / "slurm/job", v2(5000, 2000, cache=300))
    write_group(mount / "slurm", v2(90_000, 2000))
    write_group(mount / "other", v2(10, 5))
    assert ram.available_bytes(proc, mount) == 5000 - 2000 + 300


def test_version_1_and_a_container_whose_path_is_not_visible(fake):
    proc, mount = fake
    write_group(proc / "self", {"cgroup": "5:cpu,cpuacct:/a\n4:memory:/docker/abc\n0::/"})
    write_group(mount / "memory", v1(8000, 3000, cache=1))
    assert ram.available_bytes(proc, mount) == 5001
    write_group(mount / "memory/docker/abc", v1(7000, 3000))
    assert ram.available_bytes(proc, mount) == 4000


def test_a_limit_above_the_machine_or_already_passed(fake):
    proc, mount = fake
    write_group(proc / "self", {"cgroup": "0::/"})
    write_group(mount, v2(9_000_000, 0))
    assert ram.available_bytes(proc, mount) == 1_000_000
    write_group(mount, v2(100, 200))
    assert ram.available_bytes(proc, mount) == 0
