"""The run: iterations of training, measuring and evaluating, in a directory that can resume."""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import gin

from prune_rl.errors import ConfigError
from prune_rl.price import GIB, Price, Size, Work, rehearse, size
from prune_rl.recording import provenance, run_directory
from prune_rl.recording.checkpoints import Checkpointer
from prune_rl.recording.logs import RunLog
from prune_rl.recording.progress import RunProgress, say_finished, say_goes_on
from prune_rl.recording.recorder import Recorder
from prune_rl.session import Parts, Session
from prune_rl.signals import StopSignals

_REHEARSAL_SECONDS = 2.0


class Runner(Parts):
    """Trains and evaluates S seeds in lock-step; `experiment.create_runner` makes one."""

    def run(
        self, stop: StopSignals | None = None, announce: Callable[[Price], None] | None = None
    ) -> None:
        """Runs or resumes every iteration and draws curve.png; says so if all that is done.

        Args:
          stop: looked at after every step.
          announce: told what a new run takes, which is measured only for it.

        Raises:
          ConfigError: the directory holds a run with other settings, what it holds is damaged, it
            is in use, or it cannot be made.
          RunEnded: a game raised or a signal came, and it is saved; or it could not be saved.
          OSError: writing failed; the last checkpoint is intact.
        """
        self._require_disk()
        with run_directory.held(self.base_dir):
            run_directory.prepare(self.base_dir, gin.operative_config_str())
            stop = StopSignals() if stop is None else stop
            checkpointer = Checkpointer(self.base_dir / "checkpoints")
            try:
                self._run(Session(self, checkpointer, stop), announce)
            finally:
                checkpointer.close(wait=not stop.at_once)

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
        there = _bytes_below(folder)
        existing = next(x for x in (folder, *folder.parents) if x.exists())
        free = shutil.disk_usage(existing).free + there
        if needed > free:
            sizes = f"checkpoints take up to {needed / GIB:.2f} GiB, {free / GIB:.2f} are free"
            advice = "choose another disk, or a smaller ReplayBuffer.max_capacity"
            raise ConfigError(f"--base_dir={self.base_dir}: {sizes}; {advice}")

    def _run(self, session: Session, announce: Callable[[Price], None] | None) -> None:
        begun = session.restore()
        if not begun:
            seconds = session.start()
            if announce is not None:
                announce(self.price(_REHEARSAL_SECONDS, seconds))
                session.restore()
        picture = self.base_dir / "curve.png"
        if session.iteration < self.num_iterations or not picture.exists():
            record = provenance.collect(self.source.protocol)
            provenance.append(self.base_dir / "provenance.json", record)
            if begun and session.iteration < self.num_iterations:
                say_goes_on(self.base_dir, clock=self.source.clock, steps=self.source.steps)
            self._run_from(session)
            self._draw(picture)
        else:
            say_finished(self.base_dir, self.num_iterations)

    def _run_from(self, session: Session) -> None:
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


def _bytes_below(folder: Path) -> int:
    """Of all files there; another process may be removing some."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(path) / name).stat().st_size
    return total
