"""One ring of rows that nothing is added to, from which S seeds draw, each by itself."""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax.numpy as jnp
import numpy as np

from prune_rl.errors import require
from prune_rl.randomness import device_keys, replay_streams
from prune_rl.replay import device_ring
from prune_rl.replay.device_data import DeviceData, SeedsDraws
from prune_rl.replay.ring import FrameRing
from prune_rl.replay.transitions import inputs, transitions
from prune_rl.specs import Batch, Draw, Probe
from prune_rl.state import State, array_to_json, json_to_array, part, per_seed

AT_ONCE = 256  # batches whose places are drawn together: a stream takes as long to begin

AHEAD, _THREADS = 4, 2  # batches that are drawn before they are asked for, and who draws them


class SharedReplay:
    """Transitions of fixed data, drawn uniformly with replacement; see `sources.source.Replay`.

    What the k-th batch of a seed holds depends on that seed, k and the data alone. So a checkpoint
    says how many batches were drawn, and of which data; rows are in none.

    Args:
      ring: of one seed's rows, which all seeds share.
      starts: of each seed, positions (T,) of the transitions it learns from, one at least.
      seeds: S integers of at least 0.
      identities: of each seed's data, JSON that a checkpoint holds and a resumed run compares.
      horizon: n of the n-step return, in agent steps.
      gamma: discount per agent step.
      batch_size: transitions per seed in a batch.
      held_out: of each seed, positions of transitions that only a `Draw` of such gets; or empty.

    Attributes:
      has_held_out: whether there are such.
    """

    def __init__(
        self,
        ring: FrameRing,
        starts: Sequence[np.ndarray],
        *,
        seeds: Sequence[int],
        identities: Sequence[dict[str, Any]],
        horizon: int,
        gamma: float,
        batch_size: int,
        held_out: Sequence[np.ndarray] = (),
    ) -> None:
        self._held_out, self.has_held_out = held_out, bool(held_out)
        self._ring, self._starts, self._seeds = ring, starts, seeds
        self._identities = identities
        self._horizon, self._gamma, self.batch_size = horizon, gamma, batch_size
        self._drawn = self._asked = 0  # batches of `sample`, and of `sample_uniformly`
        self._block, self._places = -1, np.empty((len(seeds), 0, batch_size), np.int64)
        self._lock, self._pool = threading.Lock(), ThreadPoolExecutor(_THREADS, "batches")
        self._ahead: deque[Future[Batch]] = deque()  # those after the ones that were handed out

    def sample(self) -> Batch:
        """The next batch: `batch_size` transitions of each seed, in fresh arrays.

        Further ones are drawn while the learner is busy with it.
        """
        self._draw_ahead()
        batch = self._ahead.popleft().result()
        self._drawn += 1
        self._draw_ahead()
        return batch

    def _draw_ahead(self) -> None:
        while len(self._ahead) < AHEAD:
            self._ahead.append(self._pool.submit(self._batch, self._drawn + len(self._ahead)))

    def _batch(self, number: int) -> Batch:
        block, place = divmod(number, AT_ONCE)
        with self._lock:
            if block != self._block:
                self._block, self._places = block, self._draw(f"data {block}", AT_ONCE)
            places = self._places[:, place]
        return transitions(self._ring, places, self._horizon, self._gamma)

    def sample_uniformly(self, size: int) -> Batch:
        """`size` transitions of each seed, drawn apart from those of `sample`."""
        places = self._draw(f"data beside {self._asked}", 1, size)[:, 0]
        self._asked += 1
        return transitions(self._ring, places, self._horizon, self._gamma)

    def probe(self, draw: Draw, name: str) -> Probe:
        """What `draw` asks, a function of seed, name and data; moves nothing."""
        starts = self._held_out if draw.held_out else self._starts
        places = self._draw(f"probe {name}", 1, draw.size, starts)[:, 0]
        if draw.inputs_only:
            return inputs(self._ring, places)
        return transitions(self._ring, places, self._horizon, self._gamma)

    def _draw(
        self,
        name: str,
        count: int,
        size: int | None = None,
        starts: Sequence[np.ndarray] | None = None,
    ) -> np.ndarray:
        """Positions (S, count, size) from the stream of that name of each seed."""
        shape = (count, self.batch_size if size is None else size)
        streams = replay_streams(self._seeds, name)
        pairs = zip(self._starts if starts is None else starts, streams, strict=True)
        return np.stack([own[stream.integers(len(own), size=shape)] for own, stream in pairs])

    @property
    def is_in_memory(self) -> bool:
        """Whether its frames are."""
        return self._ring.is_in_memory

    @property
    def device_bytes(self) -> int:
        """Of device memory, for what `on_device` copies."""
        starts = {id(own): own for own in self._starts}.values()
        num_starts = sum(len(own) for own in starts)
        return device_ring.bytes_of(self._ring) + num_starts * np.dtype(np.int32).itemsize

    def on_device(self) -> tuple[DeviceData, list[SeedsDraws]]:
        """The rows in device memory, once, and what each seed draws of them there."""
        groups = list({id(own): own for own in self._starts}.values())
        firsts = np.cumsum([0, *(len(own) for own in groups)])
        places = {id(own): first for own, first in zip(groups, firsts.tolist(), strict=False)}
        draws = [
            SeedsDraws(np.int32(places[id(own)]), np.int32(len(own)), device_keys(seed))
            for own, seed in zip(self._starts, self._seeds, strict=True)
        ]
        starts = jnp.asarray(np.concatenate(groups), jnp.int32)
        return DeviceData(device_ring.copy_of(self._ring), starts), draws

    def get_state(self) -> list[State]:
        """Of each seed, which data it draws from and how often it has; see `Replay`."""
        count = len(self._seeds)
        return per_seed(
            seed=[np.int64(seed) for seed in self._seeds],
            drawn=[np.int64(self._drawn)] * count,
            asked=[np.int64(self._asked)] * count,
            data=[json_to_array(own) for own in self._identities],
        )

    def set_state(self, states: Sequence[State]) -> None:
        """Goes on, to the bit, from what `get_state` returned.

        Raises:
          ConfigError: it is that of other seeds or data; where these lie does not matter.
        """
        seeds, expected = [int(x) for x in part(states, "seed")], list(self._seeds)
        require(seeds == expected, "replay state: seeds", seeds, str(expected))
        for state, own in zip(states, self._identities, strict=True):
            was = array_to_json(state["data"])
            names = own | was
            differ = [name for name in names if name != "path" and was.get(name) != own.get(name)]
            theirs = {name: was.get(name) for name in differ}
            began = f"the data that the run began with, {theirs}"
            require(not differ, "Dataset.path", {name: own.get(name) for name in differ}, began)
        self._ahead.clear()
        self._drawn, self._asked = int(states[0]["drawn"]), int(states[0]["asked"])
