"""Whole Atari episodes through Dopamine's environment, one check sum per frame."""

import zlib

import dopamine_cases as cases
import gin
import numpy as np
from dopamine.discrete_domains import atari_lib

FIELDS = {
    "crc": np.uint32,
    "reward": np.float32,
    "terminal": bool,
    "game_over": bool,
    "lives": "u1",
}


def create(game):
    """The game under sticky actions; the emulator, not gymnasium, is given the seed."""
    environment = atari_lib.create_atari_environment(game, sticky_actions=True)
    console = environment.environment.unwrapped
    console.ale.setInt("random_seed", cases.ALE_SEED)
    console.load_game()
    return environment


def play(game, num_episodes):
    """Rows of FIELDS, one per observation; those of resets have reward NaN."""
    environment, rows = create(game), []
    ale = environment.environment.unwrapped.ale
    actions = cases.scripted_actions(game, environment.action_space.n)

    def note(frame, reward, terminal, over):
        rows.append((zlib.crc32(frame.tobytes()), reward, terminal, over, ale.lives()))

    for _ in range(num_episodes):
        note(environment.reset(), np.nan, False, False)
        over = False
        while not over:
            frame, reward, terminal, _ = environment.step(next(actions))
            over = environment.game_over
            note(frame, reward, terminal, over)
    columns = zip(FIELDS.items(), zip(*rows, strict=True), strict=True)
    fields = {name: np.array(values, dtype) for (name, dtype), values in columns}
    return fields, environment.action_space.n


def record(record):
    """Games that end when over, and games whose agent is told of each life lost."""
    for game, num_episodes in cases.GAMES.items():
        fields, num_actions = play(game, num_episodes)
        for name in ("crc", "reward", "terminal"):
            record[f"atari/{game}/{name}"] = fields[name]
        record[f"atari/{game}/num_actions"] = np.array(num_actions)
    gin.bind_parameter("AtariPreprocessing.terminal_on_life_loss", True)
    for game, num_episodes in cases.LIVES_GAMES.items():
        fields, _ = play(game, num_episodes)
        for name, values in fields.items():
            record[f"atari_lives/{game}/{name}"] = values
    gin.bind_parameter("AtariPreprocessing.terminal_on_life_loss", False)
