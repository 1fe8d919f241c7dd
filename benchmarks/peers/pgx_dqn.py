"""A DQN in the style of PureJaxRL's dqn.py, on pgx's Breakout: everything in one `lax.scan`.

As that file, with one environment, uniform replay of whole transitions, `lax.cond` around the
learning phase, flax and optax; the settings and the network are those of our gin files. Sticky
actions as in MinAtar.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import optax
import pgx
from flax import linen as nn
from flax.training.train_state import TrainState
from jax import numpy as jnp
from pgx.experimental import auto_reset

from benchmarks.serve import Loop, serve

_HISTORY, _ROWS, _BATCH, _UPDATE_PERIOD, _TARGET_PERIOD = 1_000, 100_000, 32, 4, 1_000
_GAMMA, _EPSILON, _QUANTUM = 0.99, 0.1, 400


class _Network(nn.Module):
    num_actions: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(nn.Conv(16, (3, 3), padding="VALID")(x.astype(jnp.float32)))
        x = nn.relu(nn.Dense(128)(x.reshape(*x.shape[:-3], -1)))
        return nn.Dense(self.num_actions)(x)


class _Transition(NamedTuple):
    obs: jax.Array
    action: jax.Array
    reward: jax.Array
    done: jax.Array
    next_obs: jax.Array


class _Runner(NamedTuple):
    train_state: TrainState
    target_params: Any
    game: Any
    buffer: _Transition
    step: jax.Array
    key: jax.Array


def _make(env: Any) -> tuple[Any, Any]:
    """`init(key)` and `update_step(runner, _)`."""
    network = _Network(env.num_actions)
    step_env = auto_reset(env.step, env.init)

    def init(key: jax.Array) -> _Runner:
        key, game_key, net_key = jax.random.split(key, 3)
        game = env.init(game_key)
        obs = game.observation
        params = network.init(net_key, obs)
        tx = optax.adam(2.5e-4, eps=1.5e-4)
        state = TrainState.create(apply_fn=network.apply, params=params, tx=tx)
        frames = jnp.zeros((_ROWS, *obs.shape), obs.dtype)
        zeros = partial(jnp.zeros, _ROWS)
        buffer = _Transition(frames, zeros(jnp.int32), zeros(), zeros(bool), jnp.copy(frames))
        copied = jax.tree.map(jnp.copy, params)
        return _Runner(state, copied, game, buffer, jnp.int32(0), key)

    def learn(runner: _Runner, key: jax.Array) -> _Runner:
        rows = jax.random.randint(key, (_BATCH,), 0, jnp.minimum(runner.step + 1, _ROWS))
        batch = jax.tree.map(lambda field: field[rows], runner.buffer)
        best = network.apply(runner.target_params, batch.next_obs).max(-1)
        target = batch.reward + (1 - batch.done) * _GAMMA * best

        def loss_fn(params: Any) -> jax.Array:
            q = network.apply(params, batch.obs)
            chosen = jnp.take_along_axis(q, batch.action[:, None], -1).squeeze(-1)
            return jnp.mean((chosen - target) ** 2)

        grads = jax.grad(loss_fn)(runner.train_state.params)
        return runner._replace(train_state=runner.train_state.apply_gradients(grads=grads))

    def update_step(runner: _Runner, _: None) -> tuple[_Runner, jax.Array]:
        key, explore_key, action_key, game_key, batch_key = jax.random.split(runner.key, 5)
        obs = runner.game.observation
        greedy = network.apply(runner.train_state.params, obs).argmax(-1)
        chance = jax.random.randint(action_key, (), 0, env.num_actions)
        explores = jax.random.uniform(explore_key) < _EPSILON
        action = jnp.where(explores, chance, greedy).astype(jnp.int32)
        game = step_env(runner.game, action, game_key)
        done = game.terminated | game.truncated
        stored = _Transition(obs, action, game.rewards[0], done, game.observation)
        row = runner.step % _ROWS
        buffer = jax.tree.map(lambda field, x: field.at[row].set(x), runner.buffer, stored)
        runner = runner._replace(game=game, buffer=buffer, key=key)
        learns = (runner.step > _HISTORY) & (runner.step % _UPDATE_PERIOD == 0)
        runner = jax.lax.cond(learns, lambda own: learn(own, batch_key), lambda own: own, runner)
        target_params = jax.lax.cond(
            runner.step % _TARGET_PERIOD == 0,
            lambda: runner.train_state.params,
            lambda: runner.target_params,
        )
        runner = runner._replace(target_params=target_params, step=runner.step + 1)
        return runner, game.rewards[0]

    return init, update_step


def create(settings: Mapping[str, Any]) -> Loop:
    """A loop; nothing is to be set."""
    init, update_step = _make(pgx.make("minatar-breakout"))

    @partial(jax.jit, donate_argnums=0)
    def train(runner: _Runner) -> _Runner:
        return jax.lax.scan(update_step, runner, None, _QUANTUM)[0]

    runner = jax.jit(init)(jax.random.PRNGKey(0))

    def run(steps: int) -> None:
        nonlocal runner
        for _ in range(steps // _QUANTUM):
            runner = train(runner)
        jax.block_until_ready(runner)

    run(_HISTORY + 2 * _QUANTUM)
    return Loop(run, quantum=_QUANTUM)


if __name__ == "__main__":
    serve(create, ["pgx", "jax", "jaxlib", "flax", "optax", "numpy"])
