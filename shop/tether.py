"""Run one program so that it cannot outlive the process that started it.

    python shop/tether.py PARENT_PID USER DEATH_SIGNAL program [argument ...]

A program of its own, because what happens here must happen between fork and exec, where a
process with threads may not run Python code. It imports nothing outside the standard library.
"""

import ctypes
import os
import pwd
import signal
import sys

PR_SET_PDEATHSIG = 1


def drop_privileges(user: str) -> None:
    """PostgreSQL refuses to run as root, so root hands the server to another user."""
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def die_with_parent(death_signal: int) -> None:
    """Linux only; elsewhere the next start finds and stops what a killed one left behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)


def main() -> None:
    parent, user, death_signal, *command = sys.argv[1:]
    # The starter blocks these while it notes our pid; the program must not inherit that.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if user:
        drop_privileges(user)
    # After the change of user, which clears the setting.
    die_with_parent(int(death_signal))
    if os.getppid() != int(parent):
        sys.exit("the process that asked for this program has gone")
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
