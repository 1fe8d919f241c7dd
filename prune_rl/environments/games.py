"""Names of games: the paper's sets, and every Atari game that ale-py carries.

Sets: Obando-Ceron et al. 2024, appendix B; the two smallest, section 5. Atari names are Dopamine's
(`MsPacman`), MuJoCo's gymnasium's (`Ant-v5`); how others spell them is understood, to name ours.
"""

import re
from collections.abc import Sequence

from prune_rl.errors import ConfigError, nearest

ATARI_2 = ("Breakout", "VideoPinball")  # figure 13
ATARI_4 = ("BeamRider", "Breakout", "Enduro", "VideoPinball")  # figure 11
ATARI_15 = (
    *("MsPacman", "Pong", "Qbert", "Assault", "Asterix", "BeamRider", "Boxing", "Breakout"),
    *("CrazyClimber", "DemonAttack", "Enduro", "FishingDerby", "SpaceInvaders", "Tutankham"),
    *("VideoPinball",),
)
# Figure 6. The paper names none of its 17 and cites Kumar et al. 2021 (DR3); the list is from
# memory of their tables, unverified.
ATARI_17 = (
    *("Asterix", "BeamRider", "Breakout", "DemonAttack", "DoubleDunk", "Enduro", "IceHockey"),
    *("Jamesbond", "MsPacman", "Pong", "Qbert", "RoadRunner", "Seaquest", "SpaceInvaders"),
    *("WizardOfWor", "YarsRevenge", "Zaxxon"),
)
ATARI_26 = (
    *("Alien", "Amidar", "Assault", "Asterix", "BankHeist", "BattleZone", "Boxing", "Breakout"),
    *("ChopperCommand", "CrazyClimber", "DemonAttack", "Freeway", "Frostbite", "Gopher", "Hero"),
    *("Jamesbond", "Kangaroo", "Krull", "KungFuMaster", "MsPacman", "Pong", "PrivateEye"),
    *("Qbert", "RoadRunner", "Seaquest", "UpNDown"),
)
ATARI_60 = (
    *ATARI_26,
    *("AirRaid", "Asteroids", "Atlantis", "BeamRider", "Berzerk", "Bowling", "Carnival"),
    *("Centipede", "DoubleDunk", "ElevatorAction", "Enduro", "FishingDerby", "Gravitar"),
    *("IceHockey", "JourneyEscape", "MontezumaRevenge", "NameThisGame", "Phoenix", "Pitfall"),
    *("Pooyan", "Riverraid", "Robotank", "Skiing", "Solaris", "SpaceInvaders", "StarGunner"),
    *("Tennis", "TimePilot", "Tutankham", "Venture", "VideoPinball", "WizardOfWor"),
    *("YarsRevenge", "Zaxxon"),
)
MINATAR_2 = ("breakout", "asterix")  # ours, of results/minatar_scaling
MINATAR = ("asterix", "breakout", "freeway", "seaquest", "space_invaders")
# Section 4.5 plays five of MuJoCo and names two, Walker2d and Ant; the others are those that
# Haarnoja et al. 2018 (SAC, figure 1) add to them. The paper's are of version 2.
MUJOCO = ("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5")
# What a suite's game may be instead: D4RL's sets are nearer to version 4.
OLDER = {game.replace("v5", "v4"): game for game in MUJOCO}
SIZES = {  # of MuJoCo's, numbers in an observation and an action
    "HalfCheetah-v5": (17, 6),
    "Hopper-v5": (11, 3),
    "Walker2d-v5": (17, 6),
    "Ant-v5": (105, 8),
    "Humanoid-v5": (348, 17),
    "HalfCheetah-v4": (17, 6),
    "Hopper-v4": (11, 3),
    "Walker2d-v4": (17, 6),
    "Ant-v4": (27, 8),
    "Humanoid-v4": (376, 17),
}

SUITES = {
    "atari_2": ATARI_2,
    "atari_4": ATARI_4,
    "atari_15": ATARI_15,
    "atari_17": ATARI_17,
    "atari_26": ATARI_26,
    "atari_60": ATARI_60,
    "minatar_2": MINATAR_2,
    "minatar": MINATAR,
    "mujoco": MUJOCO,
}


def atari_roms() -> dict[str, str]:
    """Every Atari game name to its ROM: `MsPacman` to `ms_pacman`."""
    from ale_py import roms

    return {_camel_case(rom): rom for rom in roms.get_all_rom_ids()}


def num_actions(game: str) -> int:
    """Of an Atari game's minimal action set.

    Raises:
        ConfigError: ale-py has no such game.
    """
    from ale_py import ALEInterface, LoggerMode, roms

    known = atari_roms()
    if game not in known:
        raise ConfigError(f"{game!r}: no such Atari game; {hint(game, list(known))}")
    ALEInterface.setLoggerMode(LoggerMode.Error)
    ale, rom = ALEInterface(), roms.get_rom_path(known[game])
    assert rom is not None  # every name of atari_roms() has one
    ale.loadROM(rom)
    return len(ale.getMinimalActionSet())


def hint(game: str, games: Sequence[str]) -> str:
    """What to say of a `game` that is none of a suite's `games`.

    gymnasium's and ALE's names are understood (`PongNoFrameskip-v4`, `ALE/Pong-v5`), ROMs'
    (`ms_pacman`), MinAtar's (`MinAtar/Breakout-v1`), and those of another suite.
    """
    suites = _by_suite()
    for suite in sorted(suites, key=lambda own: set(suites[own]) != set(games)):
        found = spelled(game, suite)
        if found and _RAM.search(game):
            return f"RAM is not observed here, but the screen of {found!r}"
        if found in games:
            return f"did you mean {found!r}?"
        if found:
            return f"of another suite there is create_{suite}_environment.game_name={found!r}"
    return nearest(game, games)


def spelled(game: str, suite: str) -> str | None:
    """Our name of a game of 'atari', 'minatar' or 'mujoco' that others spell as `game`, if any."""
    space, slash, _ = game.casefold().partition("/")
    if slash and _NAMESPACES.get(space, suite) != suite:
        return None
    return next((own for own in _by_suite()[suite] if _bare(own) == _bare(game)), None)


# What gymnasium and ALE put before and behind a game's name.
_NAMESPACES = {"ale": "atari", "minatar": "minatar", "mujoco": "mujoco"}
_AROUND = re.compile(r"^\w+/|(?:-ram)?(?:NoFrameskip|Deterministic)?(?:-v\d+)?$")
_RAM = re.compile("-ram(?![a-z])")


def _by_suite() -> dict[str, Sequence[str]]:
    return {"atari": list(atari_roms()), "minatar": MINATAR, "mujoco": (*MUJOCO, *OLDER)}


def _bare(game: str) -> str:
    """'mspacman' of 'ALE/MsPacman-v5' or 'ms_pacman'."""
    return re.sub("[_ -]", "", _AROUND.sub("", game)).casefold()


def _camel_case(rom: str) -> str:
    return "".join(word.capitalize() for word in rom.split("_"))
