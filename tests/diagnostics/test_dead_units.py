"""Dead units in hand-made networks, and against loops over NumPy arrays."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.diagnostics.dead_units import dead_units
from prune_rl.errors import ConfigError

# Under jit a fraction may be one rounding off.
approx = partial(pytest.approx, rel=1e-6)

CHAIN = {"conv_0": ("conv_1",), "conv_1": ("dense_0",), "dense_0": ("head",)}
SHAPES = {
    "conv_0": (3, 3, 1, 4),
    "conv_1": (2, 2, 4, 5),
    "dense_0": (3 * 5, 6),  # 3 positions of 5 channels
    "head": (6, 2),
}


def ones():
    return {
        "params": {
            name: {"kernel": np.ones(shape, np.float32), "bias": np.ones(shape[-1], np.float32)}
            for name, shape in SHAPES.items()
        }
    }


def kernel(params, layer):
    return params["params"][layer]["kernel"]


def fractions(params, wiring):
    total, by_layer = jax.jit(lambda p: dead_units(p, wiring))(params)
    return float(total), {name: float(value) for name, value in by_layer.items()}


def test_none_is_dead_while_one_weight_is_left_on_each_side():
    params = ones()
    for name in SHAPES:
        kernel(params, name)[...] = 0
    kernel(params, "conv_0")[1, 1, 0, :] = -1e-30
    kernel(params, "conv_1")[0, 1, :, 0] = 1  # reads all of conv_0, feeds channel 0 only
    kernel(params, "dense_0")[1 * 5 + 0, :] = 1  # position 1, channel 0
    kernel(params, "head")[:, 1] = 1
    total, by_layer = fractions(params, CHAIN)
    assert by_layer == approx({"conv_0": 0.0, "conv_1": 4 / 5, "dense_0": 0.0})
    assert total == approx(4 / 15)


@pytest.mark.parametrize("layer", CHAIN)
def test_incoming_weights(layer):
    params = ones()
    kernel(params, layer)[..., 1] = 0
    total, by_layer = fractions(params, CHAIN)
    units = SHAPES[layer][-1]
    assert by_layer == approx({name: 1 / units if name == layer else 0.0 for name in CHAIN})
    assert total == approx(1 / 15)


@pytest.mark.parametrize(
    ("layer", "reader", "index"),
    [
        ("conv_0", "conv_1", np.s_[:, :, 2]),
        ("conv_1", "dense_0", np.s_[2::5]),  # channel 2 of every position
        ("dense_0", "head", np.s_[2]),
    ],
)
def test_outgoing_weights(layer, reader, index):
    params = ones()
    kernel(params, reader)[index] = 0
    total, by_layer = fractions(params, CHAIN)
    units = SHAPES[layer][-1]
    assert by_layer == approx({name: 1 / units if name == layer else 0.0 for name in CHAIN})
    assert total == approx(1 / 15)


def test_one_position_left_keeps_a_channel_alive():
    params = ones()
    kernel(params, "dense_0")[[2, 12]] = 0  # channel 2 of positions 0 and 2, not of 1
    assert fractions(params, CHAIN)[0] == 0.0
    kernel(params, "dense_0")[5:10] = 0  # a whole position is no channel
    assert fractions(params, CHAIN)[1]["conv_1"] == approx(1 / 5)


def test_a_unit_cut_off_on_both_sides_counts_once():
    params = ones()
    kernel(params, "dense_0")[:, 3] = 0
    kernel(params, "head")[3] = 0
    assert fractions(params, CHAIN)[1]["dense_0"] == approx(1 / 6)


def test_a_unit_lives_while_one_of_its_readers_is_left():
    params = {
        "params": {
            "conv": {"kernel": np.ones((1, 1, 1, 2), np.float32)},
            "block": {"kernel": np.zeros((1, 1, 2, 2), np.float32)},
            "skip": {"kernel": np.zeros((8, 3), np.float32)},
        }
    }
    wiring = {"conv": ("block", "skip")}
    assert fractions(params, wiring)[0] == 1.0
    kernel(params, "skip")[7, 1] = 1  # channel 1
    assert fractions(params, wiring)[0] == 0.5
    kernel(params, "block")[0, 0, 1, 0] = 1  # channel 1 again
    assert fractions(params, wiring)[0] == 0.5


def reference(params, wiring):
    """Units dead by layer, found by loops over single weights."""
    dead = {}
    for layer, (reader,) in wiring.items():
        into, out = kernel(params, layer), kernel(params, reader)
        units = into.shape[-1]
        dead[layer] = []
        for unit in range(units):
            leaving = [weight for index, weight in np.ndenumerate(out) if index[-2] % units == unit]
            entering = [weight for index, weight in np.ndenumerate(into) if index[-1] == unit]
            dead[layer].append(not any(entering) or not any(leaving))
    return dead


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_loops_on_random_masks(seed):
    params, rng = ones(), np.random.default_rng(seed)
    for name, shape in SHAPES.items():
        kernel(params, name)[...] = rng.normal(size=shape) * (rng.random(shape) < 0.12)
    dead = reference(params, CHAIN)
    total, by_layer = fractions(params, CHAIN)
    assert by_layer == approx({name: np.mean(units) for name, units in dead.items()})
    assert total == approx(np.mean(np.concatenate(list(dead.values()))))
    assert 0 < total < 1


def test_degenerate_networks():
    params = {"params": {"a": {"kernel": np.ones((1, 1))}, "b": {"kernel": np.ones((1, 1))}}}
    assert fractions(params, {"a": ("b",)}) == (0.0, {"a": 0.0})
    assert fractions(params, {}) == (0.0, {})
    zeros = jax.tree.map(np.zeros_like, ones())
    assert fractions(zeros, CHAIN) == (1.0, dict.fromkeys(CHAIN, 1.0))


def test_nan_makes_the_layers_it_touches_and_the_total_nan():
    params = ones()
    kernel(params, "conv_1")[0, 0, 0, 0] = np.nan  # leads out of conv_0 and into conv_1
    total, by_layer = fractions(params, CHAIN)
    assert np.isnan(total)
    assert np.isnan(by_layer["conv_0"])
    assert np.isnan(by_layer["conv_1"])
    assert by_layer["dense_0"] == 0.0


@pytest.mark.parametrize(
    ("wiring", "message"),
    [
        ({"conv_0": ("head",)}, r"head cannot read the output of conv_0"),
        ({"conv_1": ("conv_0",)}, r"conv_0 cannot read the output of conv_1"),
        ({"conv_0": ()}, r"wiring\['conv_0'\]=\(\): expected at least one"),
        ({"conv_0": ("hed",)}, r"'hed'.*did you mean 'head'"),
        ({"conv_9": ("head",)}, r"'conv_9'.*did you mean"),
    ],
)
def test_wrong_wiring_is_refused(wiring, message):
    with pytest.raises(ConfigError, match=message):
        dead_units(ones(), wiring)


def test_each_seed_has_its_own_under_jit_and_vmap():
    pruned = ones()
    kernel(pruned, "dense_0")[:, :3] = 0
    both = jax.tree.map(lambda *leaves: np.stack(leaves), ones(), pruned)
    totals, by_layer = jax.jit(jax.vmap(lambda p: dead_units(p, CHAIN)))(both)
    assert totals.dtype == jnp.float32
    np.testing.assert_allclose(totals, [0, 3 / 15], rtol=1e-6)
    np.testing.assert_allclose(by_layer["dense_0"], [0, 0.5], rtol=1e-6)


def test_members_mapped_have_each_its_own_and_their_mean_is_the_ensembles():
    rng, members = np.random.default_rng(7), [ones() for _ in range(10)]
    for params in members:
        for name, shape in SHAPES.items():
            kernel(params, name)[...] *= rng.random(shape) < 0.12
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    totals, by_layer = jax.jit(jax.vmap(lambda p: dead_units(p, CHAIN)))(stacked)
    alone = [reference(params, CHAIN) for params in members]
    every = [np.concatenate([own[layer] for layer in CHAIN]) for own in alone]
    np.testing.assert_allclose(totals, [own.mean() for own in every], rtol=1e-6)
    assert float(totals.mean()) == approx(np.concatenate(every).mean())
    for layer in CHAIN:
        np.testing.assert_allclose(by_layer[layer], [np.mean(own[layer]) for own in alone], 1e-6)
    assert len(set(totals.tolist())) > 1
