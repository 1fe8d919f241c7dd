"""Grids: how many cells, how they are called, and what becomes of one that is trained.

What the cells of every figure come to is in tests/golden/test_figures.py.
"""

import math
import shlex

import gin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl import configuration, train
from prune_rl.environments.games import SUITES
from prune_rl.errors import ConfigError
from prune_rl.grid import Grid

_WIDTHS = {"x1": ["ImpalaTorso.width=1"], "x2": ["networks/impala.gin", "ImpalaTorso.width=2"]}
# Counted by hand: choices, games, seeds.
_FIGURES = {
    "figure_1": 2 * 5 * 2 * 15 * 5,
    "figure_3": 6 * 15 * 5,
    "figure_4": 2 * 5 * 2 * 15 * 5,
    "figure_5": 4 * 2 * 15 * 5,
    "figure_6": 2 * 5 * 2 * 17 * 5,
    "figure_7": 2 * 2 * 60 * 5,
    "figure_8": 2 * 2 * 26 * 5,
    "figure_10": 3 * 15 * 5,
    "figure_11": 2 * 4 * 5,
    "figure_12": 5 * 6 * 15 * 5,
    "figure_13": 2 * 2 * 5,
    "figure_14": 2 * 6 * 15 * 5,
    "figure_15": 6 * 15 * 5,
    "figure_16": 2 * 4 * 2 * 15 * 5,
    "atari_100k": 2 * 2 * 26 * 5,
}


def _grid_of(name):
    configuration.load([f"experiments/{name}.gin"], [])
    return Grid()


def _parse(line):
    flags = train.parser().parse_args(shlex.split(line))
    return flags.gin_files, flags.gin_bindings


def _seeds(cell):
    """The seeds that a training of the cell has, by its bindings."""
    first, count = (x.partition("=")[2] for x in cell.gin_bindings[-2:])
    assert cell.gin_bindings[-2:] == (f"Runner.seed={first}", f"Runner.num_seeds={count}")
    return list(range(int(first), int(first) + int(count)))


def _load(cell):
    configuration.load(*_parse(cell.flags))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=3),
    st.integers(1, 7),
    st.integers(1, 9),
    st.sampled_from(sorted(SUITES)),
)
def test_cells_are_the_product_and_their_names_unique(sizes, num_seeds, per_cell, suite):
    gin.clear_config()
    gin.bind_parameter("Suite.name", suite)
    axes = [(f"axis{i}", {f"c{j}": [f"A.b{i}={j}"] for j in range(n)}) for i, n in enumerate(sizes)]
    shared = ["agents/dqn.gin"]
    grid = Grid(axes=axes, shared=shared, num_seeds=num_seeds, seeds_per_cell=per_cell)
    cells = list(grid.cells())
    dealt = math.ceil(num_seeds / per_cell)
    assert len(grid) == len(cells) == math.prod(sizes) * len(SUITES[suite]) * dealt
    assert len({cell.name for cell in cells}) == len(cells)
    for of_a_game in (cells[i : i + dealt] for i in range(0, len(cells), dealt)):
        assert len({cell.name.rpartition("/")[0] for cell in of_a_game}) == 1
        assert [seed for cell in of_a_game for seed in _seeds(cell)] == list(range(num_seeds))
        assert [len(_seeds(cell)) for cell in of_a_game[:-1]] == [per_cell] * (dealt - 1)
    for cell in cells[:: max(1, len(cells) // 5)]:
        assert _parse(cell.flags) == (list(cell.gin_files), list(cell.gin_bindings))
        assert grid.cell(cell.name) == cell


@pytest.mark.parametrize("name", _FIGURES)
def test_a_figure_has_the_cells_counted_by_hand(name):
    assert len(_grid_of(name)) == _FIGURES[name]


def test_a_cell_is_what_its_name_says():
    grid = _grid_of("figure_1")
    _load(grid.cell("rainbow/x3/95/Qbert/4"))
    expected = {
        "Runner.seed": 4,
        "Runner.num_seeds": 1,
        "Runner.num_iterations": 40,
        "ImpalaTorso.width": 3,
        "create_updater_from_config.pruner_type": "magnitude",
        "create_updater_from_config.sparsity": 0.95,
        "create_atari_environment.game_name": "Qbert",
        "Suite.name": "atari_15",
    }
    assert {binding: gin.query_parameter(binding) for binding in expected} == expected
    agent = gin.query_parameter("Runner.agent")
    assert agent.selector.endswith("RainbowAgent")
    assert "ImpalaTorso" in repr(gin.query_parameter("torso/gin.macro.value"))


@pytest.mark.parametrize(
    ("num_seeds", "per_cell", "names"),
    [
        (5, 1, ["0", "1", "2", "3", "4"]),
        (5, 2, ["0-1", "2-3", "4"]),
        (5, 3, ["0-2", "3-4"]),
        (5, 5, ["0-4"]),
        (5, 8, ["0-4"]),
        (1, 5, ["0"]),
        (12, 10, ["0-9", "10-11"]),
    ],
)
def test_a_cell_is_called_by_its_first_and_last_seed(num_seeds, per_cell, names):
    gin.bind_parameter("Suite.name", "minatar")
    axes = [("width", _WIDTHS)]
    grid = Grid(axes=axes, num_seeds=num_seeds, seeds_per_cell=per_cell)
    called = [cell.name for cell in grid.cells()]
    prefix = f"x1/{SUITES['minatar'][0]}/"
    assert called[: len(names)] == [prefix + name for name in names]
    spans = [name.split("-") for name in names]
    seeds = [list(range(int(span[0]), int(span[-1]) + 1)) for span in spans]
    assert [_seeds(grid.cell(name)) for name in called[: len(names)]] == seeds
    assert [list(grid.cell(name).seeds) for name in called[: len(names)]] == seeds


def test_figure_8_runs_its_agents_for_40_million_frames_under_their_protocol():
    _load(_grid_of("figure_8").cell("drq_eps/x3/dense/Alien/0"))
    expected = {
        "Runner.num_iterations": 40,
        "Runner.training_steps": 250_000,
        "Runner.num_eval_episodes": 0,
        "RainbowAgent.replay_ratio": 1.0,
        "create_atari_environment.sticky_actions": False,
    }
    assert {binding: gin.query_parameter(binding) for binding in expected} == expected


def test_figure_10_prunes_a_long_run_as_a_short_one():
    _load(_grid_of("figure_10").cell("dqn/x3/40M/Pong/0"))
    names = [f"create_updater_from_config.update_{x}_step" for x in ("start", "end")]
    ends = [gin.query_parameter(name) for name in names]
    assert ends == [500_000, 2_000_000]
    assert gin.query_parameter("Runner.num_iterations") == 100


def test_list_prints_names_and_flags(capsys):
    assert train.main(["--gin_files=experiments/figure_3.gin", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == _FIGURES["figure_3"]
    name, flags = lines[0].split("\t")
    assert name == "dqn/x3/dense/MsPacman/0"
    assert flags.startswith("--gin_files=agents/dqn.gin ")


def test_list_deals_seeds_to_cells_as_told(capsys):
    together = "--gin_bindings=Grid.seeds_per_cell=5"
    assert train.main(["--gin_files=experiments/figure_3.gin", together, "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == _FIGURES["figure_3"] // 5
    name, flags = lines[0].split("\t")
    assert name == "dqn/x3/dense/MsPacman/0-4"
    assert flags.endswith(" --gin_bindings=Runner.seed=0 --gin_bindings=Runner.num_seeds=5")


def test_a_grid_without_a_cell_is_not_trained(tmp_path, capsys):
    base_dir = tmp_path / "run"
    assert train.main([f"--base_dir={base_dir}", "--gin_files=experiments/figure_3.gin"]) == 2
    error = capsys.readouterr().err
    assert "a grid of 450 trainings" in error
    assert "--cell=dqn/x3/dense/MsPacman/0" in error
    assert not base_dir.exists()


@pytest.mark.parametrize(
    ("cell", "per_cell", "hint"),
    [
        ("dqn/x3/96/Pong/0", 1, "did you mean 'dqn/x3/9"),
        ("zzz", 1, "choose from"),
        ("dqn/x3/95/Pong/0", 5, "did you mean 'dqn/x3/95/Pong/0-4'?"),
        ("dqn/x3/95/Pong/0-4", 1, "no such cell with Grid.seeds_per_cell=1; did you mean"),
        ("dqn/x3/95/Pong/2-4", 2, "did you mean 'dqn/x3/95/Pong/"),
    ],
)
def test_an_unknown_cell_is_told_the_nearest(tmp_path, capsys, cell, per_cell, hint):
    flags = [f"--base_dir={tmp_path / 'run'}", "--gin_files=experiments/figure_3.gin"]
    flags += [f"--gin_bindings=Grid.seeds_per_cell={per_cell}"]
    assert train.main([*flags, f"--cell={cell}"]) == 2
    error = capsys.readouterr().err
    assert hint in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_cell_without_a_grid_is_refused(tmp_path, capsys):
    flags = [f"--base_dir={tmp_path / 'run'}", "--gin_files=agents/dqn.gin", "--cell=a/b"]
    assert train.main(flags) == 2
    assert "--cell=a/b" in capsys.readouterr().err


@pytest.fixture
def small(tmp_path):
    """Flags of a grid on MinAtar, 150 agent steps a cell; the file says 2 seeds."""
    own = tmp_path / "small.gin"
    own.write_text(
        "include 'suites/minatar.gin'\n"
        "Grid.axes = [('agent', {'dqn': ['experiments/minatar_breakout.gin']}),\n"
        "             ('sparsity', {'dense': ['pruning/none.gin'], '90': [\n"
        "              'pruning/magnitude.gin', 'create_updater_from_config.sparsity=0.9']})]\n"
        "Grid.num_seeds = 2\n"
        "create_optimizer.learning_rate = 0.125\n"  # minatar_breakout.gin has 2.5e-4
    )
    short = ["num_iterations=1", "training_steps=150", "evaluation_steps=0"]
    flags = [f"--gin_bindings=Runner.{x}" for x in short]
    flags += ["--gin_bindings=DQNAgent.min_replay_history=60"]
    return [f"--gin_files={own}", f"--base_dir={tmp_path / 'run'}", *flags]


def test_a_cell_trains_with_the_users_flags_on_top(tmp_path, small, read_metrics):
    base_dir = tmp_path / "run"
    sparser = "--gin_bindings=create_updater_from_config.sparsity=0.8"
    assert train.main(["--cell=dqn/90/freeway/1", *small, sparser]) == 0
    (row,) = read_metrics(base_dir)
    assert row["seed"] == 1
    assert row["sparsity"] == pytest.approx(0.8, abs=1e-3)
    config = (base_dir / "config.gin").read_text()
    assert "create_optimizer.learning_rate = 0.125" in config
    assert "'freeway'" in config
    assert "Grid" not in config  # the same run by its flags resumes it


def test_a_cell_of_two_seeds_trains_them_together(tmp_path, small, read_metrics):
    by_hand = ["Grid.num_seeds=4", "Grid.seeds_per_cell=2"]  # which the training itself ignores
    flags = [f"--gin_bindings={x}" for x in by_hand]
    assert train.main(["--cell=dqn/90/freeway/2-3", *small, *flags]) == 0
    rows = read_metrics(tmp_path / "run")
    assert [row["seed"] for row in rows] == [2, 3]
    assert [row["agent_steps"] for row in rows] == [150, 150]
    assert rows[0]["loss"] != rows[1]["loss"]
    config = (tmp_path / "run" / "config.gin").read_text()
    assert "Runner.num_seeds = 2\n" in config
    assert "Runner.seed = 2\n" in config
    assert "Grid" not in config


def test_a_typed_binding_that_neither_grid_nor_training_uses_is_refused(tmp_path, small, capsys):
    cell = ["--cell=dqn/90/freeway/1", *small, "--gin_bindings=ImpalaTorso.width=3"]
    alone = ["--gin_files=experiments/minatar_breakout.gin", f"--base_dir={tmp_path / 'run'}"]
    for flags in (cell, [*alone, "--gin_bindings=Grid.seeds_per_cell=5"]):
        assert train.main(flags) == 2
        expected = f"{flags[-1]}': nothing in this configuration".replace("=", "='", 1)
        assert expected in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "binding"),
    [
        ({"axes": [("width", [])]}, "Grid.axes"),
        ({"axes": [("width", {})]}, "Grid.axes"),
        ({"axes": [("width", {"x1": ["ImpalaTorso.width"]})]}, "Grid.axes"),
        ({"axes": [("width", {"a/b": ["x.gin"]})]}, "Grid.axes"),
        ({"axes": [("width", _WIDTHS)], "shared": "agents/dqn.gin"}, "Grid.shared"),
        ({"axes": [("width", _WIDTHS)], "num_seeds": 0}, "Grid.num_seeds"),
        ({"axes": [("width", _WIDTHS)], "seeds_per_cell": 0}, "Grid.seeds_per_cell"),
        ({"axes": [("width", _WIDTHS)], "seeds_per_cell": 2.0}, "Grid.seeds_per_cell"),
        ({"axes": [("width", _WIDTHS)], "seeds_per_cell": True}, "Grid.seeds_per_cell"),
        ({"axes": [("width", _WIDTHS)], "seeds_per_cell": "all"}, "Grid.seeds_per_cell"),
    ],
)
def test_a_grid_of_another_form_is_refused(settings, binding):
    with pytest.raises(ConfigError, match=f"^{binding}="):
        Grid(**settings)


def test_the_papers_five_seeds_are_the_default_a_cell_each():
    assert (Grid().num_seeds, Grid().seeds_per_cell) == (5, 1)


def test_a_grid_needs_a_suite():
    with pytest.raises(ConfigError, match=r"^Suite\.name: not set"):
        len(Grid(axes=[("width", _WIDTHS)]))
