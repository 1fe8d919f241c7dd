"""The newest observations of S seeds, as the network sees them when it acts."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from prune_rl.environments.base import Frame
from prune_rl.environments.batch import Step
from prune_rl.specs import ObservationSpec


class FrameStack:
    """Observations of S seeds; frames before an episode's first are zeros, as in Dopamine.

    Attributes:
      array: (S, *shape) of the spec, (S, stack, H, W, C) uint8, oldest frame first, or
        (S, D) float32.
    """

    def __init__(self, num_seeds: int, spec: ObservationSpec) -> None:
        self.array = np.zeros((num_seeds, *spec.shape), spec.dtype)
        # A view with an axis of frames, which of a vector observation is the only one.
        self._frames = self.array.reshape(num_seeds, spec.stack_size, *spec.frame_shape)

    def reset(self, frames: Frame, which: npt.NDArray[np.bool_] | None = None) -> None:
        """Makes `frames` (S, *frame_shape) the first of an episode, where `which` (S,) says so."""
        chosen = slice(None) if which is None else which
        self._frames[chosen] = 0
        self._frames[chosen, -1] = frames[chosen]

    def push(self, frames: Frame) -> None:
        """Adds the newest `frames` (S, *frame_shape) and drops the oldest."""
        self._frames[:, :-1] = self._frames[:, 1:]
        self._frames[:, -1] = frames

    def follow(self, step: Step) -> None:
        """Adds what `step` shows; where an episode or a life ended, its frames start anew."""
        self.push(step.frames)
        ended = step.terminated | step.truncated | step.life_lost
        if np.count_nonzero(ended):
            self.reset(step.frames, ended)

    def get_state(self) -> list[Frame]:
        """Each seed's observation (*shape), copied."""
        return [own.copy() for own in self.array]

    def set_state(self, states: Sequence[Frame]) -> None:
        """Goes on from what `get_state` returned."""
        for own, state in zip(self.array, states, strict=True):
            own[:] = state
