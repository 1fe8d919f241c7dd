"""A run on the device against the ordinary loop on the host, which is given the same draws."""

import jax
import numpy as np
import pytest

from prune_rl.agents.dqn import DQNAgent
from prune_rl.agents.rainbow import RainbowAgent
from prune_rl.learning.saved import to_states
from prune_rl.learning.seed_axis import split_seeds
from prune_rl.plasticity.redo import ReDo
from prune_rl.plasticity.reset import Reset
from prune_rl.state import flatten

from .device_games import SmallTorso, advanced, on_device, on_host
from .replay.states import assert_same

_SETTINGS = {
    "torso": SmallTorso(),
    "min_replay_history": 12,
    "target_update_period": 10,
    "epsilon_train": 0.1,
    "epsilon_decay_period": 60,
}
_PRUNED = """
create_updater_from_config.pruner_type = '{}'
create_updater_from_config.sparsity = 0.8
create_updater_from_config.update_start_step = 4
create_updater_from_config.update_end_step = {}
create_updater_from_config.update_freq = 3
"""
_STRETCHES = (1, 12, 13, 30, 31, 60, 90, 120, 121, 150)  # agent steps at which both are compared


def dqn(**own):
    return DQNAgent(**_SETTINGS | own)


def rainbow(**own):
    return RainbowAgent(**_SETTINGS | {"num_atoms": 5, "vmax": 4.0} | own)


# Agent, gin's bindings and what else a run is made of. The device's sums of priorities are float32,
# the host's float64: chances and weights differ in their last bits. All else is equal to the bit.
_CLOSE = {"rainbow": (1e-3, 1e-5)}
_CASES = {
    "dqn": (dqn(replay_ratio=0.25), _PRUNED.format("magnitude", 25), {"num_seeds": 1}),
    "dqn, several steps": (
        dqn(replay_ratio=1, update_horizon=3, seed_strategy="vmap"),
        _PRUNED.format("rigl", 100) + "OnlineSource.clip_rewards = False\n"
        "DeviceSource.clip_rewards = False",
        {"num_seeds": 2, "interventions": 1},
    ),
    "rainbow": (
        rainbow(replay_ratio=2, seed_strategy="unroll"),
        _PRUNED.format("magnitude", 200) + "PrioritizedSampler.priority_exponent = 0.5",
        {"num_seeds": 2},
    ),
    "breakout": (dqn(replay_ratio=0.5), "", {"num_seeds": 1, "game": "breakout"}),
}


def pair_of(folder, name):
    """The runs on the host and on the device of a case."""
    agent, bindings, own = _CASES[name]
    settings = own | {"agent": agent, "training_steps": _STRETCHES[-1]}
    place = {}
    if "interventions" in own:
        redo = ReDo(reset_period=17, dead_neurons_threshold=0.3, statistics_batch_size=8)
        settings["interventions"] = [Reset(reset_period=40), redo]
        place = {"place": 1}
    host = on_host(folder / "host", bindings, **place, **settings)
    return host, on_device(folder / "device", bindings, **settings)


def agents_of(runner):
    return [
        flatten(own)
        for own in to_states(runner.trainer.agent_state, runner.policy.learner.state_axes)
    ]


def assert_close(one, other, rtol, atol):
    assert one.keys() == other.keys()
    for name, x in one.items():
        y = np.asarray(other[name])
        assert (x.dtype, x.shape) == (y.dtype, y.shape), name
        if x.dtype.kind == "f":
            np.testing.assert_allclose(y, x, rtol=rtol, atol=atol, err_msg=name)
        else:  # masks, keys and counts
            np.testing.assert_array_equal(y, x, err_msg=name)


def assert_alike(host, device, rtol=0, atol=0):
    for one, other in zip(agents_of(host), agents_of(device), strict=True):
        assert_close(one, other, rtol, atol)
    source, replay = host.source, host.source._buffer
    states = device.source.get_state()
    own = ("cursor", "frame", "age", "rows")
    assert_same([{x: s["replay"][x] for x in own} for s in states], replay._ring.get_state())
    worlds = [jax.device_get(x) for x in split_seeds(device.source.worlds, 0)]
    for i, world in enumerate(worlds):
        np.testing.assert_array_equal(world.observation, source._stack.array[i])
        game = source._environments._environments[i]
        jax.tree.map(np.testing.assert_array_equal, world.game.game, jax.device_get(game.variables))
        assert int(world.game.length) == source._environments._lengths[i]
    assert [s["episode"] for s in states] == source._tracker.get_state()
    if replay._sampler.STATE:
        for state, expected in zip(states, replay._sampler.get_state(), strict=True):
            assert_close(expected, {x: state["replay"][x] for x in expected}, 1e-4, 1e-6)
    counts = [
        (x.trainer.gradient_steps, x.source.agent_steps, x.source.frames) for x in (host, device)
    ]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("name", _CASES)
def test_the_device_does_what_the_host_does_with_the_same_draws(tmp_path, name):
    host, device = pair_of(tmp_path, name)
    ended = []
    for end in _STRETCHES:
        one, other = advanced(host, end), advanced(device, end)
        assert one == other
        ended += one
        assert_alike(host, device, *_CLOSE.get(name, ()))
    assert {x.terminated for _, x in ended} == {False, True} or name == "breakout"
    assert device.trainer.gradient_steps == device.source.num_gradient_steps(_STRETCHES[-1])
    metrics = host.trainer.take_metrics(), device.trainer.take_metrics()
    assert_close(*metrics, *_CLOSE.get(name, (0, 0)))
