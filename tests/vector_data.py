"""Vectors as data, told by hand, an agent that learns from them in a blink, and its runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import gin
import jax
import jax.numpy as jnp
import numpy as np
import optax

from prune_rl import randomness
from prune_rl.experiment import create_runner
from prune_rl.learning.agent import Agent
from prune_rl.learning.learner import build_learner
from prune_rl.learning.quantities import Quantities
from prune_rl.plasticity.occasions import Occasions
from prune_rl.replay.ring import FrameRing
from prune_rl.replay.shared import SharedReplay
from prune_rl.specs import FINAL, GOES_ON, TERMINATED, TRUNCATED, Box, Inputs, ObservationSpec

OBSERVATION, ACTION = ObservationSpec((3,), np.float32), Box((-1.0, -1.0), (1.0, 1.0))
_LENGTHS = (7, 1, 12, 5, 9)  # transitions of episodes; the odd ones are cut, the others terminate
BATCH = 4


def rows():
    """Fields of all rows, by name, and where transitions start."""
    rng, fields, starts = np.random.default_rng(5), [], []
    for episode, length in enumerate(_LENGTHS):
        ends = np.full(length + 1, GOES_ON, np.uint8)
        ends[-2:] = TRUNCATED if episode % 2 else TERMINATED, FINAL
        starts += [len(np.concatenate([[], *(x["ends"] for x in fields)])) + np.arange(length)]
        fields.append(
            {
                "frames": rng.normal(size=(length + 1, 3)).astype(np.float32),
                "actions": rng.uniform(-1, 1, (length + 1, 2)).astype(np.float32),
                "rewards": rng.normal(size=length + 1).astype(np.float32),
                "ages": np.arange(length + 1, dtype=np.int32),
                "ends": ends,
            }
        )
    joined = {name: np.concatenate([x[name] for x in fields]) for name in fields[0]}
    return joined, np.concatenate(starts).astype(np.int64)


class VectorData(SharedReplay):
    """Those rows, half of the transitions each for even and for odd seeds unless `shared`."""

    protocol: Mapping[str, Any] = {"suite": "points", "game": "Points-v0"}
    observation_spec, action_spec = OBSERVATION, ACTION

    def __init__(self, setting, *, shared=True, batch_size=BATCH, identity="ab"):
        fields, starts = rows()
        ring = FrameRing(1, len(fields["ends"]), OBSERVATION, ACTION)
        for name, own in ring.fields_of(0).items():
            own[:] = fields[name]
        halves = [starts, starts] if shared else [starts[:10], starts[10:]]
        super().__init__(
            ring,
            [halves[seed % 2] for seed in setting.seeds],
            seeds=setting.seeds,
            identities=[{"sha256": identity}] * len(setting.seeds),
            horizon=setting.agent.update_horizon,
            gamma=setting.agent.gamma,
            batch_size=batch_size,
        )


@dataclass(frozen=True, kw_only=True)
class PointAgent(Agent):
    """An actor that copies actions, drawn with noise, and two critics with target networks."""

    target_update_period: int = 7

    @property
    def networks(self):
        return {"critic": 2, "actor": None}

    def exploration(self, agent_steps):
        return {}

    exploration_eval: Any = None

    def is_target_update_step(self, step):
        return step % self.target_update_period == 0

    def learner(self, observation_spec, action_spec, optimizers):
        size, width = observation_spec.shape[0], action_spec.shape[0]
        inputs = Inputs(jnp.zeros(observation_spec.shape), jnp.zeros(action_spec.shape))
        shapes = {"critic": (size + width, 1), "actor": (size, width)}
        strategy = "vmap" if self.seed_strategy == "auto" else self.seed_strategy
        return build_learner(
            {name: Quantities(partial(_first, own), inputs) for name, own in shapes.items()},
            optimizers,
            targets=["critic"],
            update=partial(_update, optimizers),
            act=_act,
            act_eval=_act,
            strategy=lambda num_seeds, compiled_loop=False: strategy,
        )


def _first(shape, key):
    return {"params": {"Dense_0": {"kernel": jax.random.normal(key, shape) / 2}}}


def _product(params, x):
    return x @ params["params"]["Dense_0"]["kernel"]


def _act(params, key, observation):
    return jnp.clip(_product(params["actor"], observation), -1, 1), key


def _update(optimizers, state, batch):
    keys, key = jax.random.split(state.keys)
    actor, critic = state.networks["actor"], state.networks["critic"]
    both = jnp.concatenate([batch.s_tm1, batch.a_tm1], -1)
    ahead = jnp.concatenate([batch.s_t, _product(actor.params, batch.s_t)], -1)
    target = jax.vmap(_product, (0, None))(critic.target_params, ahead).min(0)[:, 0]
    target = batch.r_t + batch.discount_t * target

    def critic_loss(params):
        q = jax.vmap(_product, (0, None))(params, both)[..., 0]
        return jnp.square(q - target).mean(1).sum()

    def actor_loss(params):
        noise = jax.random.normal(key, batch.a_tm1.shape)
        return jnp.square(_product(params, batch.s_tm1) + 0.1 * noise - batch.a_tm1).mean()

    metrics = {}
    for name, loss_of in (("critic", critic_loss), ("actor", actor_loss)):
        loss, grads = jax.value_and_grad(loss_of)(state.networks[name].params)
        metrics |= {f"{name}/loss": loss, f"{name}/grad_norm": optax.tree.norm(grads)}
        state = state.with_network(
            name, state.networks[name].apply_gradients(optimizers[name], grads)
        )
    return state.replace(keys=keys), metrics, jnp.zeros(len(target))


@dataclass(frozen=True)
class Pull:
    """An intervention that looks at inputs: moves all weights to their mean observation."""

    period: int = 5
    statistics_batch_size: int = 6

    def occasions(self, num_gradient_steps, nominal_gradient_steps):
        return Occasions(self.period, 0, num_gradient_steps)

    def check(self, quantities, params):
        pass

    def apply(self, quantities, network, inputs, key):
        mean = 0.0 if inputs is None else inputs.observations.mean() + inputs.actions.mean()
        noise = jax.random.uniform(key)
        params = jax.tree.map(lambda x: 0.9 * x + 0.1 * mean + 0.01 * noise, network.params)
        return network.replace(params=params)


def runner_of(folder, source, bindings="", *, shared=True, num_seeds=2, **own):
    """A run of a `source` of the rows above that has begun; `bindings` are gin's."""
    gin.clear_config()
    gin.parse_config("create_optimizer.learning_rate = 0.01\n" + bindings)
    create = partial(source, create_dataset_fn=partial(VectorData, shared=shared))
    settings = {"agent": PointAgent(), "num_iterations": 1, "training_steps": 400, "seed": 3}
    runner = create_runner(folder, create_source_fn=create, num_seeds=num_seeds, **(settings | own))
    runner.source.start()
    return runner


def draws_like_the_device(replay, seeds, period):
    """Hands a replay of the host the places that the device draws.

    One intervention, which acts every `period` gradient steps, looks at inputs.
    """

    def draw(name, count, size=None):
        size = replay.batch_size if size is None else size
        number = int(name.rpartition(" ")[2])
        pairs = zip(replay._starts, seeds, strict=True)
        return np.stack(
            [
                own[[_places(seed, number * count + i, size, len(own), name) for i in range(count)]]
                for own, seed in pairs
            ]
        )

    def _places(seed, number, size, below, name):
        keys = randomness.device_keys(seed)
        if name.startswith("data beside"):
            occasion = jax.random.fold_in(keys.interventions, (number + 1) * period - 1)
            key = jax.random.fold_in(occasion, 0)
        else:
            key = jax.random.fold_in(keys.replay, number)
        return np.asarray(jax.random.randint(key, (size,), 0, below))

    replay._draw = draw
