"""Code snapshots: versions, diffs, validation, paths."""

import asyncio
import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import snapshots
from store.database import Database
from store.errors import Invalid, NotFound
from store.principal import Principal
from store.snapshots import CodeSnapshot, NewSnapshot, SnapshotFilter, Validation
from store.types import ValidationStatus
from tests.store.conftest import TaskFactory


async def test_versions_count_per_file_and_carry_the_diff(
    database: Database, learner: Principal, make_task: TaskFactory
) -> None:
    task = await make_task()
    async with database.transaction(learner) as tx:
        first = await snapshots.create(tx, NewSnapshot(task_id=task.id, file_path="src/a.py", content="x = 1\n"))
        second = await snapshots.create(tx, NewSnapshot(task_id=task.id, file_path="src/a.py", content="x = 2\n"))
        other = await snapshots.create(tx, NewSnapshot(task_id=task.id, file_path="src/b.go", content="package b\n"))
        latest = await snapshots.latest(tx, task.id, "src/a.py")
        both = await snapshots.diff(tx, first.id, second.id)
    assert [one.snapshot_version for one in (first, second, other)] == [1, 2, 1]
    assert (first.language, other.language, first.diff) == ("python", "go", "")
    assert second.diff.splitlines()[-2:] == ["-x = 1", "+x = 2"]
    assert both == second.diff
    assert latest == second


LINES = st.lists(st.sampled_from("abcde"), max_size=30)


@given(LINES, LINES)
def test_a_diff_is_what_the_standard_library_makes(old: list[str], new: list[str]) -> None:
    expected = "\n".join(difflib.unified_diff(old, new, "a/x", "b/x", lineterm=""))
    assert snapshots.unified_diff("\n".join(old), "\n".join(new), "x") == expected


async def test_two_at_once_get_two_versions(database: Database, learner: Principal, make_task: TaskFactory) -> None:
    task = await make_task()

    async def hand_in(content: str) -> CodeSnapshot:
        async with database.transaction(learner) as tx:
            return await snapshots.create(tx, NewSnapshot(task_id=task.id, file_path="a.py", content=content))

    made = await asyncio.gather(*(hand_in(f"x = {number}") for number in range(6)))
    assert sorted(one.snapshot_version for one in made) == [1, 2, 3, 4, 5, 6]


async def test_validation_is_recorded_and_taken_back_by_new_content(
    database: Database, learner: Principal, make_task: TaskFactory
) -> None:
    task = await make_task()
    issue = {"type": "style", "severity": "minor", "line": 1}
    async with database.transaction(learner) as tx:
        made = await snapshots.create(tx, NewSnapshot(task_id=task.id, file_path="a.py", content="x=1"))
        verdict = Validation(status=ValidationStatus.PASSED, score=0.9, feedback="Good.", issues=[issue])
        validated = await snapshots.record_validation(tx, made.id, verdict)
        edited = await snapshots.update(tx, made.id, {"content": "x = 1"})
    assert (validated.validation_score, validated.validation_issues) == (0.9, [issue])
    assert validated.validated_at is not None
    assert (edited.validation_status, edited.validation_score, edited.validated_at) == ("pending", None, None)


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
async def test_a_score_outside_zero_to_one_is_refused(
    database: Database, learner: Principal, make_task: TaskFactory, score: float
) -> None:
    task = await make_task()
    async with database.transaction(learner) as tx:
        made = await snapshots.create(tx, NewSnapshot(task_id=task.id, file_path="a.py", content="x=1"))
        with pytest.raises(Invalid, match="between 0 and 1"):
            await snapshots.record_validation(tx, made.id, Validation(status=ValidationStatus.PASSED, score=score))


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../up.py", "a/../../b.py", "C:\\x.py", "a\x07.py", "x" * 513])
def test_a_path_that_leaves_its_folder_is_refused(path: str) -> None:
    with pytest.raises(Invalid, match="file_path"):
        snapshots.clean_path(path)


async def test_too_much_code_is_refused(database: Database, learner: Principal, make_task: TaskFactory) -> None:
    task = await make_task()
    async with database.transaction(learner) as tx:
        with pytest.raises(Invalid, match="limit is 262144"):
            await snapshots.create(tx, NewSnapshot(task_id=task.id, file_path="a.py", content="é" * 131_073))


async def test_nothing_is_found_before_the_first_snapshot(
    database: Database, learner: Principal, make_task: TaskFactory
) -> None:
    task = await make_task()
    async with database.transaction(learner) as tx:
        with pytest.raises(NotFound):
            await snapshots.latest(tx, task.id)
        assert await snapshots.list(tx, SnapshotFilter(task_id=task.id)) == ([], 0)
