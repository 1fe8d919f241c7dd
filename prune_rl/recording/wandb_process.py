"""The process that `wandb_sink` feeds: reads lines of JSON, logs them, says once what failed.

The first line tells of the runs, each other is a row of one seed; at the end of the input it ends
the runs. It knows nothing of the training, and ends by itself when that is gone.
"""

import json
import sys
from typing import Any, TextIO

from prune_rl.errors import first_line

_INIT_SECONDS = 60.0
_FINISH_SECONDS = 600.0  # what is not sent by then is on disk


def main(stream: TextIO) -> int:
    """Returns the exit code: 1 if nothing is tracked any more."""
    about = json.loads(stream.readline())
    try:
        runs = _begin(about)
        for line in stream:
            row = json.loads(line)
            runs[row["seed"]].log(row["values"] | {about["clock"]: row["steps"]})
        for run in runs.values():
            run.finish()
    except Exception as error:
        say(f"{first_line(error)}; the training goes on without")
        return 1
    return 0


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
    """A line on stderr."""
    print(f"prune_rl.train: --track=wandb: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.stdin))
