"""Names of games: the paper's sets, and every Atari game that ale-py carries.

Sets: Obando-Ceron et al. 2024, appendix B; the two smallest, section 5. Atari names are Dopamine's
(`MsPacman`), MuJoCo's gymnasium's (`Ant-v5`).
"""

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
        raise ConfigError(f"{game!r}: no such Atari game; {nearest(game, known)}")
    ALEInterface.setLoggerMode(LoggerMode.Error)
    ale, rom = ALEInterface(), roms.get_rom_path(known[game])
    assert rom is not None  # every name of atari_roms() has one
    ale.loadROM(rom)
    return len(ale.getMinimalActionSet())


def _camel_case(rom: str) -> str:
    return "".join(word.capitalize() for word in rom.split("_"))
