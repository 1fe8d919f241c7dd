"""A pruner of a network that makes one step for several of its schedule's."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from prune_rl.pruning.config import create_updater_from_config
from prune_rl.pruning.packing import unpack

_PARAMS = {"kernel": jnp.arange(1.0, 101.0).reshape(10, 10)}


def _kept(pruner, steps):
    """Weights that are kept after each step of the network."""
    optimizer, params = pruner.wrap(optax.sgd(0.0)), _PARAMS
    state, kept = optimizer.init(params), []
    for _ in range(steps):
        updates, state = optimizer.update(_PARAMS, state, params)
        params = optax.apply_updates(params, updates)
        kept.append(int(unpack(state.masks["kernel"], (10, 10)).sum()))
    return kept, state


def test_masks_change_at_the_step_that_stands_for_the_schedules():
    # 20 gradient steps, the network learns at 0, 2, 4, ...: step 7 belongs to its fourth.
    pruner = create_updater_from_config(
        20, "magnitude", sparsity=0.5, schedule_type="one_shot", update_start_step=7
    )
    kept, state = _kept(replace(pruner, period=2), 10)
    assert kept == [100] * 3 + [50] * 7
    assert state.count == 20


@pytest.mark.parametrize("period", [1, 2, 5])
def test_a_gradual_schedule_reaches_its_sparsity_whatever_the_period(period):
    pruner = create_updater_from_config(
        100, "magnitude", sparsity=0.9, update_start_step=20, update_end_step=79, update_freq=3
    )
    kept, _ = _kept(replace(pruner, period=period), 100 // period)
    assert kept == sorted(kept, reverse=True)
    assert kept[20 // period - 1] == 100
    assert kept[26 // period] < 100
    assert kept[79 // period] == kept[-1] == 10


def test_masks_are_remade_as_often_as_the_schedule_says():
    pruner = create_updater_from_config(
        100,
        "random_ste",
        sparsity=0.5,
        schedule_type="periodic",
        update_start_step=0,
        update_end_step=50,
        update_freq=10,
    )
    optimizer, params = replace(pruner, period=2).wrap(optax.sgd(0.0)), _PARAMS
    state, changed, before = optimizer.init(params), [], None
    for step in range(30):
        updates, state = optimizer.update(_PARAMS, state, params)
        params = optax.apply_updates(params, updates)
        masks = np.asarray(state.masks["kernel"])
        if before is not None and (masks != before).any():
            changed.append(2 * step)
        before = masks
    assert changed == [10, 20, 30, 40, 50]


def test_a_dense_networks_count_goes_on_likewise():
    pruner = replace(create_updater_from_config(10), period=5)
    optimizer = pruner.wrap(optax.sgd(0.1))
    _, state = optimizer.update(_PARAMS, optimizer.init(_PARAMS), _PARAMS)
    assert state.count == 5
