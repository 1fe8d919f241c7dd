"""A `ReplayBuffer` whose rows lie in device memory: batches are made there and never leave it."""

import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from prune_rl.randomness import device_keys, probe_key
from prune_rl.replay import device_ring
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.replay.device_ring import DeviceRing
from prune_rl.replay.device_samplers import DEVICE_SAMPLERS, DeviceSampler
from prune_rl.replay.ram import require_ram
from prune_rl.replay.ring import bytes_per_row, row_dtypes
from prune_rl.replay.samplers import Sampler, scheme_of
from prune_rl.specs import GOES_ON, ActionSpec, Batch, Draw, Inputs, ObservationSpec, Probe
from prune_rl.state import State, part

_Held = tuple[DeviceRing, Any]  # of one seed, and what its sampler knows


def require_fitting(
    rows: int,
    num_seeds: int,
    observation_spec: ObservationSpec,
    action_spec: ActionSpec,
    sampler: DeviceSampler,
    num_steps: int,
) -> None:
    """Raises `ConfigError` for rows that the device cannot hold, or agent steps it cannot count.

    `rows` are of each seed, `num_steps` of the whole run.
    """
    row_bytes = bytes_per_row(observation_spec, action_spec) + sampler.BYTES_PER_ROW
    require_ram(rows, num_seeds, row_bytes, observation_spec.frame_shape, on_device=True)
    device_ring.require_countable(num_steps)


def stacked(trees: Sequence[Any]) -> Any:
    """One tree of S, with a leading seed axis."""
    return _stacked(tuple(trees))


@jax.jit
def _stacked(trees: tuple[Any, ...]) -> Any:
    return jax.tree.map(lambda *own: jnp.stack(own), *trees)


class DeviceReplayBuffer(ReplayBuffer):
    """`ReplayBuffer` in device memory; the laws of what is drawn are its own, the numbers not.

    A seed's transitions are stored and drawn by programs of its own, dispatched one after another.
    A checkpoint takes a copy of the rows to the host.

    Args:
      settings: those of `ReplayBuffer`.

    Raises:
      ConfigError: an argument is out of range, the run is too long, or the device lacks the memory.
    """

    ON_DEVICE = True

    def _allocate(
        self,
        rows: int,
        observation_spec: ObservationSpec,
        action_spec: ActionSpec,
        create_sampler: type[Sampler],
    ) -> None:
        num_seeds = len(self._seeds)
        sampler = DEVICE_SAMPLERS[scheme_of(create_sampler.STATE)](self._horizon)
        require_fitting(
            rows, num_seeds, observation_spec, action_spec, sampler, self._longest_run or 0
        )
        self._programs = _Programs(sampler, self._gamma)
        self._rows: Any = _Rows(num_seeds, rows, row_dtypes(observation_spec, action_spec))
        empty = partial(device_ring.empty, rows, observation_spec, action_spec)
        self._held: list[_Held] = [(empty(), sampler.init(rows)) for _ in self._seeds]
        self._keys = [device_keys(seed) for seed in self._seeds.tolist()]
        self._draws = 0  # batches drawn by `sample` and `sample_uniformly`
        self._waiting: deque[list[jax.Array]] = deque()  # starts (B,) that await their priorities

    def sample(self) -> Any:  # not the host's Batch: stacking would copy what is apart
        """See `ReplayBuffer`; a list of the seeds' batches (B, ...). Raises the same."""
        drawn = self._drawn(self._programs.sample, self.batch_size)
        batches, starts = zip(*drawn, strict=True)
        if self._programs.sampler.prioritizes:
            self._waiting.append(list(starts))
        return list(batches)

    def sample_uniformly(self, size: int) -> Batch:
        """See `ReplayBuffer`; stacked."""
        batch: Batch = stacked(self._drawn(self._programs.sample_uniformly, size))
        return batch

    def _drawn(self, draw: Callable[..., Any], size: int) -> list[Any]:
        self._candidates()
        self._draws += 1
        pairs = zip(self._held, self._keys, strict=True)
        return [draw(held, keys.replay, self._draws, size) for held, keys in pairs]

    def probe(self, draw: Draw, name: str) -> Probe:
        """See `ReplayBuffer`; stacked."""
        self._candidates()
        own = self._programs
        function = own.inputs if draw.inputs_only else own.sample_uniformly
        number = zlib.crc32(name.encode())
        keys = [probe_key(each, number) for each in self._keys]
        pairs = zip(self._held, keys, strict=True)
        probe: Batch | Inputs = stacked([function(held, key, 0, draw.size) for held, key in pairs])
        return probe

    def update_priorities(self, priorities: Any) -> None:
        """See `ReplayBuffer`; (S, B), or S arrays (B,) in a pytree; they stay on the device.

        That none is negative goes without a look: it would wait for the device.
        """
        if not self._programs.sampler.prioritizes:
            raise RuntimeError("update_priorities: replay_scheme is 'uniform'")
        if not self._waiting:
            raise RuntimeError("update_priorities: every batch sampled has its priorities")
        leaves = jax.tree.leaves(priorities)
        rows = leaves if leaves[0].ndim == 1 else list(leaves[0])
        expected = [(self.batch_size,)] * len(self._seeds)
        if [row.shape for row in rows] != expected:
            form = f"({len(self._seeds)}, {self.batch_size})"
            raise ValueError(f"update_priorities: not {form} numbers of at least 0")
        seeds = zip(self._held, self._waiting.popleft(), rows, strict=True)
        self._held = [self._programs.update(held, starts, row) for held, starts, row in seeds]

    def get_state(self) -> list[State]:
        """See `ReplayBuffer`; copies."""
        if self._waiting:
            raise RuntimeError("get_state: a sampled batch still awaits its priorities")
        numbers = self._numbers([np.array(self._draws, np.int64)] * len(self._seeds))
        to_state = self._programs.to_state
        return [own | to_state(held) for own, held in zip(numbers, self._held, strict=True)]

    def _begin(self, frames: np.ndarray) -> None:
        pairs = zip(self._held, frames.copy(), strict=True)
        self._held = [self._programs.start(*pair) for pair in pairs]
        self._rows.start()

    def _append(
        self,
        actions: np.ndarray,
        rewards: np.ndarray,
        ends: np.ndarray,
        next_frames: np.ndarray,
        frames: np.ndarray,
    ) -> None:
        # Copies: programs may still read them when the environments write the next ones.
        transitions = (
            actions.astype(self._rows.dtypes["actions"].base),
            rewards.astype(np.float32),
            ends.astype(np.uint8),
            next_frames.copy(),
            frames.copy(),
        )
        seeds = zip(self._held, *transitions, strict=True)
        self._held = [self._programs.append(*own) for own in seeds]
        self._rows.append(ends != GOES_ON)

    def _restore(self, states: Sequence[State]) -> None:
        pairs = zip(self._held, states, strict=True)
        self._held = [self._programs.from_state(state, held) for held, state in pairs]
        self._rows.cursors[:] = part(states, "cursor")
        self._rows.ages[:] = part(states, "age")
        self._draws = int(states[0]["draws"])
        self._waiting.clear()


_writes = partial(jax.jit, static_argnums=0, donate_argnums=1)
_reads = partial(jax.jit, static_argnums=(0, 4))


@dataclass(frozen=True)
class _Programs:
    """What is done to and with the rows of one seed; compiled once for replays that are alike."""

    sampler: DeviceSampler
    gamma: float

    @_writes
    def start(self, held: _Held, frame: jax.Array) -> _Held:
        ring = device_ring.start(held[0], frame)
        return ring, self.sampler.note(held[1], ring)

    @_writes
    def append(self, held: _Held, *transition: jax.Array) -> _Held:
        ring = device_ring.append(held[0], *transition)
        return ring, self.sampler.note(held[1], ring)

    @_reads
    def sample(self, held: _Held, key: jax.Array, draw: int, size: int) -> tuple[Batch, jax.Array]:
        ring, own = held
        starts, chances = self.sampler.draw(own, ring, jax.random.fold_in(key, draw), size)
        return self._batch(ring, starts)._replace(probabilities=chances), starts

    @_reads
    def sample_uniformly(self, held: _Held, key: jax.Array, draw: int, size: int) -> Batch:
        return self._batch(held[0], self._uniform(held[0], key, draw, size))

    @_reads
    def inputs(self, held: _Held, key: jax.Array, draw: int, size: int) -> Inputs:
        return device_ring.inputs(held[0], self._uniform(held[0], key, draw, size))

    @_writes
    def update(self, held: _Held, starts: jax.Array, priorities: jax.Array) -> _Held:
        ring, own = held
        return ring, self.sampler.update(own, ring, starts, priorities)

    def to_state(self, held: _Held) -> State:
        return device_ring.to_state(held[0]) | self.sampler.to_state(held[1], held[0])

    def from_state(self, state: State, like: _Held) -> _Held:
        ring = device_ring.from_state(state, like[0])
        return ring, self.sampler.from_state(state, ring)

    def _uniform(self, ring: DeviceRing, key: jax.Array, draw: int, size: int) -> jax.Array:
        key = jax.random.fold_in(key, draw)
        return device_ring.draw_uniformly(ring, key, size, self.sampler.horizon)

    def _batch(self, ring: DeviceRing, starts: jax.Array) -> Batch:
        return device_ring.transitions(ring, starts, self.sampler.horizon, self.gamma)


class _Rows:
    """What the host knows of the rings of S seeds, so that it need not ask the device."""

    def __init__(self, num_seeds: int, num_rows: int, dtypes: dict[str, np.dtype]) -> None:
        self.num_rows, self.dtypes = num_rows, dtypes
        self.cursors, self.ages = np.full(num_seeds, -1), np.zeros(num_seeds, int)

    @property
    def filled(self) -> int:
        return min(int(self.cursors.max()) + 1, self.num_rows)

    def start(self) -> None:
        self.cursors += 1

    def append(self, ended: np.ndarray) -> None:
        self.cursors += 1 + ended
        self.ages = np.where(ended, 0, self.ages + 1)

    def candidates(self, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        low = np.maximum(self.cursors - self.num_rows + 1, 0)
        return low, np.maximum(self.cursors - horizon + 1, self.cursors - self.ages)
