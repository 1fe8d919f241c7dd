"""Agents without gin files: `prune_rl.build_agent` and `prune_rl.train`.

Both take a dict of settings (`python_settings`), and leave gin as they found it.
"""

import re
import threading
from contextlib import ExitStack
from pathlib import Path

import gin

from prune_rl import configuration, gin_state
from prune_rl.command_line import parser
from prune_rl.errors import ConfigError, path_of
from prune_rl.learning.agent import Agent
from prune_rl.python_settings import Settings, composition, told_in_python
from prune_rl.results import Results, read_results
from prune_rl.signals import INTERRUPTED, Stopped, StopSignals
from prune_rl.train import create_runner

_OF_EVERY_RUN = ("create_optimizer", "create_updater_from_config", "ReplayBuffer")


def build_agent(settings: Settings) -> Agent:
    """The agent that the settings describe: its hyper-parameters and its algorithm.

    `agent.learner(observation_spec, action_spec, optimizers)` makes of it the functions that act
    and learn, with a pruned optimizer for each of `agent.networks` (`prune_rl.prune`).

    Args:
        settings: see `python_settings`; 'gin_files' must name an agent's.

    Raises:
        ConfigError: a setting is wrong, there is no agent in them, or one is not the agent's;
            `train` alone has a use for those of optimizers and pruners.
    """
    files, bindings = composition(settings)
    with gin_state.kept(), told_in_python(bindings):
        configuration.load(files, list(bindings.values()))
        agent = gin.get_bindings("Runner").get("agent")
        if not isinstance(agent, Agent):
            raise ConfigError("settings: no agent; add 'agents/dqn.gin' to gin_files")
        idle = configuration.unused_bindings(list(bindings.values()))
        own = [name for name, x in bindings.items() if x in idle and "Runner." not in name]
        if own:
            problem = f"no setting of {type(agent).__name__} or its torso"
            user = "prune_rl.train" if _is_for_training(own[0]) else "nothing here"
            raise ConfigError(f"settings[{own[0]!r}]: {problem}; {user} uses it")
    return agent


def _is_for_training(name: str) -> bool:
    """Whether a setting, none of the agent's, is of what a run has or the files refer to."""
    owner = re.split("[./]", name.rpartition(".")[0])[-1]
    named = owner and re.search(rf"@(?:[\w.]+[/.])*{owner}\b", gin.config_str())
    return owner in _OF_EVERY_RUN or bool(named)


def train(settings: Settings, base_dir: str | Path) -> Results:
    """Trains in this process what the settings describe, as `python -m prune_rl.train` does.

    The run directory is the same to the byte (metrics.jsonl, checkpoints), and either resumes
    the other's run: the same call again goes on where it stopped. It draws on the terminal how
    far it is; within, no other thread may use gin. The memory allocator stays as it is
    (`--no_malloc_settings`); compiled programs are kept as the command keeps them.

    Args:
        settings: see `python_settings`.
        base_dir: the run directory, made if missing.

    Returns:
        What the run has recorded, all of its iterations.

    Raises:
        ConfigError: a setting or the directory is wrong, and nothing was written.
        KeyboardInterrupt: the first Ctrl-C, or interrupt of a notebook: the run is saved.
            At the second it is left at its last checkpoint.
        RunEnded: a game raised, SIGTERM or SIGUSR1 came, or no seed is finite; saved.
    """
    files, bindings = composition(settings)
    base_dir = path_of("base_dir", base_dir)
    flags = [f"--gin_files={x}" for x in files]
    flags += [f"--gin_bindings={x}" for x in bindings.values()]
    given = parser().parse_args(["--no_malloc_settings", *flags])
    with ExitStack() as stack:
        stack.enter_context(gin_state.kept())
        stack.enter_context(told_in_python(bindings))
        stop = StopSignals()
        if threading.current_thread() is threading.main_thread():  # no other gets signals
            stack.enter_context(stop)
        try:
            with stop.raising("nothing was begun"):
                runner = create_runner(given, base_dir)
            runner.run(stop)
        except Stopped as stopped:
            if stopped.exit_code == INTERRUPTED:
                line = str(stopped).replace("the same command", "the same call")
                raise KeyboardInterrupt(line) from None
            raise
    return read_results(base_dir)
