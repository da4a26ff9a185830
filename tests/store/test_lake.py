"""The lake: every event once whatever is repeated or killed, day partitions that close, readable by common tools."""
# pyarrow ships no types, so what comes from it is unknown to the checker in this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import errno
import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from store import cursors, lake_files
from store.background import service_session
from store.lake import ROLL, DamagedFile, Forked, Lake
from store.lake_files import LakeFile, current
from store.lake_schema import footer_of, is_whole, to_bytes, to_table, write_table
from store.relay import BatchPolicy, Relay
from store.sequencer import cut
from store.wakeups import Bell
from tests.events import sequenced, write_many
from tests.postgres import Urls

DAY = date(2026, 3, 4)
MIDNIGHT = datetime(2026, 3, 5, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path))


def positions(lake: Lake) -> list[int]:
    return [event.position for events in lake.read() for event in events]


def parquet(root: Path) -> list[Path]:
    return sorted(root.rglob("*.parquet"))


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


async def test_what_is_written_is_read_back_the_same(lake: Lake) -> None:
    events = sequenced(1, 50)
    await lake.deliver(events)
    assert [event for batch in lake.read() for event in batch] == events


async def test_a_file_is_named_by_day_and_positions(lake: Lake, tmp_path: Path) -> None:
    await lake.deliver(sequenced(7, 9))
    expected = "epoch=1/year=2026/month=03/day=04/00000000000000000007-00000000000000000009.parquet"
    assert [str(path.relative_to(tmp_path)) for path in parquet(tmp_path)] == [expected]
    assert LakeFile.parse(expected) == LakeFile(1, 7, 9, DAY)


async def test_delivering_again_changes_nothing(lake: Lake, tmp_path: Path) -> None:
    events = sequenced(1, 5)
    await lake.deliver(events)
    before = {path: path.stat().st_mtime_ns for path in parquet(tmp_path)}
    await Lake(str(tmp_path)).deliver(events)
    assert {path: path.stat().st_mtime_ns for path in parquet(tmp_path)} == before


async def test_a_damaged_file_is_written_again_on_redelivery(lake: Lake, tmp_path: Path) -> None:
    events = sequenced(1, 5)
    await lake.deliver(events)
    (file,) = parquet(tmp_path)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DamagedFile, match="goals events repair"):
        positions(lake)
    await Lake(str(tmp_path)).deliver(events)
    assert positions(lake) == [1, 2, 3, 4, 5]


async def test_a_batch_over_midnight_becomes_two_files(lake: Lake) -> None:
    await lake.deliver(sequenced(1, 3) + sequenced(4, 6, at=MIDNIGHT))
    assert [(file.day, file.first, file.last) for file in lake.files()] == [(DAY, 1, 3), (date(2026, 3, 5), 4, 6)]


async def test_leftovers_of_a_killed_process_are_swept(lake: Lake, tmp_path: Path) -> None:
    await lake.deliver(sequenced(1, 3))
    (folder,) = {path.parent for path in parquet(tmp_path)}
    (folder / ".tmp-dead").write_bytes(b"half a file")
    await Lake(str(tmp_path)).deliver(sequenced(4, 6))
    assert [name for name in names(tmp_path) if name.startswith(".tmp-")] == []


async def test_a_lake_ahead_of_its_database_is_refused(lake: Lake, tmp_path: Path) -> None:
    await lake.deliver(sequenced(1, 9))
    with pytest.raises(Forked, match="goals events adopt"):
        await Lake(str(tmp_path)).deliver(sequenced(5, 7))


async def test_files_of_closed_days_are_joined(lake: Lake, tmp_path: Path) -> None:
    for first in (1, 4, 7):
        await lake.deliver(sequenced(first, first + 2, entity_id=f"g{first % 2}"))
    assert len(lake.files()) == 3
    await lake.deliver(sequenced(10, 12, at=MIDNIGHT))
    assert [(file.first, file.last) for file in lake.files()] == [(1, 9), (10, 12)]
    assert positions(lake) == list(range(1, 13))
    assert len(parquet(tmp_path)) == 2, "superseded files are gone, so plain globbing is right too"
    assert lake.footer(lake.files()[0]) is not None


async def test_a_compaction_cut_short_before_removal_counts_nothing_twice(lake: Lake, tmp_path: Path) -> None:
    first, second = sequenced(1, 3), sequenced(4, 6)
    await lake.deliver(first)
    await lake.deliver(second)
    kept = {path: path.read_bytes() for path in parquet(tmp_path)}
    lake.compact(before=date(2026, 3, 5))
    for path, content in kept.items():
        path.write_bytes(content)
    assert positions(lake) == [1, 2, 3, 4, 5, 6]
    Lake(str(tmp_path)).prepare(7, 9)
    assert len(parquet(tmp_path)) == 1


def test_a_larger_range_supersedes_the_smaller_ones_it_covers() -> None:
    small = [LakeFile(1, 1, 3, DAY), LakeFile(1, 4, 6, DAY)]
    whole = LakeFile(1, 1, 6, DAY)
    other_epoch = LakeFile(2, 4, 6, DAY)
    assert current([*small, whole, other_epoch]) == [whole, other_epoch]


async def test_reading_can_be_narrowed(lake: Lake) -> None:
    await lake.deliver(sequenced(1, 5, entity_id="a") + sequenced(6, 9, entity_id="b", user_id="bob"))
    assert [e.position for es in lake.read(entity=("goal", "b")) for e in es] == [6, 7, 8, 9]
    assert [e.position for es in lake.read(after=3, upto=7) for e in es] == [4, 5, 6, 7]
    assert [e.position for es in lake.read(user_id="ada") for e in es] == [1, 2, 3, 4, 5]


async def test_duckdb_polars_and_pandas_read_the_files_as_they_stand(lake: Lake, tmp_path: Path) -> None:
    events = sequenced(1, 3) + sequenced(4, 6, at=MIDNIGHT)
    await lake.deliver(events)
    pattern = f"{tmp_path}/**/*.parquet"
    by_day = duckdb.sql(
        f"SELECT day, count(*), arg_min(id, position), max(payload_json::json->'changes'->>'title')"
        f" FROM read_parquet('{pattern}', hive_partitioning = true) GROUP BY day ORDER BY day"
    )
    assert by_day is not None
    assert by_day.fetchall() == [("04", 3, events[0].id, "version 3"), ("05", 3, events[3].id, "version 6")]
    frame = pl.read_parquet(pattern)
    assert frame["position"].to_list() == [1, 2, 3, 4, 5, 6]
    assert frame["id"].to_list() == [event.id.bytes for event in events]
    assert frame["recorded_at"].to_list() == [event.recorded_at for event in events]
    table: Any = pd.read_parquet(tmp_path)
    assert sorted(table["position"]) == [1, 2, 3, 4, 5, 6]
    assert set(table["user_id"]) == {"ada"}


def recorded_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the order in which files and directories are flushed and renamed."""
    calls: list[str] = []
    sync, rename = lake_files.sync_path, Path.rename

    def noted_sync(path: Path) -> None:
        calls.append("fsync directory" if path.is_dir() else "fsync file")
        sync(path)

    def noted_rename(self: Path, target: str) -> Path:
        calls.append("rename")
        return rename(self, target)

    monkeypatch.setattr(lake_files, "sync_path", noted_sync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    return calls


def durable(calls: list[str]) -> bool:
    """True when the content is flushed before the name appears, and the name before anyone relies on it."""
    return calls[:3] == ["fsync file", "rename", "fsync directory"]


async def test_content_is_flushed_before_the_name_and_the_name_before_the_cursor(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = recorded_calls(monkeypatch)
    await lake.deliver(sequenced(1, 3))
    assert durable(calls)
    assert calls.count("fsync directory") == 5, "the new parents gained entries as well"


async def test_the_order_check_catches_a_lake_that_does_not_flush(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted fault: no fsync."""
    calls = recorded_calls(monkeypatch)
    monkeypatch.setattr(lake_files, "sync_path", lambda path: None)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    await lake.deliver(sequenced(1, 3))
    assert not durable(calls)


async def test_a_full_disk_moves_no_cursor_and_heals(
    urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_many(urls.owner, "g", range(1, 6))
    full = True
    fsync = os.fsync

    def no_space(descriptor: int) -> None:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", no_space)
    async with service_session(urls.login) as session:
        await cut(session)
        relay = Relay(urls.login, Lake(str(tmp_path)), Bell(), policy=BatchPolicy(fixed_borders=True, parks=False))
        await cursors.register(session, "lake")
        assert await relay.step(session) is not None
        assert (await cursors.read(session, "lake")).position == 0
        assert names(tmp_path) == []
        full = False
        assert await relay.step(session) is None
        assert (await cursors.read(session, "lake")).position == 5
    assert positions(Lake(str(tmp_path))) == [1, 2, 3, 4, 5]


async def test_the_log_reaches_the_lake_byte_for_byte(urls: Urls, tmp_path: Path) -> None:
    write_many(urls.owner, "g", range(1, 31), changes={"title": 'ü "x" \\ \u2028', "progress_percentage": 0.1})
    async with service_session(urls.login) as session:
        await cut(session)
        relay = Relay(urls.login, Lake(str(tmp_path)), Bell(), policy=ROLL)
        relay.stop()
        await relay.run()
        cursor = await session.execute("SELECT payload::text FROM events ORDER BY seq")
        stored = [row[0] for row in await cursor.fetchall()]
    (file,) = Lake(str(tmp_path)).files()
    assert pq.read_table(tmp_path / file.path, columns=["payload_json"])["payload_json"].to_pylist() == stored


def test_no_byte_of_a_file_can_change_unnoticed() -> None:
    """Data, page index, footer and the seal itself, byte by byte."""
    events = sequenced(1, 20)
    body = to_bytes(to_table(events), footer_of(events, 1))
    assert is_whole(body)
    assert not is_whole(body[:-1])
    for at in range(len(body)):
        assert not is_whole(body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]), at


def test_a_file_of_before_there_were_seals_is_still_read() -> None:
    events = sequenced(1, 20)
    buffer = pa.BufferOutputStream()
    write_table(to_table(events), footer_of(events, 1) | {"goals.format": "1"}, buffer)
    assert is_whole(buffer.getvalue().to_pybytes())


async def test_a_damaged_file_is_not_joined_with_others(lake: Lake, tmp_path: Path) -> None:
    await lake.deliver(sequenced(1, 3))
    await lake.deliver(sequenced(4, 6))
    (file, _) = parquet(tmp_path)
    body = bytearray(file.read_bytes())
    body[100] ^= 1
    file.write_bytes(body)
    with pytest.raises(DamagedFile, match="not as it was written"):
        lake.compact(before=date(2026, 3, 5))
    assert len(parquet(tmp_path)) == 2


async def test_an_object_store_gets_whole_objects_under_the_same_names(lake: Lake) -> None:
    """The mock of pyarrow stands for S3: no rename, no fsync, a whole object or nothing."""
    folder: Any = lake.folder
    folder._fs, folder.root, folder.local = fs._MockFileSystem(), "bucket", False  # pyright: ignore[reportPrivateUsage]
    folder._fs.create_dir(f"bucket/{LakeFile(1, 1, 3, DAY).path.rpartition('/')[0]}")
    await lake.deliver(sequenced(1, 3))
    await lake.deliver(sequenced(4, 6))
    assert [file.path for file in lake.files()] == [LakeFile(1, 1, 3, DAY).path, LakeFile(1, 4, 6, DAY).path]
    assert positions(lake) == [1, 2, 3, 4, 5, 6]
