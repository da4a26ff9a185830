"""The lake on a real object store, spoken to over HTTP: whole objects, redone after kills, joined and proven."""
# pyarrow ships no types, so what comes from it is unknown to the checker in this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from pyarrow import fs

from store.lake import DamagedFile, Lake
from store.lake_files import LakeFile
from store.lake_schema import footer_of
from tests.events import sequenced

SERVER = os.environ.get("GOALS_TEST_S3_SERVER")
DAY = date(2026, 3, 4)
MIDNIGHT = datetime(2026, 3, 5, tzinfo=UTC)
DELIVER = """
import asyncio, sys
from store.lake import Lake
from tests.events import sequenced
asyncio.run(Lake(sys.argv[1]).deliver(sequenced(1, 3000)))
"""
COMPACT = """
import sys
from datetime import date
from store.lake import Lake
Lake(sys.argv[1]).compact(before=date(2026, 3, 5))
"""


@pytest.fixture(scope="module")
def endpoint() -> Generator[str]:
    """An S3 server of its own, such as moto's: `pip install "moto[s3,server]"` into any environment."""
    if SERVER is None:
        pytest.skip("NO S3 SERVER: install moto[s3,server] somewhere and set GOALS_TEST_S3_SERVER=.../moto_server")
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        port = line.getsockname()[1]
    server = subprocess.Popen(
        [SERVER, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(300):
            with socket.socket() as line:
                if line.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(params=["s3", "file"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A lake of its own, named by a URI."""
    if request.param == "file":
        return f"file://{tmp_path}/lake"
    endpoint: str = request.getfixturevalue("endpoint")
    bucket = f"lake-{uuid4().hex}"
    options = f"endpoint_override={endpoint}&scheme=http&region=us-east-1"
    filesystem, _ = fs.FileSystem.from_uri(f"s3://key:secret@{bucket}?{options}&allow_bucket_creation=true")
    filesystem.create_dir(bucket)
    return f"s3://key:secret@{bucket}/some/prefix?{options}"  # pragma: allowlist secret


def positions(lake: Lake) -> list[int]:
    return [event.position for events in lake.read() for event in events]


def killed_at(point: str, program: str, uri: str) -> None:
    """Run a program that kills itself at a named point."""
    child = subprocess.run(
        [sys.executable, "-c", program, uri], env={**os.environ, "GOALS_FAULT": f"{point}:1"}, timeout=60, check=False
    )
    assert child.returncode == -signal.SIGKILL


async def test_what_is_written_over_a_uri_is_read_back_the_same(uri: str) -> None:
    lake = Lake(uri)
    events = sequenced(1, 2000)
    await lake.deliver(events)
    assert [event for batch in Lake(uri).read() for event in batch] == events
    assert positions(Lake(uri))[:3] == [1, 2, 3]
    assert [e.position for b in lake.read(after=5, upto=7) for e in b] == [6, 7]


@pytest.mark.parametrize("point", ["lake.border_fixed", "lake.half_written", "lake.before_cursor"])
async def test_a_batch_redone_after_a_kill_lies_there_once(uri: str, point: str) -> None:
    killed_at(point, DELIVER, uri)
    assert positions(Lake(uri)) in ([], list(range(1, 3001))), "a whole file or none"
    await Lake(uri).deliver(sequenced(1, 3000))
    assert [file.path for file in Lake(uri).files()] == [LakeFile(1, 1, 3000, DAY).path]
    assert positions(Lake(uri)) == list(range(1, 3001))


@pytest.mark.parametrize("point", [None, "lake.manifest_written", "lake.compacted_written", "lake.superseded_removed"])
async def test_a_closed_day_is_joined_whatever_kills_it(uri: str, point: str | None) -> None:
    for first in (1, 4, 7):
        await Lake(uri).deliver(sequenced(first, first + 2, entity_id=f"g{first % 2}"))
    if point is not None:
        killed_at(point, COMPACT, uri)
        assert positions(Lake(uri)) == list(range(1, 10))
    lake = Lake(uri)
    await lake.deliver(sequenced(10, 12, at=MIDNIGHT))
    assert positions(lake) == list(range(1, 13))
    assert sorted((file.first, file.last) for file in lake.folder.files()) == [(1, 9), (10, 12)]


async def test_a_byte_changed_in_the_store_is_noticed(uri: str) -> None:
    lake = Lake(uri)
    events = sequenced(1, 9)
    await lake.deliver(events)
    (file,) = lake.files()
    with lake.folder.open(file.path) as source:
        body = bytearray(source.readall())
    lake.check_whole(file)
    assert lake.footer(file) == footer_of(events, 1)
    body[len(body) - 40] ^= 1
    lake.folder.publish(file.path, bytes(body))
    with pytest.raises(DamagedFile, match="goals events repair"):
        lake.check_whole(file)


async def test_a_file_is_moved_and_removed_by_uri(uri: str) -> None:
    lake = Lake(uri)
    await lake.deliver(sequenced(1, 3))
    (file,) = lake.files()
    lake.folder.move(file.path, "_forked/x.forked")
    assert lake.files() == []
    lake.folder.remove(["_forked/x.forked", "never/there"])
    assert not lake.folder.exists("_forked/x.forked")
