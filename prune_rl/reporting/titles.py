"""What a picture of single runs is about: the agents and games of their settings."""

from collections.abc import Sequence

from prune_rl.reporting.arms import read_setup
from prune_rl.reporting.config import read_config
from prune_rl.reporting.runs import Run


def about(runs: Sequence[Run], what: str) -> str:
    """'breakout, dqn (minatar): returns', of `what`, all that differ joined by commas.

    Of runs without settings it is `what` alone, with a capital.

    Raises:
        ConfigError: settings that cannot be understood.
    """
    there = [run.directory for run in runs if (run.directory / "config.gin").is_file()]
    setups = [read_setup(read_config(directory)) for directory in there]
    games = dict.fromkeys(own.game for own in setups)
    agents = dict.fromkeys(f"{x.agent} ({x.torso})" if x.torso else x.agent for x in setups)
    words = ", ".join([*games, *agents])
    return f"{words}: {what}" if words else what.capitalize()
