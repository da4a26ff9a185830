"""Which operating-system user the embedded server runs as."""

import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from store.embedded.errors import EmbeddedError

SYSTEM_USER = "ai-goals-postgres"
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
LAUNCHER = Path(__file__).with_name("drop.py")


@dataclass(frozen=True, slots=True)
class Account:
    """The server's user. `foreign` when it is not the caller's, which only root can arrange."""

    name: str
    uid: int
    gid: int

    @property
    def foreign(self) -> bool:
        return self.uid != os.geteuid()

    def own(self, path: Path) -> None:
        """Hands a path we just made to the server's user."""
        if self.foreign:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def command(self, *arguments: str, reach: tuple[Path, ...], detach: bool = False) -> list[str]:
        """The command line that runs `arguments` as this user, able to walk to every path in `reach`, program first."""
        options = ["--detach"] if detach else []
        if self.foreign:
            options += ["--user", str(self.uid), str(self.gid), *self._capability(reach)]
        return [sys.executable, "-I", "-S", str(LAUNCHER), *options, "--", *arguments]

    def _capability(self, reach: tuple[Path, ...]) -> list[str]:
        # A tree installed under umask 077 is closed to others file by file; only the stronger capability runs it.
        runnable = Path(reach[0]).stat().st_mode & 0o005 == 0o005
        if runnable and all(self._walkable(path) for path in reach):
            return []
        held = _effective_capabilities()
        for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE) if runnable else (CAP_DAC_OVERRIDE,):
            if held >> capability & 1:
                return ["--capability", str(capability)]
        raise EmbeddedError(
            f"PostgreSQL must not run as root, and its user {self.name} cannot reach {reach[0]}. "
            "Put the clone where every user may walk to it, start as a normal user, or set DATABASE_URL."
        )

    def _walkable(self, path: Path) -> bool:
        return all(self._may_search(folder.stat()) for folder in path.parents)

    def _may_search(self, folder: os.stat_result) -> bool:
        if folder.st_uid == self.uid:
            return bool(folder.st_mode & 0o100)
        return bool(folder.st_mode & (0o010 if folder.st_gid == self.gid else 0o001))


def choose(folder: Path) -> Account:
    """The caller, or, for root, the owner of `folder`, or a system user made for the purpose."""
    uid = os.geteuid() or folder.stat().st_uid
    if uid:
        return _named(uid)
    try:
        return _account(pwd.getpwnam(SYSTEM_USER))
    except KeyError:
        return _create_system_user()


def _named(uid: int) -> Account:
    try:
        return _account(pwd.getpwuid(uid))
    except KeyError as error:
        raise EmbeddedError(
            f"User id {uid} has no name on this system and PostgreSQL insists on one. "
            "Add it to the user database, start as another user, or set DATABASE_URL."
        ) from error


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _create_system_user() -> Account:
    tool = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if tool is not None:
        command = [tool, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        # Two starting processes may race here: what counts is that the user exists afterwards.
        try:
            return _account(pwd.getpwnam(SYSTEM_USER))
        except KeyError:
            reason = done.stderr.strip()
    else:
        reason = "useradd is not installed"
    raise EmbeddedError(
        f"PostgreSQL must not run as root, and the user {SYSTEM_USER} could not be made ({reason}). "
        "Start as a normal user, or set DATABASE_URL."
    )


def _effective_capabilities() -> int:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), 0)
