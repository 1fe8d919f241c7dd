"""What the rest of the package knows of an environment."""

from collections.abc import Collection, Sequence
from typing import Any, Protocol

import numpy.typing as npt

from prune_rl.specs import ActionSpec, ObservationSpec
from prune_rl.state import State

Frame = npt.NDArray[Any]  # of an observation spec's frame_shape and dtype


class Environment(Protocol):
    """One emulator with its own random stream.

    Attributes:
      observation_spec: form of its frames, and how many make an observation.
      action_spec: form of its actions.
      frame_skip: frames per agent step: ticks of an emulator, steps of a simulator.
      steps_off_gil: whether `step` releases the interpreter, so that threads pay.
      life_lost: whether the last step ended a life but not the episode, and learning is to take
        it for a terminal.
      protocol: JSON facts for the provenance stamp.
    """

    observation_spec: ObservationSpec
    action_spec: ActionSpec
    frame_skip: int
    steps_off_gil: bool
    life_lost: bool
    protocol: dict[str, Any]

    def reset(self) -> Frame:
        """Starts an episode and returns its first frame."""

    def step(self, action: Any) -> tuple[Frame, float, bool]:
        """Plays one agent step: (frame, unclipped reward, whether the episode terminated).

        `action` is an int of a `Discrete` spec, or an array (A,) of a `Box`.
        """

    def get_state(self) -> State:
        """Everything that decides the future, the random stream included; a copy."""

    def set_state(self, state: State) -> None:
        """Goes on, to the bit, from what `get_state` returned, and runs nothing that it holds.

        Raises:
          ValueError: it is not a state of this game.
        """

    def close(self) -> None:
        """Releases the emulator."""


class Drawable(Environment, Protocol):
    """One of which videos can be made.

    Attributes:
      action_names: of each numbered action, or of each number of a vector.
    """

    action_names: Sequence[str]

    def render(self) -> Frame:
        """A picture of the game as it stands, (h, w, 3) uint8."""


def require_names(state: Collection[Any], names: Collection[str], owner: str) -> None:
    """Raises `ValueError` unless `state` has the `names` of the `owner`'s, and no others."""
    missing, unknown = set(names) - set(state), set(state) - set(names)
    if missing or unknown:
        lacks, has = (sorted(map(str, x)) for x in (missing, unknown))
        raise ValueError(f"state of {owner}: lacks {lacks}, has {has} that {owner} has not")
