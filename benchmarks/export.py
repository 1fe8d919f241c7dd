"""What exported policies weigh and how long they take, beside the dense networks of their size.

Run: python -m benchmarks.export RUN… [--out=results/export/sizes.csv]

One row a run, of its first seed. Times are of one observation on one core: process CPU time, the
median of 15 trials in which the sides take turns in one process. The sides: the network as if it
were dense and the exported policy, by NumPy; the run's own network by JAX, compiled for one
observation; both again by onnxruntime. Observations are of the run's game. `zeros_gzip_bytes` is
what gzip makes of the run's own weights, zeros and all, `gzip_bytes` what it makes of the policy.
"""

import argparse
import csv
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import cores

COLUMNS = (
    *("run", "game", "sparsity", "units", "units_left", "dense_bytes", "bytes", "smaller"),
    *("zeros_gzip_bytes", "gzip_bytes", "numpy_dense_us", "numpy_us", "faster", "jax_dense_us"),
    *("faster_than_jax", "onnx_dense_us", "onnx_us"),
)
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def row_of(directory: Path) -> dict[str, Any]:
    """A row of a run; call it in a process that is pinned to one core from its start."""
    import tempfile

    import numpy as np

    from prune_rl.exporting.about import about
    from prune_rl.exporting.exporter import full_layers, shrunk
    from prune_rl.exporting.files import write_policy
    from prune_rl.exporting.latency import filled, interleaved
    from prune_rl.exporting.layers import units
    from prune_rl.exporting.numpy_policy import WEIGHTS, load_policy
    from prune_rl.exporting.onnx_model import FILE, OnnxPolicy, write_onnx
    from prune_rl.exporting.playing import game_of, observations_of
    from prune_rl.loading import load_run

    run = load_run(directory)
    full = full_layers(run)
    small, said = shrunk(run, full), about(run)
    with tempfile.TemporaryDirectory() as name:
        sizes, calls = [], []
        folders = [Path(name) / x for x in ("dense", "own")]
        for folder, layers in zip(folders, (filled(full), small), strict=True):
            sizes.append(write_policy(folder, layers, said))
            write_onnx(folder / FILE, layers, said)
            calls += [load_policy(folder).act, _of_batches(OnnxPolicy(folder / FILE))]
        stored = (folders[1] / WEIGHTS).read_bytes()
        zipped = [len(gzip.compress(data)) for data in (_zeros_and_all(full), stored)]
        own = calls[2]
        seen = observations_of(game_of(run), run.max_steps_per_episode, own, 200)
        observations = np.concatenate(list(seen))
        times = interleaved([*calls, run.act], observations)
    dense, onnx_dense, mine, onnx, jax_dense = (round(x, 1) for x in times)
    left = [sum(units(layers)) for layers in (full, small)]
    values = (
        *(directory.name, run.game, round(run.sparsity, 3), *left, *sizes),
        *(round(sizes[0] / sizes[1], 1), *zipped, dense, mine, round(dense / mine, 2)),
        *(jax_dense, round(jax_dense / mine, 2), onnx_dense, onnx),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _zeros_and_all(layers: Any) -> bytes:
    return b"".join(array.tobytes() for layer in layers for array in layer.arrays.values())


def _of_batches(policy: Any) -> Any:
    return lambda observation: policy.act(observation[None])


def measured(directory: Path) -> dict[str, Any]:
    """`row_of` in a process of its own, on the last core."""
    code = "from benchmarks import export; export.print_row()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(directory)],
        stdout=subprocess.PIPE,
        check=True,
        env=os.environ | dict.fromkeys(_THREADS, "1"),
    )
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def print_row() -> None:
    """What `measured` runs."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cores()[-1]})
    print(json.dumps(row_of(Path(sys.argv[1]))))


def main() -> None:
    """Prints a line for each run, and writes --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path)
    flags = parser.parse_args()
    rows = []
    for directory in flags.runs:
        rows.append(measured(directory))
        print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    if flags.out:
        flags.out.parent.mkdir(parents=True, exist_ok=True)
        with flags.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
