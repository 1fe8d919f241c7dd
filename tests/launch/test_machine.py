"""What a machine has, with nvidia-smi and control groups that say what they are told."""

import psutil
import pytest

from launch import machine


@pytest.fixture(autouse=True)
def plugins(monkeypatch):
    """Of JAX for CUDA: those that are installed."""
    own = {"jax_cuda13_plugin"}
    find = lambda name: object() if name in own else None  # noqa: E731
    monkeypatch.setattr(machine.importlib.util, "find_spec", find)
    return own


@pytest.fixture
def nvidia_smi(tmp_path):
    """A program of that name that prints `said`; the environment in which it is found."""

    def make(said, code=0):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\nprintf '{said}'\necho $* > {tmp_path}/asked\nexit {code}\n")
        program.chmod(0o755)
        return {"PATH": f"{tmp_path}:/usr/bin:/bin"}

    return make


def test_gpus_are_those_that_nvidia_smi_names(nvidia_smi, tmp_path):
    assert machine.gpus(nvidia_smi(r"0\n1\n")) == ["0", "1"]
    assert (tmp_path / "asked").read_text() == "--query-gpu=index --format=csv,noheader\n"


def test_there_are_none_without_it_or_where_it_fails(nvidia_smi, tmp_path):
    assert machine.gpus({"PATH": str(tmp_path / "nowhere")}) == []
    assert machine.gpus(nvidia_smi("No devices were found", code=6)) == []


@pytest.mark.parametrize(
    ("given", "gpus"), [("2,GPU-7", ["2", "GPU-7"]), ("", []), ("-1", []), ("4", ["4"])]
)
def test_those_that_the_user_leaves_are_used(nvidia_smi, given, gpus):
    assert machine.gpus(nvidia_smi(r"0\n1\n") | {"CUDA_VISIBLE_DEVICES": given}) == gpus


def test_who_wants_the_cpu_uses_no_gpu(nvidia_smi):
    assert machine.gpus(nvidia_smi(r"0\n") | {"JAX_PLATFORMS": "cpu"}) == []


@pytest.mark.parametrize("given", [{}, {"CUDA_VISIBLE_DEVICES": "0"}])
def test_jax_for_the_cpu_uses_no_gpu(nvidia_smi, plugins, given):
    plugins.clear()
    assert machine.gpus(nvidia_smi(r"0\n") | given) == []
    plugins.add("jax_cuda12_plugin")
    assert machine.gpus(nvidia_smi(r"0\n") | given) == ["0"]


@pytest.mark.parametrize(
    ("quota", "count"), [("200000 100000", 2), ("150000 100000", 2), ("max 100000", 5), (None, 5)]
)
def test_a_container_has_the_cores_of_its_quota(tmp_path, monkeypatch, quota, count):
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda process: {3, 4, 5, 6, 9})
    if quota:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert machine.cores() == [3, 4, 5, 6, 9][:count]


def test_memory_is_what_the_machine_and_the_container_leave(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    free = psutil.virtual_memory()._replace(available=1_000_000)
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: free)
    assert machine.free_memory() == 950_000
    (tmp_path / "memory.current").write_text("300000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.free_memory() == 950_000
    (tmp_path / "memory.max").write_text("500000\n")
    assert machine.free_memory() == 190_000
    (tmp_path / "memory.stat").write_text("anon 40000\ninactive_file 200000\nfile 210000\n")
    assert machine.free_memory() == 380_000  # what files are cached in can be had
