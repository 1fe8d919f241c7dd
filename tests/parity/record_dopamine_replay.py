"""Dopamine's n-step transitions and prioritised sampling."""

import dopamine_cases as cases
import numpy as np
from dopamine.jax.replay_memory import accumulator, elements, replay_buffer, samplers


def _frame(number):
    return np.full((2, 2), number, np.uint8)


def record_n_step(record, n):
    """What the buffer holds after `cases.stream`, given to it as JaxDQNAgent would."""
    buffer = replay_buffer.ReplayBuffer(
        accumulator.TransitionAccumulator(stack_size=4, update_horizon=n, gamma=cases.GAMMA),
        samplers.UniformSamplingDistribution(seed=0),
        batch_size=1,
        max_capacity=10_000,
    )
    for number, action, reward, terminated, over in cases.stream():
        buffer.add(elements.TransitionElement(_frame(number), action, reward, terminated, over))
    kept = [element.unpack() for element in buffer._memory.values()]
    record[f"replay/{n}/states"] = np.array([x.state[0, 0] for x in kept])
    record[f"replay/{n}/actions"] = np.array([x.action for x in kept], np.int32)
    record[f"replay/{n}/rewards"] = np.array([x.reward for x in kept], np.float64)
    record[f"replay/{n}/next_states"] = np.array([x.next_state[0, 0] for x in kept])
    record[f"replay/{n}/terminals"] = np.array([x.is_terminal for x in kept], bool)


def record_sampling(record):
    """How often each of the priorities is drawn, and the probability reported with it."""
    size = len(cases.PRIORITIES)
    distribution = samplers.PrioritizedSamplingDistribution(seed=0, max_capacity=size)
    for key, priority in enumerate(cases.PRIORITIES):
        distribution.add(key, priority=float(priority))
    drawn = distribution.sample(cases.NUM_DRAWS)
    record["sum_tree/counts"] = np.bincount(drawn.keys, minlength=size)
    probabilities = np.zeros(size)
    probabilities[drawn.keys] = drawn.probabilities
    record["sum_tree/probabilities"] = probabilities


def record_max_priority(record):
    """The priority of new items, after each of: nothing, add, add, raise, lower, remove, clear."""
    distribution = samplers.PrioritizedSamplingDistribution(seed=0, max_capacity=8)
    seen = [distribution._sum_tree.max_recorded_priority]

    def note(change):
        change()
        seen.append(distribution._sum_tree.max_recorded_priority)

    keys = np.array([0, 1], np.int32)
    note(lambda: distribution.add(0, priority=0.5))
    note(lambda: distribution.add(1, priority=2.0))
    note(lambda: distribution.update(keys, priorities=np.array([7.0, 0.1])))
    note(lambda: distribution.update(keys, priorities=np.array([0.2, 0.1])))
    note(lambda: distribution.remove(0))
    note(distribution.clear)
    record["sum_tree/max_priorities"] = np.array(seen, np.float64)


def record_full_tree(record):
    """Whether a buffer whose capacity is a power of two breaks once it is full."""
    buffer = replay_buffer.ReplayBuffer(
        accumulator.TransitionAccumulator(stack_size=1, update_horizon=1, gamma=cases.GAMMA),
        samplers.PrioritizedSamplingDistribution(seed=0, max_capacity=8),
        batch_size=1,
        max_capacity=8,
    )
    fails = False
    try:
        for number in range(12):
            step = elements.TransitionElement(_frame(number), 0, 0.0, False, False)
            buffer.add(step, priority=1.0)
    except IndexError:
        fails = True
    record["sum_tree/power_of_two_fails"] = np.array(fails)


def record(record):
    """Transitions for each n, and the sum tree."""
    for n in cases.N_STEPS:
        record_n_step(record, n)
    record_sampling(record)
    record_max_priority(record)
    record_full_tree(record)
