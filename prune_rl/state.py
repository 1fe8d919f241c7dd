"""What a run holds, seed by seed, in the form in which a checkpoint keeps it.

The state of a seed is a nested dict of NumPy arrays, and of `Rows` where it only ever grows. It
says neither how seeds are mapped nor where anything lives. Text and numbers of any structure are
JSON in an array of bytes.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

State = dict[str, Any]  # names to arrays, `Rows` and further such dicts, of one seed
Piece = tuple[int, Mapping[str, np.ndarray]]  # a position, and fields (n, ...) of rows from it on


class Rows(NamedTuple):
    """The newest rows of a sequence to which rows are only ever added, one at a time.

    Attributes:
        first: position of the oldest one held.
        last: one past the newest.
        capacity: a row is overwritten when the one so many positions later is written; the next to
            be written after a state is taken is at `last` + 1.
        row_bytes: memory and disk that one takes.
        pieces: yields the rows from a position on, in order; views, whose rows do not change until
            they are overwritten.
    """

    first: int
    last: int
    capacity: int
    row_bytes: int
    pieces: Callable[[int], Iterator[Piece]]


def per_seed(**parts: Sequence[Any]) -> list[State]:
    """States of S seeds from parts that have S entries each."""
    return [dict(zip(parts, own, strict=True)) for own in zip(*parts.values(), strict=True)]


def part(states: Sequence[State], name: str) -> list[Any]:
    """What each state has under `name`."""
    return [state[name] for state in states]


def flatten(state: State, prefix: str = "") -> dict[str, Any]:
    """Arrays and `Rows` by their path, as 'source/replay/cursor'."""
    flat: dict[str, Any] = {}
    for name, value in state.items():
        inner = isinstance(value, dict)
        flat |= flatten(value, f"{prefix}{name}/") if inner else {prefix + name: value}
    return flat


def unflatten(flat: Mapping[str, Any]) -> State:
    """The inverse of `flatten`."""
    state: State = {}
    for path, value in flat.items():
        *folders, name = path.split("/")
        inner = state
        for folder in folders:
            inner = inner.setdefault(folder, {})
        inner[name] = value
    return state


def json_to_array(value: Any) -> np.ndarray:
    """JSON as (n,) uint8."""
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def array_to_json(array: np.ndarray) -> Any:
    """The inverse of `json_to_array`."""
    return json.loads(array.tobytes())
