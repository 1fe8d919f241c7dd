"""Which public datasets there are: their games, sizes, addresses and caveats."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from prune_rl.datasets import d4rl_names
from prune_rl.environments.games import ATARI_17, ATARI_60, MUJOCO, OLDER, hint
from prune_rl.errors import ConfigError

RUNS = range(1, 6)  # of every game, in both
CHECKPOINTS = range(50)
_FRAME_BYTES = 84 * 84
_CHECKPOINT_ROWS = 1_000_000

# tensorflow_datasets/rl_unplugged/atari_utils.py, 4.9.10; a test compares.
RLU_GAMES = (
    *("Alien", "Amidar", "Assault", "Asterix", "Atlantis", "BankHeist", "BattleZone", "BeamRider"),
    *("Boxing", "Breakout", "Carnival", "Centipede", "ChopperCommand", "CrazyClimber"),
    *("DemonAttack", "DoubleDunk", "Enduro", "FishingDerby", "Freeway", "Frostbite", "Gopher"),
    *("Gravitar", "Hero", "IceHockey", "Jamesbond", "Kangaroo", "Krull", "KungFuMaster"),
    *("MsPacman", "NameThisGame", "Phoenix", "Pong", "Pooyan", "Qbert", "Riverraid", "RoadRunner"),
    *("Robotank", "Seaquest", "SpaceInvaders", "StarGunner", "TimePilot", "UpNDown"),
    *("VideoPinball", "WizardOfWor", "YarsRevenge", "Zaxxon"),
)
RLU_SHORT_GAMES = ("Carnival", "Gravitar", "StarGunner")  # of 49 splits
RLU_BUILDERS = ("rlu_atari", "rlu_atari_checkpoints", "rlu_atari_checkpoints_ordered")
RLU_BUILDER = RLU_BUILDERS[-1]  # one split a checkpoint, episodes in the order of time

DQN_REPLAY_BUCKET = "gs://atari-replay-datasets/dqn"
DQN_REPLAY_URL = "https://storage.googleapis.com/atari-replay-datasets/dqn"
RLU_BUCKET = "gs://rl_unplugged/atari_episodes_ordered"
RLU_URL = "https://storage.googleapis.com/rl_unplugged/atari_episodes_ordered"

_UNSOURCED = "none found that is stated for the data; see"


class Dataset(NamedTuple):
    """A public dataset, in words that `list` prints.

    Attributes:
        name: as `fetch --dataset` takes it.
        games: in the spelling of `environments.games`.
    """

    name: str
    title: str
    games: tuple[str, ...]
    layout: str
    bucket: str
    size: str
    licence: str
    source: str


def _size() -> str:
    frames = len(CHECKPOINTS) * _CHECKPOINT_ROWS * _FRAME_BYTES
    return (
        f"about 50 million transitions a run (200 million frames); {frames / 1e9:,.0f} GB of "
        "frames a run unpacked; how much less packed differs by game"
    )


DQN_REPLAY = Dataset(
    name="dqn_replay",
    title="DQN Replay Dataset (Agarwal et al. 2020)",
    games=ATARI_60,
    layout="GAME/RUN/replay_logs/, runs 1-5, checkpoints 0-49; sticky actions 0.25; rewards as "
    "stored are clipped",
    bucket=DQN_REPLAY_BUCKET,
    size=_size(),
    licence=f"{_UNSOURCED} https://research.google/tools/datasets/dqn-replay/",
    source="https://offline-rl.github.io",
)
RLU = Dataset(
    name="rlu",
    title="RL Unplugged Atari (Gulcehre et al. 2020), the same agents' data as episodes",
    games=RLU_GAMES,
    layout=f"tensorflow-datasets {', '.join(RLU_BUILDERS)}; configurations GAME_run_RUN, runs 1-5; "
    "one split train, or checkpoint_00 to checkpoint_49 "
    f"(to 48: {', '.join(RLU_SHORT_GAMES)}); rewards as stored are clipped",
    bucket=RLU_BUCKET,
    size=_size(),
    licence=f"{_UNSOURCED} "
    "https://github.com/google-deepmind/deepmind-research/tree/master/rl_unplugged",
    source=f"https://www.tensorflow.org/datasets/catalog/{RLU_BUILDER}",
)
DATASETS = (DQN_REPLAY, RLU)

D4RL = Dataset(
    name="d4rl",
    title="D4RL's locomotion (Fu et al. 2020): what SAC's policies play, or its replays",
    games=d4rl_names.NAMES,
    layout="one HDF5 file a set; version 2, or 1; observations of the v2 environments, played on "
    "gymnasium's v4 here, but Ant, which is not evaluated",
    bucket=d4rl_names.URL,
    size="1 million transitions of random, medium, expert and full-replay, 2 of medium-expert",
    licence="CC BY 4.0 unless otherwise noted (its README)",
    source="https://github.com/Farama-Foundation/D4RL",
)
MINARI = Dataset(
    name="minari",
    title="Minari's robots, newly played on gymnasium's v5 environments; not D4RL's data",
    games=tuple(
        f"mujoco/{robot}/{quality}-v0"
        for robot in ("halfcheetah", "hopper", "walker2d", "ant", "humanoid")
        for quality in ("medium", "expert")
    ),
    layout="<set>/data/metadata.json and main_data.hdf5, an episode a group",
    bucket="https://huggingface.co/farama-minari/mujoco",
    size="see https://minari.farama.org/datasets/mujoco/",
    licence=f"{_UNSOURCED} https://minari.farama.org",
    source="https://minari.farama.org",
)
VECTORS = (D4RL, MINARI)  # each game is a set of its own
OFFLINE_GAMES = ATARI_17

CAVEATS = (
    "dqn_replay and rlu were recorded with the ROMs of atari-py <= 0.2.5, which differ from those "
    "of ale-py for some games: what is learned from them may score less on ale-py "
    "(https://offline-rl.github.io).",
    "Of minari, sets of other robots (mujoco/swimmer, D4RL/pen) can be fetched and learned from, "
    "and not evaluated; those whose observations are a Dict (D4RL/antmaze, D4RL/pointmaze, "
    "D4RL/kitchen) are refused.",
    "In July 2025 a user was refused the bucket of dqn_replay "
    "(https://github.com/CJReinforce/JOWA/issues/3); --mirror fetches from elsewhere.",
)


def require_game(game: str, dataset: Dataset) -> None:
    """Raises `ConfigError` with the nearest game unless the dataset has `game`."""
    if game not in dataset.games:
        where = f"{dataset.name} has {len(dataset.games)} games"
        raise ConfigError(f"--game={game}: {where}; {hint(game, dataset.games)}")


def require_any(game: str) -> None:
    """Raises `ConfigError` with the nearest game unless some dataset has `game`."""
    if not any(sets_of(game, dataset) for dataset in (*DATASETS, *VECTORS)):
        every = {name for dataset in (*DATASETS, *VECTORS) for name in dataset.games}
        raise ConfigError(f"--game={game}: in no dataset; {hint(game, sorted(every))}")


def sets_of(game: str, dataset: Dataset) -> list[str]:
    """What a dataset has of a game: itself; of a robot as 'HalfCheetah-v5' all sets of it."""
    if game in dataset.games:
        return [game]
    robot = game.partition("-")[0].casefold() if game in (*MUJOCO, *OLDER) else None
    return [name for name in dataset.games if robot in re.split(r"[-/]", name)]


def rlu_shards(game: str) -> list[str]:
    """Where RL Unplugged has the episodes of run 1 of a game, one file a checkpoint."""
    count = len(CHECKPOINTS) - (game in RLU_SHORT_GAMES)
    return [f"{RLU_URL}/{game}/run_1-{i:05d}-of-{count:05d}" for i in range(count)]


def lines_of_game(game: str) -> Iterator[str]:
    """Where each dataset has a game, and the commands that fetch a run of it."""
    fetch = "  python -m prune_rl.datasets fetch"
    for dataset in VECTORS:
        for name in sets_of(game, dataset):
            yield f"{dataset.name}: {name}"
            yield f"{fetch} --dataset={dataset.name} --game={name} --out=data/{dataset.name}"
    if not any(game in dataset.games for dataset in DATASETS):
        return
    for dataset in DATASETS:
        if game not in dataset.games:
            yield f"{dataset.name}: not {game}"
            continue
        yield f"{dataset.name}: {dataset.title}"
        yield f"  {dataset.bucket}/{game}/"
        if dataset is DQN_REPLAY:
            yield f"  {DQN_REPLAY_URL}/{game}/1/replay_logs/%24store%24_observation_ckpt.0.gz, ..."
        else:
            yield f"  {rlu_shards(game)[0]}, ..."
            yield f"  tfds.builder('{RLU_BUILDER}/{game}_run_1', data_dir='data/rlu')"
        yield f"{fetch} --dataset={dataset.name} --game={game} --run=1 --out=data/{dataset.name}"
