"""The commands as programs (`prune_rl-train`), each the same as `python -m prune_rl.train`.

A program that pip makes imports nothing from the folder that it is called in; `python -m` does, and
so gin files may `import my_pruning` there.
"""

import os
import runpy
import sys


def train() -> None:
    """`prune_rl-train`."""
    _run("prune_rl.train")


def report() -> None:
    """`prune_rl-report`."""
    _run("prune_rl.report")


def datasets() -> None:
    """`prune_rl-datasets`."""
    _run("prune_rl.datasets")


def sweep() -> None:
    """`prune_rl-sweep`."""
    _run("launch.sweep")


def evaluate() -> None:
    """`prune_rl-evaluate`."""
    _run("prune_rl.evaluate")


def export() -> None:
    """`prune_rl-export`."""
    _run("prune_rl.export")


def _run(module: str) -> None:
    """What `python -m` does: the module ends the process itself."""
    if not sys.flags.safe_path:
        sys.path.insert(0, os.getcwd())
    runpy.run_module(module, run_name="__main__", alter_sys=True)
