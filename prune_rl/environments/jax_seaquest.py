"""A tick of MinAtar's Seaquest: pgx's, but for what it does otherwise than the original.

Of pgx 2.6.0 against MinAtar 1.0.15: enemy bullets that left the water stay and stop others; a sub
that is shot, or leaves, on the tick of its own shot does not fire; air lasts a tick longer, and a
gauge below zero shows nine tenths; surfacing counts the ramp before it asks whether it is odd.
"""

from typing import Any

import jax
import jax.numpy as jnp
from pgx.minatar import seaquest as pgx

_FULL_CREW = 6


def tick(state: Any, action: jax.Array, drawn: jax.Array) -> Any:
    """From a `State` of pgx, an action and 5 numbers in [0, 1) to the next `State`."""
    state = _spawn(state, drawn)
    fired, shot_timer, x, y, faces_right = pgx._resolve_action(
        action, state._shot_timer, state._f_bullets, state._sub_x, state._sub_y, state._sub_or
    )
    own, subs, fish, reward = pgx._update_friendly_bullets(
        fired, state._e_subs, state._e_fish, jnp.float32(0)
    )
    divers, crew = pgx._update_divers(state._divers, state._diver_count, x, y)
    shots = _shots_of(subs)
    own, subs, _, over, reward = pgx._update_enemy_subs(
        own, subs, state._e_bullets, x, y, state._move_speed, jnp.bool_(False), reward
    )
    bullets, is_hit = _fly(jnp.concatenate([state._e_bullets, shots]), x, y)
    own, fish, over, reward = pgx._update_enemy_fish(
        own, fish, x, y, state._move_speed, over | is_hit, reward
    )
    state = state.replace(
        _f_bullets=own, _e_bullets=bullets, _e_subs=subs, _e_fish=fish, _divers=divers,
        _sub_x=x, _sub_y=y, _sub_or=faces_right, _diver_count=crew,
        _e_spawn_timer=jnp.maximum(state._e_spawn_timer - 1, 0),
        _d_spawn_timer=jnp.maximum(state._d_spawn_timer - 1, 0),
        _shot_timer=jnp.maximum(shot_timer - 1, 0),
    )  # fmt: skip
    return _breathe(state, over, reward)


def observe(state: Any) -> jax.Array:
    """(10, 10, 10) bool."""
    return pgx._observe(state.replace(_oxygen=jnp.maximum(state._oxygen, 0)))


def _spawn(state: Any, drawn: jax.Array) -> Any:
    """Enemies and divers whose time has come."""
    rows = 1 + jnp.floor(drawn[jnp.array([2, 4])] * 8).astype(jnp.int32)
    subs, fish = pgx._spawn_enemy(
        state._e_subs, state._e_fish, state._move_speed, drawn[0] < 1 / 2, drawn[1] < 1 / 3, rows[0]
    )
    divers = pgx._spawn_diver(state._divers, drawn[3] < 1 / 2, rows[1])
    enemy_due, diver_due = state._e_spawn_timer == 0, state._d_spawn_timer == 0
    return state.replace(
        _e_subs=jnp.where(enemy_due, subs, state._e_subs),
        _e_fish=jnp.where(enemy_due, fish, state._e_fish),
        _divers=jnp.where(diver_due, divers, state._divers),
        _e_spawn_timer=jnp.where(enemy_due, state._e_spawn_speed, state._e_spawn_timer),
        _d_spawn_timer=jnp.where(diver_due, pgx.DIVER_SPAWN_SPEED, state._d_spawn_timer),
    )


def _shots_of(subs: jax.Array) -> jax.Array:
    """Rows (25, 3) of bullets that leave where their subs go to, the last sub's first; else -1."""
    x, y, faces_right, move_timer, shot_timer = subs.T
    moves = jnp.where(move_timer == 0, jnp.where(faces_right == 1, 1, -1), 0)
    shots = jnp.stack([x + moves, y, faces_right], axis=1)
    return jnp.where((shot_timer == 0)[:, None] & _is_inside(shots), shots, -1)[::-1]


def _fly(bullets: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The bullets (25, 3) of `bullets` that go on, and whether one hits the player at (x, y)."""
    steps = jnp.where(bullets[:, 2] == 1, 1, -1)
    moved = bullets.at[:, 0].add(steps)
    flies = _is_inside(bullets)[:, 0] & _is_inside(moved)[:, 0]
    is_hit = ((bullets[:, 0] == x) & (bullets[:, 1] == y)).any()
    is_hit |= (flies & (moved[:, 0] == x) & (moved[:, 1] == y)).any()
    (places,) = jnp.nonzero(flies, size=25, fill_value=len(bullets))
    return moved.at[places].get(mode="fill", fill_value=-1), is_hit


def _is_inside(rows: jax.Array) -> jax.Array:
    return (rows[:, :1] >= 0) & (rows[:, :1] <= 9)


def _breathe(state: Any, over: jax.Array, reward: jax.Array) -> Any:
    """Air under water; at the surface a rest, a reward, and harder times to come."""
    oxygen, crew, ramp = state._oxygen, state._diver_count, state._ramp_index
    is_under = state._sub_y > 0
    arrives = ~is_under & ~state._surface
    over |= (oxygen <= 0) | (arrives & (crew == 0))
    rests = arrives & (crew != 0)
    rescues = rests & (crew == _FULL_CREW)
    ramps = rests & ((state._e_spawn_speed > 1) | (state._move_speed > 2))
    reward += jnp.where(rescues, oxygen * 10 // pgx.MAX_OXYGEN, 0)
    return state.replace(
        _oxygen=jnp.where(rests, pgx.MAX_OXYGEN, oxygen - is_under),
        _diver_count=jnp.where(rescues, 0, crew) - rests,
        _surface=~is_under & (state._surface | rests),
        _move_speed=state._move_speed - (ramps & (state._move_speed > 2) & (ramp % 2 == 1)),
        _e_spawn_speed=state._e_spawn_speed - (ramps & (state._e_spawn_speed > 1)),
        _ramp_index=ramp + ramps,
        rewards=reward[None],
        terminated=over,
    )
