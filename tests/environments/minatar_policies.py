"""How MinAtar's games are played so that all of their rules are met: policies and beginnings.

A policy knows the package's own game and answers with the place of an action in its minimal set.
"""

import numpy as np


def _follow_the_ball(env, rng):
    """Catches every ball, and so clears walls."""
    there = env.ball_x + (1 if env.ball_dir in (1, 2) else -1)
    return int(rng.integers(3)) if rng.random() < 0.03 else int(np.sign(env.pos - there)) % 3


def _cross(_env, rng):
    return int(rng.choice(3, p=(0.1, 0.8, 0.1)))


def _roam(env, rng):
    return int(rng.integers(len(env.minimal_action_set())))


def _shoot(env, rng):
    """Goes below the nearest aliens and fires, and so clears what is left of a wave."""
    columns = np.flatnonzero(env.alien_map.any(axis=0))
    ahead = columns[np.abs(columns - env.pos).argmin()] - env.pos
    if ahead == 0:
        return 3 if env.shot_timer == 0 else 0
    return 1 if ahead < 0 else 2


def _dive(env, rng):
    """Fetches divers and brings them up; shoots now and then, and may forget to breathe."""
    if rng.random() < 0.3:
        return int(rng.choice([1, 3, 5, 5]))
    if env.sub_y == 0:
        return 4
    if env.oxygen < 10 or env.diver_count == 6:
        return 2 if env.diver_count else int(rng.choice([1, 3, 4]))
    if not env.divers:
        return 4 if env.sub_y < 4 else int(rng.integers(6))
    x, y = env.divers[0][:2]
    if y != env.sub_y:
        return 4 if y > env.sub_y else 2 if env.sub_y > 1 else 0
    return 3 if x > env.sub_x else 1


def _as_it_is(_env, _rng):
    pass


def _ramped_asterix(env, rng):
    env.ramp_index = int(rng.integers(10))
    env.move_speed, env.spawn_speed = max(1, 5 - env.ramp_index // 2), 10 - env.ramp_index
    env.ramp_timer = int(rng.integers(-1, 20))


def _ramped_seaquest(env, rng):
    """As after surfacing up to 19 times, with some of the crew found and some air gone."""
    env.ramp_index = int(rng.choice([0, 0, 1, 2, 5, 18, 19]))
    env.move_speed, env.e_spawn_speed = max(2, 5 - env.ramp_index // 2), 20 - env.ramp_index
    env.e_spawn_timer = env.e_spawn_speed
    env.diver_count, env.oxygen = int(rng.integers(7)), int(rng.integers(5, 80))


def _late_freeway(env, rng):
    env.terminate_timer = int(rng.integers(300))


def _few_aliens(env, rng):
    """As in any wave, when most of it is shot."""
    env.alien_map *= rng.random((10, 10)) < 0.2
    env.alien_map[2, 5] = 1
    env.enemy_move_interval = int(rng.integers(6, 13))
    env.ramp_index = 12 - env.enemy_move_interval


_PLAYED = {  # policy, beginning, how often it looks two ticks ahead
    "asterix": (_roam, _ramped_asterix, 0.5),
    "breakout": (_follow_the_ball, _as_it_is, 0),
    "freeway": (_cross, _late_freeway, 0),
    "seaquest": (_dive, _ramped_seaquest, 0.5),
    "space_invaders": (_shoot, _few_aliens, 0.9),
}
REACHED = {  # the least and the greatest value in a comparison
    "asterix": {"ramp_index": (0, 9), "move_speed": (1, 5), "spawn_speed": (1, 10)},
    "breakout": {"strike": (False, True), "ball_y": (0, 9)},
    "freeway": {"pos": (1, 9), "move_timer": (0, 2)},
    "seaquest": {
        "ramp_index": (0, 19),
        "move_speed": (2, 5),
        "e_spawn_speed": (1, 20),
        "diver_count": (-1, 6),
        "oxygen": (-1, 200),
    },
    "space_invaders": {"ramp_index": (0, 6), "enemy_move_interval": (6, 12), "alien_dir": (-1, 1)},
}


def of(game):
    """(policy, beginning, share of ticks at which it takes care to survive)."""
    return _PLAYED[game]
