"""A replay's states as plain arrays, whatever the rows come from."""

import numpy as np

from prune_rl.specs import FINAL


def rows_of(state):
    """Each field of its complete rows, (n, ...), oldest first."""
    rows = state["rows"]
    pieces, position = [], rows.first
    for first, fields in rows.pieces(rows.first):
        assert first == position
        pieces.append({name: np.array(x) for name, x in fields.items()})
        position += len(fields["ends"])
    assert position == rows.last
    return {name: np.concatenate([x[name] for x in pieces]) for name in (pieces or [{}])[0]}


def in_slots(state):
    """The frames that a seed holds, (filled, *frame_shape), as they lie in its ring."""
    rows, newest = state["rows"], int(state["cursor"])
    assert rows.last == newest
    frames = np.concatenate([rows_of(state).get("frames", state["frame"][:0]), [state["frame"]]])
    return frames[np.argsort(np.arange(rows.first, newest + 1) % rows.capacity)]


def copied(states):
    """The same in memory of its own."""
    return [_copied(state) for state in states]


def _copied(state):
    arrays = {name: np.array(x) for name, x in state.items() if name != "rows"}
    rows, fields = state["rows"], rows_of(state)

    def pieces(start):
        for first in range(start, rows.last, 3):
            own = slice(first - rows.first, min(first + 3, rows.last) - rows.first)
            yield first, {name: x[own] for name, x in fields.items()}

    return arrays | {"rows": rows._replace(pieces=pieces)}


def assert_same(states, others):
    """Bit for bit; a final row has no action and no reward, but what lay in its slot before."""
    for state, other in zip(states, others, strict=True):
        assert state.keys() == other.keys()
        for name in state.keys() - {"rows"}:
            np.testing.assert_array_equal(state[name], other[name])
            assert np.asarray(state[name]).dtype == np.asarray(other[name]).dtype
        assert state["rows"][:3] == other["rows"][:3]
        mine, theirs = rows_of(state), rows_of(other)
        assert mine.keys() == theirs.keys()
        for name, values in mine.items():
            given = slice(None) if name in ("frames", "ages", "ends") else mine["ends"] != FINAL
            np.testing.assert_array_equal(values[given], theirs[name][given])
