"""The rows of one seed in device memory: `FrameRing` and `transitions` as pure functions.

Rows, positions, cursor, FINAL rows and candidates are `ring.py`'s. Compiled programs carry the ring
through their loops and write into it in place; `jax.vmap` maps everything over seeds. So nothing
here branches over the ring or selects among whole arrays: either would copy it.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from prune_rl.errors import ConfigError
from prune_rl.replay.ring import ROW_FIELDS, FrameRing, fill, row_dtypes, state_of
from prune_rl.specs import FINAL, GOES_ON, TERMINATED, ActionSpec, Batch, Inputs, ObservationSpec
from prune_rl.state import State


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DeviceRing:
    """Rows of one seed; a row lies in slot position % num_rows.

    Attributes:
        frames: (num_rows + 1, *frame_shape), the last always zero: it pads young stacks.
        actions: (num_rows, *action).
        rewards: (num_rows,) float32.
        ages: (num_rows,) int32, rows since the episode's first.
        ends: (num_rows,) uint8.
        cursor: () int32, position of the newest row; -1 while there is none.
        age: () int32, of the newest row. Read from `ages`, it would make the compiler copy them.
        stack_size: frames in an observation.
    """

    frames: jax.Array
    actions: jax.Array
    rewards: jax.Array
    ages: jax.Array
    ends: jax.Array
    cursor: jax.Array
    age: jax.Array
    stack_size: int = field(metadata={"static": True})

    @property
    def num_rows(self) -> int:
        """That the ring keeps."""
        return len(self.ends)


def require_countable(num_steps: int) -> None:
    """Raises `ConfigError` if positions, two an agent step at most, could leave int32."""
    if 2 * num_steps + 2 >= 2**31:
        raise ConfigError(
            f"Runner.training_steps: a run of {num_steps:,} agent steps; expected at most "
            f"{2**30 - 2:,}, which is what a replay on the device counts to"
        )


def empty(num_rows: int, observation_spec: ObservationSpec, action_spec: ActionSpec) -> DeviceRing:
    """A ring without rows."""
    dtypes = row_dtypes(observation_spec, action_spec)
    rows = {name: num_rows + (name == "frames") for name in dtypes}
    arrays = {name: jnp.zeros((rows[name], *x.shape), x.base) for name, x in dtypes.items()}
    cursor, age = jnp.int32(-1), jnp.int32(0)
    return DeviceRing(**arrays, cursor=cursor, age=age, stack_size=observation_spec.stack_size)


def bytes_of(ring: FrameRing) -> int:
    """Of device memory, for its copy."""
    row = sum(dtype.itemsize for dtype in ring.dtypes.values())
    return ring.num_rows * row + ring.dtypes["frames"].itemsize


def copy_of(ring: FrameRing) -> DeviceRing:
    """The rows of the one seed of a ring that is full and in memory, to be read only."""
    fields = {name: jnp.array(own) for name, own in ring.fields_of(0).items()}
    blank = jnp.zeros_like(fields["frames"][:1])
    fields["frames"] = jnp.concatenate([fields["frames"], blank])
    newest = jnp.int32(ring.num_rows - 1)
    return DeviceRing(**fields, cursor=newest, age=fields["ages"][-1], stack_size=ring.stack_size)


def start(ring: DeviceRing, frame: jax.Array) -> DeviceRing:
    """Makes `frame` (*frame_shape) current, the first of its episode."""
    cursor = ring.cursor + 1
    here = cursor % ring.num_rows
    frames, ages = _put(ring.frames, here, frame), _put(ring.ages, here, 0)
    return replace(ring, frames=frames, ages=ages, cursor=cursor, age=jnp.zeros_like(ring.age))


def append(
    ring: DeviceRing,
    action: jax.Array,
    reward: jax.Array,
    end: jax.Array,
    next_frame: jax.Array,
    frame: jax.Array,
) -> DeviceRing:
    """Stores one transition, from the current observation.

    Args:
        ring: that has been started.
        action: (*action).
        reward: () float32, clipped if it should be.
        end: () uint8, `GOES_ON`, `TERMINATED` or `TRUNCATED`.
        next_frame: (*frame_shape), the true successor, also at the episode's end.
        frame: (*frame_shape), the first of the next episode where this one ended; else unread.
    """
    num_rows, ended = ring.num_rows, end != GOES_ON
    here, after = ring.cursor % num_rows, (ring.cursor + 1) % num_rows
    # Where nothing ended, what is written second is what was written first.
    cursor, age = ring.cursor + 1 + ended, jnp.where(ended, 0, ring.age + 1)
    newest = cursor % num_rows
    frames = _put(ring.frames, after, next_frame)
    ages = _put(ring.ages, after, ring.age + 1)
    return replace(
        ring,
        frames=_put(frames, newest, jnp.where(ended, frame, next_frame)),
        actions=_put(ring.actions, here, action),
        rewards=_put(ring.rewards, here, reward),
        ages=_put(ages, newest, age),
        ends=_put(_put(ring.ends, here, end), after, jnp.where(ended, FINAL, GOES_ON)),
        cursor=cursor,
        age=age,
    )


def _put(rows: jax.Array, slot: jax.Array, row: Any) -> jax.Array:
    return lax.dynamic_update_index_in_dim(rows, jnp.asarray(row, rows.dtype), slot, 0)


def candidates(ring: DeviceRing, horizon: int) -> tuple[jax.Array, jax.Array]:
    """Positions [low, high), () int32 each, between which every transition starts."""
    low = jnp.maximum(ring.cursor - ring.num_rows + 1, 0)
    return low, jnp.maximum(ring.cursor - horizon + 1, ring.cursor - ring.age)


def usable(ring: DeviceRing, positions: jax.Array, low: jax.Array) -> jax.Array:
    """Which candidates start a transition and have all frames of their stack, bool."""
    slots = positions % ring.num_rows
    older_frames = jnp.minimum(ring.ages[slots], ring.stack_size - 1)
    return (ring.ends[slots] != FINAL) & (positions - low >= older_frames)


def draw_uniformly(ring: DeviceRing, key: jax.Array, size: int, horizon: int) -> jax.Array:
    """Positions (size,) int32 of transitions, all equally often, with replacement.

    Rejects as `UniformSampler` does. Without any candidate they mean nothing.
    """
    low, high = candidates(ring, horizon)

    def draw(number: Any) -> jax.Array:
        return jax.random.randint(jax.random.fold_in(key, number), (size,), low, high)

    def draw_again(drawn: tuple[jax.Array, jax.Array, jax.Array]) -> Any:
        starts, number, bad = drawn
        starts = jnp.where(bad, draw(number), starts)
        return starts, number + 1, ~usable(ring, starts, low)

    def goes_on(drawn: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        return drawn[2].any() & (low < high)

    first = draw(0)
    return lax.while_loop(goes_on, draw_again, (first, jnp.int32(1), ~usable(ring, first, low)))[0]


def transitions(ring: DeviceRing, starts: jax.Array, horizon: int, gamma: float) -> Batch:
    """Those of `horizon` agent steps at most that begin at positions `starts` (B,); no seed axis.

    To the bit those of `transitions.transitions`.
    """
    window = (starts + jnp.arange(horizon)[:, None]) % ring.num_rows  # (n, B)
    rewards, ends = ring.rewards[window], ring.ends[window]
    returns, discounts, spans = _n_step_return(rewards, ends, gamma)
    ages = ring.ages[window[0]]
    # One gather for both observations: (2, B, *observation)
    both = jnp.stack([starts, starts + spans]), jnp.stack([ages, ages + spans])
    states = _observations(ring, *both)
    return Batch(states[0], ring.actions[window[0]], returns, discounts, states[1])


def _n_step_return(
    rewards: jax.Array, ends: jax.Array, gamma: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """As `n_step.n_step_return`: (B,) each of windows (n, B)."""
    powers = jnp.asarray((gamma ** np.arange(len(rewards) + 1)).astype(np.float32))
    first = jnp.ones_like(ends[:1], bool)
    inside = jnp.concatenate([first, jnp.cumsum(ends[:-1] != GOES_ON, axis=0) == 0])  # (n, B)
    spans = inside.sum(axis=0, dtype=jnp.int32)
    terminated = ((ends == TERMINATED) & inside).any(axis=0)
    # Chosen after the product, which is then rounded before it is added, as NumPy does.
    parts = jnp.where(inside, powers[:-1, None] * rewards, 0)
    return sum(parts[1:], start=parts[0]), jnp.where(terminated, 0, powers[spans]), spans


def inputs(ring: DeviceRing, starts: jax.Array) -> Inputs:
    """What networks read of the rows at positions `starts` (B,)."""
    slots = starts % ring.num_rows
    return Inputs(_observations(ring, starts, ring.ages[slots]), ring.actions[slots])


def _observations(ring: DeviceRing, positions: jax.Array, ages: jax.Array) -> jax.Array:
    """(..., *observation) at `positions` (...) of these `ages`."""
    back = jnp.arange(ring.stack_size)[::-1]  # frames before the newest, oldest first
    slots = (positions[..., None] - back) % ring.num_rows
    slots = jnp.where(back > ages[..., None], ring.num_rows, slots)
    stacks = ring.frames[slots]  # (..., stack, *frame)
    return stacks if stacks.ndim > positions.ndim + 2 else stacks[..., 0, :]


def to_state(ring: DeviceRing) -> State:
    """What `FrameRing.get_state` gives of a seed, in memory of its own on the host."""
    cursor = int(ring.cursor)
    filled = max(min(cursor + 1, ring.num_rows), 1)
    fields = {name: np.asarray(getattr(ring, name))[:filled].copy() for name in ROW_FIELDS}
    return state_of(fields, ring.num_rows, cursor)


def from_state(state: State, ring: DeviceRing) -> DeviceRing:
    """What `to_state` gave, in a ring like this one, of which shapes and dtypes are enough.

    Raises:
        ConfigError: a field has another shape or dtype.
    """
    forms = {name: getattr(ring, name) for name in ROW_FIELDS}
    arrays = {name: np.zeros(own.shape, own.dtype) for name, own in forms.items()}
    cursor = fill({name: x[: ring.num_rows] for name, x in arrays.items()}, state)
    # Copies: a program may not write into what NumPy owns.
    fields: dict[str, Any] = {name: jnp.array(x) for name, x in arrays.items()}
    age = jnp.array(state["age"])
    return replace(ring, cursor=jnp.int32(cursor), age=age, **fields)
