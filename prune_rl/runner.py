"""The run: iterations of training and evaluation, written to a directory that can resume."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gin
import numpy as np
import numpy.typing as npt

from prune_rl.acting.episodes import Episode
from prune_rl.diagnostics.suite import MATRIX, Diagnostics
from prune_rl.environments.base import Environment
from prune_rl.environments.batch import EnvironmentBatch
from prune_rl.errors import ConfigError, require
from prune_rl.learning.value_agent import ValueAgent
from prune_rl.phases import EVALUATION, Trainer, evaluate, evaluation_keys
from prune_rl.plasticity.intervention import Intervention, bind
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.recording import provenance, run_directory
from prune_rl.recording.checkpoints import Checkpoint, Checkpointer
from prune_rl.recording.logs import RunLog
from prune_rl.recording.progress import RunProgress, say_finished
from prune_rl.recording.rows import episode_fields, mean_return, sparsity_fields
from prune_rl.replay.buffer import ReplayBuffer

_TRAINING = 0  # stream of a seed's randomness
_SHOWN_EPISODES = 100  # the newest ones, over all seeds


@gin.configurable
class Runner:
    """Trains and evaluates `num_seeds` seeds in lock-step, as `python -m prune_rl.train` does.

    Gin names and defaults are Dopamine's, except that it does not evaluate unless asked to, as in
    Dopamine's schedule continuous_train. A seed's randomness does not depend on `num_seeds`.

    Args:
      base_dir: the run directory; a run that it holds is resumed.
      agent: the hyper-parameters and algorithm.
      create_environment_fn: called with a seed, returns one environment.
      num_iterations: how many times to train, then to evaluate if asked to.
      training_steps: agent steps of each seed per iteration.
      evaluation_steps: agent steps of each seed per evaluation, the last episode is finished;
        0 for none.
      num_eval_episodes: episodes of each seed per evaluation, instead of evaluation_steps; 0 for
        none.
      max_steps_per_episode: agent steps after which an episode is truncated.
      num_seeds: length of the seed axis.
      seed: the first seed; the others follow it.
      interventions: plasticity baselines that change the weights now and then, in this order.
      diagnostics: what to measure beside returns and losses.

    Raises:
      ConfigError: a setting is wrong; nothing has been written.
    """

    def __init__(
        self,
        base_dir: str | Path,
        *,
        agent: ValueAgent | None = None,
        create_environment_fn: Callable[[int], Environment] | None = None,
        num_iterations: int = 200,
        training_steps: int = 250_000,
        evaluation_steps: int = 0,
        num_eval_episodes: int = 0,
        max_steps_per_episode: int = 27_000,
        num_seeds: int = 1,
        seed: int = 0,
        interventions: Sequence[Intervention] = (),
        diagnostics: Diagnostics | None = None,
    ) -> None:
        if agent is None:
            raise ConfigError("Runner.agent: not set; add --gin_files=agents/dqn.gin")
        if create_environment_fn is None:
            raise ConfigError(
                "Runner.create_environment_fn: not set; add --gin_files=suites/minatar.gin"
            )
        require(isinstance(agent, ValueAgent), "Runner.agent", agent, "an agent, as @DQNAgent()")
        makes = callable(create_environment_fn)
        expected = "a function, as @create_atari_environment"
        require(makes, "Runner.create_environment_fn", create_environment_fn, expected)
        _require_int("num_iterations", num_iterations, 1)
        _require_int("training_steps", training_steps, 1)
        _require_int("evaluation_steps", evaluation_steps, 0)
        _require_int("num_eval_episodes", num_eval_episodes, 0)
        one_measure = not (evaluation_steps and num_eval_episodes)
        expected = f"0, or Runner.evaluation_steps=0 (it is {evaluation_steps})"
        require(one_measure, "Runner.num_eval_episodes", num_eval_episodes, expected)
        _require_int("max_steps_per_episode", max_steps_per_episode, 1)
        _require_int("num_seeds", num_seeds, 1)
        _require_int("seed", seed, 0)
        require(seed + num_seeds <= 2**31, "Runner.seed", seed, "one below 2**31 - num_seeds")
        measures = diagnostics is None or isinstance(diagnostics, Diagnostics)
        require(measures, "Runner.diagnostics", diagnostics, "@Diagnostics() or None")
        self._base_dir = Path(base_dir)
        self._agent, self._create_environment_fn = agent, create_environment_fn
        self._num_iterations, self._training_steps = num_iterations, training_steps
        self._evaluation = {"num_steps": evaluation_steps, "num_episodes": num_eval_episodes}
        self._max_episode = max_steps_per_episode
        self._seeds = np.arange(seed, seed + num_seeds)
        self._environments = self._create_environments(_TRAINING)
        self._interventions, self._diagnostics = interventions, diagnostics
        self._trainer = self._create_trainer()
        self._measure = diagnostics.bind(self._learner) if diagnostics else None

    def _create_environments(self, *stream: int) -> EnvironmentBatch:
        def create(seed: int) -> Environment:
            words = np.random.SeedSequence([seed, *stream]).generate_state(1)
            return self._create_environment_fn(int(words[0]) % 2**31)

        return EnvironmentBatch([create(int(s)) for s in self._seeds], self._max_episode)

    def _create_trainer(self) -> Trainer:
        environments, agent = self._environments, self._agent
        total_steps = self._num_iterations * self._training_steps
        gradient_steps = agent.num_gradient_steps(total_steps)
        nominal = agent.nominal_gradient_steps(total_steps)
        pruner = create_updater_from_config(gradient_steps, nominal_gradient_steps=nominal)
        observation_shape = (environments.stack_size, *environments.frame_shape)
        self._learner = agent.learner(environments.num_actions, observation_shape, pruner)
        replay = ReplayBuffer(
            seeds=[int(s) for s in self._seeds],
            frame_shape=environments.frame_shape,
            stack_size=environments.stack_size,
            update_horizon=agent.update_horizon,
            gamma=agent.gamma,
            replay_scheme=agent.replay_scheme,
            longest_run=total_steps,
        )
        interventions = bind(self._interventions, self._learner, gradient_steps, nominal)
        return Trainer(
            agent,
            self._learner,
            environments,
            replay,
            seeds=self._seeds,
            interventions=interventions,
        )

    def run(self) -> None:
        """Runs or resumes every iteration and draws curve.png; says so if all that is done.

        Raises:
          ConfigError: the directory holds a run with other settings, or cannot be made.
          OSError: writing failed; the last checkpoint is intact.
        """
        config = gin.operative_config_str()
        run_directory.prepare(self._base_dir, config)
        checkpointer = Checkpointer(self._base_dir / "checkpoints")
        first, positions = self._restore_or_start(checkpointer)
        picture = self._base_dir / "curve.png"
        if first < self._num_iterations or not picture.exists():
            self._run_from(first, positions, checkpointer)
            self._draw(picture)
        else:
            say_finished(self._base_dir, self._num_iterations)
        checkpointer.close()
        self._environments.close()

    def _run_from(self, first: int, positions: dict[str, int], checkpointer: Checkpointer) -> None:
        record = provenance.collect(self._environments.protocol)
        provenance.append(self._base_dir / "provenance.json", record)
        progress = RunProgress(
            total_steps=self._num_iterations * self._training_steps,
            done_steps=self._trainer.agent_steps,
            num_iterations=self._num_iterations,
        )
        steps = self._trainer.agent_steps
        with (
            RunLog(self._base_dir, positions=positions, clock="agent_steps", steps=steps) as log,
            progress,
        ):
            for iteration in range(first, self._num_iterations):
                self._train_phase(iteration, log, progress)
                self._diagnostics_phase(iteration, log)
                self._evaluation_phase(iteration, log, progress)
                self._save(checkpointer, iteration + 1, log)

    def _draw(self, picture: Path) -> None:
        # matplotlib would be a quarter of the start-up; a run needs it once, at its end.
        from prune_rl.reporting import curves
        from prune_rl.reporting.figures import save
        from prune_rl.reporting.runs import Run

        save(curves.draw([Run(self._base_dir)]), picture)

    def _restore_or_start(self, checkpointer: Checkpointer) -> tuple[int, dict[str, int]]:
        restored = checkpointer.restore_latest(self._trainer.agent_state)
        if restored is None:
            self._trainer.start()
            return 0, {}
        iterations, checkpoint = restored
        self._trainer.set_state(checkpoint.agent, checkpoint.host)
        return iterations, checkpoint.log

    def _save(self, checkpointer: Checkpointer, iterations: int, log: RunLog) -> None:
        agent, host = self._trainer.agent_state, self._trainer.get_state()
        checkpointer.save(iterations, Checkpoint(agent, host, log.positions()))

    def _train_phase(self, iteration: int, log: RunLog, progress: RunProgress) -> None:
        trainer, started = self._trainer, time.monotonic()
        episodes: list[Episode] = []
        for _ in range(self._training_steps):
            for episode in trainer.step():
                episodes.append(episode)
                self._log_episode(log, iteration, "train", episode)
            if progress.due():
                self._show(progress, iteration, "train", episodes)
        metrics = trainer.take_metrics()
        steps_per_second = self._training_steps / (time.monotonic() - started)
        extra = {
            "epsilon": self._agent.epsilon(trainer.agent_steps),
            "agent_steps_per_second": steps_per_second,
        }
        self._log_phase(log, iteration, "train", episodes, metrics, extra)
        self._show(progress, iteration, "train", episodes)

    def _diagnostics_phase(self, iteration: int, log: RunLog) -> None:
        settings, trainer = self._diagnostics, self._trainer
        if settings is None or self._measure is None:
            return
        if (iteration + 1) % settings.period or not trainer.gradient_steps:
            return
        probe = trainer.probe(self._measure.draws, iteration, fixed=settings.fixed_probe)
        rows = self._measure.rows(trainer.agent_state, probe)
        matrices = [row.pop(MATRIX) for row in rows if MATRIX in row]
        if matrices:
            log.matrices(MATRIX, iteration, trainer.agent_steps, self._seeds, np.stack(matrices))
        for row, measured in zip(self._rows(iteration, "diagnostics"), rows, strict=True):
            log.metrics(row | measured)

    def _evaluation_phase(self, iteration: int, log: RunLog, progress: RunProgress) -> None:
        if not any(self._evaluation.values()):
            return
        # Fresh environments and keys: an evaluation depends on weights, seed and iteration only.
        environments = self._create_environments(EVALUATION, iteration)
        episodes: list[Episode] = []
        for episode in evaluate(
            self._agent,
            self._learner,
            environments,
            params=self._trainer.agent_state.params,
            keys=evaluation_keys(self._seeds, iteration),
            **self._evaluation,
        ):
            episodes.append(episode)
            self._log_episode(log, iteration, "eval", episode)
        environments.close()
        self._log_phase(log, iteration, "eval", episodes, {}, {})
        self._show(progress, iteration, "eval", episodes)

    def _log_episode(self, log: RunLog, iteration: int, phase: str, episode: Episode) -> None:
        log.episode(
            int(self._seeds[episode.seed_index]),
            iteration,
            phase,
            self._trainer.agent_steps,
            episode.episode_return,
            episode.length,
            "terminated" if episode.terminated else "truncated",
        )

    def _log_phase(
        self,
        log: RunLog,
        iteration: int,
        phase: str,
        episodes: list[Episode],
        metrics: dict[str, npt.NDArray[np.float64]],
        extra: dict[str, float],
    ) -> None:
        """Logs one row per seed; `metrics` values are (S,), `extra` is the same for all."""
        for i, row in enumerate(self._rows(iteration, phase)):
            own = [episode for episode in episodes if episode.seed_index == i]
            own_metrics = {name: float(values[i]) for name, values in metrics.items()}
            log.metrics(row | episode_fields(own) | own_metrics | extra)

    def _rows(self, iteration: int, phase: str) -> list[dict[str, Any]]:
        """What every row of metrics.jsonl says, one per seed."""
        trainer = self._trainer
        return [
            {
                "seed": seed,
                "iteration": iteration,
                "phase": phase,
                "agent_steps": trainer.agent_steps,
                "gradient_steps": trainer.gradient_steps,
                "frames": trainer.agent_steps * self._environments.frame_skip,
            }
            | sparsity
            for seed, sparsity in zip(
                self._seeds.tolist(), sparsity_fields(trainer.agent_state.params), strict=True
            )
        ]

    def _show(
        self, progress: RunProgress, iteration: int, phase: str, episodes: list[Episode]
    ) -> None:
        sparsities = [own["sparsity"] for own in sparsity_fields(self._trainer.agent_state.params)]
        progress.show(
            self._trainer.agent_steps,
            iteration=iteration,
            phase=phase,
            mean_return=mean_return(episodes[-_SHOWN_EPISODES:]),
            sparsity=float(np.mean(sparsities)),
        )


def _require_int(name: str, value: object, least: int) -> None:
    valid = isinstance(value, int) and not isinstance(value, bool) and value >= least
    require(valid, f"Runner.{name}", value, f"a whole number of at least {least}")
