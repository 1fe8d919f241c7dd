"""What an agent plays once it has been trained, for a dataset: nothing is learned from it."""

from collections.abc import Callable
from contextlib import closing

import numpy as np

from prune_rl import randomness
from prune_rl.acting.episodes import Episode, EpisodeTracker
from prune_rl.datasets.recorder import RunsRecorder
from prune_rl.environments.stack import FrameStack
from prune_rl.progress import Bar, in_numbers
from prune_rl.runner import Runner


def collect(
    runner: Runner,
    recorder: RunsRecorder,
    agent_steps: int,
    *,
    clips: bool,
    check: Callable[[], None],
) -> list[Episode]:
    """Plays so many agent steps of each seed, in games of their own, and tells `recorder`.

    Actions are those of training at its end, with the exploration that then is left: of SAC a
    sample of the policy, before its warm-up is over a uniform one.

    Args:
        clips: whether rewards are stored between -1 and 1.
        check: raises to stop, after any step.

    Raises:
        RunEnded: a game raised.
    """
    episodes: list[Episode] = []
    state, trained = runner.trainer.agent_state, runner.source.agent_steps
    bar = Bar("collecting agent steps", agent_steps, words=in_numbers, check=check)
    with closing(runner.create_environments(randomness.COLLECTION)) as environments, bar:
        stack = FrameStack(len(runner.seeds), environments.observation_spec)
        tracker = EpisodeTracker(len(runner.seeds))
        frames = environments.reset()
        stack.reset(frames)
        recorder.add_first(frames)
        for _ in range(agent_steps):
            actions, state = runner.policy.explore(state, stack.array, trained)
            step = environments.step(actions)
            recorder.add(
                actions=actions,
                rewards=np.clip(step.rewards, -1, 1) if clips else step.rewards,
                terminated=step.terminated | step.life_lost,
                truncated=step.truncated,
                next_frames=step.next_frames,
                frames=step.frames,
            )
            stack.follow(step)
            episodes += tracker.add(step)
            bar.advance(1)
    return episodes
