"""The newest frames of S seeds, as the network sees them when it acts."""

import numpy as np
import numpy.typing as npt

from prune_rl.environments.base import Frame


class FrameStack:
    """Observations of S seeds; frames before an episode's first are zeros, as in Dopamine.

    Attributes:
      array: (S, stack, H, W, C) uint8, oldest frame first.
    """

    def __init__(self, num_seeds: int, frame_shape: tuple[int, int, int], stack_size: int) -> None:
        self.array = np.zeros((num_seeds, stack_size, *frame_shape), np.uint8)

    def reset(self, frames: Frame, which: npt.NDArray[np.bool_] | None = None) -> None:
        """Makes `frames` (S, H, W, C) the first of an episode, where `which` (S,) says so."""
        chosen = slice(None) if which is None else which
        self.array[chosen] = 0
        self.array[chosen, -1] = frames[chosen]

    def push(self, frames: Frame) -> None:
        """Adds the newest `frames` (S, H, W, C) and drops the oldest."""
        self.array[:, :-1] = self.array[:, 1:]
        self.array[:, -1] = frames

    def get_state(self) -> npt.NDArray[np.uint8]:
        """A copy that `set_state` takes back."""
        return self.array.copy()

    def set_state(self, state: npt.NDArray[np.uint8]) -> None:
        """Goes on from what `get_state` returned."""
        self.array[:] = state
