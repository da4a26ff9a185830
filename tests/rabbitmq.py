"""A RabbitMQ for tests: RABBITMQ_URL, else a private node of an installed rabbitmq-server, else a loud skip."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest

_REAL_SCRIPTS = (
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server",
    "/opt/rabbitmq*/sbin/rabbitmq-server",
    "/usr/local/opt/rabbitmq/sbin/rabbitmq-server",
    "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server",
)
CONFIG = """\
listeners.tcp.1 = 127.0.0.1:{port}
loopback_users = none
vm_memory_high_watermark.absolute = 400MB
disk_free_limit.absolute = 50MB
log.file.level = warning
"""
START_SECONDS = 90


def server_script() -> Path | None:
    """Return the package's own start script; the wrapper in sbin would `su` to another user."""
    for pattern in _REAL_SCRIPTS:
        found = sorted(Path("/").glob(pattern.removeprefix("/")))
        if found:
            return found[-1]
    on_path = shutil.which("rabbitmq-server")
    return Path(on_path) if on_path else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Node:
    """One private broker on the loopback, with everything it writes under one folder."""

    def __init__(self, folder: Path, script: Path) -> None:
        self.folder = folder
        self.script = script
        self.port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        self._epmd_port = free_port()
        self._name = f"t{uuid4().hex[:10]}@localhost"
        self._environment = self._prepare(free_port())
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait for the first handshake."""
        with (self.folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                [str(self.script)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = (self.folder / "output.log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"RabbitMQ did not start:\n{log}")
            time.sleep(0.2)

    def kill(self) -> None:
        """End the broker as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the broker and the port mapper it started."""
        self._end(signal.SIGTERM)
        epmd = shutil.which("epmd") or next(Path("/usr/lib/erlang").glob("erts-*/bin/epmd"), None)
        if epmd:
            subprocess.run([epmd, "-kill"], env=self._environment, capture_output=True, timeout=10, check=False)

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl` against this node."""
        command = [str(self.script.with_name("rabbitmqctl")), "-n", self._name, *arguments]
        return subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=60, check=True
        ).stdout

    def settle(self) -> None:
        """Make the broker forget nothing when killed now.

        It notes the members of its streams and quorum queues in files that it flushes only after minutes (seen with
        3.10.8): a broker killed before that does not find its streams again.
        """
        self.control("eval", "[dets:sync(Table) || Table <- dets:all()].")

    def _end(self, sign: signal.Signals) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, sign)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
        self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.settimeout(2)
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(1) == b"\x01"
        except OSError:
            return False

    def _prepare(self, distribution_port: int) -> dict[str, str]:
        home = self.folder / "home"
        home.mkdir(parents=True)
        cookie = home / ".erlang.cookie"
        cookie.write_text(uuid4().hex.upper())
        cookie.chmod(0o400)
        (self.folder / "rabbitmq.conf").write_text(CONFIG.format(port=self.port))
        (self.folder / "advanced.config").write_text("[].\n")
        (self.folder / "enabled_plugins").write_text("[].\n")
        (self.folder / "generated").mkdir()
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(self.folder / "generated"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }


def missing(reason: str) -> None:
    """Skip loudly, or fail where a broker is required."""
    if os.environ.get("REQUIRE_RABBITMQ") == "1":
        pytest.fail(f"REQUIRE_RABBITMQ=1, but {reason}")
    pytest.skip(f"NO RABBITMQ: {reason}. Set RABBITMQ_URL or run `.ci/rabbitmq`.")


@contextmanager
def private_node(folder: Path) -> Generator[Node]:
    """Run a node of one's own, for tests that kill it or make it run out of memory."""
    script = server_script()
    if script is None:
        missing("no rabbitmq-server is installed")
        raise AssertionError
    node = Node(folder, script)
    try:
        node.start()
        yield node
    finally:
        node.stop()


@pytest.fixture(scope="session")
def rabbitmq_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker shared by the whole session: use exchange and queue names of your own."""
    given = os.environ.get("RABBITMQ_URL")
    if given:
        yield given
        return
    with private_node(tmp_path_factory.mktemp("rabbitmq")) as node:
        yield node.url
