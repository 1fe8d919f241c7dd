"""Episodes of a trained agent, several at once, each as if it were played alone."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from prune_rl import randomness
from prune_rl.acting.episodes import Episode, EpisodeTracker
from prune_rl.environments.base import Environment
from prune_rl.environments.batch import EnvironmentBatch
from prune_rl.environments.scaled import scaled
from prune_rl.environments.stack import FrameStack
from prune_rl.errors import RunEnded
from prune_rl.learning.learner import Learner
from prune_rl.loaded_run import LoadedRun

# Actions of so many games are asked for at once, however many are played: the compiled program,
# and so the last bit of what it answers, is the same for any number of episodes.
LANES = 8


# (params, keys (LANES, 2), observations (LANES, *observation), *numbers) -> (actions, keys)
Act = Callable[..., tuple[Any, Any]]


def acting(learner: Learner) -> Act:
    """What answers for all lanes of one seed at once, as evaluations act; compiled once."""

    def of_lanes(params: Any, keys: Any, observations: Any, *numbers: Any) -> Any:
        def of_one(key: Any, observation: Any) -> Any:
            return learner.one.act_eval(params, key, observation, *numbers)

        return jax.vmap(of_one)(keys, observations)

    return jax.jit(of_lanes)


class Played(NamedTuple):
    """An episode: its number, raw return, length in agent steps, and whether the game was over."""

    number: int
    episode_return: float
    length: int
    terminated: bool


class Look(NamedTuple):
    """What a watcher sees before an agent step.

    Attributes:
        game: as it stands.
        observation: (*observation), on the agent's scale.
        action: that it is about to take, (*action).
        episode_return: so far.
        length: agent steps so far.
    """

    game: Environment
    observation: npt.NDArray[Any]
    action: npt.NDArray[Any]
    episode_return: float
    length: int


class Lane:
    """A game that plays one episode after another."""

    def __init__(self, game: Environment, longest: int) -> None:
        self.game = game
        self._games = EnvironmentBatch([game], longest)
        self._stack = FrameStack(1, game.observation_spec)
        self._tracker = EpisodeTracker(1)
        self.episode_return, self.length = 0.0, 0
        self._stack.reset(self._games.reset())

    @property
    def observation(self) -> npt.NDArray[Any]:
        """What to act on, (*observation)."""
        own: npt.NDArray[Any] = self._stack.array[0]
        return own

    def step(self, action: npt.NDArray[Any]) -> Episode | None:
        """One agent step; the episode that it ended."""
        step = self._games.step(action[None])
        self._stack.follow(step)
        self.episode_return += float(step.rewards[0])
        self.length += 1
        ended = self._tracker.add(step)
        if ended:
            self.episode_return, self.length = 0.0, 0
        return ended[0] if ended else None

    def close(self) -> None:
        self._games.close()


class Lanes:
    """Plays episodes 0, 1, 2, ... of one seed of a run, as its evaluations play.

    Episode e is of lane e % `LANES`, which has a game and a stream of random numbers of its own,
    and plays its episodes in their order. So an episode depends on the weights, the `number` and e
    alone: neither on how many are played nor on how many at once. That each lane plays a number
    that was fixed beforehand leaves no room for short episodes to crowd out long ones.

    Args:
        run: whose weights.
        num_episodes: that will be played at most.
        act: of the run's learner, as `acting` compiles it.
        number: of the evaluation, in [0, 2**32): another number, other games.
        exploration: numbers as of `Agent.exploration_eval`.
        game: another game than the run's.

    Attributes:
        run: see above.
        games: of the lanes.
        protocol: theirs; JSON.

    Raises:
        ConfigError: the game cannot be made, or does not fit.
    """

    def __init__(
        self,
        run: LoadedRun,
        num_episodes: int,
        *,
        act: Act,
        number: int,
        exploration: Sequence[float],
        game: str | None = None,
    ) -> None:
        lanes = range(min(num_episodes, LANES))
        seeds = [randomness.lane_seed(run.seed, number, lane) for lane in lanes]
        scales = [run.scale] * len(seeds) if run.scale else None
        games = list(scaled(run.create_games(seeds, game), scales))
        self.run, self.games = run, games
        self.protocol = games[0].protocol | {"max_steps_per_episode": run.max_steps_per_episode}
        self._lanes = [Lane(own, run.max_steps_per_episode) for own in games]
        keys = [randomness.lane_key(run.seed, number, lane) for lane in range(LANES)]
        self._keys = np.array(jnp.stack(keys))
        self._observations = np.zeros(
            (LANES, *run.observation_spec.shape), run.observation_spec.dtype
        )
        self._params, self._numbers = run.params, exploration
        self._act = act
        self._pool = ThreadPoolExecutor(len(games)) if games[0].steps_off_gil else None
        self._next = 0

    def play(
        self,
        count: int,
        *,
        watch: Callable[[Look], None] | None = None,
        tell: Callable[[int], None] = lambda ended: None,
    ) -> list[Played]:
        """The next so many episodes, in their order.

        Args:
            count: of them.
            watch: shown each agent step; then they are played one after another.
            tell: told after each agent step how many episodes it ended.

        Raises:
            RunEnded: a game raised.
        """
        numbers = range(self._next, self._next + count)
        self._next += count
        if watch is None:
            return sorted(self._play(numbers, watch, tell))
        return [played for one in numbers for played in self._play([one], watch, tell)]

    def _play(
        self,
        numbers: Sequence[int],
        watch: Callable[[Look], None] | None,
        tell: Callable[[int], None],
    ) -> Iterator[Played]:
        left = {lane: [x for x in numbers if x % LANES == lane] for lane in range(LANES)}
        while active := [lane for lane, own in left.items() if own]:
            actions = self._actions(active)
            if watch is not None:
                for lane in active:
                    own = self._lanes[lane]
                    watch(
                        Look(
                            own.game, own.observation, actions[lane], own.episode_return, own.length
                        )
                    )
            ended = self._step(active, actions)
            for lane, episode in ended.items():
                yield Played(left[lane].pop(0), *episode[1:])
            tell(len(ended))

    def _actions(self, active: Sequence[int]) -> npt.NDArray[Any]:
        """(LANES, *action); of lanes that are not active, anything."""
        for lane in active:
            self._observations[lane] = self._lanes[lane].observation
        actions, keys = self._act(self._params, self._keys, self._observations, *self._numbers)
        # The others' streams stand still.
        self._keys[active] = np.asarray(keys)[active]
        return np.asarray(actions)

    def _step(self, active: Sequence[int], actions: npt.NDArray[Any]) -> dict[int, Episode]:
        """Episodes that ended, by lane."""
        step = self._pool.map if self._pool and len(active) > 1 else map
        try:
            ended = list(step(lambda lane: self._lanes[lane].step(actions[lane]), active))
        except RunEnded as error:
            raise RunEnded(f"a game of the evaluation failed: {error}") from error
        return {lane: own for lane, own in zip(active, ended, strict=True) if own is not None}

    def close(self) -> None:
        """Releases threads and emulators."""
        with ExitStack() as stack:
            if self._pool:
                stack.callback(self._pool.shutdown)
            for lane in self._lanes:
                stack.callback(lane.close)
