"""Whole runs on real MinAtar: what they write, how seeds stand, what settings make of them."""

import csv
import json
import subprocess
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from prune_rl import configuration, experiment
from prune_rl.gin_files import shipped_gin_files
from prune_rl.plasticity.occasions import Occasions
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.pruning.schedules import PolynomialSchedule
from prune_rl.sources import online

_MAGNITUDE = ("pruning/magnitude.gin",)


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
    if name.startswith("pruning/")
    and not name.endswith(("/none.gin", "_of_100m.gin"))
    # Of several networks, and of vectors: tests/agents/test_agent_files.py.
    and not name.endswith(("_critic.gin", "_actor.gin", "dense_encoder.gin"))
)


@pytest.mark.parametrize("name", _METHODS)
def test_every_pruning_method_trains_a_sparse_network_from_one_gin_file(
    tmp_path, train_minatar, read_metrics, name
):
    assert train_minatar(tmp_path, "Runner.num_iterations=2", files=(name,)) == 0
    last = read_metrics(tmp_path)[-1]
    layers = last["sparsity_by_layer"]
    if name == "pruning/nm.gin":
        assert layers["torso/Dense_0"] == 0.5
        assert layers["head"] == 0
    elif name == "pruning/block.gin":
        assert layers["torso/Dense_0"] == pytest.approx(0.95, abs=1e-3)
        assert layers["torso/Conv_0"] == 0
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
    tmp_path, train_minatar, trained_minatar, read_metrics, files, bind, agent_leaves
):
    one = ("Runner.num_iterations=2", "ReDo.dead_neurons_threshold=0.5")
    threshold = one[1:] if "redo" in files[0] else ()
    plain = agent_leaves(trained_minatar(one[0]))
    assert train_minatar(tmp_path / "run", one[0], bind, *threshold, files=files) == 0
    assert read_metrics(tmp_path / "run")[-1]["agent_steps"] == 400
    changed = agent_leaves(tmp_path / "run")
    assert any((a != b).any() for a, b in zip(plain, changed, strict=False))
    undone = tmp_path / "undone"
    assert train_minatar(undone, one[0], files=(*files, "plasticity/none.gin")) == 0
    for a, b in zip(agent_leaves(undone), plain, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_of_programs_from_the_cache_equals_one_that_compiles(
    tmp_path, minatar_flags, train_minatar, trained_minatar, assert_same_logs, agent_leaves
):
    found, compiled, events = tmp_path / "found", tmp_path / "compiled", []
    trained_minatar(files=_MAGNITUDE)  # leaves its programs in the cache of all tests
    jax.monitoring.register_event_listener(lambda name, **_: events.append(name.split("/")[-1]))
    assert train_minatar(found, files=_MAGNITUDE) == 0
    assert events.count("cache_hits") >= 3  # programs that initialise, act and update
    assert events.count("cache_misses") == 0
    flags = [*minatar_flags(compiled, files=_MAGNITUDE), "--no_compilation_cache"]
    subprocess.run([sys.executable, "-m", "prune_rl.train", *flags], check=True)
    assert_same_logs(found, compiled)
    for a, b in zip(agent_leaves(found), agent_leaves(compiled), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("strategy", ["unroll", "vmap"])
def test_a_seed_does_not_depend_on_its_neighbours(
    tmp_path, train_minatar, read_metrics, strategy, agent_leaves
):
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
        for a, b in zip(agent_leaves(three, 1), agent_leaves(one, 1), strict=True):
            np.testing.assert_array_equal(a, b)


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

    monkeypatch.setattr(experiment, "create_updater_from_config", create)
    room = SimpleNamespace(max_capacity=1_000_000, batch_size=32)
    monkeypatch.setattr(online, "ReplayBuffer", lambda **_: room)
    monkeypatch.setattr(experiment, "Trainer", lambda *_, **kwargs: handed.update(kwargs))
    experiment.create_runner(tmp_path)
    (pruner,), (reset,) = pruners, handed["interventions"]
    assert pruner.schedule == PolynomialSchedule(500_000, last, 1000)
    assert reset.occasions == Occasions(250_000, 500_000, 2_494_999)


def test_seeds_differ(trained_minatar, read_metrics):
    rows = read_metrics(trained_minatar("Runner.num_iterations=1"))
    first, second = [row for row in rows if row["phase"] == "train"]
    assert first["loss"] != second["loss"]
    assert first["episode_length_mean"] != second["episode_length_mean"]


def test_zero_sparsity_trains_as_without_pruning(trained_minatar, assert_same_logs):
    bind = ("Runner.num_iterations=2", "create_updater_from_config.sparsity=0.0")
    zero, dense = trained_minatar(*bind, files=_MAGNITUDE), trained_minatar(bind[0])
    assert_same_logs(zero, dense)
