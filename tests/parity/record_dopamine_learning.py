"""Targets, losses, gradients and steps of Dopamine's agents, and DrQ's augmentation."""

import math
from types import SimpleNamespace

import dopamine_cases as cases
import gin
import jax
import jax.numpy as jnp
import numpy as np
import optax
from dopamine.jax import networks
from dopamine.jax.agents.dqn import dqn_agent
from dopamine.jax.agents.full_rainbow import full_rainbow_agent
from dopamine.jax.agents.rainbow import rainbow_agent
from dopamine.labs.atari_100k import atari_100k_rainbow_agent
from record_dopamine_networks import full_network, put_noise, rainbow_network

# Changes no weights and hands out the gradient as its state.
CAPTURE = optax.GradientTransformation(
    lambda params: jax.tree.map(jnp.zeros_like, params),
    lambda grads, state, params=None: (jax.tree.map(jnp.zeros_like, grads), grads),
)
GAMMA_3 = math.pow(cases.GAMMA, 3)


def put_summary(record, name, tree):
    """Keeps a tree of weights as `cases.summary` condenses it."""
    for path, values in cases.summary(jax.tree.map(np.asarray, tree)).items():
        record[f"{name}{path}"] = values


def record_dqn(record):
    """JaxDQNAgent's `target_q` and `train`."""
    network = networks.NatureDQNNetwork(cases.NUM_ACTIONS)
    params, target_params = (cases.weights(cases.nature_shapes(), seed) for seed in (0, 1))
    states, actions, rewards, next_states, terminals = cases.batch()
    gammas = [math.pow(cases.GAMMA, n) for n in cases.N_STEPS]
    record["dqn/cumulative_gammas"] = np.array(gammas)
    for n, gamma in zip(cases.N_STEPS, gammas, strict=True):
        record[f"dqn/target/{n}"] = np.asarray(
            dqn_agent.target_q(
                lambda x: network.apply(target_params, x), next_states, rewards, terminals, gamma
            )
        )

    def train(optimizer, state, params, loss_type):
        return dqn_agent.train(
            network, params, target_params, optimizer, state, states, actions, next_states,
            rewards, terminals, cases.GAMMA, loss_type,
        )  # fmt: skip

    for loss_type in ("mse", "huber"):
        gradient, _, loss = train(CAPTURE, CAPTURE.init(params), params, loss_type)
        record[f"dqn/{loss_type}/loss"] = np.asarray(loss)
        put_summary(record, f"dqn/{loss_type}/gradient", gradient)
    optimizer, now = dqn_agent.create_optimizer("adam"), params
    state = optimizer.init(params)
    for step in range(1, max(cases.ADAM_STEPS) + 1):
        state, now, _ = train(optimizer, state, now, "mse")
        if step in cases.ADAM_STEPS:
            moved = jax.tree.map(lambda a, b: np.float64(a) - np.float64(b), now, params)
            put_summary(record, f"dqn/adam/{step}/moved", moved)
            put_summary(record, f"dqn/adam/{step}/mu", state[0].mu)
            put_summary(record, f"dqn/adam/{step}/nu", state[0].nu)


def record_c51(record):
    """The projection, and JaxRainbowAgent's target and `train`."""
    supports, probabilities = cases.projections()
    project = jax.vmap(rainbow_agent.project_distribution, in_axes=(0, 0, None))
    record["c51/projection"] = np.asarray(project(supports, probabilities, cases.SUPPORT))
    network, outputs = rainbow_network(), cases.NUM_ACTIONS * cases.NUM_ATOMS
    params, target_params = (cases.weights(cases.nature_shapes(outputs), seed) for seed in (0, 1))
    states, actions, rewards, next_states, terminals = cases.batch()
    support = jnp.asarray(cases.SUPPORT)
    target = rainbow_agent.target_distribution(
        lambda x: network.apply(target_params, x, support),
        next_states, rewards, terminals, support, GAMMA_3,
    )  # fmt: skip
    gradient, _, loss, mean_loss = rainbow_agent.train(
        network, params, target_params, CAPTURE, CAPTURE.init(params), states, actions,
        next_states, rewards, terminals, cases.C51_WEIGHTS, support, GAMMA_3,
    )  # fmt: skip
    put_training(record, "c51", target, gradient, loss, mean_loss)


def put_training(record, name, target, gradient, loss, mean_loss):
    """Keeps what a training step made."""
    record[f"{name}/target"] = np.asarray(target)
    record[f"{name}/loss"] = np.asarray(loss)
    record[f"{name}/mean_loss"] = np.asarray(mean_loss)
    put_summary(record, f"{name}/gradient", gradient)


def record_full(record, name, settings, mse=False, noisy=False):
    """JaxFullRainbowAgent's `target_output` and `train`."""
    double, dueling, c51 = settings
    shapes = cases.full_shapes(dueling, c51, noisy)
    network, support = full_network(dueling, c51, noisy), jnp.asarray(cases.SUPPORT)
    params, target_params = (cases.weights(shapes, seed) for seed in (0, 1))
    states, actions, rewards, next_states, terminals = cases.batch()
    key = jax.random.PRNGKey(4)
    # As `train` splits it: the first key is the noise of the loss, the second of the targets.
    online_key, target_key, _ = jax.random.split(key, num=3)

    def model(params):
        return lambda x, key: network.apply(params, x, key=key, support=support)

    target = full_rainbow_agent.target_output(
        model(params), model(target_params), next_states, rewards, terminals, support, GAMMA_3,
        double, c51, target_key,
    )  # fmt: skip
    gradient, _, loss, mean_loss, _ = full_rainbow_agent.train(
        network, params, target_params, CAPTURE, CAPTURE.init(params), states, actions,
        next_states, rewards, terminals, cases.C51_WEIGHTS, support, GAMMA_3, double, c51, mse, key,
    )  # fmt: skip
    put_training(record, name, target, gradient, loss, mean_loss)
    if noisy:
        put_noise(record, f"{name}/noise/online", online_key, shapes)
        put_noise(record, f"{name}/noise/target", target_key, shapes)


def record_prioritized(record):
    """Importance weights and new priorities, out of the agents' own training step."""
    gin.bind_parameter("PrioritizedSamplingDistribution.max_capacity", 10)
    gin.bind_parameter("ReplayBuffer.max_capacity", 10)
    gin.bind_parameter("ReplayBuffer.batch_size", cases.BATCH)
    agents = {
        "rainbow": (rainbow_agent.JaxRainbowAgent, rainbow_agent),
        "full": (full_rainbow_agent.JaxFullRainbowAgent, full_rainbow_agent),
        "atari_100k": (atari_100k_rainbow_agent.Atari100kRainbowAgent, full_rainbow_agent),
    }
    for name, (agent_class, module) in agents.items():
        agent = agent_class(num_actions=2, seed=0)
        # JaxDQNAgent's constructor, called last, sets 'uniform' whatever was asked for.
        record[f"prioritized/{name}/scheme"] = np.array(agent._replay_scheme)
        agent._replay_scheme = "prioritized"
        given = _one_training_step(agent, module)
        record[f"prioritized/{name}/weights"] = np.asarray(given["weights"])
        record[f"prioritized/{name}/priorities"] = np.asarray(given["priorities"])


def _one_training_step(agent, module):
    """What the agent hands to `train` and to its replay buffer, with losses that are given."""
    given, train = {}, module.train
    image = np.zeros((cases.BATCH, 84, 84, 4), np.uint8)
    names = ("indices", "action", "reward", "terminal")
    batch = {name: np.zeros(cases.BATCH, np.int32) for name in names}
    batch |= {"state": image, "next_state": image, "sampling_probabilities": cases.PROBABILITIES}

    def fake_train(*args):
        given["weights"] = args[10]
        result = (args[4], args[1], jnp.asarray(cases.LOSSES), 0.0)
        return result if module is rainbow_agent else (*result, args[16])

    agent._sample_from_replay_buffer = lambda: setattr(agent, "replay_elements", batch)
    agent._replay = SimpleNamespace(
        add_count=10**6, update=lambda keys, priorities: given.update(priorities=priorities)
    )
    module.train = fake_train
    agent._train_step()
    module.train = train
    return given


def record_drq(record):
    """Augmented images, with the offsets and factors that the key gives."""
    key = jax.random.PRNGKey(11)
    for name in ("small", "atari"):
        images = cases.drq_images(name)
        factor_key, crop_key = jax.random.split(key, num=2)
        offsets = [jax.random.randint(k, (cases.BATCH,), 0, 8) for k in jax.random.split(crop_key)]
        factors = 1.0 + 0.05 * jnp.clip(
            jax.random.normal(factor_key, (cases.BATCH, 1, 1, 1)), -2, 2
        )
        augmented = np.asarray(atari_100k_rainbow_agent.drq_image_augmentation(key, images))
        record[f"drq/{name}/offsets"] = np.stack(offsets, 1)
        record[f"drq/{name}/factors"] = np.asarray(factors)[:, 0, 0, 0]
        padded = np.pad(images, [(0, 0), (4, 4), (4, 4), (0, 0)], "edge")
        height, width = images.shape[1:3]
        for image, (top, left), factor, result in zip(
            padded, np.stack(offsets, 1), factors, augmented, strict=True
        ):
            crop = image[top : top + height, left : left + width]
            np.testing.assert_allclose(result, crop * np.asarray(factor), rtol=1e-6)
        small = name == "small"
        kept = augmented if small else augmented.astype(np.float64).sum(axis=(1, 2))
        record[f"drq/{name}/images"] = kept


def record(record):
    """Everything that happens between a sampled batch and new weights."""
    record_dqn(record)
    record_c51(record)
    for name, settings in cases.FULL.items():
        print(f"  {name}", flush=True)
        record_full(record, f"full/{name}", settings, mse=name.endswith("mse"))
    record_full(record, "full/noisy", (True, True, True), noisy=True)
    record_prioritized(record)
    record_drq(record)
