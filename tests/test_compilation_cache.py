"""The compilation cache: found again, never trusted, never in the way."""

import os
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache as jax_cache

from prune_rl import compilation_cache, train

_EXPECTED = "54.0 1296.0"  # of all ones, 3 x 3 and 6 x 6, by hand: 3**3 * 2 and 6**4
_COMPUTE = """
def compute():
    def twice(x):
        return (x @ x + x @ x).sum()
    def power(x):
        return (x @ x @ x).sum()
    return f"{jax.jit(twice)(np.ones((3, 3)))} {jax.jit(power)(np.ones((6, 6)))}"
"""
_START = f"""
import jax, numpy as np
from prune_rl import compilation_cache
compilation_cache.enable()
events = []
jax.monitoring.register_event_listener(lambda name, **_: events.append(name.split("/")[-1]))
{_COMPUTE}
print(compute(), events.count("cache_hits"), events.count("cache_misses"))
"""
_events: Counter[str] = Counter()
jax.monitoring.register_event_listener(lambda name, **_: _events.update([name.split("/")[-1]]))


def _compute() -> tuple[int, int]:
    """Compiles two programs as a new process would; returns how many were found, how many not."""
    scope = {"jax": jax, "np": np}
    exec(_COMPUTE, scope)
    _events.clear()
    assert scope["compute"]() == _EXPECTED
    return _events["cache_hits"], _events["cache_misses"]


def _start(cache_home: Path, before: str = "") -> subprocess.Popen:
    own = ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")
    env = {name: value for name, value in os.environ.items() if name not in own}
    return subprocess.Popen(
        ["bash", "-c", f'{before} exec "$0" -c "$1"', sys.executable, _START],
        env=env | {"XDG_CACHE_HOME": str(cache_home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def cache_home(tmp_path, monkeypatch):
    """A user's empty cache directory, and JAX as if nothing had been compiled yet."""
    names = (
        "jax_compilation_cache_dir",
        "jax_enable_compilation_cache",
        "jax_persistent_cache_min_compile_time_secs",
    )
    before = {name: getattr(jax.config, name) for name in names}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
    jax_cache.reset_cache()
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)
    jax_cache.reset_cache()


def test_processes_at_once_share_a_cache_and_the_next_compiles_nothing(tmp_path):
    for process in [_start(tmp_path), _start(tmp_path)]:
        out, err = process.communicate()
        assert (err, out.split()[:2]) == ("", _EXPECTED.split())
    assert (tmp_path / "prune_rl" / compilation_cache.folder_name()).is_dir()
    out, err = _start(tmp_path).communicate()
    assert (err, out) == ("", f"{_EXPECTED} 2 0\n")


def test_a_disk_that_is_full_costs_the_cache_alone(tmp_path):
    """A limit on file size stands in for it; the entries that it cut are not left behind."""
    out, err = _start(tmp_path, "ulimit -f 1;").communicate()
    assert (err, out.split()[:3]) == ("", [*_EXPECTED.split(), "0"])
    assert not [*tmp_path.rglob("*-cache")]


@pytest.mark.parametrize("num_bytes", [0, 1000])
def test_an_entry_cut_short_is_compiled_anew_and_written_anew(cache_home, recwarn, num_bytes):
    folder = compilation_cache.enable()
    assert _compute() == (0, 2)
    (cut,) = folder.glob("jit_power-*-cache")
    whole = cut.read_bytes()
    cut.write_bytes(whole[:num_bytes])
    assert _compute() == (1, 1)
    assert len(cut.read_bytes()) > 1000
    assert _compute() == (2, 0)
    assert not recwarn.list


def test_a_damaged_entry_goes_whatever_the_error_quotes(cache_home, recwarn):
    folder = compilation_cache.enable()
    _compute()
    text = "Error reading persistent compilation cache entry for 'jit_power': cannot parse 'proto'"
    warnings.warn(text, stacklevel=1)
    assert [path.name.split("-")[0] for path in folder.glob("*-cache")] == ["jit_twice"]
    assert not recwarn.list


def test_other_warnings_are_shown(cache_home, monkeypatch):
    shown = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_: shown.append(str(message)))
    compilation_cache.enable()
    warnings.warn("of somebody else", stacklevel=1)
    assert shown == ["of somebody else"]


@pytest.mark.parametrize("home", ["file", "file/below"])
def test_without_a_folder_to_write_to_there_is_no_cache(cache_home, monkeypatch, recwarn, home):
    (cache_home / "file").write_text("precious")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_home / home))
    assert compilation_cache.enable() is None
    assert _compute() == (0, 0)
    assert (cache_home / "file").read_text() == "precious"
    assert not recwarn.list


def test_disabled_it_neither_reads_nor_writes(cache_home):
    folder = compilation_cache.enable()
    compilation_cache.disable()
    assert _compute() == (0, 0)
    assert not [*folder.glob("*-cache")]


def test_the_users_own_setting_of_jax_stays(cache_home):
    jax.config.update("jax_compilation_cache_dir", str(cache_home / "own"))
    assert compilation_cache.enable() == cache_home / "own"
    assert not (cache_home / "prune_rl").exists()


@pytest.mark.parametrize("flag", [[], ["--no_compilation_cache"]])
def test_training_turns_it_on_unless_told_not_to(tmp_path, monkeypatch, flag):
    called = []
    for name in ("enable", "disable"):
        monkeypatch.setattr(compilation_cache, name, lambda name=name: called.append(name))
    assert train.main([f"--base_dir={tmp_path}", "--gin_files=agents/none.gin", *flag]) == 2
    assert called == ["disable" if flag else "enable"]


def test_folders_differ_by_versions_and_cpu(tmp_path, monkeypatch):
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(compilation_cache, "_CPUINFO", cpuinfo)

    def name(model="EPYC 7003", flags="avx avx2 avx512f", mhz=2450):
        core = f"model name\t: {model}\ncpu MHz\t\t: {mhz}\nflags\t\t: {flags}\n\n"
        cpuinfo.write_text(core * 2)
        return compilation_cache.folder_name()

    assert name() == name(mhz=3000)
    assert len({name(), name(model="EPYC 9004"), name(flags="avx avx2")}) == 3
    arm = []
    for features in ("asimd", "asimd sve"):
        cpuinfo.write_text(f"Features\t: {features}\nCPU part\t: 0xd40\n")
        arm.append(compilation_cache.folder_name())
    assert arm[0] != arm[1]
    cpuinfo.unlink()
    names = [compilation_cache.folder_name()]
    for module in (jax, compilation_cache.jaxlib):
        with monkeypatch.context() as patch:
            patch.setattr(module, "__version__", "9.9")
            names.append(compilation_cache.folder_name())
    with monkeypatch.context() as patch:
        patch.setattr(compilation_cache.platform, "processor", lambda: "another")
        names.append(compilation_cache.folder_name())
    assert len(set(names)) == 4


def test_entries_longest_unused_make_room(cache_home, monkeypatch):
    monkeypatch.setattr(compilation_cache, "_MAX_BYTES", 250)
    entries = [
        cache_home / "prune_rl" / name for name in ("v1/a-cache", "v1/b-cache", "v2/c-cache")
    ]
    for path, age in zip(entries, (1, 3, 2), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(100))
        os.utime(path, (10**9 - age, 10**9 - age))
    compilation_cache.enable()
    assert [path.exists() for path in entries] == [True, False, True]
