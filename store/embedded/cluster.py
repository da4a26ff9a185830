"""The data directory of the embedded server: made once, whole or not at all, and who may log in to it."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from store.embedded.account import Account
from store.embedded.errors import EmbeddedError
from store.embedded.layout import MAJOR, PORT, Layout, binaries, private_folder

OWNER = "postgres"
# Only the socket, only people the kernel vouches for (peer): no password to keep, none to leak.
HBA = "local all all peer map=goals\nlocal replication all peer map=goals\n"
SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "200",
    # Compiling a plan costs more than any of our short statements take.
    "jit": "off",
}


def prepare_folders(layout: Layout, account: Account) -> None:
    """The server's own folder, private from the start."""
    if not private_folder(layout.home, account):
        found = layout.home.lstat()
        if layout.home.is_symlink() or found.st_uid != account.uid:
            raise EmbeddedError(f"{layout.home} does not belong to {account.name}. Move it away or fix its owner.")
        layout.home.chmod(0o700)


def initialise(layout: Layout, account: Account) -> None:
    """Makes the cluster beside its place and moves it there whole, so that a kill leaves nothing half made."""
    unfinished = layout.home / f"{MAJOR}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    initdb = str(binaries() / "initdb")
    locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    arguments = [initdb, "-D", str(unfinished), "-U", OWNER, "--auth=peer", *locale]
    run(account, *arguments, reach=(Path(initdb), unfinished))
    unfinished.rename(layout.cluster)


def admit(layout: Layout, account: Account) -> None:
    """Rewrites who may log in: the server's user and whoever owns or starts it, as any database role."""
    names = dict.fromkeys((account.name, pwd.getpwuid(os.geteuid()).pw_name))
    ident = "".join(f'goals "{name}" all\n' for name in names)
    for name, text in (("pg_hba.conf", HBA), ("pg_ident.conf", ident)):
        fresh = layout.cluster / f"{name}.new"
        fresh.unlink(missing_ok=True)
        # O_EXCL: whatever stands there now, links included, is never written through.
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        account.own(fresh)
        fresh.replace(layout.cluster / name)


def launch(
    layout: Layout, account: Account, *, sockets: Path, lock: int, settings: Mapping[str, str], log: int
) -> None:
    """Starts the server detached from us, holding `lock` for as long as one of its processes lives."""
    postgres = str(binaries() / "postgres")
    options = {**SETTINGS, "unix_socket_directories": str(sockets), **settings}
    flags = [flag for name, value in options.items() for flag in ("-c", f"{name}={value}")]
    command = account.command(
        postgres, "-D", str(layout.cluster), *flags, reach=(Path(postgres), layout.cluster, sockets), detach=True
    )
    subprocess.run(
        command, check=True, env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(lock,)
    )


def run(account: Account, *arguments: str, reach: tuple[Path, ...]) -> None:
    """Runs one of PostgreSQL's tools to its end; raises with its own words when it fails."""
    command = account.command(*arguments, reach=reach)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    if done.returncode:
        raise EmbeddedError(f"{Path(arguments[0]).name} failed:\n{done.stderr.strip() or done.stdout.strip()}")


def _environment() -> dict[str, str]:
    """Ours without anything that would steer PostgreSQL behind our back."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}
