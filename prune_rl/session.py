"""A run between two of its steps: it can be saved there, stop, and be taken up again."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from prune_rl.acting.beside import EvaluationBeside
from prune_rl.acting.evaluation import Evaluation
from prune_rl.diagnostics.measurements import MATRIX
from prune_rl.environments.batch import EnvironmentFailed
from prune_rl.errors import ConfigError, RunEnded
from prune_rl.parts import Parts
from prune_rl.recording.checkpoints import Checkpoint, Checkpointer
from prune_rl.recording.logs import Positions, has_logs, require_logged
from prune_rl.recording.recorder import Moment, Recorder
from prune_rl.signals import Stopped, StopSignals
from prune_rl.state import State, part, per_seed

_WAIT_SECONDS = 0.1  # between looks at signals


class AllDiverged(RunEnded):
    """No seed of a run is finite any more; that is logged and saved."""


class Session:
    """A run from where it stands.

    Where the agent plays while it learns, an evaluation comes between two iterations. Where data
    are fixed it is played beside the training of the next one, whose rows come before its own.

    Args:
      parts: what it is made of.
      checkpointer: where it is saved.
      stop: looked at after every step.

    Attributes:
      iteration: how many are done.
      positions: of the logs where the run stands.
    """

    def __init__(self, parts: Parts, checkpointer: Checkpointer, stop: StopSignals) -> None:
        self._own, self._checkpointer, self._stop = parts, checkpointer, stop
        self._trainer, self._source = parts.trainer, parts.source
        self.iteration = 0
        self.positions: Positions = {}
        self._trained = False  # in this iteration; what follows is its evaluation
        self._evaluation: Evaluation | None = None
        self._beside: EvaluationBeside | None = None  # training, and seeds diverged when it began
        self._diverged_at = np.zeros(0, np.int32)
        self._restored: list[State] = []  # what begun phases held
        self._save_by = self._next_save()

    def _next_save(self) -> float:
        return time.monotonic() + 60 * self._own.checkpoint_minutes

    def restore(self) -> bool:
        """Takes up the newest checkpoint that is whole; False if there never was one."""
        return self._checkpointer.restore(self._take_up)

    def start(self) -> float:
        """Begins, and writes the first checkpoint: returns how many seconds that took.

        So that logs without a checkpoint always mean that something was lost.
        """
        base_dir = self._own.base_dir
        if has_logs(base_dir):
            problem = "holds logs but no checkpoint, so it cannot go on"
            advice = "put back a copy of checkpoints/, or name another directory to start afresh"
            raise ConfigError(f"--base_dir={base_dir}: {problem}; {advice}")
        self._source.start()
        begin = time.monotonic()
        self._checkpointer.save(self._checkpoint(self._trainer.get_state()))
        self._checkpointer.wait()
        return time.monotonic() - begin

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
            self._take_up_beside()
            while self.iteration < self._own.num_iterations:
                if not self._trained:
                    self._train()
                self._finish_beside()
                if not self._have_all_diverged():
                    self._evaluate()
                self.iteration, self._trained = self.iteration + 1, False
                self._save()
                self.require_a_finite_seed()
                self._heed()
            if self._beside is not None:
                self._finish_beside()
                self._save()
        except EnvironmentFailed as failed:
            raise RunEnded(f"{failed}; {self._saved()}") from failed
        finally:
            self._close_beside()
        self._checkpointer.wait()

    def _have_all_diverged(self) -> bool:
        # Waits for the updates under way.
        return bool(np.asarray(self._trainer.agent_state.diverged_at).all())

    def require_a_finite_seed(self) -> None:
        """Raises `AllDiverged` if no seed learns any more."""
        if self._have_all_diverged():
            self._checkpointer.wait()
            last = np.asarray(self._trainer.agent_state.diverged_at).max()
            raise AllDiverged(
                f"--base_dir={self._own.base_dir}: every seed has diverged, the last at gradient "
                f"step {last:,}; the run stops here, and the same command will say so again"
            )

    def _begin_phase(self) -> None:
        """Starts to record a phase, or goes on with one that was saved."""
        self._recorder.start_phase(self._now())
        if self._restored and "episodes" in self._restored[0]:
            self._recorder.set_state(part(self._restored, "episodes"))

    def _train(self) -> None:
        self._begin_phase()
        self._restored = []
        end = (self.iteration + 1) * self._own.training_steps
        while self._source.steps < end:
            self._checkpointer.before_step()
            for steps_since, episode in self._trainer.step(end):
                self._recorder.episode(self._now().before(steps_since), "train", episode)
            self._between_steps("train")
        played, metrics = self._source.agent_steps, self._trainer.take_metrics()
        fields = self._own.policy.agent.exploration(played) if played else {}
        self._recorder.phase(self._now(), "train", metrics, fields)
        if not self._have_all_diverged():
            self._diagnose()
        self._trained = True

    def _between_steps(self, phase: str) -> None:
        if self._recorder.due():
            self._recorder.show(self._now(), phase)
        if self._beside is not None:
            self._beside.wait(0)  # raises what a game raised
        if time.monotonic() >= self._save_by:
            self._save()
        self._heed()

    def _heed(self) -> None:
        """Stops if asked to, unless nothing is left to do."""
        received = self._stop.received
        done = self.iteration == self._own.num_iterations and self._beside is None
        if received is None or done:
            return
        raise Stopped(received, self._saved())

    def _saved(self) -> str:
        """Saves, waits for it, and says where the run stands."""
        self._save()
        self._checkpointer.wait()
        clock = self._source.clock.replace("_", " ")
        return f"saved after {self._source.steps:,} {clock}; the same command goes on"

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
        if self._source.clock == "gradient_steps":
            self._begin_beside()
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
        params = self._trainer.agent_state.params
        evaluation = self._own.new_evaluation(self.iteration, params)
        restored = [own["evaluation"] for own in self._restored if "evaluation" in own]
        self._restored = []
        if restored:
            evaluation.set_state(restored)
        else:
            evaluation.start()
        return evaluation

    def _take_up_beside(self) -> None:
        """Goes on with an evaluation that was saved while it was played beside training."""
        states = [own["beside"] for own in self._restored if "beside" in own]
        if states:
            self._diverged_at = np.array(part(states, "diverged_at"))
            like, iteration = self._trainer.agent_state.params, self.iteration - 1
            self._beside = EvaluationBeside.restored(
                self._own.new_evaluation, iteration, like, part(states, "evaluation")
            )

    def _begin_beside(self) -> None:
        state, seeds = self._trainer.agent_state, self._own.seeds
        self._restored, self._diverged_at = [], np.array(state.diverged_at)
        self._beside = EvaluationBeside.begun(
            self._own.new_evaluation, self.iteration, state.params, len(seeds)
        )

    def _finish_beside(self) -> None:
        """Waits for the evaluation that is played beside training, if any, and logs it."""
        if self._beside is None:
            return
        while not self._beside.wait(_WAIT_SECONDS):
            self._between_steps("eval")
        iteration, steps = self._beside.iteration, self._own.training_steps
        params, diverged_at = self._beside.params, self._diverged_at
        then = Moment(iteration, 0, (iteration + 1) * steps, 0, params, diverged_at)
        self._recorder.start_phase(then)
        for episode in self._beside.episodes:
            self._recorder.episode(then, "eval", episode)
        self._recorder.phase(then, "eval", {}, {})
        self._close_beside()

    def _close_beside(self) -> None:
        if self._beside is not None:
            self._beside.close()
            self._beside = None

    def _save(self) -> None:
        """Begins to write a checkpoint of this moment."""
        states, episodes = self._trainer.get_state(), self._recorder.get_state()
        states = [own | {"episodes": x} for own, x in zip(states, episodes, strict=True)]
        if self._evaluation is not None:
            own = zip(states, self._evaluation.get_state(), strict=True)
            states = [state | {"evaluation": x} for state, x in own]
        if self._beside is not None:
            evaluation = self._beside.get_state()
            beside = per_seed(evaluation=evaluation, diverged_at=list(self._diverged_at))
            states = [own | {"beside": x} for own, x in zip(states, beside, strict=True)]
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
            self._trainer.agent_state.diverged_at,
        )
