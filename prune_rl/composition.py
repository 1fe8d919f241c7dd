"""From gin files and bindings to a run that is about to begin; nothing is written."""

import re
from collections.abc import Sequence
from pathlib import Path

from prune_rl import configuration
from prune_rl.errors import ConfigError, first_line
from prune_rl.experiment import create_runner
from prune_rl.runner import Runner


def compose(
    base_dir: str | Path,
    gin_files: Sequence[str],
    gin_bindings: Sequence[str],
    typed: Sequence[str],
) -> Runner:
    """The run that they describe, to be written to `base_dir`.

    Args:
        base_dir: the run directory.
        gin_files: by path or shipped name; later ones win.
        gin_bindings: applied after the files.
        typed: those of the bindings that the run has to use.

    Raises:
        ConfigError: they describe none, or a binding was typed for nothing.
    """
    configuration.load(gin_files, gin_bindings)
    try:
        runner = create_runner(base_dir)
    except TypeError as error:
        if not re.search("required (positional|keyword-only) argument", str(error)):
            raise
        advice = "bind a function without (), as @OnlineSource"
        raise ConfigError(f"{first_line(error)}; {advice}") from error
    configuration.check_bindings_are_used(typed)
    return runner
