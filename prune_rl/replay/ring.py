"""Single frames of S seeds in S rings, each frame stored once.

A frame is what an environment shows at one agent step: an image, or a vector, which is an
observation by itself. A row is one frame with the action and reward that followed it. The newest
row of a seed (its cursor) holds the current observation, still without an action. An episode of T
transitions takes T + 1 rows: its true last observation has a row of its own, marked FINAL, so
that the last reward is kept and a truncated episode can bootstrap.

Rows are addressed by position, the number of rows the seed had written before. Position p lies
in slot p % num_rows, so a ring keeps the newest num_rows positions.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from prune_rl.errors import require
from prune_rl.specs import FINAL, ActionSpec, ObservationSpec
from prune_rl.state import Piece, Rows, State

ROW_FIELDS = ("frames", "actions", "rewards", "ages", "ends")

Fields = Mapping[str, np.ndarray]  # (num_rows, ...) of one seed, by name

_PIECE_BYTES = 1 << 24  # of rows that are saved or restored at once


def row_dtypes(observation_spec: ObservationSpec, action_spec: ActionSpec) -> dict[str, np.dtype]:
    """The field of one row, by name; a frame and an action of a `Box` are subarrays."""
    frame = np.dtype((observation_spec.dtype, observation_spec.frame_shape))
    action = np.dtype((action_spec.dtype, action_spec.shape))
    fields = (frame, action, np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.uint8))
    return dict(zip(ROW_FIELDS, fields, strict=True))


def bytes_per_row(observation_spec: ObservationSpec, action_spec: ActionSpec) -> int:
    """Memory of one row: its frame, its action and the other fields."""
    return sum(dtype.itemsize for dtype in row_dtypes(observation_spec, action_spec).values())


class Frames(Protocol):
    """Frames that are not in memory: one more than rows, the last of them zero."""

    def take(self, indices: np.ndarray, axis: int = 0) -> np.ndarray:
        """(*indices.shape, bytes of a frame)."""


class FrameRing:
    """Rows of S seeds; memory is taken by the operating system only as rows are first written.

    Frames that are kept elsewhere may be given, and nothing is added then.

    Attributes: `actions` in the form of their spec, `rewards` float32, `ages` int32 (rows since
    the episode's first) and `ends` uint8, all flat (S * num_rows, ...), to be read at the indices
    `locate` gives; `dtypes` of a row's fields; `stack_size`, the frames in an observation.
    """

    def __init__(
        self,
        num_seeds: int,
        num_rows: int,
        observation_spec: ObservationSpec,
        action_spec: ActionSpec,
        frames: Frames | None = None,
    ) -> None:
        self.num_rows = num_rows
        self.dtypes = row_dtypes(observation_spec, action_spec)
        self._shape, self.stack_size = observation_spec.shape, observation_spec.stack_size
        self._back = np.arange(self.stack_size)[::-1]  # frames before the newest, oldest first
        self.cursors = np.full(num_seeds, -1, np.int64)
        self._offsets = np.arange(num_seeds) * num_rows
        self._blank = num_seeds * num_rows  # one more row, always zero, pads young stacks
        if frames is None:
            frames = np.zeros(self._blank + 1, self.dtypes["frames"]).reshape(self._blank + 1, -1)
        self._frames: Any = frames
        self.actions, self.rewards, self.ages, self.ends = (
            np.zeros(self._blank, self.dtypes[name]) for name in ROW_FIELDS[1:]
        )

    @property
    def is_in_memory(self) -> bool:
        """Whether frames lie beside the other fields."""
        return isinstance(self._frames, np.ndarray)

    @property
    def num_seeds(self) -> int:
        """S."""
        return len(self.cursors)

    @property
    def filled(self) -> int:
        """Rows held by the seed that holds most."""
        return min(int(self.cursors.max()) + 1, self.num_rows)

    def start(self, frames: np.ndarray) -> None:
        """Makes `frames` (S, *frame_shape) current, the first of their episodes."""
        self._write(slice(None), frames, 0)

    def append(
        self, actions: np.ndarray, rewards: np.ndarray, ends: np.ndarray, next_frames: np.ndarray
    ) -> None:
        """Stores one transition per seed; arguments as in `ReplayBuffer.add`, what `ends` above."""
        here = self._offsets + self.cursors % self.num_rows  # (S,)
        self.actions[here] = actions
        self.rewards[here] = rewards
        self.ends[here] = ends
        self._write(slice(None), next_frames, self.ages[here] + 1)

    def restart(self, ended: np.ndarray, frames: np.ndarray) -> None:
        """Begins an episode with `frames` (S, *frame_shape) where one has `ended`, (S,) bool."""
        self.ends[(self._offsets + self.cursors % self.num_rows)[ended]] = FINAL
        self._write(ended, frames[ended], 0)

    def _write(self, seeds: slice | np.ndarray, frames: np.ndarray, ages: np.ndarray | int) -> None:
        """Moves the cursors of `seeds` on by one row and fills it."""
        self.cursors[seeds] += 1
        here = self._offsets[seeds] + self.cursors[seeds] % self.num_rows
        self._frames[here] = frames.reshape(len(here), -1)
        self.ages[here] = ages

    def locate(self, positions: np.ndarray) -> np.ndarray:
        """Flat indices of `positions` (..., S, B)."""
        return positions % self.num_rows + self._offsets[:, None]

    def candidates(self, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions [low, high), each (S,), between which every transition starts.

        A transition is complete when `horizon` further rows are stored or its episode is over, so
        only the current episode's last rows are kept out.
        """
        low = np.maximum(self.cursors - self.num_rows + 1, 0)
        current = self.cursors - self.ages[self._offsets + self.cursors % self.num_rows]
        return low, np.maximum(self.cursors - horizon + 1, current)

    def unusable(self, positions: np.ndarray, low: np.ndarray) -> np.ndarray:
        """Which candidates (S, B) start no transition or have lost frames of their stack."""
        index = self.locate(positions)
        older_frames = np.minimum(self.ages.take(index), self.stack_size - 1)
        return (self.ends.take(index) == FINAL) | (positions - low[:, None] < older_frames)

    def observations(self, positions: np.ndarray, ages: np.ndarray) -> np.ndarray:
        """Observations (..., S, B, *shape) at `positions` (..., S, B) of these `ages`."""
        index = (positions[..., None] - self._back) % self.num_rows + self._offsets[:, None, None]
        np.putmask(index, self._back > ages[..., None], self._blank)
        return self._frames.take(index, axis=0).reshape(*positions.shape, *self._shape)

    def get_state(self) -> list[State]:
        """Of each seed: its cursor, a copy of its newest row's frame and age, and its other rows.

        The newest row still lacks action, reward and end; the others never change again.
        """
        cursors = enumerate(self.cursors.tolist())
        return [state_of(self.fields_of(seed), self.num_rows, own) for seed, own in cursors]

    def set_state(self, states: Sequence[State]) -> None:
        """Takes over what `get_state` gave.

        Raises:
          ConfigError: a field has another shape or dtype.
        """
        for seed, state in enumerate(states):
            self.cursors[seed] = fill(self.fields_of(seed), state)

    def fields_of(self, seed: int) -> dict[str, np.ndarray]:
        """Views (num_rows, ...) of every field of one seed."""
        flat = (self._frames, self.actions, self.rewards, self.ages, self.ends)
        own = slice(seed * self.num_rows, (seed + 1) * self.num_rows)
        return {
            name: array[own].reshape(self.num_rows, *self.dtypes[name].shape)
            for name, array in zip(ROW_FIELDS, flat, strict=True)
        }


def state_of(fields: Fields, num_rows: int, cursor: int) -> State:
    """What `FrameRing.get_state` says of one seed, of whose slots the filled ones are given."""
    last = max(cursor, 0)
    here = last % num_rows
    return {
        "cursor": np.array(cursor, np.int64),
        "frame": fields["frames"][here].copy(),
        "age": fields["ages"][here].copy(),
        "rows": Rows(
            first=max(cursor - num_rows + 1, 0),
            last=last,
            capacity=num_rows,
            row_bytes=sum(x[0].nbytes for x in fields.values()),
            pieces=partial(_pieces, fields, last),
        ),
    }


def _pieces(fields: Fields, last: int, start: int) -> Iterator[Piece]:
    """Views of rows `start` to `last` - 1 of a seed, in runs that do not wrap around."""
    num_rows = len(fields["ends"])
    longest = max(_PIECE_BYTES // sum(x[0].nbytes for x in fields.values()), 1)
    while start < last:
        here = start % num_rows
        count = min(last - start, num_rows - here, longest)
        yield start, {name: array[here : here + count] for name, array in fields.items()}
        start += count


def fill(fields: Fields, state: State) -> int:
    """Writes what `state_of` gave of a seed into its slots; its cursor.

    Raises:
      ConfigError: a field has another shape or dtype.
    """
    num_rows, cursor, rows = len(fields["ends"]), int(state["cursor"]), state["rows"]
    newest = {"frames": state["frame"][None], "ages": state["age"][None]}
    _require_fitting(newest, {name: fields[name] for name in newest})
    for first, piece in rows.pieces(rows.first):
        _require_fitting(piece, fields)
        here = first % num_rows
        before_the_end = min(len(piece["ends"]), num_rows - here)
        for name, array in fields.items():
            array[here : here + before_the_end] = piece[name][:before_the_end]
            array[: len(piece[name]) - before_the_end] = piece[name][before_the_end:]
    for name, row in newest.items():
        fields[name][cursor % num_rows] = row[0]
    return cursor


def _require_fitting(given: Fields, own: Fields) -> None:
    forms = [{name: (x.shape[1:], x.dtype) for name, x in each.items()} for each in (given, own)]
    require(forms[0] == forms[1], "replay state: rows", forms[0], str(forms[1]))
