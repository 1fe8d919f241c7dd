"""Streams of random numbers, one per seed, as arrays that a checkpoint can hold."""

import numpy as np

Streams = list[np.random.Generator]  # one per seed

_MASK = (1 << 32) - 1


def streams_to_words(streams: Streams) -> np.ndarray:
    """(S, 10) uint32: state and increment (four words each), spare half-draw (flag, value).

    32-bit words, because JAX without x64 would cut longer ones on the way through a checkpoint.
    """
    return np.array([_words(stream) for stream in streams], np.uint32)


def words_to_streams(words: np.ndarray, streams: Streams) -> None:
    """Sets `streams` to the state that `streams_to_words` read."""
    for row, stream in zip(words.tolist(), streams, strict=True):
        stream.bit_generator.state = {
            "bit_generator": "PCG64",
            "state": {"state": _join(row[:4]), "inc": _join(row[4:8])},
            "has_uint32": row[8],
            "uinteger": row[9],
        }


def _words(stream: np.random.Generator) -> list[int]:
    state = stream.bit_generator.state
    wide = (state["state"]["state"], state["state"]["inc"])
    words = [number >> shift & _MASK for number in wide for shift in (0, 32, 64, 96)]
    return [*words, state["has_uint32"], state["uinteger"]]


def _join(words: list[int]) -> int:
    return sum(word << 32 * i for i, word in enumerate(words))
