"""Evaluations that are played while the agent goes on learning.

What they play depends on the weights they are of, the seeds and the iteration, not on what is
beside them.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import jax
import jax.numpy as jnp

from prune_rl.acting.episodes import Episode, episodes_to_states, states_to_episodes
from prune_rl.acting.evaluation import Evaluation
from prune_rl.learning.saved import from_states, to_states
from prune_rl.learning.state import Params
from prune_rl.state import State, part, per_seed

NewEvaluation = Callable[[int, Mapping[str, Params]], Evaluation]  # of an iteration and weights


class EvaluationBeside:
    """Plays one evaluation in a thread; between two of its steps it can be held and saved.

    Args:
        new_evaluation: makes it.
        iteration: that it is of.
        params: of each network, with a leading seed axis or `Separate`; nothing may donate them.
        num_seeds: S.
    """

    def __init__(
        self,
        new_evaluation: NewEvaluation,
        iteration: int,
        params: Mapping[str, Params],
        num_seeds: int,
    ) -> None:
        self.iteration, self.params, self._num_seeds = iteration, params, num_seeds
        self._evaluation = new_evaluation(iteration, params)
        self._episodes: list[Episode] = []
        self._error: BaseException | None = None
        self._stepping, self._turn, self._closed = threading.Lock(), threading.Event(), False
        self._thread = threading.Thread(target=self._play, name="evaluation", daemon=True)

    @classmethod
    def begun(
        cls,
        new_evaluation: NewEvaluation,
        iteration: int,
        params: Mapping[str, Params],
        num_seeds: int,
    ) -> "EvaluationBeside":
        """One that plays from the start, with a copy of the weights."""
        own = jax.tree.map(jnp.copy, params)  # an update takes the memory of those it is given
        beside = cls(new_evaluation, iteration, own, num_seeds)
        beside._evaluation.start()
        beside._go_on()
        return beside

    @classmethod
    def restored(
        cls,
        new_evaluation: NewEvaluation,
        iteration: int,
        like: Mapping[str, Params],
        states: Sequence[State],
    ) -> "EvaluationBeside":
        """One that goes on, to the bit, from what `get_state` returned; weights are `like` these.

        Raises:
            ConfigError: they are not.
        """
        params = from_states(part(states, "params"), like, 0)
        beside = cls(new_evaluation, iteration, params, len(states))
        beside._evaluation.set_state(part(states, "play"))
        beside._episodes = states_to_episodes(part(states, "episodes"))
        beside._go_on()
        return beside

    def _go_on(self) -> None:
        self._turn.set()
        self._thread.start()

    def _play(self) -> None:
        try:
            while self._step():
                pass
        except BaseException as error:  # raised again where it is waited for
            self._error = error

    def _step(self) -> bool:
        self._turn.wait()
        with self._stepping:
            if self._closed or self._evaluation.done:
                return False
            self._episodes += self._evaluation.step()
            return True

    @contextmanager
    def _held(self) -> Iterator[None]:
        # The lock alone would not do: the thread would take it again before anyone else.
        self._turn.clear()
        try:
            with self._stepping:
                yield
        finally:
            self._turn.set()

    def wait(self, seconds: float) -> bool:
        """Whether it is over, after so long at most.

        Raises:
            EnvironmentFailed: a game raised, or whatever else was raised there.
        """
        self._thread.join(seconds)
        if self._error is not None:
            raise self._error
        return not self._thread.is_alive()

    @property
    def episodes(self) -> list[Episode]:
        """Those that have ended, seed by seed."""
        with self._held():
            return sorted(self._episodes, key=lambda episode: episode.seed_index)

    def get_state(self) -> list[State]:
        """Of each seed, everything that decides the future, its weights too."""
        with self._held():
            return per_seed(
                play=self._evaluation.get_state(),
                episodes=episodes_to_states(self._episodes, self._num_seeds),
                params=to_states(self.params, 0),
            )

    def close(self) -> None:
        """Stops after the step under way; releases threads and emulators."""
        self._closed = True
        self._turn.set()
        if self._thread.is_alive():
            self._thread.join()
        self._evaluation.close()
