"""How long exported policies take for one observation on one core, beside each other.

    python -m prune_rl.exporting.latency OBSERVATIONS.npy POLICY POLICY…

Prints JSON: microseconds of each, process CPU time, the median of trials that take turns. A process
of its own, for a BLAS that has started its threads keeps them.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from prune_rl.exporting.layers import LINEAR, Layer
from prune_rl.exporting.numpy_policy import load_policy

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_TRIALS, _SECONDS = 15, 0.05  # of a trial, about


def latencies(observations: Path, policies: Sequence[Path]) -> list[float]:
    """Microseconds of each policy for one of the observations (n, *observation), a .npy file.

    Raises:
        ChildProcessError: the process that measures has failed.
    """
    command = [sys.executable, "-m", __name__, str(observations), *map(str, policies)]
    single = dict.fromkeys(_THREADS, "1")
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | single)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        what = f"measuring the policy's speed ended with {done.returncode}"
        raise ChildProcessError(f"{what}: {said[-1]}")
    measured: list[float] = json.loads(done.stdout)
    return measured


def filled(layers: Sequence[Layer]) -> list[Layer]:
    """The same network with no weight zero: what it would be, were it dense."""
    return [
        replace(x, arrays={name: _filled(own) for name, own in x.arrays.items()})
        if x.kind in LINEAR
        else x
        for x in layers
    ]


def _filled(array: np.ndarray) -> np.ndarray:
    return np.where(array == 0, array.dtype.type(1e-3), array)


def interleaved(calls: Sequence[Callable[[np.ndarray], Any]], observations: Any) -> list[float]:
    """Microseconds of each call for one observation; what they do first is not counted."""
    counts = []
    for call in calls:
        call(observations[0])
        once = max(_trial(call, observations, 3), 1e-7)
        counts.append(max(3, round(_SECONDS / once)))
    pairs = list(zip(calls, counts, strict=True))
    trials = [[_trial(call, observations, count) for call, count in pairs] for _ in range(_TRIALS)]
    return [1e6 * float(x) for x in np.median(trials, axis=0)]


def _trial(call: Callable[[np.ndarray], Any], observations: Any, count: int) -> float:
    began = time.process_time()
    for i in range(count):
        call(observations[i % len(observations)])
    return (time.process_time() - began) / count


def one_core() -> None:
    """Keeps this process on the last of the cores that it may use, where the system knows how."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


if __name__ == "__main__":
    one_core()
    calls = [load_policy(folder).act for folder in sys.argv[2:]]
    print(json.dumps(interleaved(calls, np.load(sys.argv[1], allow_pickle=False))))
