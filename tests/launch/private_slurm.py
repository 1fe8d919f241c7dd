"""A Slurm of one node of its own: munged, slurmctld and slurmd below a folder, on free ports."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "srun")


def missing() -> str:
    """Why there can be none here; '' if there can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"{absent[0]} is not installed (Debian: slurmctld slurmd slurm-client munge)"
    return "" if os.getuid() == 0 else "its daemons are started by root"


@contextmanager
def running(folder: Path) -> Iterator[Path]:
    """The daemons, up and idle; yields slurm.conf, for SLURM_CONF. All are gone afterwards."""
    pids = {name: folder / f"{name}.pid" for name in ("slurmd", "slurmctld", "munged")}
    config = _write(folder, pids)
    environment = {**os.environ, "SLURM_CONF": str(config)}
    try:
        for command in _commands(folder, config, pids):
            subprocess.run(command, env=environment, check=True, timeout=60)
        _await_idle(environment)
        yield config
    finally:
        subprocess.run(["scancel", f"--user={os.getuid()}"], env=environment, timeout=60)
        _await_empty(environment)
        for path in pids.values():
            _end(path)


def _commands(folder: Path, config: Path, pids: dict[str, Path]) -> list[list[str]]:
    munged = [
        "munged",
        "--force",  # the folder may be readable by a group
        f"--key-file={folder / 'munge.key'}",
        f"--socket={folder / 'munge.socket'}",
        f"--pid-file={pids['munged']}",
        f"--log-file={folder / 'munged.log'}",
        f"--seed-file={folder / 'munged.seed'}",
    ]
    return [
        munged,
        ["slurmctld", "-c", "-f", str(config)],
        ["slurmd", "-N", "node", "-f", str(config)],
    ]


def _write(folder: Path, pids: dict[str, Path]) -> Path:
    """The key and slurm.conf, with no cgroups and no accounting."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.touch(0o600)
    key.write_bytes(secrets.token_bytes(128))
    controller, node = _free_ports(2)
    settings = {
        "ClusterName": "tests",
        "SlurmctldHost": "localhost(127.0.0.1)",
        "SlurmctldPort": controller,
        "SlurmdPort": node,
        "SlurmUser": "root",
        "SlurmdUser": "root",
        "AuthType": "auth/munge",
        "CredType": "cred/munge",
        "AuthInfo": f"socket={folder / 'munge.socket'}",
        "StateSaveLocation": folder / "state",
        "SlurmdSpoolDir": folder / "spool",
        "SlurmctldPidFile": pids["slurmctld"],
        "SlurmdPidFile": pids["slurmd"],
        "SlurmctldLogFile": folder / "slurmctld.log",
        "SlurmdLogFile": folder / "slurmd.log",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "JobAcctGatherType": "jobacct_gather/none",
        "AccountingStorageType": "accounting_storage/none",
        "MpiDefault": "none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core",
        "SchedulerParameters": "batch_sched_delay=0,sched_interval=1,bf_interval=1",
        "JobRequeue": 1,
        "ReturnToService": 2,
        "KillWait": 10,
        "MinJobAge": 600,
        "NodeName": f"node NodeAddr=127.0.0.1 CPUs={max(2, os.cpu_count() or 1)} RealMemory=2000",
        "PartitionName": "debug Nodes=node Default=YES MaxTime=INFINITE State=UP",
    }
    config = folder / "slurm.conf"
    config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
    return config


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [own.getsockname()[1] for own in sockets]
    for own in sockets:
        own.close()
    return ports


def _ask(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


def _await_idle(environment: dict[str, str]) -> None:
    end = time.monotonic() + 60
    while _ask(["sinfo", "--noheader", "--format=%T"], environment) != "idle":
        assert time.monotonic() < end, "Slurm's node did not come up within a minute"
        time.sleep(0.1)


def _await_empty(environment: dict[str, str]) -> None:
    end = time.monotonic() + 30
    while _ask(["squeue", "--noheader"], environment) and time.monotonic() < end:
        time.sleep(0.2)


def _end(pid_file: Path) -> None:
    """Ends a daemon, by force if it takes longer than half a minute."""
    try:
        pid = int(pid_file.read_text())
    except (FileNotFoundError, ValueError):
        return
    for number, seconds in ((signal.SIGTERM, 30), (signal.SIGKILL, 5)):
        end = time.monotonic() + seconds
        try:
            os.kill(pid, number)
            while time.monotonic() < end:
                os.kill(pid, 0)
                time.sleep(0.1)
        except ProcessLookupError:
            return
