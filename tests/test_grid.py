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


def _load(cell):
    configuration.load(*_parse(cell.flags))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=3),
    st.integers(1, 4),
    st.sampled_from(sorted(SUITES)),
)
def test_cells_are_the_product_and_their_names_unique(sizes, num_seeds, suite):
    gin.clear_config()
    gin.bind_parameter("Suite.name", suite)
    axes = [(f"axis{i}", {f"c{j}": [f"A.b{i}={j}"] for j in range(n)}) for i, n in enumerate(sizes)]
    grid = Grid(axes=axes, shared=["agents/dqn.gin"], num_seeds=num_seeds)
    cells = list(grid.cells())
    assert len(grid) == len(cells) == math.prod(sizes) * len(SUITES[suite]) * num_seeds
    assert len({cell.name for cell in cells}) == len(cells)
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


def test_a_grid_without_a_cell_is_not_trained(tmp_path, capsys):
    base_dir = tmp_path / "run"
    assert train.main([f"--base_dir={base_dir}", "--gin_files=experiments/figure_3.gin"]) == 2
    error = capsys.readouterr().err
    assert "a grid of 450 trainings" in error
    assert "--cell=dqn/x3/dense/MsPacman/0" in error
    assert not base_dir.exists()


@pytest.mark.parametrize(
    ("cell", "hint"), [("dqn/x3/96/Pong/0", "did you mean"), ("zzz", "choose from")]
)
def test_an_unknown_cell_is_told_the_nearest(tmp_path, capsys, cell, hint):
    flags = [f"--base_dir={tmp_path / 'run'}", "--gin_files=experiments/figure_3.gin"]
    assert train.main([*flags, f"--cell={cell}"]) == 2
    assert hint in capsys.readouterr().err


def test_a_cell_without_a_grid_is_refused(tmp_path, capsys):
    flags = [f"--base_dir={tmp_path / 'run'}", "--gin_files=agents/dqn.gin", "--cell=a/b"]
    assert train.main(flags) == 2
    assert "--cell=a/b" in capsys.readouterr().err


def test_a_cell_trains_with_the_users_flags_on_top(tmp_path, read_metrics):
    own = tmp_path / "small.gin"
    own.write_text(
        "include 'suites/minatar.gin'\n"
        "Grid.axes = [('agent', {'dqn': ['experiments/minatar_breakout.gin']}),\n"
        "             ('sparsity', {'dense': ['pruning/none.gin'], '90': [\n"
        "              'pruning/magnitude.gin', 'create_updater_from_config.sparsity=0.9']})]\n"
        "Grid.num_seeds = 2\n"
        "create_optimizer.learning_rate = 0.125\n"  # minatar_breakout.gin has 2.5e-4
    )
    base_dir = tmp_path / "run"
    short = ["num_iterations=1", "training_steps=150", "evaluation_steps=0"]
    flags = [f"--gin_bindings=Runner.{x}" for x in short]
    flags += ["--gin_bindings=DQNAgent.min_replay_history=60"]
    flags += ["--gin_bindings=create_updater_from_config.sparsity=0.8"]
    cell = ["--cell=dqn/90/freeway/1", f"--gin_files={own}", f"--base_dir={base_dir}"]
    assert train.main([*cell, *flags]) == 0
    (row,) = read_metrics(base_dir)
    assert row["seed"] == 1
    assert row["sparsity"] == pytest.approx(0.8, abs=1e-3)
    config = (base_dir / "config.gin").read_text()
    assert "create_optimizer.learning_rate = 0.125" in config
    assert "'freeway'" in config
    assert "Grid" not in config  # the same run by its flags resumes it


@pytest.mark.parametrize(
    ("settings", "binding"),
    [
        ({"axes": [("width", [])]}, "Grid.axes"),
        ({"axes": [("width", {})]}, "Grid.axes"),
        ({"axes": [("width", {"x1": ["ImpalaTorso.width"]})]}, "Grid.axes"),
        ({"axes": [("width", {"a/b": ["x.gin"]})]}, "Grid.axes"),
        ({"axes": [("width", _WIDTHS)], "shared": "agents/dqn.gin"}, "Grid.shared"),
        ({"axes": [("width", _WIDTHS)], "num_seeds": 0}, "Grid.num_seeds"),
    ],
)
def test_a_grid_of_another_form_is_refused(settings, binding):
    with pytest.raises(ConfigError, match=f"^{binding}="):
        Grid(**settings)


def test_the_papers_five_seeds_are_the_default():
    assert Grid().num_seeds == 5


def test_a_grid_needs_a_suite():
    with pytest.raises(ConfigError, match=r"^Suite\.name: not set"):
        len(Grid(axes=[("width", _WIDTHS)]))
