"""The cells of a grid as tasks of Ray, for who outgrows one machine."""

import argparse
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from launch.executor import Job, Standing, State
from launch.process import Child, Command, python_path, standing
from prune_rl.errors import ConfigError, first_line

_RETRIES = 20  # nodes that may be lost under one cell
_ADVICE = "'local' starts one on this machine, `ray start --head` one for others to join"
_PERIOD = 0.2  # seconds between looks at a training
_PATIENCE = 600.0  # seconds to save in
_LIVE = (State.WAITING, State.RUNNING)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of --backend=ray."""
    group = parser.add_argument_group(
        "--backend=ray", "every node sees --base_dir and this Python by the same paths"
    )
    group.add_argument(
        "--address",
        default="auto",
        help="of a cluster, as HOST:6379; 'auto' is the one that this machine is part of, "
        "'local' one of this machine alone, for as long as the sweep (default: %(default)s)",
    )
    group.add_argument(
        "--num_cpus", type=float, default=1, help="that a cell takes (default: %(default)s)"
    )
    group.add_argument("--num_gpus", type=float, default=0, help="likewise (default: %(default)s)")
    group.add_argument("--memory_gib", type=float, default=0, help="likewise; 0: not counted")


def executor(flags: argparse.Namespace) -> "Ray":
    """That of the cluster at `flags.address`.

    Raises:
        ConfigError: Ray is missing or does not answer, or a flag is wrong.
    """
    for name in ("num_cpus", "num_gpus", "memory_gib"):
        if not 0 <= getattr(flags, name) < float("inf"):
            raise ConfigError(f"--{name}={getattr(flags, name):g}: expected a number from 0")
    try:
        import ray
    except ImportError as error:
        message = "--backend=ray: needs Ray: pip install -e '.[ray]'"
        raise ConfigError(message) from error
    _connect(ray, flags.address)
    resources = {"num_cpus": flags.num_cpus, "num_gpus": flags.num_gpus}
    if flags.memory_gib:
        resources["memory"] = flags.memory_gib * 2**30
    return Ray(resources)


def _connect(ray: Any, address: str) -> None:
    _require_answer(address)
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address,
            runtime_env={"env_vars": {"PYTHONPATH": python_path()}},
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.WARNING,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        why = f"no cluster of Ray answers ({first_line(error)})"
        raise ConfigError(f"--address={address}: {why}; {_ADVICE}") from error
    finally:
        signal.signal(signal.SIGTERM, before)  # Ray's own ends the sweep on the spot


def _require_answer(address: str) -> None:
    """Of HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"--address={address}: nothing answers ({error}); {_ADVICE}") from error


def _train(command: Command) -> int:
    """What a task does; returns the training's exit code, as `Child.ended` has it.

    Ray cancels a task by a SIGINT to its process, which ignores it if Ray was started in the
    background of a script: there must be a handler.
    """
    cancelled = threading.Event()
    before = signal.signal(signal.SIGINT, lambda number, frame: cancelled.set())
    try:
        child = Child(command)
        while child.ended() is None and not cancelled.is_set():
            time.sleep(_PERIOD)
        if cancelled.is_set():
            child.ask(signal.SIGTERM)
        code = child.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    child.reap()
    return code


class _Task(NamedTuple):
    job: Job
    future: Any
    logged: int  # bytes, before


class Ray:
    """Tasks that end with the sweep.

    A task whose node is lost is run again by Ray on another, where training goes on from its last
    checkpoint.

    Attributes:
        outlives: False.
    """

    outlives = False

    def __init__(self, resources: Mapping[str, float]) -> None:
        """Each task takes `resources`: num_cpus, num_gpus, memory (bytes)."""
        import ray

        self._ray: Any = ray  # which CI has not
        self._resources = dict(resources)
        self._train = self._ray.remote(max_retries=_RETRIES, **resources)(_train)
        self._tasks: dict[str, _Task] = {}
        self._standings: dict[str, Standing] = {}

    def submit(self, jobs: Sequence[Job]) -> None:
        """As of `Executor`; says so if no node has what a cell takes, which then waits for one."""
        if not any(self._fits(node) for node in self._ray.nodes()):
            taken = ", ".join(f"{name}={value:g}" for name, value in self._resources.items())
            print(f"--backend=ray: no node has {taken} yet; cells wait for one", file=sys.stderr)
        for job in jobs:
            logged = job.log.stat().st_size if job.log.exists() else 0
            future = self._train.options(name=job.name).remote(Command.of(job))
            self._tasks[job.name] = _Task(job, future, logged)
            self._standings[job.name] = Standing(State.WAITING)

    def _fits(self, node: Mapping[str, Any]) -> bool:
        has = node["Resources"]
        names = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
        enough = [has.get(names[name], 0) >= value for name, value in self._resources.items()]
        return node["Alive"] and all(enough)

    def poll(self) -> Mapping[str, Standing]:
        """As of `Executor`; a task runs when its log grows, and is not seen to wait again."""
        left = {name: task for name, task in self._tasks.items() if self._live(name)}
        done = set(self._ended([task.future for task in left.values()]))
        for name, task in left.items():
            if task.future in done:
                self._standings[name] = self._result(task)
            elif task.job.log.exists() and task.job.log.stat().st_size > task.logged:
                self._standings[name] = Standing(State.RUNNING)
        return dict(self._standings)

    def _live(self, name: str) -> bool:
        return self._standings[name].state in _LIVE

    def _ended(self, futures: list[Any]) -> list[Any]:
        if not futures:
            return []
        return self._ray.wait(futures, num_returns=len(futures), timeout=0)[0]

    def _result(self, task: _Task) -> Standing:
        try:
            return standing(self._ray.get(task.future), task.job.log)
        except self._ray.exceptions.RayTaskError as error:
            return Standing(State.FAILED, None, f"the task raised {error.cause!r}")
        except self._ray.exceptions.RayError as error:
            return Standing(State.LOST, None, f"Ray: {first_line(error)}")

    def cancel(self) -> None:
        """As of `Executor`; who has not saved after ten minutes is ended without."""
        left = [task.future for name, task in self._tasks.items() if self._live(name)]
        for future in reversed(left):  # what waits, before there is room for it
            self._ray.cancel(future)
        if left:
            late = self._ray.wait(left, num_returns=len(left), timeout=_PATIENCE)[1]
            for future in late:
                self._ray.cancel(future, force=True)
            self._ray.wait(left, num_returns=len(left))
        self.poll()
