"""Episodes of vectors: files as D4RL has published them, and what is read of any run."""

import h5py
import numpy as np

from prune_rl.datasets.experience import Share
from prune_rl.replay.n_step import n_step_return
from prune_rl.specs import FINAL, TERMINATED

SIZES = (17, 6)  # of HalfCheetah's observation and action


def play(lengths, ends, sizes=SIZES, seed=0):
    """Arrays of D4RL's keys: of each episode so many rows, and 't'erminal, timed 'o'ut or '-'."""
    rng, count = np.random.default_rng(seed), sum(lengths)
    states = [rng.normal(size=(length + 1, sizes[0])) for length in lengths]
    lasts = np.cumsum(lengths) - 1
    terminals, timeouts = np.zeros((2, count), bool)
    terminals[lasts[[end == "t" for end in ends]]] = True
    timeouts[lasts[[end == "o" for end in ends]]] = True
    return {
        "observations": np.concatenate([own[:-1] for own in states]).astype(np.float32),
        "next_observations": np.concatenate([own[1:] for own in states]).astype(np.float32),
        "actions": rng.uniform(-1, 1, (count, sizes[1])).astype(np.float32),
        "rewards": rng.normal(size=count).astype(np.float32),
        "terminals": terminals,
        "timeouts": timeouts,
    }


def publish(path, arrays, but=()):
    """As D4RL's v2 files are: compressed, with nested infos and metadata beside; `but` some."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = len(arrays["rewards"])
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            if name not in but:
                file.create_dataset(name, data=array, compression="gzip")
        file["infos/qpos"] = np.zeros((count, 9))
        file["infos/qvel"] = np.zeros((count, 9))
        file["infos/action_log_probs"] = np.zeros(count, np.float32)
        file["metadata/algorithm"] = np.bytes_(b"SAC")
        file["metadata/iteration"] = 100
        file["metadata/policy/fc0/weight"] = np.zeros((256, 17), np.float32)
    return path


def qlearning_dataset(arrays):
    """What `d4rl.qlearning_dataset` makes of a file that has timeouts: (o, a, r, o', terminal)."""
    found = []
    for row in range(len(arrays["rewards"]) - 1):
        if not arrays["timeouts"][row]:
            found.append(
                (
                    arrays["observations"][row],
                    arrays["actions"][row],
                    arrays["rewards"][row],
                    arrays["observations"][row + 1],
                    bool(arrays["terminals"][row]),
                )
            )
    return found


def read(run, share=None, gamma=0.5):
    """Of every transition of a share: observation, action, return, discount, last observation.

    As the replay takes them of the rows, in their order; the last is None where nothing follows.
    """
    share, found = share or Share(), []
    for part in run.parts(share):
        blocks = list(part.blocks())
        frames, actions, rewards, ages, ends, starts = map(
            np.concatenate, zip(*blocks, strict=True)
        )
        assert len(frames) <= part.num_rows
        assert np.count_nonzero(starts) == part.num_transitions
        assert [x.dtype for x in (frames, actions, rewards)] == [np.float32] * 3
        assert (ages.dtype, ends.dtype, starts.dtype) == (np.int32, np.uint8, bool)
        for row in np.flatnonzero(starts).tolist():
            window = slice(row, row + share.horizon)
            padded = np.full(share.horizon, FINAL, np.uint8)
            padded[: len(ends[window])] = ends[window]
            given = np.zeros(share.horizon, np.float32)
            given[: len(ends[window])] = rewards[window]
            total, discount, span = n_step_return(given[:, None], padded[:, None], gamma)
            over = ends[row + span[0] - 1] == TERMINATED
            after = None if over else frames[row + span[0]]
            if after is not None:
                assert ages[row + span[0]] == ages[row] + span[0]
            found.append((frames[row], actions[row], float(total[0]), float(discount[0]), after))
    return found
