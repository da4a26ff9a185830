"""Advisory file locks: the kernel drops them when a process dies, however it dies."""

import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path


def take(path: Path, *, shared: bool = False, wait: bool = False) -> int | None:
    """A locked file descriptor, or None when somebody else holds the lock and `wait` is false."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if os.geteuid() == 0:
        # Root must not lock the folder's owner out of it.
        folder = path.parent.stat()
        os.chown(descriptor, folder.st_uid, folder.st_gid)
    mode = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    try:
        fcntl.flock(descriptor, mode)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def free(path: Path) -> bool:
    """Whether nobody holds the lock at this moment."""
    descriptor = take(path)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is not None


@contextmanager
def held(path: Path, when_busy: Callable[[], None]) -> Generator[None]:
    """Holds the lock for the block; calls `when_busy` once before waiting for another holder."""
    descriptor = take(path)
    if descriptor is None:
        when_busy()
        descriptor = take(path, wait=True)
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)
