"""Measures the pace of a run on this machine: it trains for a moment, and that is forgotten."""

import ctypes
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import jax
import psutil

from prune_rl.parts import Parts
from prune_rl.price import MIB, Pace, Size, Work

_SHARE = 100  # a run is rehearsed for one part in so many of its own time
_MOST_PLAYS = 16  # beside a gradient step
_IN_FLIGHT = 8  # actions that the device may be behind
_LATER = 64 * MIB  # of RAM: what logging and drawing take


class Peaks(NamedTuple):
    """Bytes of RAM that this process took at most, its replay all but empty."""

    compiling: int
    training: int


def rehearse(parts: Parts, work: Work, *, seconds: float, save: float) -> tuple[Pace, Peaks]:
    """Measures for about so many `seconds` once all is compiled, less for a short run.

    Leaves the trainer anywhere: what it is to do must be restored.

    Args:
        parts: of a run that stands at its first step.
        work: of that run.
        seconds: the longest.
        save: what the first checkpoint took.
    """
    trainer = parts.trainer
    meter = _Meter(lambda: jax.block_until_ready(trainer.agent_state))
    updates, plays = _rhythm(parts, work)

    def play() -> None:
        trainer.burst(0, 1)

    def both() -> None:
        trainer.burst(updates, plays)

    def pace(one: float, together: float) -> Pace:
        step = one / trainer.rounds_at_once
        rest = together / trainer.rounds_at_once - plays * step
        return Pace(step, max(rest, 0.0) / updates if updates else 0.0, save=save)

    for _ in range(parts.policy.agent.update_horizon + 1):  # then there is a batch to draw
        play()
    both()  # compiles
    compiling = _peak_ram()
    _forget_peak()
    rough = pace(meter.mean(play), meter.mean(both))
    foreseen = work.seconds(rough._replace(evaluation_step=rough.step))
    budget = min(seconds, foreseen / _SHARE)
    own = pace(meter.mean(play, budget / 4), meter.mean(both, budget / 2))
    if work.evaluations:
        begun, step = _evaluation(parts, meter, budget / 4)
        own = own._replace(evaluation=begun, evaluation_step=step)
    return own._replace(measuring=meter.seconds), Peaks(compiling, _peak_ram())


def _rhythm(parts: Parts, work: Work) -> tuple[int, int]:
    """Gradient steps, none if none is due, and agent steps that alternate in the run."""
    nominal = parts.source.nominal_gradient_steps(work.steps)
    plays = min(work.steps // max(nominal, 1), _MOST_PLAYS)
    return max(nominal // work.steps, 1) if work.updates else 0, max(plays, 1)


def _evaluation(parts: Parts, meter: "_Meter", budget: float) -> tuple[float, float]:
    """Seconds to begin one, and of an agent step of it."""
    begin = time.monotonic()
    with closing(parts.new_evaluation(0, parts.trainer.agent_state.params)) as evaluation:
        evaluation.start()
        begun = time.monotonic() - begin
        evaluation.step()  # compiles
        return begun, meter.mean(evaluation.step, budget)


class _Meter:
    """Mean seconds of actions.

    Attributes:
        seconds: that were measured in all.
    """

    def __init__(self, wait: Callable[[], object]) -> None:
        self.seconds, self._wait = 0.0, wait
        self._means: dict[Callable[[], object], float] = {}

    def mean(self, action: Callable[[], object], budget: float = 0.0) -> float:
        """Of doing `action` for so long, at least once; as before if once took longer."""
        if self._means.get(action, 0.0) > budget > 0:
            return self._means[action]
        self._wait()
        count, begin, now = 0, time.monotonic(), 0.0
        while count == 0 or now - begin < budget:
            action()
            count += 1
            if count % _IN_FLIGHT == 1:
                self._wait()
            now = time.monotonic()
        self._wait()
        self.seconds += (spent := time.monotonic() - begin)
        self._means[action] = spent / count
        return self._means[action]


def peak_ram(own: Size, peaks: Peaks) -> int:
    """Bytes of RAM that the process takes at most in all of its run."""
    filled = peaks.training + own.replay_bytes + own.saving_bytes + _LATER
    return max(peaks.compiling, filled)


def _peak_ram(status: Path = Path("/proc/self/status")) -> int:
    """By now. Not `getrusage`, which counts what the process was forked from."""
    try:
        (own,) = [x for x in status.read_text().splitlines() if x.startswith("VmHWM:")]
        return 1024 * int(own.split()[1])
    except (OSError, ValueError):  # not Linux
        return int(psutil.Process().memory_info().rss)


def _forget_peak(clear_refs: Path = Path("/proc/self/clear_refs")) -> None:
    """Gives back what compiling took, and lets the peak be that from now on, where Linux can."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
        clear_refs.write_text("5")


def peak_device() -> int | None:
    """Bytes of device memory taken at most by now; None where the device is the CPU."""
    stats: Mapping[str, int] | None = jax.devices()[0].memory_stats()
    return stats.get("peak_bytes_in_use") if stats else None
