"""Turns what happens in a run into rows, episodes, matrices and a progress bar."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import numpy.typing as npt

from prune_rl.acting.episodes import Episode, episodes_to_states, states_to_episodes
from prune_rl.environments.reference_scores import References
from prune_rl.learning.state import Params
from prune_rl.recording.logs import Positions, RunLog
from prune_rl.recording.progress import RunProgress, say_diverged
from prune_rl.recording.rows import episode_fields, mean_return, sparsity_fields
from prune_rl.state import State

_SHOWN_EPISODES = 100  # the newest ones, over all seeds


class Moment(NamedTuple):
    """Where a run stands: each seed's steps and ticks, and what of its agent rows tell."""

    iteration: int
    agent_steps: int
    gradient_steps: int
    frames: int
    params: Mapping[str, Params]  # by name of the network; leading seed axis or `Separate`
    diverged_at: jax.Array | np.ndarray  # (S,) int32, see `AgentState`

    def before(self, steps: int) -> "Moment":
        """So many agent steps earlier, as far as episodes tell."""
        return self._replace(agent_steps=self.agent_steps - steps)


class Recorder:
    """Writes the logs of one run and shows how it goes.

    Args:
      log: says which clock the run goes by.
      progress: in steps of that clock.
      seeds: S of them.
      references: scores of the game, if it has any.
    """

    def __init__(
        self,
        log: RunLog,
        progress: RunProgress,
        seeds: Sequence[int],
        references: References | None = None,
    ) -> None:
        self._log, self._progress, self._seeds = log, progress, seeds
        self._references = references
        self._episodes: list[Episode] = []  # of the phase that is under way
        self._started, self._first = time.monotonic(), 0
        self._said: set[int] = set()  # seeds of which it was said that they have diverged

    def get_state(self) -> list[State]:
        """Episodes of the phase so far, of each seed: (n,) arrays by the names of `Episode`."""
        return episodes_to_states(self._episodes, len(self._seeds))

    def set_state(self, states: Sequence[State]) -> None:
        """Goes on with a phase from what `get_state` returned."""
        self._episodes = states_to_episodes(states)

    def start_phase(self, now: Moment) -> None:
        """Forgets the episodes of the phase before; time and steps are counted from `now`."""
        self._episodes, self._started = [], time.monotonic()
        self._first = getattr(now, self._log.clock)

    def episode(self, now: Moment, phase: str, episode: Episode) -> None:
        """Appends one episode, of 'train' or 'eval', to episodes.csv."""
        self._episodes.append(episode)
        self._log.episode(
            self._seeds[episode.seed_index],
            now.iteration,
            phase,
            getattr(now, self._log.clock),
            episode.episode_return,
            episode.length,
            "terminated" if episode.terminated else "truncated",
        )

    def phase(
        self,
        now: Moment,
        phase: str,
        metrics: Mapping[str, npt.NDArray[np.float64]],
        fields: Mapping[str, float],
    ) -> None:
        """Ends a phase: a row for each seed, of its episodes and metrics, and what is shown.

        Of a phase in which the clock went on, timing.jsonl gets the speed. A seed that is found to
        have diverged is named on stderr, once.

        Args:
          now: at the end of the phase.
          phase: 'train' or 'eval'.
          metrics: (S,) each.
          fields: the same for all seeds.
        """
        for i, row in enumerate(self._rows(now, phase)):
            own = [episode for episode in self._episodes if episode.seed_index == i]
            own_metrics = {name: float(values[i]) for name, values in metrics.items()}
            played = episode_fields(own, self._references)
            self._log.metrics(row | played | own_metrics | dict(fields))
        self._time(now, phase)
        self._say_diverged(now)
        self.show(now, phase)
        self._episodes = []

    def _time(self, now: Moment, phase: str) -> None:
        steps, seconds = getattr(now, self._log.clock) - self._first, time.monotonic()
        if steps:
            speed = {f"{self._log.clock}_per_second": steps / (seconds - self._started)}
            for row in self._counts(now, phase):
                self._log.timing(row | speed)

    def _say_diverged(self, now: Moment) -> None:
        for seed, step in zip(self._seeds, np.asarray(now.diverged_at), strict=True):
            if step and seed not in self._said:
                say_diverged(seed, step)
                self._said.add(seed)

    def measurements(
        self, now: Moment, rows: Sequence[Mapping[str, Any]], matrix_names: Sequence[str]
    ) -> None:
        """Logs a row of diagnostics for each seed; matrices go into files of their own."""
        for name in matrix_names:
            matrices = np.stack([row[name] for row in rows])
            steps, seeds = getattr(now, self._log.clock), np.array(self._seeds)
            self._log.matrices(name, now.iteration, steps, matrix=matrices, seeds=seeds)
        for row, measured in zip(self._rows(now, "diagnostics"), rows, strict=True):
            scalars = {name: x for name, x in measured.items() if name not in matrix_names}
            self._log.metrics(row | scalars)

    def due(self) -> bool:
        """Whether it is time to `show` something new."""
        return self._progress.due()

    def show(self, now: Moment, phase: str) -> None:
        """Shows where the run stands."""
        sparsities = [own["sparsity"] for own in sparsity_fields(now.params)]
        self._progress.show(
            getattr(now, self._log.clock),
            iteration=now.iteration,
            phase=phase,
            mean_return=mean_return(self._episodes[-_SHOWN_EPISODES:]),
            sparsity=float(np.mean(sparsities)),
        )

    def positions(self) -> Positions:
        """Puts everything on disk; see `RunLog.positions`."""
        return self._log.positions()

    def _rows(self, now: Moment, phase: str) -> list[dict[str, Any]]:
        """What every row of metrics.jsonl says, one per seed."""
        rows = []
        of_seeds = (self._counts(now, phase), np.asarray(now.diverged_at))
        for row, step, sparsity in zip(*of_seeds, sparsity_fields(now.params), strict=True):
            diverged = {"diverged_at": int(step)} if step else {}
            rows.append(row | diverged | sparsity)
        return rows

    def _counts(self, now: Moment, phase: str) -> list[dict[str, Any]]:
        """Whose each row is, and the counters, one per seed."""
        shared = {"iteration": now.iteration, "phase": phase}
        counts = {x: getattr(now, x) for x in ("agent_steps", "gradient_steps", "frames")}
        return [{"seed": seed} | shared | counts for seed in self._seeds]
