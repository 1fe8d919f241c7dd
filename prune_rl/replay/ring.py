"""Single frames of S seeds in S rings, each frame stored once.

A row is one frame with the action and reward that followed it. The newest row of a seed (its
cursor) holds the current observation, still without an action. An episode of T transitions takes
T + 1 rows: its true last observation has a row of its own, marked FINAL, so that the last
reward is kept and a truncated episode can bootstrap.

Rows are addressed by position, the number of rows the seed had written before. Position p lies
in slot p % num_rows, so a ring keeps the newest num_rows positions.
"""

import numpy as np

# What became of the episode in the transition that starts at a row.
GOES_ON, TERMINATED, TRUNCATED, FINAL = 0, 1, 2, 3  # FINAL: no transition starts here

_FIELD_DTYPES = {"actions": np.int32, "rewards": np.float32, "ages": np.int32, "ends": np.uint8}

ROW_FIELDS = ("frames", *_FIELD_DTYPES)


def bytes_per_row(frame_shape: tuple[int, ...]) -> int:
    """Memory of one row: its uint8 frame and the other fields."""
    return int(np.prod(frame_shape)) + sum(np.dtype(d).itemsize for d in _FIELD_DTYPES.values())


class FrameRing:
    """Rows of S seeds; memory is taken by the operating system only as rows are first written.

    Attributes: `actions` int32, `rewards` float32, `ages` int32 (rows since the episode's first)
    and `ends` uint8, all flat (S * num_rows,), to be read at the indices `locate` gives.
    """

    def __init__(self, num_seeds: int, num_rows: int, frame_shape: tuple[int, int, int]) -> None:
        self.num_rows = num_rows
        self.frame_shape = frame_shape
        self.cursors = np.full(num_seeds, -1, np.int64)
        self._offsets = np.arange(num_seeds) * num_rows
        self._blank = num_seeds * num_rows  # one more row, always zero, pads young stacks
        self._frames = np.zeros((self._blank + 1, int(np.prod(frame_shape))), np.uint8)
        self.actions, self.rewards, self.ages, self.ends = (
            np.zeros(self._blank, dtype) for dtype in _FIELD_DTYPES.values()
        )

    @property
    def num_seeds(self) -> int:
        """S."""
        return len(self.cursors)

    @property
    def filled(self) -> int:
        """Rows held by the seed that holds most."""
        return min(int(self.cursors.max()) + 1, self.num_rows)

    def start(self, frames: np.ndarray) -> None:
        """Makes `frames` (S, H, W, C) uint8 the current observation, first of its episode."""
        self._write(slice(None), frames, 0)

    def append(
        self,
        *,
        actions: np.ndarray,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        next_frames: np.ndarray,
        frames: np.ndarray,
    ) -> None:
        """Stores one transition per seed; arguments as in `ReplayBuffer.add`."""
        here = self._offsets + self.cursors % self.num_rows  # (S,)
        self.actions[here] = actions
        self.rewards[here] = rewards
        self.ends[here] = np.where(terminated, TERMINATED, truncated * np.uint8(TRUNCATED))
        there = self._write(slice(None), next_frames, self.ages[here] + 1)
        ended = terminated | truncated
        if np.count_nonzero(ended):
            self.ends[there[ended]] = FINAL
            self._write(ended, frames[ended], 0)

    def _write(
        self, seeds: slice | np.ndarray, frames: np.ndarray, ages: np.ndarray | int
    ) -> np.ndarray:
        """Moves the cursors of `seeds` on by one row, fills it, returns its flat index."""
        self.cursors[seeds] += 1
        here = self._offsets[seeds] + self.cursors[seeds] % self.num_rows
        self._frames[here] = frames.reshape(len(here), -1)
        self.ages[here] = ages
        return here

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

    def unusable(self, positions: np.ndarray, low: np.ndarray, stack_size: int) -> np.ndarray:
        """Which candidates (S, B) start no transition or have lost frames of their stack."""
        index = self.locate(positions)
        older_frames = np.minimum(self.ages.take(index), stack_size - 1)
        return (self.ends.take(index) == FINAL) | (positions - low[:, None] < older_frames)

    def stacks(self, positions: np.ndarray, ages: np.ndarray, stack_size: int) -> np.ndarray:
        """Observations (..., S, B, stack, H, W, C) at `positions` (..., S, B) of these `ages`."""
        back = np.arange(stack_size)[::-1]  # frames before the newest, oldest first
        index = (positions[..., None] - back) % self.num_rows + self._offsets[:, None, None]
        np.putmask(index, back > ages[..., None], self._blank)
        return self._frames.take(index, axis=0).reshape(*index.shape, *self.frame_shape)

    def get_state(self) -> dict[str, np.ndarray]:
        """Copies of the filled rows, (S, filled, ...) each, and the cursors."""
        fields = {name: array[:, : self.filled].copy() for name, array in self._by_seed().items()}
        return {"cursors": self.cursors.copy(), **fields}

    def state_shapes(self, filled: int) -> dict[str, tuple[int, ...]]:
        """Shapes in a state of `filled` rows that this ring can take over."""
        shapes = dict.fromkeys(ROW_FIELDS, (self.num_seeds, filled))
        return {**shapes, "frames": (self.num_seeds, filled, *self.frame_shape)}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Takes over what `get_state` gave; shapes must fit."""
        for name, array in self._by_seed().items():
            array[:, : state[name].shape[1]] = state[name]
        self.cursors[:] = state["cursors"]

    def _by_seed(self) -> dict[str, np.ndarray]:
        """Views of every field with the seed axis first."""
        rows = (self.num_seeds, self.num_rows)
        fields = {name: getattr(self, name).reshape(rows) for name in _FIELD_DTYPES}
        return {"frames": self._frames[:-1].reshape(*rows, *self.frame_shape), **fields}
