"""Becomes a command that is asked to save when its parent ends: `python -m launch.tied PID …`.

A training must not outlive the process that a cluster started for it, or what the cluster starts
in its place would find the run directory held. Linux only; elsewhere, the command alone.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # of linux/prctl.h; kept over exec
_RUN_AGAIN = 75


def main(argv: list[str]) -> int:
    """Runs argv[1:], if the process argv[0] is still the parent; else ends with 75."""
    parent, *command = argv
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == int(parent):  # else it ended before this was tied to it
        os.execv(command[0], command)
    return _RUN_AGAIN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
