"""Trees of run directories: which runs there are, how far they are, and whose seeds they hold."""

import fcntl
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from prune_rl.errors import ConfigError
from prune_rl.reporting.trainings import (
    DIVERGED,
    FINISHED,
    RUNNING,
    STOPPED,
    find_trainings,
    read_training,
)

from . import control_trees

_FOUR = [[1, 2, 3, 4]]


def test_a_run_is_what_its_config_and_rows_say(tmp_path, write_training):
    own = {"Runner.seed": "3", "Runner.num_seeds": "2", "torso/MinAtarTorso.width": "8"}
    returns = {"train": [[1, 2, 3, 4], [5, 6, 7, 8]]}
    training = read_training(write_training(tmp_path / "a" / "run", returns, **own), tmp_path)
    assert (training.name, training.directory) == ("a/run", tmp_path / "a" / "run")
    assert training.arm == "dqn minatar x8 dense"
    assert (training.game, training.seeds) == ("breakout", (3, 4))
    assert (training.clock, training.num_iterations, training.num_steps) == ("agent_steps", 4, 400)
    assert (training.iterations_done, training.state) == (4, FINISHED)
    assert len(training.rows) == 8
    assert read_training(tmp_path / "a" / "run").name == "run"


@pytest.mark.parametrize(
    ("returns", "done", "state"),
    [
        ({"train": [[1, 2, 3, 4], [1, 2, 3, 4]]}, 4, FINISHED),
        ({"train": [[1, 2, 3, 4], [1, 2]]}, 2, STOPPED),  # a seed's last rows are torn off
        ({"train": [[1], []]}, 0, STOPPED),
        ({"train": [[1, 2], [1, 2]], "eval": [[1, 2], [1, 2]]}, 2, STOPPED),
        ({}, 0, STOPPED),
    ],
)
def test_a_run_is_as_far_as_its_slowest_seed(tmp_path, write_training, returns, done, state):
    training = read_training(write_training(tmp_path / "x", returns, **{"Runner.num_seeds": "2"}))
    assert (training.iterations_done, training.state) == (done, state)


@pytest.mark.parametrize(
    ("seeds", "iterations", "state"),
    [
        ((0, 1), (2, 2), DIVERGED),
        ((0, 1), (4, 4), FINISHED),  # in its last iteration
        ((0,), (2, 2), STOPPED),  # the other would have learnt on
        ((0, 1), (2, 0), STOPPED),
    ],
)
def test_a_run_has_diverged_when_all_of_its_seeds_have(
    tmp_path, write_training, seeds, iterations, state
):
    returns = {"train": [[0.5] * count for count in iterations]}
    directory = write_training(tmp_path / "x", returns, **{"Runner.num_seeds": "2"})
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").open()]
    for row in rows[1:]:
        row |= {"diverged_at": 37} if row["seed"] in seeds and row["iteration"] else {}
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_training(directory).state == state


def test_a_run_that_is_held_is_running_until_it_is_let_go(tmp_path, write_training):
    directory = write_training(tmp_path / "x", {"train": _FOUR})
    with (directory / "lock").open("w") as lock:
        assert read_training(directory).state == FINISHED
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert read_training(directory).state == RUNNING
        assert read_training(write_training(tmp_path / "y")).state == STOPPED
    assert read_training(directory).state == FINISHED


@pytest.mark.parametrize("written", [None, b"", b'{"seed": 0, "iter'])
def test_a_run_that_has_written_nothing_whole_has_no_rows(tmp_path, write_training, written):
    directory = write_training(tmp_path / "x")
    (directory / "metrics.jsonl").unlink()
    if written is not None:
        (directory / "metrics.jsonl").write_bytes(written)
    (training,) = find_trainings([directory])
    assert (training.rows, training.iterations_done, training.state) == ([], 0, STOPPED)
    assert training.clock == "agent_steps"


def test_a_torn_last_line_is_left_out(tmp_path, write_training):
    directory = write_training(tmp_path / "x", {"train": _FOUR})
    whole = (directory / "metrics.jsonl").read_bytes()
    (directory / "metrics.jsonl").write_bytes(whole[:-30])
    training = read_training(directory)
    assert [row["iteration"] for row in training.rows] == [0, 1, 2]
    assert training.state == STOPPED


@pytest.mark.parametrize("returns", [{"train": _FOUR}, {}])
def test_a_run_on_fixed_data_counts_gradient_steps(tmp_path, write_training, returns):
    own = {"Runner.create_source_fn": "@DatasetSource", "Runner.agent": "@CQLAgent()"}
    training = read_training(write_training(tmp_path / "x", returns, **own))
    assert (training.clock, training.agent) == ("gradient_steps", "cql_c51")
    assert training.replay_ratio == 0


def test_a_line_that_is_no_row_names_file_and_line(tmp_path, write_training):
    directory = write_training(tmp_path / "x", {"train": _FOUR})
    with (directory / "metrics.jsonl").open("a") as file:
        file.write("no json\n")
    with pytest.raises(ConfigError, match=r"metrics\.jsonl, line 5: expected a JSON object") as e:
        find_trainings([tmp_path])
    assert "\n" not in str(e.value)


def test_a_row_without_its_clocks_counter_names_file_and_line(tmp_path, write_training):
    rows = [{"seed": 0, "iteration": 0, "phase": "train", "clock": "gradient_steps"}]
    for count in ({"gradient_steps": 25}, {"agent_steps": 100}, {"gradient_steps": "25"}):
        write_training(tmp_path / "x", rows=[row | count for row in rows])
        if count == {"gradient_steps": 25}:
            assert len(read_training(tmp_path / "x").rows) == 1
        else:
            with pytest.raises(ConfigError) as caught:
                read_training(tmp_path / "x")
            path = tmp_path / "x" / "metrics.jsonl"
            expected = "expected gradient_steps, its clock, as a whole number"
            assert str(caught.value).endswith(f"{path}, line 1: {expected}")
        shutil.rmtree(tmp_path / "x")


def test_a_run_of_no_seeds_is_one_line(tmp_path, write_training):
    directory = write_training(tmp_path / "x", **{"Runner.num_seeds": "0"})
    with pytest.raises(ConfigError, match=r"x: config\.gin: Runner\.num_seeds=0: expected 1 at"):
        read_training(directory)


def test_a_schedule_that_ends_at_no_number_is_one_line(tmp_path, write_training):
    name = "q/create_updater_from_config"
    own = {f"{name}.pruner_type": "'magnitude'", f"{name}.update_end_step": "'late'"}
    with pytest.raises(ConfigError, match=r"x: config\.gin: create_.*end_step=late: expected"):
        read_training(write_training(tmp_path / "x", **own))


def test_damaged_runs_are_left_out_and_named_if_there_are_others(tmp_path, write_training, capsys):
    for i in range(9):
        write_training(tmp_path / str(i), {"train": _FOUR}, **{"Runner.seed": str(i)})
        if i:
            (tmp_path / str(i) / "metrics.jsonl").write_text("{\n")
    write_training(tmp_path / "twice", {"train": [[1]]})
    left_out = []
    assert [x.name for x in find_trainings([tmp_path], left_out)] == ["0"]
    said = capsys.readouterr().err.splitlines()
    assert len(left_out) == 9
    assert said == [*left_out[:5], "… and 3 more", left_out[-1]]
    assert f"{tmp_path / '1' / 'metrics.jsonl'}, line 1: expected a JSON object" in said[0]
    assert left_out[-1].endswith(f"left out of {tmp_path / 'twice'}")


@pytest.mark.parametrize("name", ["Runner.seed", "Runner.num_iterations"])
def test_a_setting_that_is_no_number_names_run_and_binding(tmp_path, write_training, name):
    directory = write_training(tmp_path / "x")
    with (directory / "config.gin").open("a") as file:
        file.write(f"{name} = 'many'\n")
    with pytest.raises(ConfigError, match=f"{name}=many: expected a number") as caught:
        find_trainings([tmp_path])
    assert str(directory) in str(caught.value)


def test_trees_are_searched_to_the_bottom_and_runs_come_in_order_once(tmp_path, write_training):
    deep = "/".join(["folder"] * 60)
    names = ["b/Pong/0", "a/Pong/1", "a/Pong/0", f"a/{deep}/0", "a/Pong/0/inner"]
    for place, name in enumerate(names):
        write_training(tmp_path / "runs" / name, **{"Runner.seed": str(place)})
    (tmp_path / "runs" / "notes.txt").write_text("config.gin")
    (tmp_path / "runs" / "b" / "config.gin").write_text("include 'agents/dqn.gin'\n")
    checkpoints = tmp_path / "runs" / "a" / "Pong" / "0" / "checkpoints"
    write_training(checkpoints / "copy", **{"Runner.seed": "9"})
    found = find_trainings([tmp_path / "runs" / "b", tmp_path / "runs"])
    expected = [f"a/Pong/{x}" for x in ("0", "0/inner", "1")] + [f"a/{deep}/0"]
    assert [x.name for x in found] == ["b/Pong/0", *expected]
    assert [x.seeds for x in found] == [(0,), (2,), (4,), (1,), (3,)]


def test_links_are_followed_and_end_nowhere_twice(tmp_path, write_training):
    real = write_training(tmp_path / "elsewhere" / "0", {"train": _FOUR})
    (tmp_path / "runs" / "Pong").mkdir(parents=True)
    (tmp_path / "runs" / "Pong" / "0").symlink_to(real)
    (tmp_path / "runs" / "Pong" / "again").symlink_to(real)
    (tmp_path / "runs" / "Pong" / "up").symlink_to(tmp_path / "runs")
    (tmp_path / "runs" / "Pong" / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "runs" / "Pong" / "itself").symlink_to(tmp_path / "runs" / "Pong" / "itself")
    assert [x.name for x in find_trainings([tmp_path / "runs"])] == ["Pong/0"]
    assert len(find_trainings([tmp_path / "runs", tmp_path / "elsewhere"])) == 1


def test_no_run_is_one_line(tmp_path, write_training):
    write_training(tmp_path / "runs" / "x")
    (tmp_path / "empty").mkdir()
    for folder, problem in [("empty", "holds no run"), ("none", "cannot be read: No such file")]:
        with pytest.raises(ConfigError, match=problem) as caught:
            find_trainings([tmp_path / "runs", tmp_path / folder])
        assert str(tmp_path / folder) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_run_without_an_agent_is_one_line(tmp_path, write_training):
    directory = write_training(tmp_path / "x")
    (directory / "config.gin").write_text("")
    with pytest.raises(ConfigError, match=r"config\.gin sets no Runner\.agent"):
        find_trainings([tmp_path])


def test_a_folder_that_cannot_be_read_is_one_line(tmp_path, write_training, monkeypatch):
    """By a spy: who is root may read everything."""
    write_training(tmp_path / "x")
    scan = os.scandir

    def refuse(path):
        if path == tmp_path / "shut":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    (tmp_path / "shut").mkdir()
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ConfigError) as caught:
        find_trainings([tmp_path])
    assert str(caught.value) == f"{tmp_path / 'shut'}: cannot be read: Permission denied"


def test_of_a_seed_that_is_there_twice_the_longer_run_counts(tmp_path, write_training, capsys):
    two = {"train": [[1, 2], [3, 4]]}
    write_training(tmp_path / "many", two, **{"Runner.num_seeds": "2"})
    write_training(tmp_path / "one", {"train": [[5, 6, 7]]}, **{"Runner.seed": "1"})
    write_training(tmp_path / "short", {"train": [[8]]})
    write_training(tmp_path / "tie", {"train": [[9, 9]]})
    found = find_trainings([tmp_path])
    assert [(x.name, x.seeds) for x in found] == [("many", (0,)), ("one", (1,))]
    assert [row["episode_return_mean"] for row in found[0].rows] == [1, 2]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[2] == (
        f"seed 1 of dqn minatar x1 dense, breakout, is there twice: taken from {tmp_path / 'one'} "
        f"(3 iterations, against 2) and left out of {tmp_path / 'many'}"
    )


def test_of_two_runs_as_long_the_one_that_measured_more_counts(tmp_path, write_training):
    write_training(tmp_path / "a", {"train": [[1]]})
    write_training(tmp_path / "b", {"train": [[2]], "eval": [[3]]})
    write_training(tmp_path / "c", {"train": [[4]], "eval": [[5]]})
    assert [x.name for x in find_trainings([tmp_path])] == ["b"]


def test_runs_of_several_folders_have_names_of_their_own(tmp_path, write_training, monkeypatch):
    for seed, name in enumerate(("figure_1/x/0", "more/x/0")):
        write_training(tmp_path / name, **{"Runner.seed": str(seed)})
    monkeypatch.chdir(tmp_path)
    both = [Path("figure_1"), tmp_path / "more" / "x" / "0"]
    assert [x.name for x in find_trainings(both)] == ["figure_1/x/0", "more/x/0"]
    assert [x.name for x in find_trainings([Path("figure_1")])] == ["x/0"]
    assert [x.name for x in find_trainings([Path("more/x/0")])] == ["0"]


def test_many_duplicates_are_said_in_few_lines(tmp_path, write_training, capsys):
    for i in range(9):
        write_training(tmp_path / str(i), {"train": [[1]]})
    assert [x.name for x in find_trainings([tmp_path])] == ["0"]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    assert lines[-1] == "… and 3 more"


def test_games_arms_and_settings_that_differ_are_no_duplicates(tmp_path, write_training, capsys):
    usual = {"q/create_optimizer.learning_rate": "1e-4"}
    for name, own in {
        "game": {"create_minatar_environment.game_name": "'asterix'"},
        "arm": {"torso/MinAtarTorso.width": "2"},
        "rate": {"q/create_optimizer.learning_rate": "1e-3"},
        "base": {},
        "longer": {"Runner.num_iterations": "9"},
    }.items():
        write_training(tmp_path / name, {"train": _FOUR}, **usual | own)
    found = {x.name: x for x in find_trainings([tmp_path])}
    assert len(found) == 5
    assert not capsys.readouterr().err
    assert found["arm"].arm == "dqn minatar x2 dense"
    arms = {x.arm for x in found.values()}
    assert len(arms) == 4  # the two games share one
    assert found["longer"].arm.endswith(" dense num_iterations=9, learning_rate=1e-4")


@pytest.mark.parametrize("count", [150])
def test_a_sweep_is_read_in_seconds(tmp_path, write_training, count):
    """1,500 runs of 40 iterations take ten times this: seconds of a process, not minutes."""
    layers = {
        "sparsity_by_layer": {f"torso/Stack_{i}/Conv_{j}": 0.5 for i in range(3) for j in range(5)}
    }
    rows = [
        {"seed": 0, "iteration": t, "phase": phase, "clock": "agent_steps", "agent_steps": t}
        | {"gradient_steps": t, "frames": t, "episode_return_mean": 1.0, **layers}
        for t in range(40)
        for phase in ("train", "eval")
    ]
    first = write_training(tmp_path / "0", rows=rows)
    text = (first / "config.gin").read_text() + "".join(f"a{i}.b{i} = {i}\n" for i in range(100))
    (first / "config.gin").write_text(text)
    for i in range(1, count):
        (tmp_path / str(i)).mkdir()
        (tmp_path / str(i) / "config.gin").write_text(text + f"Runner.seed = {i}\n")
        moved = "".join(json.dumps(row | {"seed": i}) + "\n" for row in rows)
        (tmp_path / str(i) / "metrics.jsonl").write_text(moved)
    start = time.process_time()
    assert len(find_trainings([tmp_path])) == count
    assert time.process_time() - start < 0.02 * count


def test_a_game_that_only_the_data_name_is_that_of_the_latest_start(tmp_path):
    """As in a run that learns from the one game at a path."""
    control_trees.write_run(tmp_path / "run", game="Ant-v5")
    path = tmp_path / "run/config.gin"
    named = "create_mujoco_environment.game_name = 'Ant-v5'\n"
    path.write_text(path.read_text().replace(named, ""))
    assert read_training(tmp_path / "run").game == "create_mujoco_environment"
    starts = [{"protocol": {"game": x}} for x in ("Hopper-v5", "Walker2d-v5")]
    (tmp_path / "run/provenance.json").write_text(json.dumps(starts))
    assert read_training(tmp_path / "run").game == "Walker2d-v5"
    path.write_text(path.read_text() + named)
    assert read_training(tmp_path / "run").game == "Ant-v5"
