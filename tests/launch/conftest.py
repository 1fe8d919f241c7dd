"""Sweeps of a training that does what a script says."""

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from launch import attempts, executor, sweep
from launch.executor import Job
from prune_rl.grid import Cell

_TRAIN = Path(__file__).with_name("scripted_train.py")
_DRIVER = """
    import sys
    from launch import executor, sweep
    executor.Job.command = property(lambda job: [
        sys.executable, "-S", {train!r}, f"--base_dir={{job.directory}}", *job.settings])
    sweep._POLL_SECONDS = 0.02
    sys.exit(sweep.main(sys.argv[1:]))
"""


class Scripted:
    """What trainings are told to do, and what they did."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "journal").touch()
        self.tell({})

    def tell(self, script):
        (self.folder / "script.json").write_text(json.dumps(script))

    def go(self):
        """What waits may finish."""
        (self.folder / "go").touch()

    def journal(self, what=None):
        lines = map(json.loads, (self.folder / "journal").read_text().splitlines())
        return [x for x in lines if what in (None, x["what"])]

    def cells(self, what):
        return [x["cell"] for x in self.journal(what)]


def until(condition, seconds=20.0):
    """Waits for it."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


@pytest.fixture(name="until")
def _until():
    return until


@pytest.fixture
def scripted(tmp_path, monkeypatch):
    """In place of `prune_rl.train`, in this process and in those that it starts."""
    folder = tmp_path / "scripted"
    folder.mkdir()
    monkeypatch.setenv("SCRIPTED", str(folder))
    monkeypatch.setattr(
        executor.Job,
        "command",
        property(
            lambda job: [
                *(sys.executable, "-S", str(_TRAIN), f"--base_dir={job.directory}"),
                *job.settings,
            ]
        ),
    )
    monkeypatch.setattr(sweep, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(attempts, "_BACKOFF_SECONDS", 0.05)
    return Scripted(folder)


@pytest.fixture
def start_sweep(tmp_path, scripted):
    """Starts a sweep as a process of its own; of scripted trainings."""
    driver = tmp_path / "driver.py"
    driver.write_text(textwrap.dedent(_DRIVER.format(train=str(_TRAIN))))
    root = Path(sweep.__file__).parents[1]
    started = []

    def start(*flags):
        process = subprocess.Popen(
            [sys.executable, str(driver), *flags],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def make_job(tmp_path):
    """A job of a name."""

    def make(name, kind="kind"):
        directory, log = tmp_path / "runs" / name, tmp_path / "runs" / f"{name}.log"
        return Job(Cell(name, (), ()), directory, log, (f"--cell={name}",), kind)

    return make


@pytest.fixture
def grid_file(tmp_path, monkeypatch):
    """GRID.gin in the current directory: dense and pruned on Breakout and Asterix, 2 seeds."""
    monkeypatch.chdir(tmp_path)
    path = Path("GRID.gin")
    path.write_text(
        "include 'suites/minatar_2.gin'\n"
        "Grid.axes = [('arm', {'dense': ['pruning/none.gin'],\n"
        "                      'pruned': ['pruning/magnitude.gin']})]\n"
        "Grid.shared = ['experiments/minatar_breakout.gin']\n"
        "Grid.num_seeds = 2\n"
    )
    return path


@pytest.fixture
def sweep_flags(grid_file):
    """Of a sweep of that grid whose trainings need not be measured."""
    return [f"--gin_files={grid_file}", "--base_dir=runs/g", "--memory_gib_per_cell=0.001"]
