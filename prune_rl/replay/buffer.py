"""Replay of S seeds in the vocabulary of Dopamine 4.1.2 (replay_memory).

Differs from Dopamine at episode ends, where its issue #228 loses the last reward: here every
transition is stored exactly once, terminated or truncated.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import gin
import numpy as np

from prune_rl.errors import ConfigError, require
from prune_rl.randomness import replay_streams
from prune_rl.replay.ram import require_ram, require_room
from prune_rl.replay.ring import FrameRing, bytes_per_row
from prune_rl.replay.samplers import Sampler, UniformSampler, scheme_of
from prune_rl.replay.streams import streams_to_words, words_to_streams
from prune_rl.replay.transitions import inputs, transitions
from prune_rl.settings import Count, CountOrZero, Fraction, checked
from prune_rl.specs import (
    GOES_ON,
    TERMINATED,
    TRUNCATED,
    ActionSpec,
    Batch,
    Draw,
    ObservationSpec,
    Probe,
)
from prune_rl.state import State, part, per_seed

_STATE = {"cursor", "frame", "age", "rows", "seed", "add_count"}
# Where a seed's randomness stands, by whether the replay is on the device.
_RANDOMNESS = {False: "random_words", True: "draws"}


@gin.configurable
@checked
class ReplayBuffer:
    """The newest transitions of each seed, sampled with replacement.

    Args:
      seeds: one non-negative integer per seed; what a seed draws depends on it alone.
      observation_spec: images are kept frame by frame and stacked anew; vectors as they are.
      action_spec: the form in which actions are kept.
      update_horizon: n of the n-step return, in agent steps.
      gamma: discount per agent step.
      longest_run: agent steps of the whole run; nothing is allocated that it cannot fill.
      max_capacity: frames kept per seed. An episode of T transitions takes T + 1.
      batch_size: transitions per seed in a batch.
      create_sampler: makes what decides which transitions `sample` draws; see `samplers.py`.

    Raises:
      ConfigError: an argument is out of range, or the machine lacks the RAM.
    """

    ON_DEVICE: ClassVar[bool] = False

    def __init__(
        self,
        *,
        seeds: Sequence[int],
        observation_spec: ObservationSpec,
        action_spec: ActionSpec,
        update_horizon: Count = 1,
        gamma: Fraction = 0.99,
        longest_run: CountOrZero | None = None,
        max_capacity: Count = 1_000_000,
        batch_size: Count = 32,
        create_sampler: type[Sampler] = UniformSampler,
    ) -> None:
        require(min(seeds, default=-1) >= 0, "seeds", seeds, "integers of at least 0, one or more")
        # Fewer rows could leave a ring without any whole transition, and sampling without end.
        smallest = observation_spec.stack_size + update_horizon + 1
        capacity, expected = "ReplayBuffer.max_capacity", f"an integer >= {smallest}"
        require(max_capacity >= smallest, capacity, max_capacity, expected)
        rows = max_capacity
        if longest_run is not None:  # a step writes two rows at most
            rows = min(rows, max(2 * longest_run + 2, smallest))
        batch_bytes = (
            2 * math.prod(observation_spec.shape) * np.dtype(observation_spec.dtype).itemsize
        )
        self.max_capacity, self.batch_size = max_capacity, batch_size
        self.add_count = 0  # transitions stored per seed since the start of the run
        self._seeds = np.array(seeds, np.int64)
        self._horizon, self._gamma = update_horizon, gamma
        self._longest_run = longest_run
        self._sampler_state = create_sampler.STATE
        self._allocate(rows, observation_spec, action_spec, create_sampler)
        require_room("ReplayBuffer.batch_size", batch_size, len(seeds) * batch_size * batch_bytes)

    def _allocate(
        self,
        rows: int,
        observation_spec: ObservationSpec,
        action_spec: ActionSpec,
        create_sampler: type[Sampler],
    ) -> None:
        """Makes what holds so many rows of each seed and draws from them."""
        num_seeds = len(self._seeds)
        row_bytes = bytes_per_row(observation_spec, action_spec) + create_sampler.BYTES_PER_ROW
        require_ram(rows, num_seeds, row_bytes, observation_spec.frame_shape)
        self._rows = self._ring = FrameRing(num_seeds, rows, observation_spec, action_spec)
        self._streams = replay_streams(self._seeds.tolist())
        self._uniform = UniformSampler(self._ring, self._horizon)
        self._sampler = create_sampler(self._ring, self._horizon)

    @property
    def num_rows(self) -> int:
        """Frames kept per seed in this run."""
        return self._rows.num_rows

    def add_first(self, frames: np.ndarray) -> None:
        """Stores the run's first frames, (S, *frame_shape) as specified; once, before any `add`."""
        if self._rows.filled:
            raise RuntimeError("add_first: the buffer already holds frames")
        field = self._rows.dtypes["frames"]
        expected = (len(self._seeds), *field.shape)
        if frames.shape != expected or frames.dtype != field.base:
            form = f"{expected} {field.base}"
            raise ValueError(f"add_first: {frames.shape} {frames.dtype}, not {form}")
        self._begin(frames)

    def _begin(self, frames: np.ndarray) -> None:
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
          actions: (S,) integers, or (S, A) numbers.
          rewards: (S,), clipped if they should be.
          terminated: (S,) bool, the episode reached a terminal state: no bootstrap.
          truncated: (S,) bool, the episode was cut off: bootstraps. Terminal wins over it.
          next_frames: (S, *frame_shape) true successors, also at an episode's end.
          frames: (S, *frame_shape) current ones from now on: the new episode's first where one
            ended, else `next_frames`.
        """
        if not self.add_count and not self._rows.filled:
            raise RuntimeError("add: add_first comes first")
        if actions.shape[1:] != (own := self._rows.dtypes["actions"].shape):
            raise ValueError(f"add: actions {actions.shape}, not {(len(self._seeds), *own)}")
        ends = truncated * np.uint8(TRUNCATED)
        ends[terminated] = TERMINATED
        self._append(actions, rewards, ends, next_frames, frames)
        self.add_count += 1

    def _append(
        self,
        actions: np.ndarray,
        rewards: np.ndarray,
        ends: np.ndarray,
        next_frames: np.ndarray,
        frames: np.ndarray,
    ) -> None:
        self._ring.append(actions, rewards, ends, next_frames)
        ended = ends != GOES_ON
        if np.count_nonzero(ended):
            self._ring.restart(ended, frames)

    def sample(self) -> Batch:
        """Draws `batch_size` transitions of each seed, as its sampler does, into fresh arrays.

        Raises `ConfigError` where a seed has no complete transition yet.
        """
        candidates = self._candidates()
        return self._batch(*self._sampler.draw(self._streams, self.batch_size, *candidates))

    def sample_uniformly(self, size: int) -> Batch:
        """Draws `size` transitions of each seed uniformly, whatever the sampler; as `sample`."""
        return self._batch(*self._uniform.draw(self._streams, size, *self._candidates()))

    def _batch(self, starts: np.ndarray, chances: np.ndarray | None = None) -> Batch:
        batch = transitions(self._ring, starts, self._horizon, self._gamma)
        return batch._replace(probabilities=chances)

    def probe(self, draw: Draw, name: str) -> Probe:
        """Draws like `sample_uniformly` without moving the stream that samples are drawn from.

        A function of seed, name and contents; draws of different names are independent. Raises
        like `sample`.

        Returns:
          A batch, or with `inputs_only` its inputs.
        """
        streams = replay_streams(self._seeds.tolist(), f"probe {name}")
        starts, _ = self._uniform.draw(streams, draw.size, *self._candidates())
        return inputs(self._ring, starts) if draw.inputs_only else self._batch(starts)

    def update_priorities(self, priorities: Any) -> None:
        """Gives new priorities (S, B), at least 0, to the oldest batch sampled that has none yet.

        What NumPy makes an array of will do. A learner may be a batch or more behind. A priority
        that is not finite counts as the largest the seed has recorded; transitions overwritten in
        the meantime are skipped.

        Raises:
          RuntimeError: the sampler is uniform, or every batch sampled has its priorities.
          ValueError: the shape is another, or a priority is negative.
        """
        self._sampler.update(priorities)

    def _candidates(self) -> tuple[np.ndarray, np.ndarray]:
        """The ring's candidates, at least one of each seed."""
        low, high = self._rows.candidates(self._horizon)
        if np.count_nonzero(high <= low):
            raise ConfigError(
                f"ReplayBuffer: no complete {self._horizon}-step transition after "
                f"{self.add_count} agent steps; expected min_replay_history >= {self._horizon}"
            )
        return low, high

    def get_state(self) -> list[State]:
        """Of each seed, everything a restored buffer needs to go on bit for bit; see `FrameRing`.

        Raises `RuntimeError` while a batch awaits its priorities.
        """
        words = list(streams_to_words(self._streams))
        parts = zip(
            self._numbers(words), self._ring.get_state(), self._sampler.get_state(), strict=True
        )
        return [numbers | ring | sampler for numbers, ring, sampler in parts]

    def _numbers(self, randomness: Sequence[np.ndarray]) -> list[State]:
        return per_seed(
            seed=list(self._seeds),
            add_count=[np.array(self.add_count, np.int64)] * len(self._seeds),
            **{_RANDOMNESS[self.ON_DEVICE]: randomness},
        )

    def set_state(self, states: Sequence[State]) -> None:
        """Continues from what `get_state` returned.

        The capacity may differ as long as nothing was, or now would be, overwritten (a run that
        is given more steps). Raises `ConfigError` if sampler, seeds, specs or capacity do not fit.
        """
        for state in states:
            self._require_fitting(state)
        seeds, expected = [int(x) for x in part(states, "seed")], self._seeds.tolist()
        require(seeds == expected, "replay state: seeds", seeds, str(expected))
        self._restore(states)
        self.add_count = int(states[0]["add_count"])

    def _restore(self, states: Sequence[State]) -> None:
        self._ring.set_state(states)
        self._sampler.set_state(states)
        words_to_streams(np.stack(part(states, "random_words")), self._streams)

    def _require_fitting(self, state: State) -> None:
        scheme, saved = scheme_of(self._sampler_state), scheme_of(state.keys())
        with_saved = f"{saved!r}, with which this replay was saved"
        require(scheme == saved, "replay_scheme", scheme, with_saved)
        on_device, own = _RANDOMNESS[True] in state, self.ON_DEVICE
        with_saved = f"{on_device}, with which this replay was saved"
        require(on_device == own, "OnlineSource.replay_on_device", own, with_saved)
        names = _STATE | self._sampler_state | {_RANDOMNESS[own]}
        missing = sorted(names - state.keys())
        require(not missing, "replay state: missing arrays", missing, "none")
        newest, rows, mine = int(state["cursor"]), state["rows"].capacity, self._rows.num_rows
        kept_whole = newest < min(rows, mine)
        require(rows == mine or kept_whole, "replay state: capacity in frames", rows, str(mine))
