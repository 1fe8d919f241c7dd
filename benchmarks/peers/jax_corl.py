"""The TD3+BC of JAX-CORL, written again: many updates in one compiled program.

What it does is that of nissymori/JAX-CORL at d747dd8, algos/td3bc.py: data in device memory, a
batch gathered of each of its five arrays, critics with layer normalisation in one module, one Adam
for both, every second update of the actor and of all targets, nothing donated. There is no package
of it, and D4RL, which it reads, is no more to be installed. It writes eight updates one after
another into a program ('unrolled'); earlier ones were a `lax.scan`, here over pairs of updates of
which the first moves the actor ('scan'). Metrics, read once in 100,000 updates, are left on the
device.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax.training.train_state import TrainState

from benchmarks.serve import Loop, serve
from benchmarks.transitions import ACTION, Transitions, draw

_BATCH, _UNITS, _GAMMA, _TAU, _RATE = 256, (256, 256), 0.99, 0.005, 1e-3
_ALPHA, _NOISE, _CLIP, _DELAY = 2.5, 0.2, 0.5, 2
_UNROLLED, _SCANNED = 8, 64  # updates of one call


class _MLP(nn.Module):
    outputs: int
    normalized: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        dense = partial(nn.Dense, kernel_init=nn.initializers.orthogonal(2**0.5))
        for units in _UNITS:
            x = dense(units)(x)
            x = nn.relu(nn.LayerNorm()(x) if self.normalized else x)
        return dense(self.outputs)(x)


class _Actor(nn.Module):
    @nn.compact
    def __call__(self, states: jax.Array) -> jax.Array:
        return jnp.tanh(_MLP(ACTION)(states))


class _Critics(nn.Module):
    normalized: bool

    @nn.compact
    def __call__(self, states: jax.Array, actions: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = jnp.concatenate([states, actions], axis=-1)
        return _MLP(1, self.normalized)(x), _MLP(1, self.normalized)(x)  # (B, 1) each


class _State(NamedTuple):
    actor: TrainState
    critics: TrainState
    target_actor: Any
    target_critics: Any


def _first(key: jax.Array, data: Transitions, normalized: bool) -> _State:
    def created(net: nn.Module, key: jax.Array, *inputs: jax.Array) -> TrainState:
        params = net.init(key, *inputs)
        return TrainState.create(apply_fn=net.apply, params=params, tx=optax.adam(_RATE))

    keys = jax.random.split(key)
    actor = created(_Actor(), keys[0], data.observations)
    critics = created(_Critics(normalized), keys[1], data.observations, data.actions)
    return _State(actor, critics, actor.params, critics.params)


def _descended(own: TrainState, loss: Callable[[Any], jax.Array]) -> tuple[TrainState, jax.Array]:
    value, grads = jax.value_and_grad(loss)(own.params)
    return own.apply_gradients(grads=grads), value


def _learn_critics(state: _State, batch: Transitions, key: jax.Array) -> tuple[_State, jax.Array]:
    def loss(params: Any) -> jax.Array:
        apply = state.critics.apply_fn
        first, second = apply(params, batch.observations, batch.actions)
        noise = (_NOISE * jax.random.normal(key, batch.actions.shape)).clip(-_CLIP, _CLIP)
        actions = state.actor.apply_fn(state.target_actor, batch.next_observations) + noise
        after = apply(state.target_critics, batch.next_observations, actions.clip(-1, 1))
        goes_on = 1 - batch.terminals[:, None]
        target = batch.rewards[:, None] + _GAMMA * jnp.minimum(*after) * goes_on
        target = jax.lax.stop_gradient(target)
        return (jnp.square(first - target) + jnp.square(second - target)).mean()

    critics, value = _descended(state.critics, loss)
    return state._replace(critics=critics), value


def _learn_actor(state: _State, batch: Transitions) -> tuple[_State, jax.Array]:
    def loss(params: Any) -> jax.Array:
        actions = state.actor.apply_fn(params, batch.observations)
        q, _ = state.critics.apply_fn(state.critics.params, batch.observations, actions)
        scale = _ALPHA / jax.lax.stop_gradient(jnp.abs(q).mean())
        return jnp.square(actions - batch.actions).mean() - scale * q.mean()

    actor, value = _descended(state.actor, loss)
    moved = [
        jax.tree.map(lambda own, target: own * _TAU + target * (1 - _TAU), own.params, target)
        for own, target in ((actor, state.target_actor), (state.critics, state.target_critics))
    ]
    return _State(actor, state.critics, *moved), value


def _update(state: _State, data: Transitions, key: jax.Array, place: int) -> tuple[_State, Any]:
    """The one at that place after the last of the actor's."""
    batch_key, noise_key = jax.random.split(key)
    rows = jax.random.randint(batch_key, (_BATCH,), 0, len(data.rewards))
    batch = jax.tree.map(lambda array: array[rows], data)
    state, critic_loss = _learn_critics(state, batch, noise_key)
    if place % _DELAY:
        return state, (critic_loss, jnp.float32(0))
    state, actor_loss = _learn_actor(state, batch)
    return state, (critic_loss, actor_loss)


def _pair(data: Transitions, state: _State, keys: jax.Array) -> tuple[_State, Any]:
    metrics: Any = None
    for place in range(_DELAY):
        state, metrics = _update(state, data, keys[place], place)
    return state, metrics


@jax.jit
def _unrolled(state: _State, data: Transitions, key: jax.Array) -> tuple[_State, Any]:
    metrics: Any = None
    for place, own in enumerate(jax.random.split(key, _UNROLLED)):
        state, metrics = _update(state, data, own, place)
    return state, metrics


@jax.jit
def _scanned(state: _State, data: Transitions, key: jax.Array) -> tuple[_State, Any]:
    keys = jax.random.split(key, (_SCANNED // _DELAY, _DELAY))
    return jax.lax.scan(partial(_pair, data), state, keys)


def create(settings: Mapping[str, Any]) -> Loop:
    """A loop of `settings`: data, how many transitions; way, 'unrolled' or 'scan'; layer_norm."""
    data = jax.tree.map(jnp.asarray, draw(settings["data"]))
    update, quantum = {"unrolled": (_unrolled, _UNROLLED), "scan": (_scanned, _SCANNED)}[
        settings["way"]
    ]
    some = jax.tree.map(lambda array: array[:1], data)
    state = _first(jax.random.PRNGKey(0), some, settings["layer_norm"])
    key = jax.random.PRNGKey(1)

    def run(updates: int) -> None:
        nonlocal state, key
        for _ in range(updates // quantum):
            key, own = jax.random.split(key)
            state, _metrics = update(state, data, own)
        jax.block_until_ready(state)

    run(2 * quantum)
    return Loop(run, quantum=quantum, note=f"{quantum} updates of a program, {settings['way']}")


if __name__ == "__main__":
    serve(create, ["jax", "jaxlib", "flax", "optax", "numpy"])
