"""Measures what a training takes of this machine: `python -m launch.measure OUT.json FLAGS…`."""

import json
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from prune_rl import dry_run
from prune_rl.command_line import parser
from prune_rl.errors import ConfigError, first_line
from prune_rl.recording import tensor_files
from prune_rl.train import create_runner


def main(argv: Sequence[str]) -> int:
    """Writes the price of the training with those flags of `prune_rl.train`, as JSON.

    That is {"ram_bytes": at its peak, "device_bytes": likewise or null, "seconds": of all}.
    """
    began, out = time.monotonic(), Path(argv[0])
    # So that what it has made is removed.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        flags = parser().parse_args(argv[1:])
        price = dry_run.measure(partial(create_runner, flags), began)
    except ConfigError as error:
        print(f"prune_rl.train: {first_line(error)}", file=sys.stderr)
        return 2
    numbers = {"ram_bytes": price.ram_bytes, "device_bytes": price.device_bytes}
    data = json.dumps(numbers | {"seconds": round(price.seconds, 1)})
    tensor_files.write_bytes(out.parent, out.name, data.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
