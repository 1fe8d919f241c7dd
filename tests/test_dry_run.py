"""--dry_run: what it prints, what it leaves behind, and how the cells of a grid add up."""

import os
import re
import subprocess
import sys
import tempfile
import threading
from functools import partial

import pytest

from prune_rl import configuration, dry_run, train
from prune_rl.environments.batch import EnvironmentBatch
from prune_rl.errors import ConfigError
from prune_rl.experiment import create_runner
from prune_rl.grid import Grid
from prune_rl.price import Pace, Price, Size, Work
from prune_rl.recording.checkpoints import Checkpointer

_SHORT = [
    "--gin_bindings=Runner.num_iterations=2",
    "--gin_bindings=Runner.training_steps=100",
    "--gin_bindings=Runner.evaluation_steps=20",
    "--gin_bindings=DQNAgent.min_replay_history=60",
]
_BREAKOUT = ["--gin_files=experiments/minatar_breakout.gin", *_SHORT]


@pytest.fixture(autouse=True)
def nothing_left(tmp_path, monkeypatch):
    """Fails a test that leaves a file in the folder for temporary ones, or a thread."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(temporary)
    threads = set(threading.enumerate())
    yield
    assert not list(temporary.iterdir())
    assert {x for x in threading.enumerate() if "Executor" in x.name} <= threads


def test_a_training_is_priced_in_two_lines_and_not_trained(capsys):
    assert train.main(["--dry_run", "--dollars_per_hour=0.5", *_BREAKOUT]) == 0
    size, time = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"size: 132,179 parameters a seed; at most RAM [\d.]+ [MG]iB, disk \d MiB", size
    )
    form = (
        r"time: about \d+ s here for 200 agent steps and 34 gradient steps of 1 seed, "
        r"[\d,.]+ steps/s, \$0\.0\d at \$0\.50/hour"
    )
    assert re.fullmatch(form, time)


def test_games_and_the_writer_of_checkpoints_are_closed(monkeypatch):
    closed = []
    configuration.load(["experiments/minatar_breakout.gin"], [x[15:] for x in _SHORT])
    for kind in (EnvironmentBatch, Checkpointer):
        close = kind.close
        monkeypatch.setattr(
            kind, "close", lambda own, close=close: closed.append(type(own)) or close(own)
        )
    dry_run.measure(create_runner)
    assert sorted(x.__name__ for x in closed) == ["Checkpointer", *["EnvironmentBatch"] * 2]


def test_seconds_before_training_are_those_of_the_process_without_the_measuring(monkeypatch):
    class Runner:
        source = threading.Event()  # anything
        source.close = lambda: None

        def dry_run(self, seconds):
            assert seconds == 10.0
            clock[0] += 30.0  # compiling and measuring
            pace = Pace(step=1.0, measuring=11.0)
            return Price(Size(1, 1, 1, 1, 1), _WORK, pace, 1, None)

    clock = [500.0]
    monkeypatch.setattr(dry_run.time, "monotonic", lambda: clock[0])
    price = dry_run.measure(lambda folder: Runner(), began=495.0)
    assert price.startup == pytest.approx(5 + 30 - 11)


def test_a_wrong_setting_is_one_line_and_exit_code_2(capsys):
    assert train.main(["--dry_run"]) == 2
    assert train.main(["--dry_run", "--gin_files=agents/dqn.gin"]) == 2
    messages = capsys.readouterr().err.splitlines()
    assert len(messages) == 2
    assert "create_atari_environment.game_name" in messages[1]


@pytest.mark.parametrize("value", ["-1", "inf", "nan", "two"])
def test_a_price_is_a_number_of_dollars(capsys, value):
    with pytest.raises(SystemExit) as error:
        train.main([f"--dollars_per_hour={value}"])
    assert error.value.code == 2
    assert "--dollars_per_hour: invalid number of dollars" in capsys.readouterr().err


_WORK = Work("agent_steps", 2, 100, 10, 0, 0, 0)
_GRID = """
include 'suites/minatar.gin'
Grid.axes = [
    ('agent', {'dqn': ['experiments/minatar_breakout.gin'],
               'slow': ['experiments/minatar_breakout.gin', 'DQNAgent.replay_ratio=1']}),
    ('sparsity', {'dense': [], '95': ['pruning/magnitude.gin']}),
]
Grid.num_seeds = 3
Grid.seeds_per_cell = 2
"""


@pytest.fixture
def grid(tmp_path):
    """Two agents, dense and pruned, on five games, cells of seeds 0-1 and of seed 2."""
    (tmp_path / "grid.gin").write_text(_GRID)
    configuration.load([str(tmp_path / "grid.gin")], [])
    return Grid()


def _priced(step):
    """Of two seeds together: 100 steps and a start of 20 s."""
    pace = Pace(step=step)
    return Price(Size(1000, 50, 0, 0, 1 << 20), _WORK, pace, 1 << 30, None, startup=20.0)


def test_a_grid_is_the_sum_of_its_kinds(grid):
    """By hand: a dense dqn cell takes 120 s, so its 15 seeds 900 s; the others 1, 2 and 4 h."""
    asked = []

    def price_of(name):
        asked.append(name)
        return _priced({1: 1.0, 2: 35.8, 3: 71.8, 4: 143.8}[len(asked)])

    lines = dry_run.of_grid(grid, price_of, 2.0)
    assert next(lines) == (
        "dqn/dense/asterix/0-1: 2.0 min a cell, 60 s a seed, 1.0 steps/s; 1,000 parameters a seed, "
        "50 once pruned; at most RAM 1.00 GiB, disk 1 MiB; 10 cells of this kind"
    )
    assert len(asked) == 1  # said as it comes
    *_, total = lines
    assert asked == [f"{x}/asterix/0-1" for x in ("dqn/dense", "dqn/95", "slow/dense", "slow/95")]
    # 15 seeds of (60 s + half of 1, 2 and 4 h)
    seconds = 15 * (60 + 3.5 * 3600)
    assert total == (
        f"grid: {seconds / 3600:.0f} h (2.2 days) for 40 cells of 60 seeds one after another here, "
        f"${2 * seconds / 3600:.2f} at $2.00/hour; on average {seconds / 40 / 60:.0f} min a cell, "
        f"{seconds / 60 / 60:.0f} min a seed"
    )


def test_a_grid_with_a_cell_of_more_than_a_day_names_the_smaller_command(grid):
    *_, last = dry_run.of_grid(grid, lambda name: _priced(863.7))
    assert last.startswith("grid: ")
    *_, last = dry_run.of_grid(grid, lambda name: _priced(863.9))
    assert "more than a day" in last


def test_kinds_are_the_cells_that_differ_in_more_than_game_and_seeds(grid):
    cells, kinds = list(grid.cells()), list(grid.kinds())
    assert [kind.cell for kind in kinds] == cells[::10]
    assert sum(kind.num_cells for kind in kinds) == len(grid) == 40
    assert [kind.num_seeds for kind in kinds] == [15] * 4


def test_a_cell_is_measured_in_a_process_of_its_own(tmp_path):
    (tmp_path / "grid.gin").write_text(_GRID)
    flags = [f"--gin_files={tmp_path / 'grid.gin'}", *_SHORT]
    own = train.parser().parse_args(["--cell=dqn/95/breakout/2", *flags])
    price = dry_run.measure_apart(partial(train.create_runner, own), own.cell)
    assert price.work == Work("agent_steps", 1, 200, 34, 2, 40, 2, [])
    assert price.size.remaining < price.size.parameters / 10
    assert price.startup > price.work.seconds(price.pace) / 100 > 0
    own.gin_bindings.append("DQNAgent.min_replay_history=300")
    with pytest.raises(ConfigError, match="--cell=dqn/95/breakout/2: create_updater") as error:
        dry_run.measure_apart(partial(train.create_runner, own), own.cell)
    assert "\n" not in str(error.value)


def _die(folder):
    (folder / "half").write_text("written")
    os._exit(9)


def test_a_process_that_is_killed_is_said():
    with pytest.raises(ConfigError, match="--cell=dqn/x5: its process was killed"):
        dry_run.measure_apart(_die, "dqn/x5")


def test_the_command_line_measures_each_kind_of_a_grid_and_cells_by_name(
    tmp_path, capsys, monkeypatch
):
    (tmp_path / "grid.gin").write_text(_GRID)
    flags = ["--dry_run", f"--gin_files={tmp_path / 'grid.gin'}", *_SHORT]
    made = []

    def measure_apart(create_runner, name):
        made.append((create_runner.args[0].cell, name))
        return _priced(1.0)

    monkeypatch.setattr(dry_run, "measure_apart", measure_apart)
    assert train.main(flags) == 0
    assert [cell for cell, name in made if cell == name] == [
        f"{x}/asterix/0-1" for x in ("dqn/dense", "dqn/95", "slow/dense", "slow/95")
    ]
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert train.main([*flags, "--cell=slow/dense/breakout/2"]) == 0
    assert "and 139 gradient steps of 1 seed" in capsys.readouterr().out


def test_reading_a_grid_starts_no_device():
    """What has one would leave none to the processes that measure."""
    code = (
        "from prune_rl import configuration, dry_run\n"
        "from prune_rl.grid import Grid\n"
        "configuration.load(['experiments/figure_1.gin'], [])\n"
        "assert len(list(Grid().kinds())) == 20\n"
        "from jax._src import xla_bridge\n"
        "assert not xla_bridge.backends_are_initialized()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
