"""What flows from a source of experience to a learner: its form, and batches of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

Array = np.ndarray | jax.Array  # on the host, or inside compiled functions

# What became of the episode in the transition that starts at a row of a replay.
GOES_ON, TERMINATED, TRUNCATED, FINAL = 0, 1, 2, 3  # FINAL: no transition starts here
_ROUNDING = 1e-5  # of actions that were clipped in another precision


@dataclass(frozen=True)
class ObservationSpec:
    """The form of one seed's observation.

    Attributes:
      frame_shape: of what an environment shows at one agent step: (H, W, C) of an image, or (D,)
        of a vector.
      dtype: of a frame; uint8 of images, float32 of vectors.
      stack_size: an image observation is the newest so many frames; 1 for vectors.

    Raises:
      ValueError: neither an image nor a single vector.
    """

    frame_shape: tuple[int, ...]
    dtype: type[np.generic] = np.uint8
    stack_size: int = 1

    def __post_init__(self) -> None:
        is_vector = len(self.frame_shape) == 1 and self.stack_size == 1
        if not (self.is_image or is_vector):
            raise ValueError(f"{self}: frames (H, W, C), or (D,) with a stack_size of 1")

    @property
    def is_image(self) -> bool:
        """Whether observations are stacks of frames (H, W, C)."""
        return len(self.frame_shape) == 3

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an observation: (stack, H, W, C), oldest frame first, or (D,)."""
        return (self.stack_size, *self.frame_shape) if self.is_image else self.frame_shape


@dataclass(frozen=True)
class Discrete:
    """Actions are numbers 0 to `num_actions` - 1, () int32 of one seed."""

    num_actions: int
    shape: tuple[int, ...] = ()
    dtype: type[np.generic] = np.int32


@dataclass(frozen=True)
class Box:
    """Actions are vectors between `low` and `high`, each (A,), float32."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    dtype: type[np.generic] = np.float32

    @property
    def shape(self) -> tuple[int, ...]:
        """(A,)."""
        return (len(self.low),)


ActionSpec = Discrete | Box


def in_words(observations: ObservationSpec, actions: ActionSpec) -> str:
    """For people: 'observations of 17 float32 and actions of 6 numbers from -1 to 1'."""
    shape = " x ".join(map(str, observations.shape))
    seen = f"observations of {shape} {np.dtype(observations.dtype).name}"
    if isinstance(actions, Discrete):
        return f"{seen} and {actions.num_actions} numbered actions"
    ends = zip(actions.low, actions.high, strict=True)
    borders = sorted({f"{low:.9g} to {high:.9g}" for low, high in ends})  # any float32's own
    return f"{seen} and actions of {len(actions.low)} numbers from {' or '.join(borders)}"


def to_json(spec: ObservationSpec | ActionSpec) -> dict[str, Any]:
    """A spec as plain JSON."""
    return asdict(spec) | {"dtype": np.dtype(spec.dtype).name}


def observation_spec_of(json: Mapping[str, Any]) -> ObservationSpec:
    """The inverse of `to_json`."""
    return ObservationSpec(**_fields_of(json))


def action_spec_of(json: Mapping[str, Any]) -> ActionSpec:
    """The inverse of `to_json`."""
    return Box(**_fields_of(json)) if "low" in json else Discrete(**_fields_of(json))


def _fields_of(json: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: tuple(x) if isinstance(x, list) else x for name, x in json.items()}
    return fields | {"dtype": np.dtype(json["dtype"]).type}


def bounds(spec: ActionSpec) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest that an action may be, () of a number, (A,) of a vector."""
    if isinstance(spec, Discrete):
        return np.array(0), np.array(spec.num_actions - 1)
    return np.array(spec.low), np.array(spec.high)


def out_of_bounds(spec: ActionSpec, actions: np.ndarray) -> np.ndarray:
    """Of actions (n, *action) whether each number is further out than rounding takes it."""
    low, high = bounds(spec)
    return (actions < low - _ROUNDING) | (actions > high + _ROUNDING)


class Draw(NamedTuple):
    """What a measurement asks of a source: `size` transitions of each seed, or only `Inputs`.

    Those that are learned from, or of fixed data those that are held out.
    """

    size: int
    inputs_only: bool = False
    held_out: bool = False


class Inputs(NamedTuple):
    """What networks read of transitions; seeds and batches add leading axes."""

    observations: Array  # (*observation,)
    actions: Array  # (*action,)


class Batch(NamedTuple):
    """B transitions for each of S seeds; a learner's target is r_t + discount_t * max_a Q(s_t, a).

    The window of a transition spans m = min(n, steps to the episode's end) agent steps, n being
    the update horizon. Image observations are stacks, oldest frame first; frames from before the
    episode's first are zeros.
    """

    s_tm1: Array  # (S, B, *observation): (S, B, stack, H, W, C) uint8 or (S, B, D) float32
    a_tm1: Array  # (S, B) int32, or (S, B, A) float32
    r_t: Array  # (S, B) float32, sum of gamma^k r over the window's m rewards
    discount_t: Array  # (S, B) float32, gamma^m, or 0 where the window holds a terminal
    s_t: Array  # like s_tm1, the observation m steps after it
    # (S, B) float32, chance of each to be drawn, priority / sum of priorities; None if uniform
    probabilities: Array | None = None

    @property
    def inputs(self) -> Inputs:
        """Where the transitions begin."""
        return Inputs(self.s_tm1, self.a_tm1)


def bytes_of(inputs: Inputs) -> int:
    """What the inputs of one transition take."""
    return sum(x.size * x.dtype.itemsize for x in inputs)


Probe = Batch | Inputs  # what a `Draw` gets
