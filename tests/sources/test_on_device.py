"""Runs whose environments and replays are on the device: what they say, log, measure and refuse."""

import csv
import functools
import json
import sys
import weakref

import jax
import numpy as np
import pytest

from prune_rl import train
from prune_rl.agents.dqn import DQNAgent
from prune_rl.dataset_tool.making import create_runner, make
from prune_rl.errors import ConfigError
from prune_rl.replay import device_ring, ram, transitions
from prune_rl.sources import on_device as on_device_module
from prune_rl.sources.on_device import _probes
from prune_rl.specs import Draw

from ..device_games import SmallTorso, advanced, on_device, on_host

_DEVICE = "Runner.create_source_fn=@DeviceSource"
_FILES = ("pruning/magnitude.gin", "diagnostics/all.gin")
_MEASURED = (
    "Diagnostics.probe_size=20",
    "Diagnostics.srank_probe_size=20",
    "Diagnostics.dormant_probe_size=20",
    "Diagnostics.num_gradients=4",
)


def test_a_run_leaves_what_a_run_on_the_host_leaves(trained_minatar, read_metrics):
    """Files, columns and counts; other numbers are drawn."""
    host = trained_minatar(*_MEASURED, files=_FILES)
    device = trained_minatar(*_MEASURED, _DEVICE, files=_FILES)
    files = [
        {str(x.relative_to(own)).split("events")[0] for x in own.rglob("*") if x.is_file()}
        for own in (host, device)
    ]
    assert {"curve.png", "episodes.csv", "metrics.jsonl", "timing.jsonl"} < files[0]
    ours = [{x for x in own if not x.startswith("checkpoints")} for own in files]
    assert ours[0] == ours[1]
    rows = [read_metrics(own) for own in (host, device)]
    counts = ("seed", "iteration", "phase", "agent_steps", "gradient_steps", "frames")
    assert [[row[x] for x in counts] for row in rows[0]] == [
        [row[x] for x in counts] for row in rows[1]
    ]
    assert [row.keys() for row in rows[0]] == [row.keys() for row in rows[1]]
    assert rows[1][-1]["sparsity"] == pytest.approx(rows[0][-1]["sparsity"], abs=1e-6)
    times = [_json_rows(own / "timing.jsonl") for own in (host, device)]
    assert [row.keys() for row in times[0]] == [row.keys() for row in times[1]]
    tables = [list(csv.DictReader((own / "episodes.csv").open())) for own in (host, device)]
    assert tables[0][0].keys() == tables[1][0].keys()
    _assert_episodes_follow_each_other(tables[1])
    says = [json.loads((own / "provenance.json").read_text())[0] for own in (host, device)]
    assert [own["protocol"].get("implementation", "")[:4] for own in says] == ["", "pgx "]


def _json_rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def _assert_episodes_follow_each_other(rows):
    """The agent steps at which training episodes end are the sums of their lengths."""
    for seed in {row["seed"] for row in rows}:
        own = [x for x in rows if x["seed"] == seed and x["phase"] == "train"]
        assert len(own) > 5
        ends = np.cumsum([int(x["episode_length"]) for x in own]).tolist()
        assert [int(x["agent_steps"]) for x in own] == ends


def test_a_run_of_which_no_seed_is_finite_stops(tmp_path, capsys, train_minatar, read_metrics):
    assert train_minatar(tmp_path, "create_optimizer.learning_rate=1e30", _DEVICE) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"prune_rl.train: --base_dir={tmp_path}: every seed has diverged, the last at gradient "
        "step 2; the run stops here, and the same command will say so again"
    )
    assert [row["diverged_at"] for row in read_metrics(tmp_path)] == [2, 2]


def test_a_dry_run_says_what_it_takes(tmp_path, capsys, minatar_flags):
    flags = minatar_flags(tmp_path / "run", _DEVICE, "ReplayBuffer.max_capacity=100_000")
    assert train.main(["--dry_run", *flags]) == 0
    size, time = capsys.readouterr().out.splitlines()[:2]
    assert size.startswith("size: 132,179 parameters a seed; at most RAM ")
    assert " for 600 agent steps and 134 gradient steps of 2 seeds, " in time
    assert not (tmp_path / "run").exists()


_PONG = "create_atari_environment.game_name='Pong'"
_HUGE = ("ReplayBuffer.max_capacity=1_000_000_000_000", "Runner.training_steps=1_000_000_000_000")
_REFUSED = {
    "an Atari game": (
        (
            _DEVICE,
            "Runner.create_environment_fn=@create_atari_environment",
            _PONG,
            "Suite.name=None",
        ),
        "@DeviceSource: AtariEnvironment is not written in JAX; expected a game of "
        "suites/minatar.gin, or Runner.create_source_fn=@OnlineSource",
    ),
    "no such game": (
        (_DEVICE, "create_minatar_environment.game_name='brekout'"),
        "'brekout': no such game; did you mean 'breakout'?",
    ),
    "a call": ((_DEVICE + "()",), "'setting'; bind a function without (), as @OnlineSource"),
    "no game": ((_DEVICE, "Runner.create_environment_fn=None"), "Runner.create_environment_fn"),
    "clipping": ((_DEVICE, "DeviceSource.clip_rewards='no'"), "DeviceSource.clip_rewards='no'"),
    "a replay": ((_DEVICE, "ReplayBuffer.max_capacity=20"), "ReplayBuffer.max_capacity=20"),
    "a scheme": ((_DEVICE, "DQNAgent.replay_scheme='x'"), "DQNAgent.replay_scheme='x'"),
    "no RAM": ((_DEVICE, *_HUGE), "ReplayBuffer.max_capacity"),
    "too long": (
        (_DEVICE, "Runner.num_iterations=1", f"Runner.training_steps={2**30 - 1}"),
        "Runner.training_steps: a run of 1,073,741,823 agent steps; expected at most 1,073,741,822",
    ),
}


@pytest.mark.parametrize("what", _REFUSED)
def test_settings_that_do_not_fit_are_refused_in_one_line(tmp_path, capsys, train_minatar, what):
    bindings, said = _REFUSED[what]
    assert train_minatar(tmp_path / "run", *bindings) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "run").exists()


def test_the_device_must_have_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(ram, "available_on_device", lambda: 8192)
    bindings = "ReplayBuffer.max_capacity = 10_000"
    with pytest.raises(ConfigError) as error:
        on_device(tmp_path, bindings, agent=_small(), training_steps=10_000)
    line = str(error.value).splitlines()[0]  # gin says below where it was called
    assert line.startswith("ReplayBuffer.max_capacity: 1 seeds x 10,000 frames of ")
    assert " are free on the device; the largest that fits is " in line


def test_without_pgx_it_says_what_to_install(tmp_path, capsys, monkeypatch, train_minatar):
    monkeypatch.setitem(sys.modules, "pgx", None)
    assert train_minatar(tmp_path / "run", _DEVICE) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'prune_rl[device]'" in line


def _small(**own):
    return DQNAgent(**{"torso": SmallTorso(), "min_replay_history": 30} | own)


def test_a_probe_draws_transitions_that_the_replay_holds_and_moves_nothing(tmp_path):
    run = {"agent": _small(update_horizon=3), "training_steps": 90, "num_seeds": 2}
    host, device = on_host(tmp_path / "a", "", **run), on_device(tmp_path / "b", "", **run)
    for own in (host, device):
        advanced(own, 90)
    replay, before = device.source.replay, device.trainer.get_state()[0]["agent"]
    probe = replay.probe(Draw(200), "values 3")
    ring = host.source._buffer._ring
    low, high = ring.candidates(3)
    for i in range(2):
        positions = np.arange(low[i], high[i])
        both = np.repeat(positions[None], 2, axis=0)
        good = positions[~ring.unusable(both, low)[i]]
        held = transitions.transitions(ring, np.repeat(good[None], 2, axis=0), 3, 0.99)
        rows = {_bytes(held, i, k) for k in range(len(good))}
        assert {_bytes(probe, i, k) for k in range(200)} == rows  # all of them, with 200 draws
    again, other = replay.probe(Draw(200), "values 3"), replay.probe(Draw(200), "values 4")
    np.testing.assert_array_equal(again.r_t, probe.r_t)
    assert (other.r_t != probe.r_t).any()
    assert (probe.r_t[0] != probe.r_t[1]).any()
    inputs = replay.probe(Draw(200, inputs_only=True), "values 3")
    np.testing.assert_array_equal(inputs.observations, probe.s_tm1)
    np.testing.assert_array_equal(inputs.actions, probe.a_tm1)
    after = device.trainer.get_state()[0]["agent"]
    np.testing.assert_array_equal(after["keys"], before["keys"])


def _bytes(batch, seed, place):
    return b"".join(np.asarray(x[seed, place]).tobytes() for x in batch if x is not None)


@pytest.mark.parametrize(("clips", "longest"), [(True, 1.0), (False, 4.25)])
def test_clipping_is_the_sources_and_returns_are_never_clipped(tmp_path, clips, longest):
    bound = f"DeviceSource.clip_rewards = {clips}"
    run = on_device(tmp_path, bound, agent=_small(min_replay_history=40), training_steps=90)
    ended = advanced(run, 90)
    rewards = np.asarray(run.source.worlds.trees[0].ring.rewards)
    assert 0.9 * longest < np.abs(rewards).max() <= longest
    assert max(abs(x.episode_return) / x.length for _, x in ended) > 1


def test_a_setting_names_its_parameter(tmp_path):
    with pytest.raises(ConfigError, match=r"DeviceSource.clip_rewards='no'.*True or False"):
        on_device(tmp_path, "DeviceSource.clip_rewards = 'no'", agent=_small(), training_steps=9)


def test_it_makes_no_dataset(tmp_path):
    """Nobody can watch what is stored."""
    settings = {"gin_files": ["experiments/minatar_breakout.gin"], "agent_steps": 50}
    create = functools.partial(create_runner, gin_bindings=[_DEVICE], **settings)
    with pytest.raises(
        ConfigError, match=r"create_source_fn=@DeviceSource: expected @OnlineSource"
    ):
        make(tmp_path / "out", format="dqn_replay", agent_steps=50, create_runner=create)


@pytest.mark.parametrize("strategy", ["unroll", "vmap"])
def test_a_probe_is_compiled_once_for_seeds_and_names(tmp_path, strategy):
    run = {"agent": _small(seed_strategy=strategy), "training_steps": 40, "num_seeds": 2}
    device = on_device(tmp_path, "", **run)
    advanced(device, 40)
    source = device.source
    _probes.cache_clear()
    for draw, name in [(Draw(7), "one"), (Draw(7), "two"), (Draw(6), "two")]:
        source.replay.probe(draw, name)
    assert _probes.cache_info().misses == 2
    programs = _probes(source.sampler.horizon, source.gamma, Draw(7)).programs
    assert sorted(own._cache_size() for own in programs) == [0, 1]


def test_rows_are_taken_off_the_device_one_seed_at_a_time_and_never_for_the_rest(
    tmp_path, monkeypatch
):
    run = {"agent": _small(seed_strategy="vmap"), "training_steps": 40, "num_seeds": 2}
    source = on_device(tmp_path, "", **run).source
    most, seed_of = [], on_device_module.seed_of

    assert source.worlds.ring.frames.shape[:2] == (2, source.num_rows + 1)
    shape = source.worlds.ring.frames.shape[1:]

    def counted(*args):
        own = seed_of(*args)
        most.append(sum(x.shape == shape for x in jax.live_arrays()))
        return own

    monkeypatch.setattr(on_device_module, "seed_of", counted)
    before = sum(x.shape == shape for x in jax.live_arrays())
    source.get_state()
    assert max(most) == before + 1


@pytest.mark.parametrize("strategy", ["unroll", "vmap"])
def test_rows_restored_take_the_place_of_those_that_were(tmp_path, monkeypatch, strategy):
    run = {"agent": _small(seed_strategy=strategy), "training_steps": 40, "num_seeds": 2}
    source = on_device(tmp_path, "", **run).source
    states, held = source.get_state(), []
    rows = weakref.ref(jax.tree.leaves(source.worlds.ring)[0])
    from_state = device_ring.from_state

    def restored(state, like):
        held.append((source.worlds, rows(), like.frames))
        return from_state(state, like)

    monkeypatch.setattr(device_ring, "from_state", restored)
    source.set_state(states)
    for worlds, former, like in held:
        assert (worlds, former) == (None, None)
        assert isinstance(like, jax.ShapeDtypeStruct)
    assert len(held) == 2
