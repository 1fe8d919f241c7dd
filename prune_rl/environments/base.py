"""What the rest of the package knows of an environment."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]


class Environment(Protocol):
    """One emulator with its own random stream; frames are uint8 pixels, 0 to 255.

    Attributes:
      num_actions: size of the action set.
      frame_shape: (H, W, C) of one frame.
      stack_size: frames that make an observation.
      frame_skip: frames (emulator ticks) per agent step.
      steps_off_gil: whether `step` releases the interpreter, so that threads pay.
      life_lost: whether the last step ended a life but not the episode, and learning is to take
        it for a terminal.
      protocol: JSON facts for the provenance stamp.
    """

    num_actions: int
    frame_shape: tuple[int, int, int]
    stack_size: int
    frame_skip: int
    steps_off_gil: bool
    life_lost: bool
    protocol: dict[str, Any]

    def reset(self) -> Frame:
        """Starts an episode and returns its first frame, `frame_shape`."""

    def step(self, action: int) -> tuple[Frame, float, bool]:
        """Plays one agent step: (frame, unclipped reward, whether the episode terminated)."""

    def get_state(self) -> bytes:
        """Everything that decides the future, the random stream included."""

    def set_state(self, state: bytes) -> None:
        """Goes on, to the bit, from what `get_state` returned."""

    def close(self) -> None:
        """Releases the emulator."""
