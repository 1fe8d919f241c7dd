"""The run: iterations of training, measuring and evaluating, in a directory that can resume."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gin

from prune_rl import randomness
from prune_rl.acting.evaluation import Evaluation
from prune_rl.acting.policy import Policy
from prune_rl.diagnostics.suite import MATRIX, BoundDiagnostics
from prune_rl.environments.batch import EnvironmentBatch, EnvironmentFailed
from prune_rl.errors import ConfigError
from prune_rl.price import GIB, Price, Size, Work, rehearse, size
from prune_rl.recording import provenance, run_directory
from prune_rl.recording.checkpoints import Checkpoint, Checkpointer
from prune_rl.recording.logs import Positions, RunLog, has_logs, require_logged
from prune_rl.recording.progress import RunProgress, say_finished
from prune_rl.recording.recorder import Moment, Recorder
from prune_rl.signals import Stopped
from prune_rl.sources.source import Source
from prune_rl.state import State, part
from prune_rl.trainer import Trainer

_REHEARSAL_SECONDS = 2.0


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
      checkpoint_minutes: how long it may run without saving; every iteration is saved anyway.
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
    checkpoint_minutes: float
    create_environments: Callable[..., EnvironmentBatch]
    diagnostics: BoundDiagnostics | None

    def run(
        self,
        is_asked_to_stop: Callable[[], bool] = lambda: False,
        announce: Callable[[Price], None] | None = None,
    ) -> None:
        """Runs or resumes every iteration and draws curve.png; says so if all that is done.

        Args:
          is_asked_to_stop: looked at after every step.
          announce: told what a new run takes, which is measured only for it.

        Raises:
          ConfigError: the directory holds a run with other settings, what it holds is damaged, it
            is in use, or it cannot be made.
          EnvironmentFailed: a game raised an error; the run is saved.
          OSError: writing failed; the last checkpoint is intact.
          Stopped: it was asked to stop, and is saved.
        """
        self._require_disk()
        with run_directory.held(self.base_dir):
            run_directory.prepare(self.base_dir, gin.operative_config_str())
            with closing(Checkpointer(self.base_dir / "checkpoints")) as checkpointer:
                self._run(Session(self, checkpointer, is_asked_to_stop), announce)

    def price(self, seconds: float, save: float) -> Price:
        """What the whole run takes; it must have begun, and is left anywhere.

        Args:
          seconds: how long to measure, at most.
          save: what the first checkpoint took.
        """
        work = self._work()
        pace = rehearse(self.trainer, self.source, work, seconds=seconds, save=save)
        return Price(self.size(), pace, work)

    def size(self) -> Size:
        """What it takes of memory and disk."""
        states, steps = self.trainer.get_state(), self._work().steps
        return size(self.policy.learner, states, steps, self.training_steps)

    def _work(self) -> Work:
        steps = self.num_iterations * self.training_steps
        evaluated = self.num_iterations * self.evaluation["num_steps"]
        updates = self.source.num_gradient_steps(steps)
        return Work(steps, updates, evaluated, self.num_iterations)

    def _require_disk(self) -> None:
        """Raises `ConfigError` if the checkpoints of a whole run would not fit beside its logs."""
        needed, folder = self.size().disk_bytes, self.base_dir.absolute()
        there = sum(x.stat().st_size for x in folder.rglob("*") if x.is_file())
        existing = next(x for x in (folder, *folder.parents) if x.exists())
        free = shutil.disk_usage(existing).free + there
        if needed > free:
            sizes = f"checkpoints take up to {needed / GIB:.2f} GiB, {free / GIB:.2f} are free"
            advice = "choose another disk, or a smaller ReplayBuffer.max_capacity"
            raise ConfigError(f"--base_dir={self.base_dir}: {sizes}; {advice}")

    def _run(self, session: "Session", announce: Callable[[Price], None] | None) -> None:
        session.restore_or_start(announce)
        picture = self.base_dir / "curve.png"
        if session.iteration < self.num_iterations or not picture.exists():
            record = provenance.collect(self.source.protocol)
            provenance.append(self.base_dir / "provenance.json", record)
            self._run_from(session)
            self._draw(picture)
        else:
            say_finished(self.base_dir, self.num_iterations)

    def _run_from(self, session: "Session") -> None:
        clock, steps = self.source.clock, self.source.steps
        total, count = self.num_iterations * self.training_steps, self.num_iterations
        log = RunLog(self.base_dir, positions=session.positions, clock=clock, steps=steps)
        progress = RunProgress(
            clock=clock, total_steps=total, done_steps=steps, num_iterations=count
        )
        with log, progress:
            session.go_on(Recorder(log, progress, self.seeds))

    def _draw(self, picture: Path) -> None:
        # matplotlib would be a quarter of the start-up; a run needs it once, at its end.
        from prune_rl.reporting import curves
        from prune_rl.reporting.figures import save
        from prune_rl.reporting.runs import Run

        save(curves.draw([Run(self.base_dir)]), picture)


class Session:
    """A run from where it stands: between two of its steps it can be saved, and stop.

    Args:
      run: what it is made of.
      checkpointer: where it is saved.
      is_asked_to_stop: looked at after every step.

    Attributes:
      iteration: how many are done.
      positions: of the logs where the run stands.
    """

    def __init__(
        self, run: Runner, checkpointer: Checkpointer, is_asked_to_stop: Callable[[], bool]
    ) -> None:
        self._own, self._checkpointer, self._stops = run, checkpointer, is_asked_to_stop
        self._trainer, self._source = run.trainer, run.source
        self.iteration = 0
        self.positions: Positions = {}
        self._trained = False  # in this iteration; what follows is its evaluation
        self._evaluation: Evaluation | None = None
        self._restored: list[State] = []  # what begun phases held
        self._save_by = self._next_save()

    def _next_save(self) -> float:
        return time.monotonic() + 60 * self._own.checkpoint_minutes

    def restore_or_start(self, announce: Callable[[Price], None] | None) -> None:
        """Takes up the newest checkpoint that is whole, or begins and writes the first.

        So that logs without a checkpoint always mean that something was lost. See `Runner.run`.
        """
        base_dir = self._own.base_dir
        if self._checkpointer.restore(self._take_up):
            return
        if has_logs(base_dir):
            problem = "holds logs but no checkpoint, so it cannot go on"
            advice = "put back a copy of checkpoints/, or name another directory to start afresh"
            raise ConfigError(f"--base_dir={base_dir}: {problem}; {advice}")
        self._source.start()
        begin = time.monotonic()
        self._checkpointer.save(self._checkpoint(self._trainer.get_state()))
        self._checkpointer.wait()
        if announce is not None:
            announce(self._own.price(_REHEARSAL_SECONDS, time.monotonic() - begin))
            self._checkpointer.restore(self._take_up)

    def _take_up(self, checkpoint: Checkpoint) -> None:
        require_logged(self._own.base_dir, checkpoint.run["logs"])
        states = [checkpoint.seeds[seed] for seed in self._own.seeds]
        self._trainer.set_state(states)
        self._restored, self.positions = states, checkpoint.run["logs"]
        self.iteration, self._trained = checkpoint.run["iteration"], checkpoint.run["trained"]

    def go_on(self, recorder: Recorder) -> None:
        """Runs what is left; see `Runner.run` for what it raises."""
        self._recorder = recorder
        try:
            while self.iteration < self._own.num_iterations:
                if not self._trained:
                    self._train()
                self._evaluate()
                self.iteration, self._trained = self.iteration + 1, False
                self._save()
                self._heed()
        except EnvironmentFailed:
            self._save()
            self._checkpointer.wait()
            raise
        self._checkpointer.wait()

    def _begin_phase(self) -> None:
        """Starts to record a phase, or goes on with one that was saved."""
        self._recorder.start_phase()
        if self._restored and "episodes" in self._restored[0]:
            self._recorder.set_state(part(self._restored, "episodes"))

    def _train(self) -> None:
        self._begin_phase()
        self._restored = []
        first, end = self._source.steps, (self.iteration + 1) * self._own.training_steps
        while self._source.steps < end:
            self._checkpointer.before_step()
            for episode in self._trainer.step():
                self._recorder.episode(self._now(), "train", episode)
            self._between_steps("train")
        played, metrics = self._source.agent_steps, self._trainer.take_metrics()
        fields = self._own.policy.agent.exploration(played) if played else {}
        self._recorder.phase(self._now(), "train", metrics, fields, end - first)
        self._diagnose()
        self._trained = True

    def _between_steps(self, phase: str) -> None:
        if self._recorder.due():
            self._recorder.show(self._now(), phase)
        if time.monotonic() >= self._save_by:
            self._save()
        self._heed()

    def _heed(self) -> None:
        """Stops if asked to, unless nothing is left to do."""
        if self.iteration == self._own.num_iterations or not self._stops():
            return
        self._save()
        self._checkpointer.wait()
        clock = self._source.clock.replace("_", " ")
        raise Stopped(f"saved after {self._source.steps:,} {clock}; the same command goes on")

    def _diagnose(self) -> None:
        own = self._own.diagnostics
        if own is None or (self.iteration + 1) % own.period or not self._trainer.gradient_steps:
            return
        probe = self._trainer.probe(own.draws, self.iteration, fixed=own.fixed_probe)
        rows = own.rows(self._trainer.agent_state, probe)
        matrices = [name for name in rows[0] if name.rpartition("/")[2] == MATRIX]
        self._recorder.measurements(self._now(), rows, matrices)

    def _evaluate(self) -> None:
        if not any(self._own.evaluation.values()):
            return
        self._begin_phase()
        self._evaluation = evaluation = self._begun_evaluation()
        while not evaluation.done:
            for episode in evaluation.step():
                self._recorder.episode(self._now(), "eval", episode)
            self._between_steps("eval")
        evaluation.close()
        self._evaluation = None
        self._recorder.phase(self._now(), "eval", {}, {})

    def _begun_evaluation(self) -> Evaluation:
        # Fresh environments and keys: an evaluation depends on weights, seed and iteration only.
        evaluation = Evaluation(
            self._own.policy,
            self._own.create_environments(randomness.EVALUATION, self.iteration),
            params=self._trainer.agent_state.params,
            keys=randomness.evaluation_keys(self._own.seeds, self.iteration),
            **self._own.evaluation,
        )
        restored = [own["evaluation"] for own in self._restored if "evaluation" in own]
        self._restored = []
        if restored:
            evaluation.set_state(restored)
        else:
            evaluation.start()
        return evaluation

    def _save(self) -> None:
        """Begins to write a checkpoint of this moment."""
        states, episodes = self._trainer.get_state(), self._recorder.get_state()
        states = [own | {"episodes": x} for own, x in zip(states, episodes, strict=True)]
        if self._evaluation is not None:
            own = zip(states, self._evaluation.get_state(), strict=True)
            states = [state | {"evaluation": x} for state, x in own]
        self.positions = self._recorder.positions()
        self._checkpointer.save(self._checkpoint(states))
        self._save_by = self._next_save()

    def _checkpoint(self, states: Sequence[State]) -> Checkpoint:
        stands: dict[str, Any] = {
            "iteration": self.iteration,
            "trained": self._trained,
            "clock": self._source.clock,
            "steps": self._source.steps,
            "logs": self.positions,
        }
        return Checkpoint(dict(zip(self._own.seeds, states, strict=True)), stands)

    def _now(self) -> Moment:
        return Moment(
            self.iteration,
            self._source.agent_steps,
            self._trainer.gradient_steps,
            self._source.frames,
            self._trainer.agent_state.params,
        )
