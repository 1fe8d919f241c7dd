"""DQN-replay directories written by plain NumPy and gzip, and the transitions that they imply.

The circular buffer is Dopamine's as its sources describe it: rows of zeros before every episode,
an episode's last observation not stored, written to disk when all rows but one are new.
"""

import gzip
import hashlib
import json
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

GAMMA = 0.5  # a power of two: sums of few rewards of -1, 0 or 1 are exact


@dataclass
class Episode:
    """Frame numbers (0 a black one), actions and rewards; `end` is None where it goes on."""

    frames: list[int] = field(default_factory=list)
    actions: list[int] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    end: str | None = None


class Row(NamedTuple):
    """A row of the buffer as it is added; padding belongs to no episode."""

    frame: int = 0
    action: int = 0
    reward: float = 0.0
    terminal: int = 0
    truncation: int = 0
    episode: Episode | None = None
    step: int = 0


def play(seed, lengths, stack_size, *, black=0, truncated=0.0, unfinished=True):
    """The rows of episodes of so many steps: the last goes on, the first rows of some are black.

    `truncated` is the chance that an episode is; its last observation then has a row of its own.
    """
    rng = np.random.default_rng(seed)
    rows, last_frame = [], 0
    for number, length in enumerate(lengths):
        episode = Episode()
        if not (unfinished and number == len(lengths) - 1):
            episode.end = "truncated" if rng.random() < truncated else "terminated"
        rows += [Row()] * (stack_size - 1)
        blacks = int(rng.integers(black + 1))
        for step in range(length):
            last_frame += 1
            dark = step < blacks
            episode.frames.append(0 if dark else last_frame)
            episode.actions.append(0 if dark else int(rng.integers(6)))
            episode.rewards.append(0.0 if dark else float(rng.integers(-1, 2)))
            over = episode.end is not None and step == length - 1
            kind = int(over and episode.end == "truncated")
            last = (x[-1] for x in (episode.frames, episode.actions, episode.rewards))
            rows.append(Row(*last, int(over), kind, episode, step))
        if episode.end == "truncated":
            last_frame += 1
            episode.frames.append(last_frame)
            rows.append(Row(last_frame, 0, 0.0, 1, 2, episode, length))
    return rows


def image(number, shape):
    """A frame whose first bytes spell `number`."""
    frame = np.zeros(shape, np.uint8)
    frame.reshape(-1)[:4] = np.frombuffer(number.to_bytes(4, "little"), np.uint8)
    return frame


def save(folder, name, array):
    with gzip.open(folder / name, "wb", compresslevel=1) as file:
        np.save(file, array, allow_pickle=False)


def write_checkpoint(folder, number, rows, shape, add_count, invalid_range, truncation=False):
    """One checkpoint's files; rows that are None were never written."""
    rows = [row or Row() for row in rows]
    frames = [image(row.frame, shape) for row in rows]
    stored = f"ckpt.{number}.gz"
    save(folder, f"$store$_observation_{stored}", np.stack(frames))
    save(folder, f"$store$_action_{stored}", np.array([row.action for row in rows], np.int32))
    save(folder, f"$store$_reward_{stored}", np.array([row.reward for row in rows], np.float32))
    save(folder, f"$store$_terminal_{stored}", np.array([row.terminal for row in rows], np.uint8))
    save(folder, f"add_count_{stored}", np.array(add_count))
    save(folder, f"invalid_range_{stored}", np.array(invalid_range))
    if truncation:
        kinds = np.array([row.truncation for row in rows], np.uint8)
        save(folder, f"truncation_{stored}", kinds)


def publish(folder, rows, capacity, stack_size=4, final=False):
    """Logs a circular buffer as it fills, and at the end if `final`.

    Returns the logs: how many rows had been added, and the buffer's rows.
    """
    folder.mkdir(parents=True)
    buffer, logs = [None] * capacity, []

    def log(added):
        invalid = [(added - 1 + i) % capacity for i in range(stack_size + 1)]
        write_checkpoint(folder, len(logs), buffer, (84, 84), added, invalid)
        logs.append(added)

    for position, row in enumerate(rows):
        buffer[position % capacity] = row
        # Padding is added along with the row after it, and the cursor looked at thereafter.
        if row.episode is not None and (position + 1) % capacity == capacity - 1:
            log(position + 1)
    if final:
        log(len(rows))
    return logs


def stretches_of_published(logs, capacity, missing=()):
    """Positions [first, last) that follow each other on disk, of every checkpoint."""
    found = []
    for number, added in enumerate(logs):
        if number in missing:
            continue
        cursor = added % capacity
        found.append((added - cursor, added))
        if number - 1 in {-1, *missing} and added >= capacity:
            found.append((added - capacity, added - cursor))
    return found


def write_ours(folder, rows, sizes, shape, stack_size, suite="atari", game="Pong", run=1):
    """Rows in the order of time in files of `sizes`, and what is said about them."""
    folder.mkdir(parents=True)
    first = 0
    for number, size in enumerate(sizes):
        piece = rows[first : first + size]
        first += size
        write_checkpoint(folder, number, piece, shape, first, [], truncation=True)
    write_about(folder, shape, stack_size, suite, game, run)


def write_about(folder, shape, stack_size, suite="atari", game="Pong", run=1):
    files = {
        path.name: {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in folder.glob("*.gz")
    }
    about = {
        "format": 1,
        "suite": suite,
        "game": game,
        "run": run,
        "num_actions": 6,
        "frame_shape": list(shape),
        "stack_size": stack_size,
        "protocol": {"agent": "dqn"},
        "files": files,
    }
    (folder / "about.json").write_text(json.dumps(about))


def stretches_of_ours(sizes, missing=()):
    """Positions [first, last) that follow each other on disk."""
    found, first = [], 0
    for number, size in enumerate(sizes):
        if number not in missing:
            if found and found[-1][1] == first:
                found[-1] = (found[-1][0], first + size)
            else:
                found.append((first, first + size))
        first += size
    return found


class Transition(NamedTuple):
    """Stacks as tuples of frame numbers; what follows a terminal is None."""

    stack: tuple[int, ...]
    action: int
    n_step_return: float
    discount: float
    next_stack: tuple[int, ...] | None


def lived(rows, stretches, stack_size, horizon):
    """Every transition of the episodes themselves that the rows of `stretches` prove."""
    found = []
    for first, last in stretches:
        for position in range(first, last):
            row = rows[position]
            if row.episode is None or row.truncation == 2:
                continue
            begun = any(r.terminal and r.truncation != 1 for r in rows[first:position])
            if first == 0 or begun or position - first >= stack_size - 1:
                transition = _transition(row, last - position, stack_size, horizon)
                found += [transition] if transition else []
    return found


def _transition(row, rows_left, stack_size, horizon):
    """From `row`, of an episode that is known for `rows_left` rows; None if nothing follows."""
    episode, length = row.episode, len(row.episode.actions)
    total, m = 0.0, 0
    terminated = False
    while m < horizon and row.step + m < length:
        terminated = episode.end == "terminated" and row.step + m == length - 1
        if not terminated and m + 1 >= rows_left:
            break
        total += GAMMA**m * episode.rewards[row.step + m]
        m += 1
    if m == 0:
        return None
    discount = 0.0 if terminated else GAMMA**m
    after = None if terminated else _stack(episode, row.step + m, stack_size)
    here = _stack(episode, row.step, stack_size)
    return Transition(here, episode.actions[row.step], total, discount, after)


def _stack(episode, step, stack_size):
    steps = range(step - stack_size + 1, step + 1)
    return tuple(episode.frames[i] if i >= 0 else 0 for i in steps)


def implied(blocks, stack_size, horizon):
    """Every transition that starts in the blocks of one part, by the meaning of their fields."""
    columns = [np.concatenate(x) for x in zip(*blocks, strict=True)]
    frames, actions, rewards, ages, ends, starts = columns
    numbers = [int.from_bytes(bytes(frame.reshape(-1)[:4]), "little") for frame in frames]

    def stack(i):
        back = range(stack_size - 1, -1, -1)
        assert i >= min(stack_size - 1, ages[i]), "the stack of a start is not in the part"
        return tuple(numbers[i - k] if k <= ages[i] else 0 for k in back)

    found = []
    for i in np.flatnonzero(starts):
        total, m, over = 0.0, 0, False
        assert ends[i] != 3
        while m < horizon and not over:
            total += GAMMA**m * float(rewards[i + m])
            over = ends[i + m] != 0
            m += 1
        terminated = ends[i + m - 1] == 1
        discount = 0.0 if terminated else GAMMA**m
        after = None if terminated else stack(i + m)
        found.append(Transition(stack(i), int(actions[i]), total, discount, after))
    return found
