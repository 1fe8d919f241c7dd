"""Fixed data in device memory, once for all seeds; compiled programs gather batches of them."""

from typing import Any, NamedTuple

import jax

from prune_rl import randomness
from prune_rl.replay import device_ring
from prune_rl.replay.device_ring import DeviceRing
from prune_rl.specs import Batch, Inputs


class DeviceData(NamedTuple):
    """What seeds share.

    Attributes:
        ring: the rows, which nothing changes.
        starts: (T,) int32, positions of transitions; those that one seed learns from lie together.
    """

    ring: DeviceRing
    starts: Any


class SeedsDraws(NamedTuple):
    """What one seed draws, and with which keys.

    Attributes:
        first: () int32, place in `DeviceData.starts` of the first transition that it learns from.
        count: () int32, how many these are.
        keys: those of the seed.
    """

    first: Any
    count: Any
    keys: randomness.DeviceKeys


def draw(data: DeviceData, own: SeedsDraws, key: jax.Array, size: int) -> jax.Array:
    """Positions (size,) int32 of transitions of a seed, all equally often, with replacement."""
    return data.starts[own.first + jax.random.randint(key, (size,), 0, own.count)]


def transitions(data: DeviceData, starts: jax.Array, horizon: int, gamma: float) -> Batch:
    """Those that begin there; see `device_ring.transitions`."""
    return device_ring.transitions(data.ring, starts, horizon, gamma)


def inputs(data: DeviceData, starts: jax.Array) -> Inputs:
    """What networks read of them."""
    return device_ring.inputs(data.ring, starts)
