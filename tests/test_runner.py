"""Whole runs on real MinAtar and Atari: what they write, how they resume, how seeds stand."""

import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import gin
import jax
import numpy as np
import pytest
from flax import linen as nn

from prune_rl import configuration, runner, train
from prune_rl.gin_files import shipped_gin_files
from prune_rl.networks.torso import FEATURES, Torso, merge_stack
from prune_rl.phases import Trainer
from prune_rl.plasticity.occasions import Occasions
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.pruning.schedules import PolynomialSchedule

_MAGNITUDE = ("pruning/magnitude.gin",)
_ATARI = [
    "--gin_files=agents/dqn.gin",
    "--gin_files=pruning/magnitude.gin",
    *(
        f"--gin_bindings={binding}"
        for binding in (
            'create_atari_environment.game_name="Breakout"',
            "DQNAgent.torso=@CoarseTorso()",
            'DQNAgent.seed_strategy="unroll"',  # as the Nature CNN has it
            "Runner.num_seeds=2",
            "Runner.num_iterations=2",
            "Runner.training_steps=60",
            "Runner.evaluation_steps=0",
            "DQNAgent.min_replay_history=20",
            "DQNAgent.target_update_period=16",
            "create_updater_from_config.sparsity=0.9",
        )
    ),
]


@gin.configurable
class CoarseTorso(Torso):
    """Sees all of an Atari frame, compiles in a tenth of the time of the Nature CNN."""

    wiring: ClassVar = {"Conv_0": ("Dense_0",), "Dense_0": (FEATURES,)}

    @nn.compact
    def __call__(self, observation):
        x = nn.relu(nn.Conv(4, (12, 12), 12)(merge_stack(observation)))
        return self._hidden(32, x.reshape(-1))


def _stop_after(monkeypatch, num_steps):
    """Makes training fail at its `num_steps`-th agent step, as a kill would."""
    taken = 0
    step = Trainer.step

    def failing_step(self):
        nonlocal taken
        taken += 1
        if taken > num_steps:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(Trainer, "step", failing_step)


def _latest_agent_leaves(base_dir):
    import orbax.checkpoint as ocp

    with ocp.CheckpointManager(base_dir / "checkpoints") as manager:
        args = ocp.args.Composite(agent=ocp.args.StandardRestore())
        return jax.tree.leaves(manager.restore(manager.latest_step(), args=args).agent)


def _copy(base_dir, folder):
    return Path(shutil.copytree(base_dir, folder / "run"))


def test_a_run_leaves_everything_it_promises(trained_minatar, read_metrics):
    base_dir = trained_minatar(files=_MAGNITUDE)
    rows = read_metrics(base_dir)
    assert [(r["iteration"], r["phase"], r["seed"]) for r in rows] == [
        (i, phase, seed) for i in range(3) for phase in ("train", "eval") for seed in (0, 1)
    ]
    last = rows[-1]
    assert last["agent_steps"] == 600
    assert last["frames"] == 600
    # Agent steps 64, 68, ..., 596: after 60 steps of history, every fourth one.
    assert last["gradient_steps"] == 134
    assert last["sparsity"] == pytest.approx(0.95, abs=1e-3)
    assert rows[0]["sparsity"] < last["sparsity"]
    assert last["num_episodes"] > 0
    assert (base_dir / "curve.png").read_bytes().startswith(b"\x89PNG")
    config = (base_dir / "config.gin").read_text()
    assert "DQNAgent.min_replay_history = 60" in config
    assert "create_updater_from_config.rng_seed = 8" in config  # a default that no file binds
    assert "PrioritizedSampler" not in config  # bound by a file, used by nothing
    (start,) = json.loads((base_dir / "provenance.json").read_text())
    assert start["protocol"]["game"] == "breakout"
    assert start["versions"]["jax"] == jax.__version__
    assert {p.name for p in (base_dir / "tensorboard").iterdir()} == {"seed_0", "seed_1"}


def test_episodes_csv_adds_up_to_the_metrics(trained_minatar, read_metrics):
    base_dir = trained_minatar()
    with (base_dir / "episodes.csv").open() as file:
        episodes = list(csv.DictReader(file))
    for row in read_metrics(base_dir):
        returns = [
            float(e["episode_return"])
            for e in episodes
            if (int(e["seed"]), int(e["iteration"]), e["phase"])
            == (row["seed"], row["iteration"], row["phase"])
        ]
        assert row["num_episodes"] == len(returns)
        assert row["episode_return_mean"] == (pytest.approx(np.mean(returns)) if returns else None)
    trained = [e for e in episodes if e["phase"] == "train" and e["seed"] == "0"]
    ends = np.cumsum([int(e["episode_length"]) for e in trained])
    assert [int(e["agent_steps"]) for e in trained] == ends.tolist()


def test_evaluation_plays_its_steps_and_finishes_the_episode(trained_minatar):
    with (trained_minatar() / "episodes.csv").open() as file:
        lengths = [
            int(e["episode_length"])
            for e in csv.DictReader(file)
            if (e["phase"], e["seed"], e["iteration"]) == ("eval", "1", "0")
        ]
    assert sum(lengths) >= 50
    assert sum(lengths[:-1]) < 50


@pytest.mark.parametrize("stop_at", [130, 390])
def test_a_resumed_run_equals_the_uninterrupted_one(
    tmp_path, monkeypatch, train_minatar, trained_minatar, read_metrics, stop_at
):
    whole, stopped = trained_minatar(files=_MAGNITUDE), tmp_path / "stopped"
    with monkeypatch.context() as patch:
        _stop_after(patch, stop_at)
        assert train_minatar(stopped, files=_MAGNITUDE) == 130
    assert train_minatar(stopped, files=_MAGNITUDE) == 0
    assert read_metrics(stopped) == read_metrics(whole)
    assert (stopped / "episodes.csv").read_text() == (whole / "episodes.csv").read_text()
    for a, b in zip(_latest_agent_leaves(stopped), _latest_agent_leaves(whole), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("stop_at", "fixed_probe"), [(130, False), (390, False), (390, True)])
def test_a_run_with_interventions_and_diagnostics_resumes_to_the_bit(
    tmp_path, monkeypatch, train_minatar, trained_minatar, read_metrics, stop_at, fixed_probe
):
    files = (*_MAGNITUDE, "plasticity/redo.gin", "diagnostics/all.gin")
    bind = (
        "Runner.interventions=[@ReDo(), @Reset()]",
        "ReDo.reset_period=10",
        "ReDo.dead_neurons_threshold=0.2",
        "ReDo.statistics_batch_size=16",
        "Reset.reset_period=0.4",
        f"Diagnostics.fixed_probe={fixed_probe}",
        "Diagnostics.probe_size=20",
        "Diagnostics.num_gradients=4",
    )
    whole, stopped = trained_minatar(*bind, files=files), tmp_path / "stopped"
    with monkeypatch.context() as patch:
        _stop_after(patch, stop_at)
        assert train_minatar(stopped, *bind, files=files) == 130
    assert train_minatar(stopped, *bind, files=files) == 0
    assert read_metrics(stopped) == read_metrics(whole)
    for a, b in zip(_latest_agent_leaves(stopped), _latest_agent_leaves(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    matrices = sorted(path.name for path in (whole / "diagnostics").iterdir())
    assert matrices == [f"gradient_covariance_000{i}.npz" for i in range(3)]
    for name in matrices:
        with (
            np.load(whole / "diagnostics" / name) as a,
            np.load(stopped / "diagnostics" / name) as b,
        ):
            np.testing.assert_array_equal(a["matrix"], b["matrix"])
            assert a["matrix"].shape == (2, 4, 4)


def test_diagnostics_change_nothing_but_the_log(trained_minatar, read_metrics):
    plain = trained_minatar()
    measured = trained_minatar("Diagnostics.period=2", files=("diagnostics/all.gin",))
    rows = read_metrics(measured)
    assert [row for row in rows if row["phase"] != "diagnostics"] == read_metrics(plain)
    own = [row for row in rows if row["phase"] == "diagnostics"]
    assert [(row["iteration"], row["seed"]) for row in own] == [(1, 0), (1, 1)]
    assert all(row["parameter_norm"] > 0 for row in own)


@pytest.mark.parametrize("fixed_probe", [False, True])
def test_weights_that_stand_still_measure_the_same_on_a_fixed_probe_only(
    tmp_path, train_minatar, read_metrics, fixed_probe
):
    bind = (
        "Runner.num_iterations=2",
        "create_optimizer.learning_rate=1e-30",  # lost in float32
        "Diagnostics.quantities=['q_norm', 'parameter_norm', 'loss']",
        f"Diagnostics.fixed_probe={fixed_probe}",
    )
    assert train_minatar(tmp_path, *bind, files=("diagnostics/all.gin",)) == 0
    rows = [row for row in read_metrics(tmp_path) if row["phase"] == "diagnostics"]
    for first, second in ((rows[0], rows[2]), (rows[1], rows[3])):
        assert first["seed"] == second["seed"]
        assert first["parameter_norm"] == second["parameter_norm"]
        for name in ("q_norm", "probe_loss"):
            assert (first[name] == second[name]) == fixed_probe
    assert rows[0]["q_norm"] != rows[1]["q_norm"]


_METHODS = sorted(
    name
    for name in shipped_gin_files()
    if name.startswith("pruning/") and not name.endswith(("/none.gin", "_of_100m.gin"))
)


@pytest.mark.parametrize("name", _METHODS)
def test_every_pruning_method_trains_a_sparse_network_from_one_gin_file(
    tmp_path, train_minatar, read_metrics, name
):
    assert train_minatar(tmp_path, "Runner.num_iterations=2", files=(name,)) == 0
    last = read_metrics(tmp_path)[-1]
    layers = last["sparsity_by_layer"]
    if name == "pruning/nm.gin":
        assert layers["params/torso/Dense_0/kernel"] == 0.5
        assert layers["params/head/kernel"] == 0
    elif name == "pruning/block.gin":
        assert layers["params/torso/Dense_0/kernel"] == pytest.approx(0.95, abs=1e-3)
        assert layers["params/torso/Conv_0/kernel"] == 0
    else:
        # Weights that SET grew where nothing fires are still exactly zero.
        assert 0.948 < last["sparsity"] < (0.99 if name == "pruning/set.gin" else 0.952)


@pytest.mark.parametrize(
    ("files", "bind"),
    [
        (("plasticity/reset.gin",), "Reset.reset_period=50"),
        (("plasticity/redo.gin",), "ReDo.reset_period=50"),
        (("plasticity/weight_decay.gin",), "create_optimizer.weight_decay=0.01"),
        (("plasticity/l2.gin",), "QNetwork.normalize_representation=True"),
        (("plasticity/l2_unit_norm.gin",), "create_optimizer.unit_norm_penalty=0.01"),
    ],
)
def test_every_baseline_changes_learning_from_one_gin_file(
    tmp_path, train_minatar, trained_minatar, read_metrics, files, bind
):
    one = ("Runner.num_iterations=2", "ReDo.dead_neurons_threshold=0.5")
    threshold = one[1:] if "redo" in files[0] else ()
    plain = _latest_agent_leaves(trained_minatar(one[0]))
    assert train_minatar(tmp_path / "run", one[0], bind, *threshold, files=files) == 0
    assert read_metrics(tmp_path / "run")[-1]["agent_steps"] == 400
    changed = _latest_agent_leaves(tmp_path / "run")
    assert any((a != b).any() for a, b in zip(plain, changed, strict=False))
    undone = tmp_path / "undone"
    assert train_minatar(undone, one[0], files=(*files, "plasticity/none.gin")) == 0
    for a, b in zip(_latest_agent_leaves(undone), plain, strict=True):
        np.testing.assert_array_equal(a, b)


def test_atari_resumes_to_the_bit(tmp_path, monkeypatch, read_metrics):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert train.main([f"--base_dir={whole}", *_ATARI]) == 0
    with monkeypatch.context() as patch:
        _stop_after(patch, 90)
        assert train.main([f"--base_dir={stopped}", *_ATARI]) == 130
    assert train.main([f"--base_dir={stopped}", *_ATARI]) == 0
    assert read_metrics(stopped) == read_metrics(whole)
    for a, b in zip(_latest_agent_leaves(stopped), _latest_agent_leaves(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    assert read_metrics(whole)[-1]["sparsity"] == pytest.approx(0.9, abs=1e-3)
    assert read_metrics(whole)[-1]["frames"] == 4 * 120


def test_a_killed_process_resumes(tmp_path, train_minatar, read_metrics):
    """SIGKILL at an arbitrary moment after the first checkpoint."""
    arguments = [
        f"--base_dir={tmp_path / 'killed'}",
        "--gin_files=experiments/minatar_breakout.gin",
        "--gin_bindings=Runner.num_iterations=4",
        "--gin_bindings=Runner.training_steps=1500",
        "--gin_bindings=Runner.evaluation_steps=0",
    ]
    process = subprocess.Popen([sys.executable, "-m", "prune_rl.train", *arguments])
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / "checkpoints" / "1").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert train.main(arguments) == 0
    assert train.main([f"--base_dir={tmp_path / 'whole'}", *arguments[1:]]) == 0
    assert read_metrics(tmp_path / "killed") == read_metrics(tmp_path / "whole")


def test_a_run_of_programs_from_the_cache_equals_one_that_compiles(
    tmp_path, minatar_flags, train_minatar, trained_minatar, read_metrics
):
    found, compiled, events = tmp_path / "found", tmp_path / "compiled", []
    trained_minatar(files=_MAGNITUDE)  # leaves its programs in the cache of all tests
    jax.monitoring.register_event_listener(lambda name, **_: events.append(name.split("/")[-1]))
    assert train_minatar(found, files=_MAGNITUDE) == 0
    assert events.count("cache_hits") >= 3  # programs that initialise, act and update
    assert events.count("cache_misses") == 0
    flags = [*minatar_flags(compiled, files=_MAGNITUDE), "--no_compilation_cache"]
    subprocess.run([sys.executable, "-m", "prune_rl.train", *flags], check=True)
    assert read_metrics(found) == read_metrics(compiled)
    for a, b in zip(_latest_agent_leaves(found), _latest_agent_leaves(compiled), strict=True):
        np.testing.assert_array_equal(a, b)


def test_other_settings_do_not_resume_a_run(tmp_path, capsys, train_minatar, trained_minatar):
    base_dir = _copy(trained_minatar("Runner.num_iterations=1"), tmp_path)
    before = (base_dir / "metrics.jsonl").read_text()
    assert train_minatar(base_dir, "Runner.num_iterations=1", "DQNAgent.gamma=0.9") == 2
    error = capsys.readouterr().err
    assert "DQNAgent.gamma = 0.99" in error
    assert "DQNAgent.gamma = 0.9\n" not in error
    assert (base_dir / "metrics.jsonl").read_text() == before


def test_a_finished_run_is_left_as_it_is_and_says_so(
    tmp_path, capsys, train_minatar, trained_minatar
):
    def files():
        found = [path for path in base_dir.rglob("*") if path.is_file()]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}

    base_dir = _copy(trained_minatar("Runner.num_iterations=1"), tmp_path)
    before = files()
    capsys.readouterr()
    assert train_minatar(base_dir, "Runner.num_iterations=1") == 0
    said = capsys.readouterr()
    expected = f"{base_dir} is finished (1 of 1 iterations); nothing to do\n"
    assert (said.out, said.err) == ("", expected)
    assert files() == before
    # One that was stopped before it drew its picture still does.
    (base_dir / "curve.png").unlink()
    assert train_minatar(base_dir, "Runner.num_iterations=1") == 0
    assert "finished" not in capsys.readouterr().err
    assert (base_dir / "metrics.jsonl").read_bytes() == before[base_dir / "metrics.jsonl"][1]
    assert (base_dir / "curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("strategy", ["unroll", "vmap"])
def test_a_seed_does_not_depend_on_its_neighbours(tmp_path, train_minatar, read_metrics, strategy):
    bind = (f'DQNAgent.seed_strategy="{strategy}"', "Runner.num_iterations=2")
    three, one = tmp_path / "three", tmp_path / "one"
    train_minatar(three, *bind, "Runner.num_seeds=3", files=_MAGNITUDE)
    train_minatar(one, *bind, "Runner.num_seeds=1", "Runner.seed=1", files=_MAGNITUDE)
    of_three = [row for row in read_metrics(three) if row["seed"] == 1]
    alone = read_metrics(one)
    # Sums over a batch may be rounded differently beside other seeds.
    rounded = {"loss", "grad_norm", "q_mean"}
    for a, b in zip(of_three, alone, strict=True):
        for name in rounded & a.keys():
            assert a.pop(name) == pytest.approx(b.pop(name), rel=1e-3)
        assert a["sparsity_by_layer"] == b["sparsity_by_layer"]
        assert a["gradient_steps"] == b["gradient_steps"]
        if strategy == "unroll":
            assert a == b
    if strategy == "unroll":
        for a, b in zip(_latest_agent_leaves(three), _latest_agent_leaves(one), strict=True):
            np.testing.assert_array_equal(a[1:2] if a.ndim else a, b)


@pytest.mark.parametrize(("end", "last"), [(0.8, 2_000_000), (1.0, 2_494_998)])
def test_fractions_are_of_agent_steps_times_replay_ratio_warm_up_included(
    monkeypatch, tmp_path, end, last
):
    """40M frames on MinAtar: 2,500,000 nominal gradient steps, of which 2,494,999 are made."""
    configuration.load(
        [
            "experiments/minatar_breakout.gin",
            "pruning/magnitude.gin",
            "plasticity/reset.gin",
        ],
        [
            "Runner.num_iterations=40",
            "Runner.training_steps=250_000",
            "DQNAgent.min_replay_history=20_000",
            "Reset.reset_period=0.1",
            "Reset.reset_start_step=0.2",
            f"create_updater_from_config.update_end_step={end}",
        ],
    )
    pruners, handed = [], {}

    def create(*args, **kwargs):
        pruners.append(create_updater_from_config(*args, **kwargs))
        return pruners[-1]

    monkeypatch.setattr(runner, "create_updater_from_config", create)
    monkeypatch.setattr(runner, "ReplayBuffer", lambda **_: None)
    monkeypatch.setattr(runner, "Trainer", lambda *_, **kwargs: handed.update(kwargs))
    runner.Runner(tmp_path)
    (pruner,), (reset,) = pruners, handed["interventions"]
    assert pruner.schedule == PolynomialSchedule(500_000, last, 1000)
    assert reset.occasions == Occasions(250_000, 500_000, 2_494_999)


def test_seeds_differ(trained_minatar, read_metrics):
    rows = read_metrics(trained_minatar("Runner.num_iterations=1"))
    first, second = [row for row in rows if row["phase"] == "train"]
    assert first["loss"] != second["loss"]
    assert first["episode_length_mean"] != second["episode_length_mean"]


def test_zero_sparsity_trains_as_without_pruning(trained_minatar, read_metrics):
    bind = ("Runner.num_iterations=2", "create_updater_from_config.sparsity=0.0")
    zero, dense = trained_minatar(*bind, files=_MAGNITUDE), trained_minatar(bind[0])
    assert read_metrics(zero) == read_metrics(dense)


def test_an_unreadable_checkpoint_costs_no_more_than_itself(
    tmp_path, train_minatar, trained_minatar, read_metrics
):
    base_dir = _copy(trained_minatar(), tmp_path)
    whole = read_metrics(base_dir)
    newest = base_dir / "checkpoints" / "3"
    leaves = _latest_agent_leaves(base_dir)
    for file in newest.rglob("*"):
        if file.is_file() and file.stat().st_size > 200:
            file.write_bytes(file.read_bytes()[:100])
    assert train_minatar(base_dir) == 0
    assert read_metrics(base_dir) == whole
    for a, b in zip(_latest_agent_leaves(base_dir), leaves, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_disk_that_refuses_a_checkpoint_is_said_in_one_line_and_leaves_no_litter(tmp_path):
    """A limit on file size stands in for a full disk: the write itself fails."""
    flags = [
        f"--base_dir={tmp_path}",
        "--gin_files=experiments/minatar_breakout.gin",
        "--gin_bindings=Runner.num_iterations=2",
        "--gin_bindings=Runner.training_steps=500",
        "--gin_bindings=Runner.evaluation_steps=0",
    ]
    command = f"ulimit -f 400; {sys.executable} -m prune_rl.train {shlex.join(flags)}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 1
    # orbax's own threads may add words of theirs, even to the line that is ours.
    (line,) = [text for text in done.stderr.splitlines() if "prune_rl.train: " in text]
    assert "checkpoints/1" in line
    assert "the last checkpoint is intact" in line
    assert not (tmp_path / "checkpoints" / "1").exists()
    assert train.main(flags) == 0
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"1", "2"}
