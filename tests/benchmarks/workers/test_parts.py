"""What workers of ours are given: random actions of any form, data, chunks of their own pace."""

import sys
from types import SimpleNamespace

import numpy as np

from benchmarks.workers import parts
from prune_rl import chunked
from prune_rl.specs import Box, Discrete


def test_random_actions_are_those_of_the_game():
    numbers = parts._random_actions(Discrete(3), 200, 2)
    assert (numbers.shape, numbers.dtype) == ((200, 2), np.int32)
    assert set(np.unique(numbers)) == {0, 1, 2}
    vectors = parts._random_actions(Box((-1.0, 0.0), (1.0, 5.0)), 200, 2)
    assert (vectors.shape, vectors.dtype) == ((200, 2, 2), np.float32)
    assert (vectors.min((0, 1)) >= [-1, 0]).all()
    assert (vectors.max((0, 1)) > [0.9, 4.5]).all()


def test_a_run_is_given_a_file_of_so_many_transitions(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(parts, "compose", lambda *own: told.append(own))
    settings = {"gin_files": ["agents/td3_bc.gin"], "gin_bindings": ["a.b=1"]}
    parts._runner(settings | {"data": 30}, tmp_path)
    (path,) = tmp_path.iterdir()
    bindings = ["a.b=1", f"Dataset.path={str(path)!r}"]
    assert told == [("unused", ["agents/td3_bc.gin"], bindings, bindings)]
    parts._runner(settings, tmp_path)
    assert told[1][2] == settings["gin_bindings"] == ["a.b=1"]


def test_chunks_are_paced_by_cpu_time(monkeypatch):
    monkeypatch.setattr(chunked, "time", chunked.time)  # put back afterwards
    monkeypatch.setattr(parts.time, "process_time", lambda: 12.5)
    parts._pace_by_cpu_time()
    assert chunked.time.monotonic() == 12.5


def test_old_commits_have_no_chunks(monkeypatch):
    monkeypatch.setattr(parts, "sys", SimpleNamespace(modules={}))
    parts._pace_by_cpu_time()
    assert chunked.time.monotonic is not parts.time.process_time
    assert "prune_rl.chunked" in sys.modules
