"""Which transitions of a `DeviceRing` are drawn: the laws of `samplers.py` as pure functions."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from prune_rl.errors import require
from prune_rl.replay.device_ring import DeviceRing, candidates, draw_uniformly, usable
from prune_rl.replay.ring import FrameRing
from prune_rl.replay.samplers import PrioritizedSampler
from prune_rl.specs import Discrete, ObservationSpec
from prune_rl.state import State


@dataclass(frozen=True)
class DeviceSampler:
    """Pure functions of one seed's ring and of a pytree of the sampler's own; this one has none.

    It draws all transitions equally often.

    Attributes:
        horizon: n of the n-step return, in agent steps.
        prioritizes: whether `draw` gives chances and `update` takes priorities.
        BYTES_PER_ROW: memory that it takes for one row, at most.
    """

    horizon: int
    prioritizes: ClassVar[bool] = False
    BYTES_PER_ROW: ClassVar[int] = 0

    def init(self, num_rows: int) -> Any:
        """What it knows of an empty ring."""
        return ()

    def note(self, own: Any, ring: DeviceRing) -> Any:
        """Looks at what the `start` or the `append` just made wrote; called after each."""
        return own

    def draw(
        self, own: Any, ring: DeviceRing, key: jax.Array, size: int
    ) -> tuple[jax.Array, jax.Array | None]:
        """Positions (size,) int32 of transitions, with replacement, and their chances float32.

        The chances are None where all are alike. There has to be a transition to draw.
        """
        return draw_uniformly(ring, key, size, self.horizon), None

    def update(self, own: Any, ring: DeviceRing, starts: jax.Array, priorities: jax.Array) -> Any:
        """Gives the transitions at `starts` (B,), drawn some steps ago, `priorities` (B,)."""
        raise RuntimeError("update_priorities: replay_scheme is 'uniform'")

    def to_state(self, own: Any, ring: DeviceRing) -> State:
        """What `Sampler.get_state` gives of a seed, in memory of its own on the host."""
        return {}

    def from_state(self, state: State, ring: DeviceRing) -> Any:
        """What `to_state` gave, of the restored `ring`."""
        return ()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Priorities:
    """A sum tree over the slots of a ring, and what decides the next leaves.

    Attributes:
        nodes: (2 * leaves,) float32; node k holds the sum of its children 2k and 2k + 1, the root
            is node 1, and slot i is node leaves + i.
        largest: () float32, the largest recorded, 1 at first.
        complete: () int32, position before which transitions have their leaf.
    """

    nodes: jax.Array
    largest: jax.Array
    complete: jax.Array


@dataclass(frozen=True)
class Prioritized(DeviceSampler):
    """Draws in proportion to priorities, as `PrioritizedSampler` says.

    Sums are float32, added up anew from leaf to root: they do not drift.
    """

    exponent: float
    prioritizes: ClassVar[bool] = True
    BYTES_PER_ROW: ClassVar[int] = 16  # float32, twice for inner nodes, twice for padding

    def init(self, num_rows: int) -> Priorities:
        """All leaves are 0."""
        leaves = 1 << (num_rows - 1).bit_length()
        return Priorities(jnp.zeros(2 * leaves), jnp.float32(1), jnp.int32(0))

    def note(self, own: Priorities, ring: DeviceRing) -> Priorities:
        """Gives new transitions the largest priority, once complete, and lost ones none."""
        low, high = candidates(ring, self.horizon)
        recent = ring.cursor - jnp.arange(self.horizon + 2)  # all that one step can complete
        new = usable(ring, recent, low) & (recent < high)
        oldest = low + jnp.arange(ring.stack_size - 1)  # they may have lost frames of their stacks
        lost = ~usable(ring, oldest, low) & (low > 0)
        values = jnp.concatenate([jnp.where(new, self._powers(own.largest), 0), 0.0 * oldest])
        chosen = jnp.concatenate([recent >= own.complete, lost])
        slots = jnp.concatenate([recent, oldest]) % ring.num_rows
        return replace(own, nodes=_set(own.nodes, slots, values, chosen), complete=high)

    def draw(
        self, own: Priorities, ring: DeviceRing, key: jax.Array, size: int
    ) -> tuple[jax.Array, jax.Array]:
        """Stratified, as `PrioritizedSampler.draw`; chances are NaN where all priorities are 0."""
        slots, chances = _find(own.nodes, jax.random.uniform(key, (size,)))
        return ring.cursor - (ring.cursor - slots) % ring.num_rows, chances

    def update(
        self, own: Priorities, ring: DeviceRing, starts: jax.Array, priorities: jax.Array
    ) -> Priorities:
        """As `PrioritizedSampler.update`; of a start drawn twice, the later priority counts."""
        values = self._powers(jnp.where(jnp.isfinite(priorities), priorities, own.largest))
        again = jnp.triu(starts[:, None] == starts, 1).any(axis=1)
        kept = usable(ring, starts, candidates(ring, self.horizon)[0]) & ~again
        nodes = _set(own.nodes, starts % ring.num_rows, values, kept)
        return replace(own, nodes=nodes, largest=jnp.maximum(own.largest, values.max()))

    def to_state(self, own: Priorities, ring: DeviceRing) -> State:
        """Float64 priorities of the filled slots, and the largest."""
        leaves = np.asarray(own.nodes)[len(own.nodes) // 2 :]
        filled = min(int(ring.cursor) + 1, ring.num_rows)
        largest = np.asarray(own.largest, np.float64).copy()
        return {"priorities": leaves[:filled].astype(np.float64), "max_priority": largest}

    def from_state(self, state: State, ring: DeviceRing) -> Priorities:
        """What `to_state` gave; `ConfigError` unless there is a priority for each filled slot."""
        values, own = state["priorities"], self.init(ring.num_rows)
        filled = min(int(ring.cursor) + 1, ring.num_rows)
        fits = values.shape == (filled,)
        require(fits, "replay state: priorities", values.shape, f"({filled},)")
        leaves = np.zeros(len(own.nodes) // 2, np.float32)
        leaves[:filled] = values
        complete = jnp.maximum(candidates(ring, self.horizon)[1], 0)
        return Priorities(_tree(leaves), jnp.float32(state["max_priority"]), complete)

    def _powers(self, priorities: jax.Array) -> jax.Array:
        """Priorities raised to the exponent; 0 stays 0, whatever the exponent."""
        return jnp.where(priorities == 0, 0, priorities**self.exponent)


def _tree(leaves: np.ndarray) -> jax.Array:
    """Nodes of a sum tree, each added up as `_set` does."""
    levels = [leaves]
    while len(levels[-1]) > 1:
        levels.append(levels[-1][::2] + levels[-1][1::2])
    return jnp.array(np.concatenate([np.zeros(1, np.float32), *levels[::-1]]))


def _set(nodes: jax.Array, slots: jax.Array, values: jax.Array, chosen: jax.Array) -> jax.Array:
    """Sets the leaves at the `chosen` of `slots`, all (N,), and adds up what is above them."""
    here = len(nodes) // 2 + slots
    nodes = nodes.at[jnp.where(chosen, here, len(nodes))].set(values, mode="drop")

    def add_up(_: Any, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        here, nodes = carry
        return here >> 1, nodes.at[here >> 1].set(nodes[here] + nodes[here ^ 1])

    return lax.fori_loop(0, _depth(nodes), add_up, (here, nodes))[1]


def _find(nodes: jax.Array, numbers: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Slots (B,) int32 at which the running sum first exceeds targets, and their shares of it.

    One target lies in each of B strata; `numbers` (B,) in [0, 1) say where within it. What is left
    of a target is kept in two parts, of which the smaller decides: as one number, float32 would be
    too coarse to tell apart neighbours among a million.

    The loop reads all that is read of the nodes: reads after it, which a compiler may put off until
    leaves are set, would make it copy them.
    """
    size = len(numbers)
    stratum = nodes[1] / size
    within = numbers * stratum

    def descend(level: Any, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        here, begin, _, total = carry
        left, right = nodes[2 * here], nodes[2 * here + 1]
        # The second condition is for targets that rounding has pushed past a node's sum.
        rightwards = (within >= left - begin) & (right > 0)
        here, begin = 2 * here + rightwards, begin - jnp.where(rightwards, left, 0)
        value = jnp.where(rightwards, right, left)
        return here, begin, value, jnp.where(level == 0, left + right, total)

    first = jnp.ones(size, jnp.int32), jnp.arange(size) * stratum, within, within
    leaves, _, values, totals = lax.fori_loop(0, _depth(nodes), descend, first)
    return leaves - len(nodes) // 2, values / totals


def _depth(nodes: jax.Array) -> int:
    return len(nodes).bit_length() - 2


def prioritized(horizon: int) -> Prioritized:
    """With the exponent that `PrioritizedSampler` has, or gin gives it."""
    no_rows = FrameRing(1, 1, ObservationSpec((1,), np.float32), Discrete(1))
    return Prioritized(horizon, PrioritizedSampler(no_rows, horizon).priority_exponent)


# By the names of `samplers.SAMPLERS`: makes one of the update horizon.
DEVICE_SAMPLERS: dict[str, Callable[[int], DeviceSampler]] = {
    "uniform": DeviceSampler,
    "prioritized": prioritized,
}
