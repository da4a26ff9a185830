"""Runs one command as another user and, when asked, detached: a script of its own, standard library only.

Usage: drop.py [--user UID GID] [--capability N] [--detach] -- COMMAND...

PostgreSQL refuses to run as root. When root starts it, this script takes on the server's user first. That user may be
unable to walk through the folders above the data or the binaries (a clone under a home with mode 0700). Widening those
folders for everybody would be a lasting hole, so the server keeps the one capability it needs instead.
"""

import ctypes
import os
import sys

PR_SET_SECUREBITS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 28, 47, 2
SECBIT_NO_SETUID_FIXUP = 4
CAPABILITY_VERSION_3 = 0x20080522


def become(uid: int, gid: int, capability: int | None) -> None:
    """Gives up root for good, keeping at most one capability across the exec."""
    libc = ctypes.CDLL(None, use_errno=True)
    if capability is not None:
        # Keeps capabilities across the change of user, and lets access(2) count them: initdb looks before it leaps.
        _checked(libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if capability is not None:
        low = 1 << capability
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
        data = (ctypes.c_uint32 * 6)(low, low, low, 0, 0, 0)  # effective, permitted, inheritable; the upper half empty
        _checked(libc.capset(header, data))
        _checked(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0))


def _checked(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def main(arguments: list[str]) -> None:
    """Takes the options in their fixed order, then becomes the command."""
    options, command = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    capability = int(options[options.index("--capability") + 1]) if "--capability" in options else None
    if "--detach" in options:
        os.setsid()
        if os.fork():
            os._exit(0)
    os.umask(0o077)
    os.chdir("/")
    if "--user" in options:
        place = options.index("--user")
        become(int(options[place + 1]), int(options[place + 2]), capability)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
