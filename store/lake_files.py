"""Files of the lake: their names, and publishing them so that a crash or a power cut leaves all or nothing."""
# pyarrow ships no types, so what comes from it is unknown to the checker in this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

import json
import os
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any, cast

import pyarrow as pa
from pyarrow import fs

from store.faults import fault

_NAME = re.compile(
    r"epoch=(?P<epoch>\d+)/year=(?P<year>\d{4})/month=(?P<month>\d\d)/day=(?P<day>\d\d)/"
    r"(?P<first>\d{20})-(?P<last>\d{20})\.parquet(?P<forked>\.forked)?$"
)
_TEMPORARY = ".tmp-"


@dataclass(frozen=True, slots=True, order=True)
class LakeFile:
    """One Parquet file: its name says which positions of which UTC day it holds."""

    epoch: int
    first: int
    last: int
    day: date
    forked: bool = False
    """Set aside: it holds a future that was undone when the database was set back."""

    @property
    def path(self) -> str:
        """Where the file lies under the lake's root."""
        day = f"year={self.day.year:04}/month={self.day.month:02}/day={self.day.day:02}"
        path = f"epoch={self.epoch}/{day}/{self.first:020}-{self.last:020}.parquet"
        return f"_forked/{path}.forked" if self.forked else path

    @classmethod
    def parse(cls, path: str) -> "LakeFile | None":
        """Return the file a path names, None for anything else."""
        found = _NAME.search(path)
        if found is None:
            return None
        day = date(int(found["year"]), int(found["month"]), int(found["day"]))
        return cls(int(found["epoch"]), int(found["first"]), int(found["last"]), day, found["forked"] is not None)

    def covers(self, other: "LakeFile") -> bool:
        return self.epoch == other.epoch and self.first <= other.first and other.last <= self.last


def current(files: Iterable[LakeFile]) -> list[LakeFile]:
    """Return the files that count, in order: a compacted file supersedes those whose positions it covers."""
    result: list[LakeFile] = []
    for file in sorted(files, key=lambda each: (each.first, -each.last, each.epoch)):
        if not (result and result[-1].covers(file)):
            result.append(file)
    return result


class Folder:
    """A directory, or a prefix of an object store, given by URI or path. All names are relative to it.

    On a local disk a file is written under a temporary name, flushed to the platter, renamed, and its directory flushed
    too: pyarrow itself never calls fsync. Object stores publish a whole object or nothing by themselves.
    """

    def __init__(self, uri: str) -> None:
        if "://" in uri:
            self._fs, root = fs.FileSystem.from_uri(uri)
        else:
            self._fs, root = fs.LocalFileSystem(), str(Path(uri).resolve())
        self.root: str = str(root).rstrip("/")
        self.local = isinstance(self._fs, fs.LocalFileSystem)

    def publish(self, name: str, body: bytes) -> None:
        """Make `name` hold `body`, in one step for every reader, durable on return."""
        target = self._at(name)
        if not self.local:
            self._write(target, body)
            return
        folder = Path(target).parent
        created = _make_directories(folder)
        temporary = folder / f"{_TEMPORARY}{uuid.uuid4().hex}"
        try:
            self._write(str(temporary), body)
            fault("lake.before_fsync")
            sync_path(temporary)
            fault("lake.after_fsync")
            temporary.rename(target)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        fault("lake.after_rename")
        for changed in (folder, *created):
            sync_path(changed)
        fault("lake.after_directory_fsync")

    def _write(self, path: str, body: bytes) -> None:
        half = len(body) // 2
        with self._fs.open_output_stream(path) as stream:
            stream.write(body[:half])
            fault("lake.half_written")
            stream.write(body[half:])

    def files(self, under: str = "") -> list[LakeFile]:
        """Return every Parquet file, superseded ones included, those set aside not."""
        return [file for file in self._parsed(under) if not file.forked]

    def forked(self) -> list[LakeFile]:
        """Return the files that were set aside."""
        return [file for file in self._parsed("_forked") if file.forked]

    def manifests(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the compaction records with their names."""
        names = [name for name in self._names("_manifest") if name.endswith(".json")]
        return [(name, json.loads(self._fs.open_input_file(self._at(name)).readall())) for name in sorted(names)]

    def open(self, name: str) -> pa.NativeFile:
        return self._fs.open_input_file(self._at(name))

    def exists(self, name: str) -> bool:
        return bool(self._fs.get_file_info(self._at(name)).type != fs.FileType.NotFound)

    def remove(self, names: Iterable[str]) -> None:
        """Delete files for good; those already gone are no error."""
        folders: set[Path] = set()
        for name in names:
            if self.exists(name):
                self._fs.delete_file(self._at(name))
                folders.add(Path(self._at(name)).parent)
        if self.local:
            for folder in folders:
                sync_path(folder)

    def move(self, source: str, target: str) -> None:
        """Give a file another name, durably."""
        if self.local:
            _make_directories(Path(self._at(target)).parent)
        self._fs.move(self._at(source), self._at(target))
        if self.local:
            sync_path(Path(self._at(source)).parent)
            sync_path(Path(self._at(target)).parent)

    def sweep(self) -> int:
        """Remove temporary files a killed process left behind; return how many."""
        left = [name for name in self._names("") if PurePosixPath(name).name.startswith(_TEMPORARY)]
        self.remove(left)
        return len(left)

    def _parsed(self, under: str) -> list[LakeFile]:
        return [file for name in self._names(under) if (file := LakeFile.parse(name)) is not None]

    def _names(self, under: str) -> list[str]:
        selector = fs.FileSelector(self._at(under), allow_not_found=True, recursive=True)
        found = cast("list[fs.FileInfo]", self._fs.get_file_info(selector))
        skip = len(self.root) + 1
        return [info.path[skip:] for info in found if info.type == fs.FileType.File]

    def _at(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root


def sync_path(path: Path) -> None:
    """Flush a file, or the entries of a directory, to the disk itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_directories(folder: Path) -> list[Path]:
    """Create what is missing; return the directories that gained an entry, which must be flushed too."""
    gained: list[Path] = []
    missing = folder
    while not missing.is_dir():
        missing = missing.parent
        gained.append(missing)
    folder.mkdir(parents=True, exist_ok=True)
    return gained
