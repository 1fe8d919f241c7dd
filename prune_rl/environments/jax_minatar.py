"""MinAtar's games as pure functions: pgx plays a tick, and here is what stands around it.

The rules of a tick are those of pgx 2.6 (Koyamada et al. 2023), compared with MinAtar 1.0.15 step
by step in `tests/environments/test_jax_minatar.py`. What is drawn, and how often, is decided here,
by the original's laws.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from prune_rl.errors import ConfigError
from prune_rl.specs import Discrete, ObservationSpec

Variables = dict[str, jax.Array]  # of a game, and its `last_action`


class _Rules(NamedTuple):
    """One game in pgx.

    Attributes:
      new: a `State` of pgx, as it is by default.
      first_draws: numbers that starting an episode takes, each uniform in [0, 1).
      draws: the same of a tick.
      first: from those numbers to what an episode starts with, a `State` of pgx.
      tick: from a `State`, MinAtar's number of an action, and numbers, to the next `State`.
      observe: from a `State` to (10, 10, channels) bool.
    """

    new: Callable[..., Any]
    first_draws: int
    draws: int
    first: Callable[[jax.Array], Any]
    tick: Callable[[Any, jax.Array, jax.Array], Any]
    observe: Callable[[Any], jax.Array]


class JaxMinAtar:
    """One game; see `prune_rl.environments.functional.FunctionalEnvironment` for the interface.

    Args:
      name: one of `TWINS`.
      actions: MinAtar's numbers of the actions that `action_spec` counts.
      sticky_probability: of an action being the last one instead.
      observation_spec, protocol: see `prune_rl.environments.base.Environment`.

    Raises:
      ConfigError: pgx is not installed.
    """

    frame_skip = 1

    def __init__(
        self,
        name: str,
        *,
        actions: Sequence[int],
        sticky_probability: float,
        observation_spec: ObservationSpec,
        protocol: dict[str, Any],
    ) -> None:
        pgx = _import_pgx()
        self._rules = TWINS[name]()
        self._names = _variables_of(self._rules.new())
        self._actions = np.array(actions, np.int32)
        self._sticky_probability = sticky_probability
        self.observation_spec = observation_spec
        self.action_spec = Discrete(len(actions))
        self.protocol = protocol | {"implementation": f"pgx {pgx.__version__}"}

    def init(self, key: jax.Array) -> tuple[Variables, jax.Array]:
        """See `FunctionalEnvironment`."""
        return self._start(jnp.int32(0), key)

    def reset(self, game: Variables, key: jax.Array) -> tuple[Variables, jax.Array]:
        """See `FunctionalEnvironment`. The last action outlives an episode, and may stick."""
        return self._start(game["last_action"], key)

    def step(
        self, game: Variables, action: jax.Array, key: jax.Array
    ) -> tuple[Variables, jax.Array, jax.Array, jax.Array]:
        """See `FunctionalEnvironment`; one tick."""
        drawn = jax.random.uniform(key, (1 + self._rules.draws,))
        sticks = drawn[0] < self._sticky_probability
        played = jnp.where(sticks, game["last_action"], jnp.asarray(self._actions)[action])
        state = self._rules.tick(self._to_pgx(game), played, drawn[1:])
        return (*self._seen(state, played), state.rewards[0], state.terminated)

    def _start(self, last_action: jax.Array, key: jax.Array) -> tuple[Variables, jax.Array]:
        drawn = jax.random.uniform(key, (self._rules.first_draws,))
        return self._seen(self._rules.first(drawn), last_action)

    def _seen(self, state: Any, last_action: jax.Array) -> tuple[Variables, jax.Array]:
        game = {name: getattr(state, f"_{name}") for name in self._names}
        frame = self._rules.observe(state).astype(jnp.uint8) * jnp.uint8(255)
        return game | {"last_action": last_action}, frame

    def _to_pgx(self, game: Variables) -> Any:
        return self._rules.new(**{f"_{name}": game[name] for name in self._names})


def _variables_of(state: Any) -> tuple[str, ...]:
    """What changes during an episode, without pgx's leading underscore."""
    idle = {"_step_count", "_terminal", "_last_action"}
    names = [x.name for x in fields(state) if x.name.startswith("_") and x.name not in idle]
    return tuple(name[1:] for name in names if getattr(state, name).size)


def _one_of(number: jax.Array, count: Any) -> jax.Array:
    """An integer below `count`, each as likely, from a number uniform in [0, 1)."""
    return jnp.floor(number * count).astype(jnp.int32)


def _breakout() -> _Rules:
    from pgx.minatar import breakout as pgx

    return _Rules(
        pgx.State,
        first_draws=1,
        draws=0,
        first=lambda drawn: pgx._init_det(_one_of(drawn[0], 2)),
        tick=lambda state, action, _: pgx._step_det(state, action),
        observe=pgx._observe,
    )


def _space_invaders() -> _Rules:
    from pgx.minatar import space_invaders as pgx

    return _Rules(
        pgx.State,
        first_draws=0,
        draws=0,
        first=lambda _: pgx.State(),
        tick=lambda state, action, _: pgx._step_det(state, action),
        observe=pgx._observe,
    )


def _freeway() -> _Rules:
    from pgx.minatar import freeway as pgx

    def cars(drawn: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Speeds (8,) in 1 to 5 and directions (8,), from 16 numbers."""
        return 1 + _one_of(drawn[:8], 5), jnp.where(drawn[8:] < 0.5, -1, 1)

    return _Rules(
        pgx.State,
        first_draws=16,
        draws=16,
        first=lambda drawn: pgx._init_det(*cars(drawn)),
        tick=lambda state, action, drawn: pgx._step_det(state, action, *cars(drawn)),
        observe=pgx._observe,
    )


def _asterix() -> _Rules:
    from pgx.minatar import asterix as pgx

    def tick(state: Any, action: jax.Array, drawn: jax.Array) -> Any:
        free = state._entities[:, 0] == pgx.INF
        chosen = _one_of(drawn[2], jnp.sum(free))  # of the free slots; with none, none is filled
        slot = jnp.argmax(free & (jnp.cumsum(free) == chosen + 1))
        from_left, is_gold = drawn[0] < 1 / 2, drawn[1] < 1 / 3
        return pgx._step_det(state, action, lr=from_left, is_gold=is_gold, slot=slot)

    return _Rules(
        pgx.State,
        first_draws=0,
        draws=3,
        first=lambda _: pgx.State(),
        tick=tick,
        observe=pgx._observe,
    )


def _seaquest() -> _Rules:
    from pgx.minatar.seaquest import State

    from prune_rl.environments import jax_seaquest

    return _Rules(
        State,
        first_draws=0,
        draws=5,
        first=lambda _: State(),
        tick=jax_seaquest.tick,
        observe=jax_seaquest.observe,
    )


TWINS: dict[str, Callable[[], _Rules]] = {
    "asterix": _asterix,
    "breakout": _breakout,
    "freeway": _freeway,
    "seaquest": _seaquest,
    "space_invaders": _space_invaders,
}


def _import_pgx() -> ModuleType:
    try:
        import pgx
    except ImportError as error:
        wanted = "MinAtar in a compiled program needs pgx: pip install 'prune_rl[device]'"
        raise ConfigError(wanted) from error
    return pgx
