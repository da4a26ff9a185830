"""The Parquet lake: every event once, in day partitions that close for good, written so that a redo changes nothing."""
# pyarrow ships no types, so what comes from it is unknown to the checker in this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

import asyncio
import json
import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, date
from itertools import groupby

import pyarrow.compute as pc
import pyarrow.parquet as pq

from store.errors import StoreError
from store.event_rows import SequencedEvent
from store.faults import fault
from store.lake_files import Folder, LakeFile, current
from store.lake_schema import footer_of, is_whole, read_footer, to_bytes, to_events, to_table
from store.relay import BatchPolicy

log = logging.getLogger(__name__)

ROLL = BatchPolicy(
    max_events=10_000, max_bytes=8 * 1024 * 1024, min_events=10_000, max_wait=45.0, fixed_borders=True, parks=False
)
"""A file every 10,000 events, 8 MB or 45 seconds: one row per file would cost 100 times the bytes."""
COMPACTED_EVENTS = 1_000_000


class Forked(StoreError):
    """The lake is ahead of this database, which was set back. Run `goals events adopt`, then start again."""


class DamagedFile(StoreError):
    """A Parquet file is not what its name and the log say. `goals events repair` writes it again."""


class Lake:
    """The files under one root, for one epoch of the log. Satisfies `store.relay.Sink`."""

    name = "lake"

    def __init__(self, uri: str, *, epoch: int = 1) -> None:
        self.uri = uri
        self.folder = Folder(uri)
        self.epoch = epoch
        self._day: date | None = None

    async def deliver(self, events: Sequence[SequencedEvent]) -> None:
        """Write the batch; it must have the same borders whenever it comes again."""
        fault("lake.border_fixed")
        await asyncio.to_thread(self._write_days, events)
        fault("lake.before_cursor")

    def _write_days(self, events: Sequence[SequencedEvent]) -> None:
        days = [(day, list(group)) for day, group in groupby(events, key=_day_of)]
        if self._day is None:
            self.prepare(events[0].position, events[-1].position)
        if self._day != days[0][0]:
            self.compact(before=days[0][0])
        for index, (day, group) in enumerate(days):
            if index:
                fault("lake.between_files")
            self.write(day, group)
            self._day = day

    def prepare(self, first: int, last: int) -> None:
        """Clear away what a killed process left, and refuse to write beside files from a future that was undone."""
        self.folder.sweep()
        self._finish_compactions()
        for file in self.folder.files(f"epoch={self.epoch}"):
            if file.last >= first and not (first <= file.first and file.last <= last):
                raise Forked(f"{file.path} exists, but the log continues at {first}. Run `goals events adopt`.")

    def write(self, day: date, events: Sequence[SequencedEvent], *, replace: bool = False) -> LakeFile:
        """Publish one file; does nothing when exactly these events lie there already."""
        positions = [event.position for event in events]
        file = LakeFile(self.epoch, min(positions), max(positions), day)
        footer = footer_of(events, self.epoch)
        if not replace and self.folder.exists(file.path) and self.footer(file) == footer and self._is_whole(file):
            return file
        self._publish(file, events)
        return file

    def replace(self, file: LakeFile, events: Sequence[SequencedEvent]) -> None:
        """Publish a file anew under its old name, of whatever epoch, also when it was set aside."""
        self._publish(file, events)

    def _publish(self, file: LakeFile, events: Sequence[SequencedEvent]) -> None:
        body = to_bytes(to_table(events), footer_of(events, file.epoch))
        self.folder.publish(file.path, body)

    def footer(self, file: LakeFile) -> dict[str, str] | None:
        """Return what the file says about itself, None when it cannot be read."""
        try:
            with self.folder.open(file.path) as source:
                return read_footer(pq.ParquetFile(source))
        except (OSError, ValueError):
            return None

    def check_whole(self, file: LakeFile) -> None:
        """Raise `DamagedFile` unless every byte of a file is as it was written."""
        if not self._is_whole(file):
            raise DamagedFile(f"{file.path} is not as it was written. `goals events repair` writes it again.")

    def _is_whole(self, file: LakeFile) -> bool:
        try:
            with self.folder.open(file.path) as source:
                return is_whole(source.readall())
        except OSError:
            return False

    def files(self) -> list[LakeFile]:
        """Return the files that count, in order of position; those of another epoch only up to its end."""
        return current(self.folder.files())

    def last_position(self) -> int:
        """Return the highest position the lake holds, 0 when it is empty."""
        return max((file.last for file in self.files()), default=0)

    def read(
        self,
        *,
        after: int = 0,
        upto: int | None = None,
        entity: tuple[str, str] | None = None,
        user_id: str | None = None,
    ) -> Iterator[list[SequencedEvent]]:
        """Yield the events of each file, ordered by position, reading only row groups that can match."""
        for file in self.files():
            if file.last > after and (upto is None or file.first <= upto):
                events = self.read_file(file, after=after, upto=upto, entity=entity, user_id=user_id)
                if events:
                    yield events

    def read_file(
        self,
        file: LakeFile,
        *,
        after: int = 0,
        upto: int | None = None,
        entity: tuple[str, str] | None = None,
        user_id: str | None = None,
    ) -> list[SequencedEvent]:
        """Return the matching events of one file; raises `DamagedFile` when it cannot be read."""
        condition = pc.field("position") > after
        if upto is not None:
            condition &= pc.field("position") <= upto
        if entity is not None:
            condition &= (pc.field("entity_type") == entity[0]) & (pc.field("entity_id") == entity[1])
        if user_id is not None:
            condition &= pc.field("user_id") == user_id
        try:
            with self.folder.open(file.path) as source:
                table = pq.read_table(source, filters=condition, use_threads=False)
            return sorted(to_events(table), key=lambda event: event.position)
        except (OSError, ValueError, KeyError) as error:
            raise DamagedFile(f"{file.path} cannot be read: {error}. `goals events repair` writes it again.") from error

    def compact(self, *, before: date) -> list[LakeFile]:
        """Join the files of every closed day; returns the files that were made."""
        days: dict[date, list[LakeFile]] = {}
        for file in self.files():
            if file.epoch == self.epoch and file.day < before:
                days.setdefault(file.day, []).append(file)
        return [made for files in days.values() if len(files) > 1 for made in self._compact_day(files)]

    def _compact_day(self, files: list[LakeFile]) -> Iterator[LakeFile]:
        for part in _parts(files):
            if len(part) == 1:
                continue
            for file in part:
                self.check_whole(file)
            events = [event for file in part for event in self.read_file(file)]
            # Sorted by entity, the history of one lies in one or two row groups; positions stay as a column.
            events.sort(key=lambda event: (event.entity_type, event.entity_id, event.position))
            made = LakeFile(self.epoch, part[0].first, part[-1].last, part[0].day)
            if len(events) != made.last - made.first + 1:
                raise DamagedFile(f"The files of {made.day} do not hold {made.first} to {made.last} without gap.")
            superseded = [file.path for file in part]
            manifest = json.dumps({"file": made.path, "supersedes": superseded}).encode()
            name = f"_manifest/epoch={self.epoch}-{made.first:020}-{made.last:020}.json"
            self.folder.publish(name, manifest)
            fault("lake.manifest_written")
            self.write(made.day, events)
            fault("lake.compacted_written")
            self.folder.remove(superseded)
            fault("lake.superseded_removed")
            log.info("Joined %s files into %s", len(part), made.path)
            yield made

    def _finish_compactions(self) -> None:
        for _, manifest in self.folder.manifests():
            if self.folder.exists(manifest["file"]):
                self.folder.remove(manifest["supersedes"])


def _day_of(event: SequencedEvent) -> date:
    return event.sequenced_at.astimezone(UTC).date()


def _parts(files: list[LakeFile]) -> Iterator[list[LakeFile]]:
    """Split the files of a day into runs that fit one compacted file each."""
    part: list[LakeFile] = []
    for file in files:
        if part and file.last - part[0].first + 1 > COMPACTED_EVENTS:
            yield part
            part = []
        part.append(file)
    if part:
        yield part
