"""The stream of a `numpy.random.RandomState` as arrays."""

import numpy as np

from prune_rl.environments.base import require_names
from prune_rl.state import State

_KEY_WORDS = 624


def to_arrays(stream: np.random.RandomState) -> State:
    """Where `stream` is: of the Mersenne twister (624,) uint32 words and how many are used up."""
    state = stream.get_state(legacy=False)
    return {
        "key": np.array(state["state"]["key"], np.uint32),
        "position": np.int64(state["state"]["pos"]),
        "has_gauss": np.int64(state["has_gauss"]),
        "gauss": np.float64(state["gauss"]),
    }


def restore(stream: np.random.RandomState, state: State) -> None:
    """Puts `stream` itself, which others may share, where `to_arrays` found one.

    Raises:
        ValueError: that is no state of such a stream.
    """
    require_names(state, ("key", "position", "has_gauss", "gauss"), "a stream of random numbers")
    key, position = np.asarray(state["key"]), int(state["position"])
    # NumPy would read past the words' end.
    if (key.shape, key.dtype) != ((_KEY_WORDS,), np.uint32) or not 0 <= position <= _KEY_WORDS:
        raise ValueError(
            f"state of a stream of random numbers: {key.dtype} {key.shape} at {position}, "
            f"expected uint32 ({_KEY_WORDS},) at 0 to {_KEY_WORDS}"
        )
    stream.set_state(
        {
            "bit_generator": "MT19937",
            "state": {"key": key, "pos": position},
            "has_gauss": int(state["has_gauss"]),
            "gauss": float(state["gauss"]),
        }
    )
