"""Checkpoints of a whole run, written atomically by orbax, and read back exactly.

A checkpoint is the agent's state (parameters, optimizer, masks, keys), everything the host
holds (replay, emulators, counters) as NumPy arrays, and the run log's positions.
"""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from prune_rl.errors import ConfigError
from prune_rl.quiet import quiet_libraries

_LOG = logging.getLogger(__name__)


class Checkpoint(NamedTuple):
    """What `Checkpointer` saves and restores.

    agent: pytree of jax arrays. host: nested dict of NumPy arrays. log: JSON object.
    """

    agent: Any
    host: dict[str, Any]
    log: dict[str, Any]


class Checkpointer:
    """The last two checkpoints of a run, numbered by finished iterations.

    A process killed while saving leaves the previous checkpoint whole: orbax writes beside it
    and renames when everything is on disk.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2, create=True, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(self._directory, options=options)

    def save(self, iterations: int, checkpoint: Checkpoint) -> None:
        """Writes `checkpoint` after that many finished `iterations`; returns when on disk.

        Raises:
          OSError: the disk is full or gone; the previous checkpoint is untouched.
        """
        args = ocp.args.Composite(
            agent=ocp.args.StandardSave(checkpoint.agent),
            host=ocp.args.StandardSave(checkpoint.host),
            log=ocp.args.JsonSave(checkpoint.log),
        )
        if iterations in self._manager.all_steps():
            self._manager.delete(iterations)  # one that could not be read, now made again
        try:
            with quiet_libraries():
                self._manager.save(iterations, args=args)
                # The replay is written to while training goes on: saving may not run behind it.
                self._manager.wait_until_finished()
        except ValueError as error:  # tensorstore's word for a write that failed
            reason = str(error).splitlines()[0]
            raise OSError(f"checkpoint {self._directory}/{iterations}: {reason[:200]}") from error

    def restore_latest(self, agent_like: Any) -> tuple[int, Checkpoint] | None:
        """The newest readable checkpoint and its number of iterations; None if there is none.

        agent_like: a pytree with the agent's structure, shapes and dtypes.

        Raises:
          ConfigError: there are checkpoints, but none of them can be read.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            try:
                return step, self._restore(step, agent_like)
            except (OSError, ValueError, KeyError, TypeError) as error:
                reason = str(error).splitlines()[0]
                _LOG.warning("checkpoint %s/%d is unreadable: %s", self._directory, step, reason)
        if steps:
            raise ConfigError(
                f"--base_dir: no checkpoint in {self._directory} can be read "
                f"(newest: {steps[0]}); move the directory away to start afresh"
            )
        return None

    def _restore(self, step: int, agent_like: Any) -> Checkpoint:
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, agent_like)
        args = ocp.args.Composite(
            agent=ocp.args.StandardRestore(abstract),
            host=ocp.args.StandardRestore(),
            log=ocp.args.JsonRestore(),
        )
        restored = self._manager.restore(step, args=args)
        return Checkpoint(agent=restored.agent, host=restored.host, log=restored.log)

    def close(self) -> None:
        """Releases orbax's threads."""
        self._manager.close()
