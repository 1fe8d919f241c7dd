"""Every stream of a seed's randomness, in one place; a number that changes here changes every run.

What a seed draws depends on the seed alone, never on how many run beside it.

    of a seed's JAX key      0 training (first weights; then exploration, noise, augmentation),
                             1 evaluation, 2 masks; on the device 4 games, 5 what the replay draws,
                             6 what interventions look at there; (8, number, lane) what
                             `prune_rl.evaluate` explores with
    of its exploration key   3 interventions
    of a NumPy SeedSequence  (seed, 0) games of training, (seed, 1, iteration) of an evaluation,
                             (seed, 7) of a dataset that is collected after training,
                             (seed, 8, number, lane) of `prune_rl.evaluate`
    of a PCG64               (seed, *name) in bytes: what the replay draws

The first network of an agent draws from a stream itself, each further one from the stream folded
with its place among them: so a lone network draws what it would without names. Members of a network
draw from its key split among them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

TRAINING, EVALUATION, _MASKS, _INTERVENTIONS, _GAMES, _REPLAY, _LOOKS, COLLECTION, _LANES = range(9)
_PROBES = 2**32 - 1  # no run has so many gradient steps, of which batches are drawn
_NETWORKS = 2**31  # far from 0, 1, 2, ..., which `split` folds in for members of the first network


def training_keys(seed_key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Keys (2,) uint32 of a seed's first weights, and of its exploration, noise and so on."""
    init_key, key = jax.random.split(jax.random.fold_in(seed_key, TRAINING))
    return init_key, key


def mask_key(seed_key: jax.Array) -> jax.Array:
    """Key (2,) uint32 of a seed's random masks."""
    return jax.random.fold_in(seed_key, _MASKS)


def network_key(key: jax.Array, place: int) -> jax.Array:
    """The key (2,) uint32, out of one that an agent's networks share, of the one at `place`."""
    return jax.random.fold_in(key, _NETWORKS + place) if place else key


def intervention_key(exploration_key: jax.Array, position: int) -> jax.Array:
    """Key (2,) uint32 of the intervention at `position`, from a key that is only read here."""
    return jax.random.fold_in(jax.random.fold_in(exploration_key, _INTERVENTIONS), position)


def evaluation_keys(seeds: Sequence[int], iteration: int) -> jax.Array:
    """Exploration keys (S, 2) uint32 of one evaluation, which nothing else uses."""
    streams = [jax.random.fold_in(jax.random.PRNGKey(seed), EVALUATION) for seed in seeds]
    return jnp.stack([jax.random.fold_in(stream, iteration) for stream in streams])


def lane_key(seed: int, number: int, lane: int) -> jax.Array:
    """Exploration key (2,) uint32 of a lane of games, in the evaluation of that number."""
    stream = jax.random.fold_in(jax.random.PRNGKey(seed), _LANES)
    return jax.random.fold_in(jax.random.fold_in(stream, number), lane)


def lane_seed(seed: int, number: int, lane: int) -> int:
    """What the game of that lane is seeded with, as `environment_seed` has it."""
    return environment_seed(seed, _LANES, number, lane)


class DeviceKeys(NamedTuple):
    """What a seed draws from where its run is a compiled program, (2,) uint32 each.

    Nothing changes them: agent steps, and gradient steps or draws, are folded in. A replay on the
    device beside games on the host has the same.
    """

    games: Any
    replay: Any
    interventions: Any


def device_keys(seed: int) -> DeviceKeys:
    """Those of a seed."""
    key = jax.random.PRNGKey(seed)
    return DeviceKeys(*(jax.random.fold_in(key, own) for own in (_GAMES, _REPLAY, _LOOKS)))


def probe_key(keys: DeviceKeys, name: Any) -> jax.Array:
    """Key (2,) uint32 of what is measured, by a number in [0, 2**32) for its name."""
    return jax.random.fold_in(jax.random.fold_in(keys.replay, _PROBES), name)


def environment_seed(seed: int, *stream: int) -> int:
    """What a game is seeded with, in [0, 2**31), by the numbers of its stream, as above."""
    words = np.random.SeedSequence([seed, *stream]).generate_state(1)
    return int(words[0]) % 2**31


def replay_streams(seeds: Sequence[int], name: str = "replay") -> list[np.random.Generator]:
    """A PCG64 generator per seed, of what a replay draws; other names draw apart from it."""
    words = name.encode()
    return [np.random.Generator(np.random.PCG64([seed, *words])) for seed in seeds]
