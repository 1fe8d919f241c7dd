"""A game's name as other projects spell it is understood, and ours is named."""

import gymnasium
import pytest

from prune_rl.environments.atari import create_atari_environment
from prune_rl.environments.games import MINATAR, atari_roms, hint, num_actions, spelled
from prune_rl.environments.minatar import create_minatar_environment
from prune_rl.environments.mujoco import create_mujoco_environment
from prune_rl.errors import ConfigError, first_line

_CREATE = {
    "atari": create_atari_environment,
    "minatar": create_minatar_environment,
    "mujoco": create_mujoco_environment,
}


@pytest.mark.parametrize(
    ("suite", "game", "expected"),
    [
        ("atari", "PongNoFrameskip-v4", "did you mean 'Pong'?"),
        ("atari", "ALE/Pong-v5", "did you mean 'Pong'?"),
        ("atari", "Pong-v4", "did you mean 'Pong'?"),
        ("atari", "PongDeterministic-v0", "did you mean 'Pong'?"),
        ("atari", "pong", "did you mean 'Pong'?"),
        ("atari", "ms_pacman", "did you mean 'MsPacman'?"),
        ("atari", "Pongg", "did you mean 'Pong'?"),
        ("atari", "ALE/Pong-ram-v5", "RAM is not observed here, but the screen of 'Pong'"),
        ("atari", "Pong-ramNoFrameskip-v4", "RAM is not observed here, but the screen of 'Pong'"),
        ("atari", "MinAtar/Breakout-v1", "create_minatar_environment.game_name='breakout'"),
        ("atari", "HalfCheetah", "create_mujoco_environment.game_name='HalfCheetah-v5'"),
        ("minatar", "MinAtar/Breakout-v1", "did you mean 'breakout'?"),
        ("minatar", "MinAtar/SpaceInvaders-v0", "did you mean 'space_invaders'?"),
        ("minatar", "pong", "create_atari_environment.game_name='Pong'"),
        ("minatar", "ALE/Breakout-v5", "create_atari_environment.game_name='Breakout'"),
        ("mujoco", "HalfCheetah", "did you mean 'HalfCheetah-v5'?"),
        ("mujoco", "Walker2d-v2", "did you mean 'Walker2d-v5'?"),
    ],
)
def test_another_projects_name_is_answered_with_ours(suite, game, expected):
    with pytest.raises(ConfigError) as refused:
        _CREATE[suite](0, game_name=game)
    binding = f"create_{suite}_environment.game_name={game!r}"
    told = first_line(refused.value)
    assert told.startswith(f"{binding}: no such game; ")
    assert told.endswith(expected)


def test_every_atari_name_that_gymnasium_registers_is_understood():
    import ale_py

    gymnasium.register_envs(ale_py)
    roms = {}  # by gymnasium's names: the ROM that it plays
    for name, spec in gymnasium.registry.items():
        if "ale_py" in str(spec.entry_point):
            roms[name] = spec.kwargs["game"]
    assert len(roms) > 300
    ours = {rom: game for game, rom in atari_roms().items()}
    told = {name: spelled(name, "atari") for name in roms}
    assert told == {name: ours[rom] for name, rom in roms.items()}


def test_our_own_names_are_spelled_as_they_are():
    for game in atari_roms():
        assert spelled(game, "atari") == game
    for game in MINATAR:
        assert spelled(game, "minatar") == game


def test_a_name_of_nothing_lists_what_there_is():
    assert hint("chess", MINATAR) == f"choose from {', '.join(sorted(MINATAR))}"
    with pytest.raises(ConfigError, match="no such Atari game; did you mean 'Pong'"):
        num_actions("ALE/Pong-v5")
