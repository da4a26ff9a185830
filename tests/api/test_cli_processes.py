"""Several processes behind one port: measured together, replaced when they die, gone when the first one is."""

import re
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil

from tests.api.test_cli import serving

REQUESTS = 'goals_http_requests_total{method="GET",route="/healthz",status="200"}'


def ask(url: str, times: int) -> None:
    """Ask over connections of their own, many at a time, so that both processes get some."""
    with ThreadPoolExecutor(16) as pool:
        for answer in pool.map(httpx.get, [f"{url}/healthz"] * times):
            answer.raise_for_status()


def metrics(url: str) -> dict[str, float]:
    """What whichever process answers knows."""
    lines = httpx.get(f"{url}/metrics").raise_for_status().text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def pids(shown: dict[str, float]) -> set[int]:
    return {
        int(found[1])
        for name in shown
        if (found := re.fullmatch(r'process_resident_memory_bytes\{pid="(\d+)"\}', name))
    }


def until(holds: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_whoever_is_asked_shows_all_and_the_dead_are_replaced_and_forgotten(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--workers", "2") as (process, url):
        until(lambda: len(pids(metrics(url))) == 2)
        (helper,) = pids(metrics(url)) - {process.pid}
        folder = Path(psutil.Process(helper).environ()["PROMETHEUS_MULTIPROC_DIR"])
        asked = 0
        while sum(b"/healthz" in path.read_bytes() for path in folder.glob("counter_*.db")) < 2:
            ask(url, 50)
            asked += 50
            assert asked < 2000, "only one process ever answered"
        assert {metrics(url)[REQUESTS] for _ in range(20)} == {asked}
        leaders = [value for name, value in metrics(url).items() if name.startswith("goals_events_loop_leading")]
        assert leaders
        assert set(leaders) == {1.0}

        psutil.Process(helper).kill()
        until(lambda: helper not in pids(metrics(url)) and len(pids(metrics(url))) == 2)
        assert not list(folder.glob(f"gauge_live*_{helper}.db"))
        assert {metrics(url)[REQUESTS] for _ in range(20)} == {asked}
        process.terminate()
        assert process.wait(30) == 0
        assert not folder.exists()


def test_an_account_closed_in_one_process_is_closed_in_the_other(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--workers", "2") as (_, url):
        until(lambda: len(pids(metrics(url))) == 2)
        person = {"email": "ada@example.org", "password": "correct horse battery"}
        user = httpx.post(f"{url}/users", json={**person, "name": "Ada"}).raise_for_status().json()
        form = {"grant_type": "password", "username": person["email"], "password": person["password"]}
        token = httpx.post(f"{url}/auth/token", data=form).raise_for_status().json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}

        def answers() -> set[int]:
            """Over forty connections: that all of them reach one of the two is as likely as forty heads."""
            with ThreadPoolExecutor(8) as pool:
                asked = [pool.submit(httpx.get, f"{url}/goals", headers=headers) for _ in range(40)]
                return {each.result().status_code for each in asked}

        assert answers() == {200}
        httpx.post(f"{url}/users/{user['id']}/deactivate", headers=headers).raise_for_status()
        until(lambda: answers() == {401}, 5)


def test_no_helper_outlives_the_first_process_and_keeps_its_port(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--workers", "2") as (process, url):
        until(lambda: len(pids(metrics(url))) == 2)
        process.kill()
        process.wait()

        def free() -> bool:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", int(url.rpartition(":")[2])))
                except OSError:
                    return False
            return True

        until(free, 15)
