"""Runs a command that ends when the process that started it ends.

A program of its own, run by path (it imports nothing of the package): it asks
the kernel for a signal at the parent's end and then becomes the command. Doing
so between fork and exec instead would run Python code in a forked child of a
process that may have threads.

usage: die_with_parent.py PARENT_PID SIGNAL_NUMBER COMMAND...
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, number, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG) failed: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit("the parent process has ended")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
