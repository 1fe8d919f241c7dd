"""Outputs of Dopamine's networks on weights from dopamine_cases.py."""

import dopamine_cases as cases
import jax
import numpy as np
from dopamine.jax import networks


def check_layout(network, shapes, *args, **kwargs):
    """Raises if the network's parameters are not of these shapes and names."""
    key, image = jax.random.PRNGKey(0), np.zeros((84, 84, 4), np.uint8)
    params = jax.eval_shape(lambda: network.init(key, image, *args, **kwargs))
    found = jax.tree.map(lambda leaf: leaf.shape, params)
    if found != shapes:
        raise ValueError(f"{type(network).__name__}: {found}, not {shapes}")


def full_network(dueling, distributional, noisy=False):
    """The network of JaxFullRainbowAgent with such settings."""
    atoms = cases.NUM_ATOMS if distributional else 1
    network = networks.FullRainbowNetwork(
        cases.NUM_ACTIONS, atoms, noisy=noisy, dueling=dueling, distributional=distributional
    )
    check_layout(network, cases.full_shapes(dueling, distributional, noisy), cases.SUPPORT)
    return network


def rainbow_network():
    """The network of JaxRainbowAgent."""
    network = networks.RainbowNetwork(cases.NUM_ACTIONS, cases.NUM_ATOMS)
    check_layout(network, cases.nature_shapes(cases.NUM_ACTIONS * cases.NUM_ATOMS), cases.SUPPORT)
    return network


def put(record, name, output):
    """Keeps the fields of a network's output."""
    record[f"{name}/q"] = np.asarray(output.q_values)
    for field in ("logits", "probabilities"):
        if hasattr(output, field):
            record[f"{name}/{field}"] = np.asarray(getattr(output, field))


def noise_of(key, shapes):
    """The factors of the noise that NoisyNetwork draws with `key`, by layer: {in, out}."""
    rng_p, rng_q = jax.random.split(key, num=2)

    def factors(layer):
        inputs, outputs = layer["kernel_mu"]
        draw, signed_root = networks.NoisyNetwork.sample_noise, networks.NoisyNetwork.f
        p, q = signed_root(draw(rng_p, [inputs, 1])), signed_root(draw(rng_q, [1, outputs]))
        return {"in": np.asarray(p)[:, 0], "out": np.asarray(q)[0]}

    layers = shapes["params"].items()
    return {name: factors(layer) for name, layer in layers if name.startswith("Noisy")}


def put_noise(record, name, key, shapes):
    """Keeps the factors of every noisy layer."""
    for layer, factors in noise_of(key, shapes).items():
        for side, values in factors.items():
            record[f"{name}/{layer}/{side}"] = values


def without_noise(params, noise):
    """The same function as plain weights: mu + sigma * noise, with layers named Dense."""

    def dense(layer, factors):
        kernel = layer["kernel_sigma"] * np.outer(factors["in"], factors["out"])
        bias = layer["bias_mu"] + layer["bias_sigma"] * factors["out"]
        return {"kernel": layer["kernel_mu"] + kernel, "bias": bias}

    layers = params["params"].items()
    return {
        "params": {
            name.replace("NoisyNetwork", "Dense"): dense(layer, noise[name])
            if name in noise
            else layer
            for name, layer in layers
        }
    }


def record_noisy(record, images):
    """One key for all layers and the whole batch, as in training."""
    network, shapes = full_network(True, True, noisy=True), cases.full_shapes(True, True, True)
    params, key = cases.weights(shapes, 0), jax.random.PRNGKey(3)

    def apply(image, eval_mode):
        return network.apply(params, image, cases.SUPPORT, eval_mode=eval_mode, key=key)

    put(record, "network/noisy/quiet", jax.vmap(lambda x: apply(x, True))(images))
    noisy = jax.vmap(lambda x: apply(x, False))(images)
    put(record, "network/noisy/noise", noisy)
    put_noise(record, "network/noisy/noise", key, shapes)
    plain = without_noise(params, noise_of(key, shapes))
    again = jax.vmap(lambda x: full_network(True, True).apply(plain, x, cases.SUPPORT))(images)
    np.testing.assert_allclose(again.logits, noisy.logits, rtol=1e-4, atol=1e-4)


def record(record):
    """Every network on the states of the batch."""
    images = cases.batch()[0]
    nature = networks.NatureDQNNetwork(cases.NUM_ACTIONS)
    impala = networks.ImpalaDQNNetwork(cases.NUM_ACTIONS)
    for name, network, shapes in (
        ("nature", nature, cases.nature_shapes()),
        ("impala", impala, cases.impala_shapes()),
    ):
        check_layout(network, shapes)
        params = cases.weights(shapes, 0)
        apply = jax.vmap(lambda x, network=network, params=params: network.apply(params, x))
        put(record, f"network/{name}", apply(images))
    params = cases.weights(cases.nature_shapes(cases.NUM_ACTIONS * cases.NUM_ATOMS), 0)
    apply = jax.vmap(lambda x: rainbow_network().apply(params, x, cases.SUPPORT))
    put(record, "network/rainbow", apply(images))
    for dueling in (False, True):
        for c51 in (False, True):
            network, params = (
                full_network(dueling, c51),
                cases.weights(cases.full_shapes(dueling, c51), 0),
            )
            apply = jax.vmap(lambda x, n=network, p=params: n.apply(p, x, cases.SUPPORT))
            head = "dueling" if dueling else "single"
            put(record, f"network/full/{head}-{'c51' if c51 else 'scalar'}", apply(images))
    record_noisy(record, images)
