"""What glibc's malloc is told: that freed memory stays, zeros take none, and who decides."""

import ctypes
import json
import os
import subprocess
import sys

import pytest

from prune_rl import malloc, train

_NEEDS_GLIBC = pytest.mark.skipif(not malloc._is_glibc(), reason="not glibc")
_SETTINGS = "M_MMAP_THRESHOLD=1073741824, M_TRIM_THRESHOLD=2147483647, M_ARENA_MAX=1"
# A thread of its own, as XLA's, frees and takes what does not fit into an arena of 64 MiB.
_FAULTS = """
import resource, sys, threading
from prune_rl import malloc
print(malloc.keep_memory() if sys.argv[1:] else None)
import numpy as np

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.full(100 * 2**20, 7, np.uint8)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

for _ in range(2):
    thread = threading.Thread(target=faults)
    thread.start()
    thread.join()
"""
_ZEROS = """
from prune_rl import malloc
malloc.keep_memory()
import numpy as np, psutil
from prune_rl.replay.ring import FrameRing
from prune_rl.specs import Discrete, ObservationSpec

def resident():
    return psutil.Process().memory_info().rss

kept = np.full(200 * 2**20, 7, np.uint8)  # as compiling does
del kept
before = resident()
ring = FrameRing(1, {rows}, ObservationSpec((84, 84, 1), stack_size=4), Discrete(6))
print(ring._frames.nbytes, resident() - before)
ring._frames[: len(ring._frames) // 2] = 1
print(resident() - before)
"""


def _run(code, *argv, **env):
    own = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_", "LD_"))}
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, text=True, env=own | env
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout.splitlines()


@_NEEDS_GLIBC
def test_a_thread_faults_in_what_it_frees_no_second_time():
    said, _, again = _run(_FAULTS, "keep")
    assert (said, int(again)) == (_SETTINGS, pytest.approx(0, abs=100))
    said, _, again = _run(_FAULTS)  # without, 10 times 100 MiB; pages may be huge
    assert said == "None"
    assert int(again) >= 400


@_NEEDS_GLIBC
@pytest.mark.parametrize("gib", [0.5, 1, 2])
def test_a_ring_takes_memory_only_as_rows_are_written(gib):
    rows = int(gib * 2**30 / 7056)
    first, written = _run(_ZEROS.replace("{rows}", str(rows)))
    size, taken = map(int, first.split())
    assert size > gib * 2**30 - 8000
    assert taken < 10 * 2**20
    assert 0.35 * size - 200 * 2**20 < int(written) < 0.55 * size


@pytest.mark.parametrize(
    "env",
    [
        {"MALLOC_ARENA_MAX": "2"},
        {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
        {"LD_PRELOAD": "/usr/lib/libjemalloc.so"},
    ],
)
def test_an_environment_with_settings_of_its_own_decides(monkeypatch, env):
    monkeypatch.setattr(malloc, "_kept", None)
    monkeypatch.setattr(malloc, "_set", lambda mallopt: pytest.fail("set"))
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert malloc.keep_memory() is None


def test_tunables_of_others_do_not():
    code = "from prune_rl import malloc; print(malloc.keep_memory())"
    said = _run(code, GLIBC_TUNABLES="glibc.cpu.x86_shstk=off")
    assert said == [_SETTINGS if malloc._is_glibc() else "None"]


@pytest.mark.parametrize("version", ["musl 1.2", None, "", OSError(22), ValueError("name")])
def test_other_c_libraries_are_left_as_they_are(monkeypatch, version):
    def confstr(name):
        assert name == "CS_GNU_LIBC_VERSION"
        if isinstance(version, Exception):
            raise version
        return version

    monkeypatch.setattr(malloc, "_kept", None)
    monkeypatch.setattr(malloc.os, "confstr", confstr)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("asked for the C library"))
    assert malloc.keep_memory() is None
    assert malloc.kept() is None


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        (set(), _SETTINGS),
        ({-3}, "M_MMAP_MAX=0, M_TRIM_THRESHOLD=2147483647, M_ARENA_MAX=1"),
        ({-3, -4}, None),
    ],
    ids=["newer", "older", "neither"],
)
def test_what_a_glibc_takes(refused, expected):
    """Older ones take no threshold above 32 MiB; without one the others would do harm."""
    asked = []

    def mallopt(number, value):
        asked.append(number)
        return int(number not in refused)

    assert malloc._set(mallopt) == expected
    assert (-1 in asked) == (expected is not None)


@_NEEDS_GLIBC
@pytest.mark.parametrize("flags", [[], ["--no_malloc_settings"]])
def test_a_run_says_it_and_stamps_it_unless_told_not_to(tmp_path, minatar_flags, flags):
    argv = minatar_flags(tmp_path, "Runner.num_iterations=1", "Runner.evaluation_steps=0")
    own = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-m", "prune_rl.train", *argv, *flags]
    done = subprocess.run(command, capture_output=True, text=True, env=own)
    assert done.returncode == 0, done.stderr
    line = f"malloc: freed memory is kept ({_SETTINGS}); not with --no_malloc_settings"
    assert (line in done.stderr.splitlines()) == (not flags)
    (record,) = json.loads((tmp_path / "provenance.json").read_text())
    assert record["malloc"] == (None if flags else _SETTINGS)


def test_the_flag_is_in_help():
    assert "--no_malloc_settings" in train.parser().format_help()
