"""Uniform replay of S seeds, in Dopamine's vocabulary (Dopamine 4.1.2, jax/replay_memory).

Differs from Dopamine at episode ends, where its issue #228 loses the last reward: here every
transition is stored exactly once, terminated or truncated.
"""

from collections.abc import Sequence

import gin
import numpy as np

from prune_rl.errors import ConfigError, require
from prune_rl.replay.batch import Batch
from prune_rl.replay.memory import require_memory
from prune_rl.replay.n_step import n_step_return
from prune_rl.replay.ring import ROW_FIELDS, FrameRing
from prune_rl.replay.streams import create_streams, streams_to_words, words_to_streams

_STATE = {"cursors", *ROW_FIELDS, "random_words", "seeds", "num_rows", "add_count"}


@gin.configurable
class ReplayBuffer:
    """The newest transitions of each seed, sampled uniformly with replacement.

    Args:
      seeds: one non-negative integer per seed; what a seed draws depends on it alone.
      frame_shape: (H, W, C) of one uint8 frame.
      stack_size: frames in an observation.
      update_horizon: n of the n-step return, in agent steps.
      gamma: discount per agent step.
      longest_run: agent steps of the whole run; nothing is allocated that it cannot fill.
      max_capacity: frames kept per seed. An episode of T transitions takes T + 1.
      batch_size: transitions per seed in a batch.

    Raises:
      ConfigError: an argument is out of range, or the machine lacks the memory.
    """

    def __init__(
        self,
        *,
        seeds: Sequence[int],
        frame_shape: tuple[int, int, int],
        stack_size: int,
        update_horizon: int = 1,
        gamma: float = 0.99,
        longest_run: int | None = None,
        max_capacity: int = 1_000_000,
        batch_size: int = 32,
    ) -> None:
        require(min(seeds, default=-1) >= 0, "seeds", seeds, "integers of at least 0, one or more")
        _require_count("batch_size", batch_size, 1)
        _require_count("update_horizon", update_horizon, 1)
        # Fewer rows could leave a ring without any whole transition, and sampling without end.
        smallest = stack_size + update_horizon + 1
        _require_count("max_capacity", max_capacity, smallest)
        require(0 <= gamma <= 1, "ReplayBuffer.gamma", gamma, "a number from 0 to 1")
        rows = max_capacity
        if longest_run is not None:  # a step writes two rows at most
            rows = min(rows, max(2 * longest_run + 2, smallest))
        require_memory(rows, len(seeds), frame_shape)
        self.batch_size = batch_size
        self.add_count = 0  # transitions stored per seed since the start of the run
        self._seeds = np.array(seeds, np.int64)
        self._stack_size = stack_size
        self._horizon = update_horizon
        self._gamma = gamma
        self._ring = FrameRing(len(seeds), rows, frame_shape)
        self._streams = create_streams(seeds)

    def add_first(self, frames: np.ndarray) -> None:
        """Stores the run's first observations, (S, H, W, C) uint8; once, before any `add`."""
        expected = (len(self._seeds), *self._ring.frame_shape)
        if self._ring.filled:
            raise RuntimeError("add_first: the buffer already holds frames")
        if frames.shape != expected or frames.dtype != np.uint8:
            raise ValueError(f"add_first: {frames.shape} {frames.dtype}, not {expected} uint8")
        self._ring.start(frames)

    def add(
        self,
        *,
        actions: np.ndarray,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        next_frames: np.ndarray,
        frames: np.ndarray,
    ) -> None:
        """Stores one transition per seed, from the current observation.

        Args:
          actions: (S,) integers.
          rewards: (S,), clipped if they should be.
          terminated: (S,) bool, the episode reached a terminal state: no bootstrap.
          truncated: (S,) bool, the episode was cut off: bootstraps. Terminal wins over it.
          next_frames: (S, H, W, C) uint8 true successors, also at an episode's end.
          frames: (S, H, W, C) uint8 current observations from now on: the new episode's first
            where one ended, else `next_frames`.
        """
        if not self.add_count and not self._ring.filled:
            raise RuntimeError("add: add_first comes first")
        self._ring.append(
            actions=actions,
            rewards=rewards,
            terminated=terminated,
            truncated=truncated,
            next_frames=next_frames,
            frames=frames,
        )
        self.add_count += 1

    def sample(self, batch_size: int | None = None) -> Batch:
        """Draws transitions into fresh arrays, `batch_size` of each seed if not told otherwise.

        Raises `ConfigError` where a seed has no complete transition yet.
        """
        return self._gather(self._draw(self._streams, batch_size or self.batch_size))

    def probe(self, size: int) -> Batch:
        """Draws `size` transitions of each seed without moving the stream that `sample` draws from.

        The same ones at every call while the contents are the same; raises like `sample`.
        """
        streams = create_streams(self._seeds.tolist(), "probe")
        return self._gather(self._draw(streams, size))

    def _gather(self, starts: np.ndarray) -> Batch:
        """The transitions that begin at the positions `starts` (S, B)."""
        ring = self._ring
        window = ring.locate(starts + np.arange(self._horizon)[:, None, None])  # (n, S, B)
        returns, discounts, spans = n_step_return(
            ring.rewards.take(window), ring.ends.take(window), self._gamma
        )
        ages = ring.ages.take(window[0])
        # One gather for both observations: (2, S, B, stack, H, W, C)
        states = ring.stacks(
            np.stack([starts, starts + spans]), np.stack([ages, ages + spans]), self._stack_size
        )
        return Batch(states[0], ring.actions.take(window[0]), returns, discounts, states[1])

    def _draw(self, streams: list[np.random.Generator], size: int) -> np.ndarray:
        """Positions (S, size) of transitions, uniform over those a seed can learn from.

        Rejection sampling: candidates are contiguous but for final rows (one an episode) and a
        few rows at the ring's old end, so nearly all pass at once.
        """
        low, high = self._ring.candidates(self._horizon)
        if np.count_nonzero(high <= low):
            raise ConfigError(
                f"ReplayBuffer: no complete {self._horizon}-step transition after "
                f"{self.add_count} agent steps; expected min_replay_history >= {self._horizon}"
            )
        ranges = list(zip(low.tolist(), high.tolist(), strict=True))
        starts = np.empty((len(ranges), size), np.int64)
        for row, stream, bounds in zip(starts, streams, ranges, strict=True):
            row[:] = stream.integers(*bounds, size=size)
        while np.count_nonzero(bad := self._ring.unusable(starts, low, self._stack_size)):
            for s in np.flatnonzero(bad.any(axis=1)):
                starts[s, bad[s]] = streams[s].integers(*ranges[s], size=bad[s].sum())
        return starts

    def get_state(self) -> dict[str, np.ndarray]:
        """Everything a restored buffer needs to go on bit for bit, as copies.

        Rows are (S, filled, ...), `filled` being the most any seed holds; a seed that holds fewer
        has unspecified rows at the end.
        """
        return {
            **self._ring.get_state(),
            "random_words": streams_to_words(self._streams),
            "seeds": self._seeds.copy(),
            "num_rows": np.array(self._ring.num_rows, np.int64),
            "add_count": np.array(self.add_count, np.int64),
        }

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Continues from what `get_state` returned.

        The capacity may differ as long as nothing was, or now would be, overwritten (a run that
        is given more steps). Raises `ConfigError` if seeds, frame shape or capacity do not fit.
        """
        state = {name: np.asarray(value) for name, value in state.items()}
        self._require_fitting(state)
        self._ring.set_state(state)
        words_to_streams(state["random_words"], self._streams)
        self.add_count = int(state["add_count"])

    def _require_fitting(self, state: dict[str, np.ndarray]) -> None:
        missing = sorted(_STATE - state.keys())
        require(not missing, "replay state: missing arrays", missing, "none")
        seeds, expected = state["seeds"].tolist(), self._seeds.tolist()
        require(seeds == expected, "replay state: seeds", seeds, str(expected))
        newest, rows = int(state["cursors"].max()), int(state["num_rows"])
        for name, shape in self._ring.state_shapes(min(newest + 1, rows)).items():
            require(
                state[name].shape == shape, f"replay state: {name}", state[name].shape, str(shape)
            )
        mine = self._ring.num_rows
        kept_whole = newest < min(rows, mine)
        require(rows == mine or kept_whole, "replay state: capacity in frames", rows, str(mine))


def _require_count(name: str, value: object, least: int) -> None:
    valid = isinstance(value, int) and not isinstance(value, bool) and value >= least
    require(valid, f"ReplayBuffer.{name}", value, f"an integer of at least {least}")
