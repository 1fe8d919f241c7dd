"""Replay of S seeds, uniform or prioritised, in the vocabulary of Dopamine 4.1.2 (replay_memory).

Differs from Dopamine at episode ends, where its issue #228 loses the last reward: here every
transition is stored exactly once, terminated or truncated.
"""

from collections.abc import Sequence

import gin
import numpy as np

from prune_rl.errors import ConfigError, require, require_choice
from prune_rl.replay.n_step import n_step_return
from prune_rl.replay.ram import require_memory
from prune_rl.replay.ring import ROW_FIELDS, FrameRing
from prune_rl.replay.samplers import PRIORITY_FIELDS, PrioritizedSampler, UniformSampler
from prune_rl.replay.streams import create_streams, streams_to_words, words_to_streams
from prune_rl.specs import Batch, Draw, Probe

_STATE = {"cursors", *ROW_FIELDS, "random_words", "seeds", "num_rows", "add_count"}
_SCHEMES = (UNIFORM, PRIORITIZED) = ("uniform", "prioritized")


@gin.configurable
class ReplayBuffer:
    """The newest transitions of each seed, sampled with replacement, uniformly or by priority.

    Args:
      seeds: one non-negative integer per seed; what a seed draws depends on it alone.
      frame_shape: (H, W, C) of one uint8 frame.
      stack_size: frames in an observation.
      update_horizon: n of the n-step return, in agent steps.
      gamma: discount per agent step.
      longest_run: agent steps of the whole run; nothing is allocated that it cannot fill.
      max_capacity: frames kept per seed. An episode of T transitions takes T + 1.
      batch_size: transitions per seed in a batch.
      replay_scheme: 'uniform', or 'prioritized' (see `samplers.PrioritizedSampler`).

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
        replay_scheme: str = UNIFORM,
    ) -> None:
        require_choice("ReplayBuffer.replay_scheme", replay_scheme, _SCHEMES)
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
        prioritized = replay_scheme == PRIORITIZED
        require_memory(rows, len(seeds), frame_shape, prioritized=prioritized)
        self.batch_size = batch_size
        self.add_count = 0  # transitions stored per seed since the start of the run
        self._seeds = np.array(seeds, np.int64)
        self._stack_size = stack_size
        self._horizon = update_horizon
        self._gamma = gamma
        self._ring = FrameRing(len(seeds), rows, frame_shape)
        self._streams = create_streams(seeds)
        self._uniform = UniformSampler(self._ring, stack_size)
        self._prioritized: PrioritizedSampler | None = None
        if prioritized:
            self._prioritized = PrioritizedSampler(self._ring, stack_size, update_horizon)

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

    def sample(self) -> Batch:
        """Draws `batch_size` transitions of each seed, by its scheme, into fresh arrays.

        Raises `ConfigError` where a seed has no complete transition yet.
        """
        if self._prioritized is None:
            return self.sample_uniformly(self.batch_size)
        low, high = self._candidates()
        starts, chances = self._prioritized.draw(self._streams, self.batch_size, low, high)
        return self._gather(starts)._replace(probabilities=chances)

    def sample_uniformly(self, size: int) -> Batch:
        """Draws `size` transitions of each seed uniformly, whatever the scheme; as `sample`."""
        return self._gather(self._uniform.draw(self._streams, size, *self._candidates()))

    def probe(self, draw: Draw, name: str) -> Probe:
        """Draws like `sample_uniformly` without moving the stream that samples are drawn from.

        A function of seed, name and contents; draws of different names are independent. Raises
        like `sample`.

        Returns:
          A batch, or with `observations_only` its s_tm1, (S, size, stack, H, W, C) uint8.
        """
        streams = create_streams(self._seeds.tolist(), f"probe {name}")
        starts = self._uniform.draw(streams, draw.size, *self._candidates())
        if not draw.observations_only:
            return self._gather(starts)
        ages = self._ring.ages.take(self._ring.locate(starts))
        return self._ring.stacks(starts, ages, self._stack_size)

    def update_priorities(self, priorities: np.ndarray) -> None:
        """Gives new priorities (S, B), at least 0, to the oldest batch sampled that has none yet.

        So a learner may be a batch or more behind. One that is not finite counts as the largest
        the seed has recorded; transitions overwritten in the meantime are skipped.

        Raises:
          RuntimeError: the scheme is uniform, or every batch sampled has its priorities.
          ValueError: the shape is another, or a priority is negative.
        """
        if self._prioritized is None:
            raise RuntimeError("update_priorities: ReplayBuffer.replay_scheme is 'uniform'")
        self._prioritized.update(priorities)

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

    def _candidates(self) -> tuple[np.ndarray, np.ndarray]:
        """The ring's candidates, at least one of each seed."""
        low, high = self._ring.candidates(self._horizon)
        if np.count_nonzero(high <= low):
            raise ConfigError(
                f"ReplayBuffer: no complete {self._horizon}-step transition after "
                f"{self.add_count} agent steps; expected min_replay_history >= {self._horizon}"
            )
        return low, high

    def get_state(self) -> dict[str, np.ndarray]:
        """Everything a restored buffer needs to go on bit for bit, as copies.

        Rows are (S, filled, ...), `filled` being the most any seed holds; a seed that holds fewer
        has unspecified rows at the end. Raises `RuntimeError` while a batch awaits its priorities.
        """
        priorities = self._prioritized.get_state() if self._prioritized else {}
        return {
            **self._ring.get_state(),
            "random_words": streams_to_words(self._streams),
            "seeds": self._seeds.copy(),
            "num_rows": np.array(self._ring.num_rows, np.int64),
            "add_count": np.array(self.add_count, np.int64),
            **priorities,
        }

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Continues from what `get_state` returned.

        The capacity may differ as long as nothing was, or now would be, overwritten (a run that
        is given more steps). Raises `ConfigError` if scheme, seeds, frame shape or capacity do not
        fit.
        """
        state = {name: np.asarray(value) for name, value in state.items()}
        self._require_fitting(state)
        self._ring.set_state(state)
        if self._prioritized:
            self._prioritized.set_state(state)
        words_to_streams(state["random_words"], self._streams)
        self.add_count = int(state["add_count"])

    def _require_fitting(self, state: dict[str, np.ndarray]) -> None:
        saved = PRIORITIZED if "priority_words" in state else UNIFORM
        scheme = PRIORITIZED if self._prioritized else UNIFORM
        with_saved = f"{saved!r}, with which this replay was saved"
        require(scheme == saved, "ReplayBuffer.replay_scheme", scheme, with_saved)
        fields = _STATE | (PRIORITY_FIELDS if self._prioritized else set())
        missing = sorted(fields - state.keys())
        require(not missing, "replay state: missing arrays", missing, "none")
        seeds, expected = state["seeds"].tolist(), self._seeds.tolist()
        require(seeds == expected, "replay state: seeds", seeds, str(expected))
        newest, rows = int(state["cursors"].max()), int(state["num_rows"])
        for name, shape in self._state_shapes(min(newest + 1, rows)).items():
            require(
                state[name].shape == shape, f"replay state: {name}", state[name].shape, str(shape)
            )
        mine = self._ring.num_rows
        kept_whole = newest < min(rows, mine)
        require(rows == mine or kept_whole, "replay state: capacity in frames", rows, str(mine))

    def _state_shapes(self, filled: int) -> dict[str, tuple[int, ...]]:
        rows = self._ring.state_shapes(filled)
        return rows | (self._prioritized.state_shapes(filled) if self._prioritized else {})


def _require_count(name: str, value: object, least: int) -> None:
    valid = isinstance(value, int) and not isinstance(value, bool) and value >= least
    require(valid, f"ReplayBuffer.{name}", value, f"an integer of at least {least}")
