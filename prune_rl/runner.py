"""The run: iterations of training, measuring and evaluating, in a directory that can resume."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gin
import numpy as np

from prune_rl import randomness
from prune_rl.acting.evaluation import evaluate
from prune_rl.acting.policy import Policy
from prune_rl.diagnostics.suite import MATRIX, BoundDiagnostics
from prune_rl.environments.batch import EnvironmentBatch
from prune_rl.errors import AllDivergedError
from prune_rl.recording import provenance, run_directory
from prune_rl.recording.checkpoints import Checkpoint, Checkpointer
from prune_rl.recording.logs import RunLog
from prune_rl.recording.progress import RunProgress, say_finished
from prune_rl.recording.recorder import Moment, Recorder
from prune_rl.sources.source import Source
from prune_rl.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Trains and evaluates S seeds in lock-step; `experiment.create_runner` makes one.

    Attributes:
      base_dir: the run directory; a run that it holds is resumed.
      source: whose clock counts the steps here.
      policy: how the agent plays.
      trainer: of the source and the agent.
      seeds: S of them.
      num_iterations: how many times to train, then to evaluate if asked to.
      training_steps: of the source's clock, per iteration.
      evaluation: `num_steps` (agent steps) and `num_episodes` of each seed per evaluation; none if
        both are 0.
      create_environments: makes the games of all seeds, from a stream of their randomness.
      diagnostics: what to measure beside returns and losses, if anything.
    """

    base_dir: Path
    source: Source
    policy: Policy
    trainer: Trainer
    seeds: Sequence[int]
    num_iterations: int
    training_steps: int
    evaluation: Mapping[str, int]
    create_environments: Callable[..., EnvironmentBatch]
    diagnostics: BoundDiagnostics | None

    def run(self) -> None:
        """Runs or resumes every iteration and draws curve.png; says so if all that is done.

        Raises:
          ConfigError: the directory holds a run with other settings, or cannot be made.
          AllDivergedError: every seed has diverged; that is logged and saved.
          OSError: writing failed; the last checkpoint is intact.
        """
        config = gin.operative_config_str()
        run_directory.prepare(self.base_dir, config)
        checkpointer = Checkpointer(self.base_dir / "checkpoints")
        first, positions = self._restore_or_start(checkpointer)
        picture = self.base_dir / "curve.png"
        if first < self.num_iterations or not picture.exists():
            self._run_from(first, positions, checkpointer)
            self._draw(picture)
        else:
            say_finished(self.base_dir, self.num_iterations)
        checkpointer.close()
        self.source.close()

    def _run_from(self, first: int, positions: dict[str, int], checkpointer: Checkpointer) -> None:
        self._require_a_finite_seed()
        record = provenance.collect(self.source.protocol)
        provenance.append(self.base_dir / "provenance.json", record)
        clock, steps = self.source.clock, self.source.steps
        total, count = self.num_iterations * self.training_steps, self.num_iterations
        log = RunLog(self.base_dir, positions=positions, clock=clock, steps=steps)
        progress = RunProgress(
            clock=clock, total_steps=total, done_steps=steps, num_iterations=count
        )
        with log, progress:
            recorder = Recorder(log, progress, self.seeds)
            for iteration in range(first, self.num_iterations):
                self._train(iteration, recorder)
                if not self._diverged_at().all():
                    self._diagnose(iteration, recorder)
                    self._evaluate(iteration, recorder)
                self._save(checkpointer, iteration + 1, recorder)
                self._require_a_finite_seed()

    def _diverged_at(self) -> np.ndarray:
        # Waits for the updates under way.
        return np.asarray(self.trainer.agent_state.diverged_at)

    def _require_a_finite_seed(self) -> None:
        diverged_at = self._diverged_at()
        if diverged_at.all():
            raise AllDivergedError(
                f"--base_dir={self.base_dir}: every seed has diverged, the last at gradient step "
                f"{diverged_at.max():,}; the run stops here, and the same command will say so again"
            )

    def _draw(self, picture: Path) -> None:
        # matplotlib would be a quarter of the start-up; a run needs it once, at its end.
        from prune_rl.reporting import curves
        from prune_rl.reporting.figures import save
        from prune_rl.reporting.runs import Run

        save(curves.draw([Run(self.base_dir)]), picture)

    def _restore_or_start(self, checkpointer: Checkpointer) -> tuple[int, dict[str, int]]:
        restored = checkpointer.restore_latest(self.trainer.agent_state)
        if restored is None:
            self.source.start()
            return 0, {}
        iterations, checkpoint = restored
        self.trainer.set_state(checkpoint.agent, checkpoint.host)
        return iterations, checkpoint.log

    def _save(self, checkpointer: Checkpointer, iterations: int, recorder: Recorder) -> None:
        agent, host = self.trainer.agent_state, self.trainer.get_state()
        checkpointer.save(iterations, Checkpoint(agent, host, recorder.positions()))

    def _now(self, iteration: int) -> Moment:
        state = self.trainer.agent_state
        return Moment(
            iteration,
            self.source.agent_steps,
            self.trainer.gradient_steps,
            self.source.frames,
            state.params,
            state.diverged_at,
        )

    def _train(self, iteration: int, recorder: Recorder) -> None:
        recorder.start_phase(self._now(iteration))
        for _ in range(self.training_steps):
            for episode in self.trainer.step():
                recorder.episode(self._now(iteration), "train", episode)
            if recorder.due():
                recorder.show(self._now(iteration), "train")
        played, metrics = self.source.agent_steps, self.trainer.take_metrics()
        fields = self.policy.agent.exploration(played) if played else {}
        recorder.phase(self._now(iteration), "train", metrics, fields)

    def _diagnose(self, iteration: int, recorder: Recorder) -> None:
        own = self.diagnostics
        if own is None or (iteration + 1) % own.period or not self.trainer.gradient_steps:
            return
        probe = self.trainer.probe(own.draws, iteration, fixed=own.fixed_probe)
        rows = own.rows(self.trainer.agent_state, probe)
        matrices = [name for name in rows[0] if name.rpartition("/")[2] == MATRIX]
        recorder.measurements(self._now(iteration), rows, matrices)

    def _evaluate(self, iteration: int, recorder: Recorder) -> None:
        if not any(self.evaluation.values()):
            return
        # Fresh environments and keys: an evaluation depends on weights, seed and iteration only.
        environments = self.create_environments(randomness.EVALUATION, iteration)
        recorder.start_phase(self._now(iteration))
        episodes = evaluate(
            self.policy,
            environments,
            params=self.trainer.agent_state.params,
            keys=randomness.evaluation_keys(self.seeds, iteration),
            **self.evaluation,
        )
        for episode in episodes:
            recorder.episode(self._now(iteration), "eval", episode)
        environments.close()
        recorder.phase(self._now(iteration), "eval", {}, {})
