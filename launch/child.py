"""Becomes a command that runs on some cores and is asked to end when its parent is gone.

`python child.py PARENT CORES COMMAND…`: the parent's process id, cores as 0,1. By this program and
no function between fork and exec, which threads of the parent may hold up for ever.
"""

import contextlib
import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Never returns."""
    parent, cores, *command = sys.argv[1:]
    with contextlib.suppress(AttributeError, OSError):  # not Linux
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        os.sched_setaffinity(0, map(int, cores.split(",")))
    if os.getppid() != int(parent):  # gone before it was watched
        sys.exit(f"{command[0]}: not begun, the sweep is gone")
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
