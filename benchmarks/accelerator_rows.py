"""What `benchmarks.accelerator` measures, the rows that decide something first."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.rows import BREAKOUT, IMPALA_PONG, PONG

_DEVICE = "Runner.create_source_fn=@DeviceSource"
_PRECISIONS = ("fp32", "bf16", "tf32")
_WAYS = ("vmap", "unroll", "patches")


class Row(NamedTuple):
    """One measurement.

    Attributes:
        name: its own, as 'learn/impala_x3/S=5/vmap/fp32'.
        kind: a key of `accelerator_measures.MEASURES`.
        settings: what that takes.
    """

    name: str
    kind: str
    settings: Mapping[str, Any]


def rows(*, tiny: bool = False) -> list[Row]:
    """All, the most important first, each once; tiny ones, of each kind, show that it runs."""
    if tiny:
        return _tiny()
    plan = [
        *(learn(torso, 5, way) for torso in ("impala_x3", "nature") for way in _WAYS),
        *(learn("impala_x3", 5, "vmap", precision) for precision in _PRECISIONS[1:]),
        device_loop(5),
        device_loop(50),
        *(emulator(seeds) for seeds in (5, 1, 10)),
        *(replay("nature", PONG, 5, on_device) for on_device in (False, True)),
        *(learn(torso, 5, "vmap", "bf16") for torso in ("impala_x5", "impala_x1", "nature")),
        *(learn(torso, 5, "vmap") for torso in ("impala_x1", "impala_x5")),
        *(learn(torso, 1, "unroll") for torso in ("nature", "impala_x3", "impala_x1", "impala_x5")),
        checkpoint(PONG, 5),
        *_rest(),
    ]
    first = {row.name: place for place, row in reversed(list(enumerate(plan)))}
    return [plan[place] for place in sorted(first.values())]


def _rest() -> list[Row]:
    """What is left of torso, seeds, way and precision; a single seed needs no vmap."""
    return [
        learn(torso, seeds, way, precision)
        for precision in _PRECISIONS
        for seeds in (5, 10, 1)
        for torso in ("impala_x3", "nature", "impala_x1", "impala_x5")
        for way in _WAYS
        if (seeds, way) != (1, "vmap")
    ]


def _tiny() -> list[Row]:
    return [
        learn("minatar_x1", 2, "vmap"),
        learn("minatar_x1", 2, "unroll", "bf16"),
        learn("minatar_x1", 1, "patches", "tf32"),
        device_loop(2),
        emulator(2),
        replay("nature", PONG, 2, False),
        replay("nature", PONG, 2, True),
        checkpoint(PONG, 2),
    ]


def learn(torso: str, seeds: int, way: str, precision: str = "fp32") -> Row:
    """Updates of random batches of the host and four actions each, without games or replay.

    `way` is a strategy over seeds, or 'patches': vmap with convolutions as im2col and a batched
    matrix product.
    """
    settings = {"torso": torso, "seeds": seeds, "way": way, "precision": precision}
    return Row(f"learn/{torso}/S={seeds}/{way}/{precision}", "learn", settings)


def device_loop(seeds: int) -> Row:
    """A MinAtar run as one compiled program."""
    settings = {"gin_files": BREAKOUT, "gin_bindings": [_DEVICE], "seeds": seeds}
    return Row(f"device_loop/minatar/S={seeds}", "loop", settings)


def emulator(seeds: int) -> Row:
    """Pong alone, as many threads as seeds."""
    return Row(f"emulator/pong/S={seeds}", "emulator", {"gin_files": IMPALA_PONG, "seeds": seeds})


def replay(torso: str, gin_files: Sequence[str], seeds: int, on_device: bool) -> Row:
    """A Pong run with its replay on the host or on the device."""
    bindings = [f"OnlineSource.replay_on_device={on_device}"]
    settings = {"gin_files": gin_files, "gin_bindings": bindings, "seeds": seeds}
    where = "device" if on_device else "host"
    return Row(f"replay_on_{where}/pong_{torso}/S={seeds}", "loop", settings)


def checkpoint(gin_files: Sequence[str], seeds: int) -> Row:
    """Saving and restoring a Pong run, with a few thousand frames of replay."""
    settings = {"gin_files": gin_files, "seeds": seeds}
    return Row(f"checkpoint/pong/S={seeds}", "checkpoint", settings)
