"""The process that `wandb_sink` feeds: reads lines of JSON, logs them, says once what failed.

They are in a file that grows: the first tells of the runs, each other is a row of one seed. When
standard input ends, for the training has closed it or is gone, the file is whole: what is left of
it is logged, and the runs are ended.
"""

import contextlib
import json
import os
import select
import sys
from collections.abc import Iterator
from typing import Any

from prune_rl.errors import first_line

_INIT_SECONDS = 60.0
_FINISH_SECONDS = 600.0  # what is not sent by then is on disk
_LOOK_SECONDS = 0.2  # between looks at the file
_PART = 1 << 20  # bytes that are read at once


def main(file: int) -> int:
    """Returns the exit code: 1 if nothing is tracked any more."""
    lines = _read_lines(file, 0)
    about = json.loads(next(lines))
    try:
        runs = _begin(about)
        for line in lines:
            row = json.loads(line)
            runs[row["seed"]].log(row["values"] | {about["clock"]: row["steps"]})
        for run in runs.values():
            run.finish()
    except Exception as error:
        say(f"{first_line(error)}; the training goes on without")
        return 1
    return 0


def _read_lines(file: int, end: int) -> Iterator[bytes]:
    """Those of a growing file, until there is something to read, or an end, at `end`.

    Half a line at its end is left out: who wrote it was killed, or had no room for the rest.
    """
    place, rest, whole = 0, b"", False
    while not whole:
        whole = bool(select.select([end], [], [], _LOOK_SECONDS)[0])
        while part := os.pread(file, _PART, place):  # the training's own place stays as it is
            place += len(part)
            *lines, rest = (rest + part).split(b"\n")
            yield from lines


def _begin(about: dict[str, Any]) -> dict[int, Any]:
    """Their runs by seed: online if that is possible and WANDB_MODE does not say otherwise."""
    import wandb

    kept = f"{about['directory']}/wandb; `wandb sync` sends it"
    try:
        runs = _init_all(about, None)
    except wandb.Error as error:
        wandb.teardown()
        say(f"{first_line(error)}; kept offline in {kept}")
        return _init_all(about, "offline")
    first = next(iter(runs.values()))
    if not first.disabled:
        say(f"offline, kept in {kept}" if first.offline else f"shown at {first.url}")
    return runs


def _init_all(about: dict[str, Any], mode: Any) -> dict[int, Any]:
    """`mode`: None for what WANDB_MODE says."""
    import wandb

    runs = {}
    for own in about["runs"]:
        settings = wandb.Settings(
            silent=True,
            console="off",
            init_timeout=_INIT_SECONDS,
            finish_timeout=_FINISH_SECONDS,
        )
        run = wandb.init(
            id=own["id"],
            name=own["name"],
            group=about["group"],
            project=about["project"],
            dir=about["directory"],
            config=about["config"] | {"seed": own["seed"]},
            tags=about["tags"],
            mode=mode,
            resume="allow",
            reinit="create_new",
            settings=settings,
        )
        run.define_metric(about["clock"])
        run.define_metric("*", step_metric=about["clock"])
        runs[own["seed"]] = run
    return runs


def say(what: str) -> None:
    """A line on stderr, if anybody still reads that."""
    with contextlib.suppress(OSError):
        print(f"prune_rl.train: --track=wandb: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
