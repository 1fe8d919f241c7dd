"""Makes a dataset: trains an agent as `prune_rl.train` does, and keeps all that it sees.

Unlike a replay it forgets nothing. Nothing is evaluated or logged, and only the dataset is saved.
Instead of its training, what the agent plays after it can be kept (`collecting`).
"""

import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gin
import numpy as np

from prune_rl import __version__, configuration
from prune_rl.acting.episodes import Episode
from prune_rl.composition import compose
from prune_rl.dataset_tool.collecting import collect
from prune_rl.datasets.recorder import CHECKPOINT_ROWS, Played, Recorder, RunsRecorder
from prune_rl.datasets.staging import staged
from prune_rl.datasets.vector_recorder import WRITERS, vector_recorder
from prune_rl.errors import ConfigError, require, require_choice
from prune_rl.grid import Grid
from prune_rl.recording.progress import RunProgress, say_diverged
from prune_rl.recording.rows import mean_return, sparsity_fields
from prune_rl.runner import Runner
from prune_rl.signals import Stopped, StopSignals
from prune_rl.sources.online import OnlineSource

FORMATS = ("dqn_replay", "rlu", *WRITERS)
_SHOWN_EPISODES = 100  # the newest ones, over all seeds


class Made(NamedTuple):
    """What was written.

    Attributes:
        out: where.
        runs: how many, one for each seed.
        transitions: agent steps of all runs.
        rows: of all runs as the DQN-replay layout counts them, padding included.
        episodes: of all runs, that ended.
        mean_return: of these, unclipped; None if there are none.
        files: how many.
        bytes: of these.
    """

    out: Path
    runs: int
    transitions: int
    rows: int
    episodes: int
    mean_return: float | None
    files: int
    bytes: int

    def __str__(self) -> str:
        """In one line."""
        returned = "-" if self.mean_return is None else f"{self.mean_return:.2f}"
        return (
            f"{self.out}: {self.transitions:,} transitions of {self.runs} "
            f"run{'s' * (self.runs > 1)} in {self.rows:,} rows, {self.episodes:,} episodes of mean "
            f"return {returned}; {self.files:,} files, {self.bytes:,} bytes"
        )


def create_runner(
    base_dir: Path, *, gin_files: Sequence[str], gin_bindings: Sequence[str], agent_steps: int
) -> Runner:
    """The run that plays a dataset: one iteration of `agent_steps`, whatever the files say.

    Raises:
        ConfigError: see `composition.compose`; or they describe many runs.
    """
    configuration.load(gin_files, gin_bindings)
    grid = Grid()
    if grid.axes:
        advice = "a dataset is made by one: name its agent, network and game"
        raise ConfigError(f"--gin_files: a grid of {len(grid):,} trainings; {advice}")
    lengths = {
        "num_iterations": 1,
        "training_steps": agent_steps,
        "evaluation_steps": 0,
        "num_eval_episodes": 0,
    }
    own = [f"Runner.{name}={value}" for name, value in lengths.items()]
    return compose(base_dir, gin_files, [*gin_bindings, *own], gin_bindings)


def make(
    out: Path,
    *,
    format: str,
    agent_steps: int,
    create_runner: Callable[[Path], Runner],
    collect_steps: int | None = None,
    checkpoint_rows: int = CHECKPOINT_ROWS,
) -> Made:
    """Trains for `agent_steps` of each seed and writes the directory `out`, as a whole or not.

    The runs of the dataset, from 1, are those of the seeds in their order.

    Args:
        out: must be empty or missing.
        format: one of `FORMATS`.
        agent_steps: of each seed, at least 1.
        create_runner: called with a directory that it must not write to; its one iteration lasts
            `agent_steps`, as that of the function above.
        collect_steps: agent steps of each seed that are played after training; only these are kept
            then. None keeps the training.
        checkpoint_rows: rows in a file of the DQN-replay layout.

    Raises:
        ConfigError: a setting is wrong, or `out` is not empty.
        RunEnded: a game raised, or a signal came; nothing is kept.
        OSError: writing failed; nothing is kept.
    """
    require_choice("--format", format, FORMATS)
    require(agent_steps >= 1, "--agent_steps", agent_steps, "an integer >= 1")
    with StopSignals() as stop, staged(out) as folder:
        runner = create_runner(folder)
        with closing(runner.source):
            source, played = _playable(runner, format)
            replays = folder if format != "rlu" else folder / ".dqn_replay"
            with _recorder(replays, played, len(runner.seeds), format, checkpoint_rows) as recorder:
                if collect_steps is None:
                    source.watch(recorder)
                episodes = _train(runner, agent_steps, stop)
                if collect_steps is not None:
                    check = partial(_require_going_on, stop)
                    clips = source.clips_rewards
                    episodes = collect(runner, recorder, collect_steps, clips=clips, check=check)
                collected = {} if collect_steps is None else {"collect_steps": collect_steps}
                abouts = recorder.finish(
                    [own | collected for own in _facts(runner, source, episodes)]
                )
        if format == "rlu":
            with stop.raising("stopped while it was converted; nothing of it is kept"):
                _convert(replays, folder)
        files = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return Made(
        out=out,
        runs=len(abouts),
        transitions=sum(own["transitions"] for own in abouts),
        rows=sum(own["rows"] for own in abouts),
        episodes=len(episodes),
        mean_return=mean_return(episodes),
        files=len(files),
        bytes=sum(files),
    )


def _playable(runner: Runner, format: str) -> tuple[OnlineSource, Played]:
    """The source to watch and what is played; raises `ConfigError` if there is no such thing."""
    source = runner.source
    if not isinstance(source, OnlineSource):
        expected = "@OnlineSource: a dataset is made of what is played"
        raise ConfigError(f"Runner.create_source_fn=@{type(source).__name__}: expected {expected}")
    names = [source.protocol.get(name) for name in ("suite", "game")]
    if not all(isinstance(name, str) for name in names):
        expected = "an environment whose protocol names its suite and game"
        raise ConfigError(f"Runner.create_environment_fn: expected {expected}")
    suite, game = map(str, names)
    if format == "rlu" and suite == "minatar":
        advice = "MinAtar is written in the DQN-replay layout only: --format=dqn_replay"
        raise ConfigError(f"--format=rlu: {advice}")
    is_image = source.observation_spec.is_image  # a vector format says so itself
    if format in WRITERS and source.clips_rewards and not is_image:
        expected = f"expected False: data of --format={format} hold rewards as they are"
        raise ConfigError(f"OnlineSource.clip_rewards=True: {expected}")
    if format == "rlu":
        from prune_rl.datasets import rlu_records

        rlu_records.tensorflow()  # says that it is missing before it is trained
    return source, Played(suite, game, source.observation_spec, source.action_spec)


def _require_going_on(stop: StopSignals) -> None:
    if stop.received is not None:
        raise Stopped(stop.received, "stopped while it was collected; nothing of it is kept")


def _recorder(
    root: Path, played: Played, num_runs: int, format: str, checkpoint_rows: int
) -> RunsRecorder:
    if format in WRITERS:
        return vector_recorder(root, played, num_runs, format)
    return Recorder(root, played, num_runs, checkpoint_rows)


def _train(runner: Runner, agent_steps: int, stop: StopSignals) -> list[Episode]:
    """Plays and learns; returns the episodes that ended."""
    if not runner.source.num_gradient_steps(agent_steps):
        print(f"note: {runner.no_updates}", file=sys.stderr, flush=True)
    episodes: list[Episode] = []
    progress = RunProgress(
        clock="agent_steps", total_steps=agent_steps, done_steps=0, num_iterations=1
    )
    runner.source.start()
    with progress:
        for steps in range(1, agent_steps + 1):
            episodes += [episode for _, episode in runner.trainer.step()]
            if progress.due():
                _show(progress, steps, runner, episodes)
            if stop.received is not None:
                stands = f"stopped after {steps:,} agent steps; nothing of it is kept"
                raise Stopped(stop.received, stands)
        _show(progress, agent_steps, runner, episodes)
    for seed, step in zip(
        runner.seeds, np.asarray(runner.trainer.agent_state.diverged_at), strict=True
    ):
        if step:
            say_diverged(seed, step)
    return episodes


def _show(progress: RunProgress, steps: int, runner: Runner, episodes: Sequence[Episode]) -> None:
    sparsities = [own["sparsity"] for own in sparsity_fields(runner.trainer.agent_state.params)]
    progress.show(
        steps,
        iteration=0,
        phase="train",
        mean_return=mean_return(episodes[-_SHOWN_EPISODES:]),
        sparsity=float(np.mean(sparsities)),
    )


def _facts(
    runner: Runner, source: OnlineSource, episodes: Sequence[Episode]
) -> list[dict[str, Any]]:
    """What about.json says of each run beyond its files."""
    stored = "clipped to [-1, 1]" if source.clips_rewards else "as they are"
    shared = {
        "protocol": source.protocol | {"stored_rewards": stored},
        "agent": type(runner.policy.agent).__name__,
        "gin": gin.operative_config_str(),
        "prune_rl": __version__,
        "agent_steps": source.agent_steps,
        "gradient_steps": runner.trainer.gradient_steps,
    }
    of_seed = partial(_episodes_of, episodes)
    return [
        shared | {"seed": seed, "episodes": len(of_seed(i)), "mean_return": mean_return(of_seed(i))}
        for i, seed in enumerate(runner.seeds)
    ]


def _episodes_of(episodes: Sequence[Episode], seed_index: int) -> list[Episode]:
    return [episode for episode in episodes if episode.seed_index == seed_index]


def _convert(replays: Path, folder: Path) -> None:
    """Writes what is in the DQN-replay layout below `replays` anew for tensorflow-datasets."""
    from prune_rl.datasets import dqn_replay, rlu_writer  # needs TensorFlow

    for run in dqn_replay.find_runs(replays):
        rlu_writer.write(run, folder)
    shutil.rmtree(replays)
