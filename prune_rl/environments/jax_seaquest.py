"""A tick of MinAtar's Seaquest around what of pgx plays it as the original does.

Of pgx 2.6.0 against MinAtar 1.0.15: enemy bullets that left the water stay and stop others; a sub
that is shot on the tick of its own shot does not fire; air lasts a tick longer, and a gauge below
zero shows nine tenths; surfacing counts the ramp before it asks whether it is odd; and its loops
over 25 places of enemies are slow to compile. So these are here, the rest is pgx's.

Objects are rows of integers (N, 3) or wider, oldest first: x, y, whether they face right, timers;
-1 where there is none. Of a kind 25 are kept: more come together at the shortest spawn time alone,
and hardly ever.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from pgx.minatar import seaquest as pgx

_FULL_CREW = 6


def tick(state: Any, action: jax.Array, drawn: jax.Array) -> Any:
    """From a `State` of pgx, an action and 5 numbers in [0, 1) to the next `State`."""
    state = _spawn(state, drawn)
    own, shot_timer, x, y, faces_right = pgx._resolve_action(
        action, state._shot_timer, state._f_bullets, state._sub_x, state._sub_y, state._sub_or
    )
    own, fish, subs = _Rows.of(own), _Rows.of(state._e_fish), _Rows.of(state._e_subs)
    own, fish, subs, shot = _fly_own(own, fish, subs)
    divers, crew = pgx._update_divers(state._divers, state._diver_count, x, y)
    fired, player = _fire(subs), 10 * y + x
    subs, own, is_rammed, rammed = _swim(subs, own, player, state._move_speed)
    bullets, is_hit = _fly(jnp.concatenate([state._e_bullets, fired]), player)
    fish, own, is_bitten, bitten = _swim(fish, own, player, state._move_speed)
    state = state.replace(
        _f_bullets=own.kept(), _e_bullets=bullets, _e_fish=fish.kept(), _e_subs=_load(subs.kept()),
        _divers=divers, _diver_count=crew, _sub_x=x, _sub_y=y, _sub_or=faces_right,
        _e_spawn_timer=jnp.maximum(state._e_spawn_timer - 1, 0),
        _d_spawn_timer=jnp.maximum(state._d_spawn_timer - 1, 0),
        _shot_timer=jnp.maximum(shot_timer - 1, 0),
    )  # fmt: skip
    return _breathe(state, is_rammed | is_hit | is_bitten, shot + rammed + bitten)


def observe(state: Any) -> jax.Array:
    """(10, 10, 10) bool."""
    return pgx._observe(state.replace(_oxygen=jnp.maximum(state._oxygen, 0)))


def _spawn(state: Any, drawn: jax.Array) -> Any:
    """Enemies and divers whose time has come."""
    enemy_y, diver_y = (1 + jnp.floor(drawn[i] * 8).astype(jnp.int32) for i in (2, 4))
    subs, fish = pgx._spawn_enemy(
        state._e_subs, state._e_fish, state._move_speed, drawn[0] < 1 / 2, drawn[1] < 1 / 3, enemy_y
    )
    divers = pgx._spawn_diver(state._divers, drawn[3] < 1 / 2, diver_y)
    enemy_due, diver_due = state._e_spawn_timer == 0, state._d_spawn_timer == 0
    return state.replace(
        _e_subs=jnp.where(enemy_due, subs, state._e_subs),
        _e_fish=jnp.where(enemy_due, fish, state._e_fish),
        _divers=jnp.where(diver_due, divers, state._divers),
        _e_spawn_timer=jnp.where(enemy_due, state._e_spawn_speed, state._e_spawn_timer),
        _d_spawn_timer=jnp.where(diver_due, pgx.DIVER_SPAWN_SPEED, state._d_spawn_timer),
    )


class _Rows(NamedTuple):
    """Objects (N, columns) int32, and of which rows there still is one, (N,) bool."""

    rows: jax.Array
    there: jax.Array

    @classmethod
    def of(cls, rows: jax.Array) -> "_Rows":
        return cls(rows, rows[:, 1] >= 0)

    def kept(self) -> jax.Array:
        """(N, columns): those that are there, in their order, then -1."""
        places = jnp.arange(len(self.rows))
        count = jnp.sum(self.there & (places <= places[:, None]), axis=1)
        goes = self.there & (count == 1 + places[:, None])  # (new place, old place)
        # Neither a sort nor a scatter: XLA is slow with both on a CPU.
        old = jnp.sum(jnp.where(goes, places, 0), axis=1)
        return jnp.where((places < count[-1])[:, None], self.rows[old], -1)

    def ahead(self) -> "_Rows":
        """All where they move to, and those there that are still in the water."""
        moved = _with(self.rows, 0, self.rows[:, 0] + jnp.where(self.rows[:, 2] == 1, 1, -1))
        return _Rows(moved, self.there & (moved[:, 0] >= 0) & (moved[:, 0] <= 9))

    @property
    def places(self) -> jax.Array:
        """(N,): one number of each place in the water."""
        return 10 * self.rows[:, 1] + self.rows[:, 0]

    def reversed(self) -> "_Rows":
        return _Rows(self.rows[::-1], self.there[::-1])


def _fly_own(own: _Rows, fish: _Rows, subs: _Rows) -> tuple[_Rows, _Rows, _Rows, jax.Array]:
    """What is left of the player's bullets, fish and subs, and how many of these were shot.

    The newest bullet comes first, and takes the oldest fish of the place it flies to, or else sub.
    """
    own = own.ahead().reversed()
    by_fish, fish_shot = _meet(own, fish)
    own = own._replace(there=own.there & ~by_fish)
    by_subs, subs_shot = _meet(own, subs)
    own = own._replace(there=own.there & ~by_subs).reversed()
    fish = fish._replace(there=fish.there & ~fish_shot)
    subs = subs._replace(there=subs.there & ~subs_shot)
    return own, fish, subs, jnp.sum(by_fish) + jnp.sum(by_subs)


def _swim(
    old: _Rows, own: _Rows, player: jax.Array, speed: jax.Array
) -> tuple[_Rows, _Rows, jax.Array, jax.Array]:
    """Fish, or subs, move where their timer is up, and may meet the player or its bullets.

    The newest enemy comes first, and takes the oldest bullet of the place it swims to.

    Returns: enemies and bullets that are left, whether the player is met, how many are shot.
    """
    timers, ahead = old.rows[:, 3], old.ahead()
    is_due = timers == 0
    rows = jnp.where(is_due[:, None], ahead.rows, old.rows)
    new = _Rows(_with(rows, 3, jnp.where(is_due, speed, timers - 1)), old.there & ~is_due)
    swims, is_met = ahead.there & is_due, new.places == player
    over = (old.there & (old.places == player)) | (swims & is_met)
    shot, hits = _meet(_Rows(new.rows, swims & ~is_met).reversed(), own)
    new = new._replace(there=new.there | (swims & ~shot[::-1]))
    return new, own._replace(there=own.there & ~hits), over.any(), jnp.sum(hits)


def _meet(these: _Rows, those: _Rows) -> tuple[jax.Array, jax.Array]:
    """Which meet, in both: the first at a place the first there, the second the second."""
    at_one = (these.places[:, None] == those.places) & these.there[:, None] & those.there
    meet = at_one & (_before(these)[:, None] == _before(those))
    return meet.any(axis=1), meet.any(axis=0)


def _before(own: _Rows) -> jax.Array:
    """(N,): how many of them come before each at its own place."""
    order = jnp.arange(len(own.rows))
    at_one = (own.places[:, None] == own.places) & own.there & (order < order[:, None])
    return jnp.sum(at_one, axis=1)


def _fire(subs: _Rows) -> jax.Array:
    """Bullets (25, 3) from where subs swim to, the newest sub's first; -1 where none fires."""
    ahead, is_due = subs.ahead(), (subs.rows[:, 3] == 0)[:, None]
    fires = (subs.rows[:, 4] == 0) & jnp.where(is_due[:, 0], ahead.there, subs.there)
    bullets = jnp.where(is_due, ahead.rows, subs.rows)[:, :3]
    return jnp.where(fires[:, None], bullets, -1)[::-1]


def _load(subs: jax.Array) -> jax.Array:
    timers = jnp.where(subs[:, 4] == 0, pgx.ENEMY_SHOT_INTERVAL, subs[:, 4] - 1)
    return _with(subs, 4, jnp.where(subs[:, 1] >= 0, timers, -1))


def _fly(bullets: jax.Array, player: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The enemies' bullets (25, 3) that go on, and whether one hits the player."""
    old = _Rows.of(bullets)
    new = old.ahead()
    is_hit = (old.there & (old.places == player)) | (new.there & (new.places == player))
    return new.kept()[:25], is_hit.any()


def _breathe(state: Any, over: jax.Array, shot: jax.Array) -> Any:
    """Air under water; at the surface a rest, a reward, and harder times to come."""
    oxygen, crew, ramp = state._oxygen, state._diver_count, state._ramp_index
    is_under = state._sub_y > 0
    arrives = ~is_under & ~state._surface
    over |= (oxygen <= 0) | (arrives & (crew == 0))
    rests = arrives & (crew != 0)
    rescues = rests & (crew == _FULL_CREW)
    ramps = rests & ((state._e_spawn_speed > 1) | (state._move_speed > 2))
    reward = shot + jnp.where(rescues, oxygen * 10 // pgx.MAX_OXYGEN, 0)
    return state.replace(
        _oxygen=jnp.where(rests, pgx.MAX_OXYGEN, oxygen - is_under),
        _diver_count=jnp.where(rescues, 0, crew) - rests,
        _surface=~is_under & (state._surface | rests),
        _move_speed=state._move_speed - (ramps & (state._move_speed > 2) & (ramp % 2 == 1)),
        _e_spawn_speed=state._e_spawn_speed - (ramps & (state._e_spawn_speed > 1)),
        _ramp_index=ramp + ramps,
        rewards=reward[None].astype(jnp.float32),
        terminated=over,
    )


def _with(rows: jax.Array, column: int, values: jax.Array) -> jax.Array:
    """`rows` with other `values` (N,) in a column; XLA is slow to write into one on a CPU."""
    return jnp.where(jnp.arange(rows.shape[1]) == column, values[:, None], rows)
