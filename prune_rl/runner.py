"""The run: iterations of training, measuring and evaluating, in a directory that can resume."""

import os
import shutil
from collections.abc import Callable
from contextlib import closing, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import gin

from prune_rl.environments.reference_scores import references_of
from prune_rl.errors import ConfigError
from prune_rl.learning.saved import to_states
from prune_rl.parts import Parts
from prune_rl.price import EPISODE_STEPS, Price, Size, Work, in_bytes, size
from prune_rl.recording import provenance, run_directory
from prune_rl.recording.checkpoints import Checkpointer
from prune_rl.recording.logs import RunLog
from prune_rl.recording.progress import RunProgress, say_finished, say_goes_on
from prune_rl.recording.recorder import Recorder
from prune_rl.rehearsal import peak_device, peak_ram, rehearse
from prune_rl.session import Session
from prune_rl.signals import StopSignals
from prune_rl.specs import to_json
from prune_rl.state import per_seed
from prune_rl.tracking import create_sink

_REHEARSAL_SECONDS = 2.0


class Runner(Parts):
    """Trains and evaluates S seeds in lock-step; `experiment.create_runner` makes one."""

    def run(
        self,
        stop: StopSignals | None = None,
        announce: Callable[[Price], None] | None = None,
        track: str | None = None,
    ) -> None:
        """Runs or resumes every iteration and draws curve.png; says so if all that is done.

        Args:
          stop: looked at after every step.
          announce: told what a new run takes, which is measured only for it.
          track: one of `tracking.TRACKERS` that shows it too.

        Raises:
          ConfigError: the directory holds a run with other settings, what it holds is damaged, it
            is in use, or it cannot be made.
          RunEnded: a game raised, a signal came or no seed is finite any more, and it is saved; or
            it could not be saved.
          OSError: writing failed; the last checkpoint is intact.
        """
        stop = StopSignals() if stop is None else stop
        config = gin.operative_config_str()
        with closing(self.source):
            run_directory.check(self.base_dir, config)
            self._require_disk()
            with run_directory.held(self.base_dir):
                run_directory.prepare(self.base_dir, config)
                checkpointer = Checkpointer(self.base_dir / "checkpoints")
                try:
                    self._run(Session(self, checkpointer, stop), announce, track)
                finally:
                    checkpointer.close(wait=not stop.at_once)

    def dry_run(self, seconds: float) -> Price:
        """What the whole run would take, measured for so long; its directory is then of no use."""
        own = self.size
        with closing(Checkpointer(self.base_dir / "checkpoints")) as checkpointer:
            save = Session(self, checkpointer, StopSignals()).start()
            return self._price(own, seconds, save)

    def _price(self, own: Size, seconds: float, save: float) -> Price:
        """Of a run that has begun; it is left anywhere."""
        work = self._work()
        pace, peaks = rehearse(self, work, seconds=seconds, save=save)
        return Price(own, work, pace, peak_ram(own, peaks), peak_device())

    @cached_property
    def size(self) -> Size:
        """What it takes of memory and disk; to be asked before it runs."""
        # Not of the games, which have not begun.
        agent = to_states(self.trainer.agent_state, self.policy.learner.state_axes)
        states = per_seed(agent=agent, replay=self.source.replay.get_state())
        if self._evaluates_beside:
            weights = to_states(self.trainer.agent_state.params, 0)
            states = [own | {"evaluated": x} for own, x in zip(states, weights, strict=True)]
        return size(self.policy.learner, states, self._work().steps, self.training_steps)

    @property
    def _evaluates_beside(self) -> bool:
        return self.source.clock == "gradient_steps" and any(self.evaluation.values())

    def _work(self) -> Work:
        steps, own = self.num_iterations * self.training_steps, self.evaluation
        updates = self.source.num_gradient_steps(steps)
        evaluated = max(own["num_steps"], own["num_episodes"] * EPISODE_STEPS)
        notes = []
        if not updates:
            notes.append(self.no_updates)
        if own["num_episodes"]:
            notes.append(f"evaluated episodes are taken to last {EPISODE_STEPS:,} agent steps")
        if self._evaluates_beside:
            notes.append("evaluations are counted as if they came after training, not beside it")
        if self.diagnostics is not None:
            notes.append("diagnostics are not counted")
        return Work(
            clock=self.source.clock,
            num_seeds=len(self.seeds),
            steps=steps,
            updates=updates,
            evaluations=self.num_iterations if evaluated else 0,
            evaluation_steps=self.num_iterations * evaluated,
            saves=self.num_iterations,
            notes=notes,
        )

    @property
    def no_updates(self) -> str:
        """Why no gradient step is due, where none is."""
        steps = self.num_iterations * self.training_steps
        name = f"{type(self.policy.agent).__name__}.min_replay_history"
        return f"no gradient step is due: {name} is not below the run's {steps:,} steps"

    def _require_disk(self) -> None:
        """Raises `ConfigError` if the checkpoints of a whole run would not fit beside its logs."""
        needed, folder = self.size.disk_bytes, self.base_dir.absolute()
        free = _bytes_in(folder / "checkpoints")
        with suppress(OSError):  # nobody may look there: said when it is to be held
            existing = next(x for x in (folder, *folder.parents) if x.exists())
            free += shutil.disk_usage(existing).free
            if needed > free:
                sizes = f"checkpoints take up to {in_bytes(needed)}, {in_bytes(free)} are free"
                advice = "choose another disk, or a smaller ReplayBuffer.max_capacity"
                raise ConfigError(f"--base_dir={self.base_dir}: {sizes}; {advice}")

    def _run(
        self,
        session: Session,
        announce: Callable[[Price], None] | None,
        track: str | None,
    ) -> None:
        begun = session.restore()
        if not begun:
            seconds = session.start()
            if announce is not None:
                announce(self._price(self.size, _REHEARSAL_SECONDS, seconds))
                session.restore()
        picture = self.base_dir / "curve.png"
        if session.iteration < self.num_iterations or not picture.exists():
            session.require_a_finite_seed()
            record = provenance.collect(self.source.protocol) | self._specs
            provenance.append(self.base_dir / "provenance.json", record)
            if begun and session.iteration < self.num_iterations:
                say_goes_on(self.base_dir, clock=self.source.clock, steps=self.source.steps)
            self._run_from(session, track)
            self._draw(picture)
        else:
            say_finished(self.base_dir, self.num_iterations)

    @property
    def _specs(self) -> dict[str, Any]:
        """Of what is learned from, as JSON: who loads the run may not have its games or data."""
        own = self.source
        return {
            "observation_spec": to_json(own.observation_spec),
            "action_spec": to_json(own.action_spec),
        }

    def _run_from(self, session: Session, track: str | None) -> None:
        clock, steps = self.source.clock, self.source.steps
        total, count = self.num_iterations * self.training_steps, self.num_iterations
        sinks = [create_sink(track, self)] if track is not None else []
        log = RunLog(
            self.base_dir, positions=session.positions, clock=clock, steps=steps, sinks=sinks
        )
        progress = RunProgress(
            clock=clock, total_steps=total, done_steps=steps, num_iterations=count
        )
        with log, progress:
            references = references_of(self.source.protocol)
            session.go_on(Recorder(log, progress, self.seeds, references))

    def _draw(self, picture: Path) -> None:
        # matplotlib would be a quarter of the start-up; a run needs it once, at its end.
        from prune_rl.reporting import curves
        from prune_rl.reporting.figures import save
        from prune_rl.reporting.runs import Run

        save(curves.draw([Run(self.base_dir)]), picture)


def _bytes_in(folder: Path) -> int:
    """Of all files below, but those that another process removes meanwhile."""
    count = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                count += os.stat(os.path.join(place, name)).st_size
    return count
