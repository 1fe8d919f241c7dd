"""The flags of --backend=slurm, and what they are to sbatch."""

import argparse
import os
import shlex
from typing import Any

from launch.process import ROOT
from prune_rl.errors import ConfigError

_NEEDED = 90  # seconds: Slurm may warn a minute early, and a job takes some to start
_WORDS = {  # of what sbatch complains, and the flag
    "account": "account",
    "partition": "partition",
    "time limit": "time",
    "gres": "gres",
    "memory": "mem_gib",
    "cpu": "cpus_per_task",
    "node configuration": "cpus_per_task",
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of --backend=slurm."""
    group = parser.add_argument_group("--backend=slurm")
    group.add_argument("--partition", help="of the cluster; its default if not given")
    group.add_argument("--account", help="that pays for the jobs")
    group.add_argument(
        "--time",
        type=int,
        default=1_440,
        metavar="MINUTES",
        help="of a job; one that needs longer saves and is requeued (default: %(default)s)",
    )
    group.add_argument(
        "--warning",
        type=int,
        default=120,
        metavar="SECONDS",
        help="before --time is over, to save in (default: %(default)s)",
    )
    group.add_argument("--gres", help="generic resources of a job, as gpu:1")
    group.add_argument("--cpus_per_task", type=int, default=1, help="(default: %(default)s)")
    group.add_argument("--mem_gib", type=float, help="of a job; the partition's if not given")
    text = "jobs at once, of each thousand (default: %(default)s)"
    group.add_argument("--max_parallel", type=int, default=256, help=text)


def _require_sound(flags: argparse.Namespace) -> None:
    needed = -(-(flags.warning + _NEEDED) // 60)
    if flags.time < needed:
        expected = f"expected {needed} minutes at least with --warning={flags.warning}"
        raise ConfigError(f"--time={flags.time}: {expected}, which training needs to save")
    for name in ("warning", "cpus_per_task", "max_parallel"):
        if getattr(flags, name) < 1:
            raise ConfigError(f"--{name}={getattr(flags, name)}: expected a whole number from 1")
    if flags.mem_gib is not None and not 0 < flags.mem_gib < float("inf"):
        raise ConfigError(f"--mem_gib={flags.mem_gib:g}: expected a number above 0")


def parameters(flags: argparse.Namespace) -> dict[str, Any]:
    """Of submitit's maker of sbatch scripts.

    Raises:
        ConfigError: a flag is wrong.
    """
    _require_sound(flags)
    return {
        "job_name": "prune_rl",
        "partition": flags.partition,
        "account": flags.account,
        "time": flags.time,
        "gres": flags.gres,
        "cpus_per_task": flags.cpus_per_task,
        "srun_args": ["--cpus-per-task", str(flags.cpus_per_task)],  # not handed on since 22.05
        "mem": flags.mem_gib and f"{round(flags.mem_gib * 1024)}M",
        "array_parallelism": flags.max_parallel,
        "setup": [
            f"export PYTHONPATH={shlex.quote(str(ROOT))}${{PYTHONPATH:+:$PYTHONPATH}}",
            "export SUBMITIT_PREEMPT_SIGNAL=USR1",  # USR2 would end a training: all get it
        ],
        "additional_parameters": {
            "chdir": os.getcwd(),
            "requeue": True,
            "signal": f"USR1@{flags.warning}",
        },
    }


def blamed(message: str) -> str:
    """The flag that sbatch complains about."""
    small = message.casefold()
    found = [flag for word, flag in _WORDS.items() if word in small]
    return f"--{found[0]}" if found else "--backend=slurm"
