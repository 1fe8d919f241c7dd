"""Fixed data on the device against the ordinary loop on the host, which is given the same draws."""

import numpy as np
import pytest

from prune_rl.learning.saved import to_states
from prune_rl.sources.dataset import DatasetSource
from prune_rl.sources.dataset_on_device import DeviceDatasetSource
from prune_rl.state import flatten

from .vector_data import PointAgent, Pull, draws_like_the_device, runner_of

_PRUNED = """
create_updater_from_config.pruner_type = 'magnitude'
create_updater_from_config.sparsity = 0.5
create_updater_from_config.update_start_step = 4
create_updater_from_config.update_end_step = 40
create_updater_from_config.update_freq = 3
"""
_STRETCHES = (1, 2, 7, 8, 25, 40, 60)
# What a run is made of, how its seeds lie, and gin's bindings. Seeds apart are equal to the bit; of
# stacked ones the compiler rounds some products otherwise where they are in a loop.
_CASES = {
    "one seed": ({"num_seeds": 1, "interventions": [Pull()]}, "unroll", _PRUNED),
    "halves": ({"num_seeds": 3, "interventions": [Pull()], "shared": False}, "unroll", ""),
    "two steps": ({"agent": {"update_horizon": 2, "gamma": 0.9}}, "unroll", _PRUNED),
    "stacked": ({"num_seeds": 3, "interventions": [Pull()], "shared": False}, "vmap", _PRUNED),
}
_TOLERANCES = {"unroll": {"rtol": 0, "atol": 0}, "vmap": {"rtol": 1e-4, "atol": 1e-6}}


def pair_of(folder, name):
    """The runs on the host and on the device of a case."""
    own, strategy, bindings = _CASES[name]
    agent = PointAgent(seed_strategy=strategy, **own.get("agent", {}))
    settings = own | {"agent": agent}
    host = runner_of(folder / "host", DatasetSource, bindings, **settings)
    draws_like_the_device(host.source.replay, host.seeds, Pull().period)
    return host, runner_of(folder / "device", DeviceDatasetSource, bindings, **settings)


def agents_of(runner):
    axes = runner.policy.learner.state_axes
    return [flatten(own) for own in to_states(runner.trainer.agent_state, axes)]


@pytest.mark.parametrize("name", _CASES)
def test_the_device_does_what_the_host_does_with_the_same_draws(tmp_path, name):
    host, device = pair_of(tmp_path, name)
    close = _TOLERANCES[_CASES[name][1]]
    for end in _STRETCHES:
        for runner in (host, device):
            while runner.source.steps < end:
                assert runner.trainer.step(end) == []
        assert host.source.steps == device.source.steps == end
        assert host.trainer.gradient_steps == device.trainer.gradient_steps == end
        for one, other in zip(agents_of(host), agents_of(device), strict=True):
            assert one.keys() == other.keys()
            for key in one:
                said = f"{end}: {key}"
                np.testing.assert_allclose(other[key], one[key], err_msg=said, **close)
    metrics = [runner.trainer.take_metrics() for runner in (host, device)]
    assert metrics[0].keys() == metrics[1].keys()
    for key in metrics[0]:
        np.testing.assert_allclose(metrics[1][key], metrics[0][key], **close)
