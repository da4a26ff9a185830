"""The ledger: one call, one effect, however often it is asked for."""

import asyncio

import pytest

from store import goals, ledger
from store.database import Database, Transaction
from store.errors import Conflict, Invalid
from store.event_types import JsonObject
from store.goals import GoalFilter, NewGoal
from store.ledger import CallKey, LedgerResult
from store.principal import Principal
from store.types import Visibility

KEY = CallKey("thread", "message", 0)


async def _create_goal(tx: Transaction) -> JsonObject:
    return {"title": (await goals.create(tx, NewGoal(title="Once"))).title}


async def _call(database: Database, who: Principal, title: str = "Once") -> LedgerResult:
    async with database.transaction(who) as tx:
        return await ledger.once(tx, KEY, tool="create_goal", args={"title": title}, effect=lambda: _create_goal(tx))


async def _count(database: Database, who: Principal) -> int:
    async with database.transaction(who) as tx:
        return (await goals.list(tx, GoalFilter())).total


async def test_a_repeated_call_returns_the_first_result(database: Database, learner: Principal) -> None:
    first, second = await _call(database, learner), await _call(database, learner)
    assert (first.replayed, second.replayed) == (False, True)
    assert first.result == second.result == {"title": "Once"}
    assert await _count(database, learner) == 1


async def test_two_runners_of_one_call_make_one_effect(database: Database, learner: Principal) -> None:
    results = await asyncio.gather(*(_call(database, learner) for _ in range(5)))
    assert sorted(result.replayed for result in results) == [False, True, True, True, True]
    assert await _count(database, learner) == 1


async def test_the_same_call_with_other_arguments_is_refused(database: Database, learner: Principal) -> None:
    await _call(database, learner)
    with pytest.raises(Conflict, match="other arguments"):
        await _call(database, learner, title="Twice")


async def test_a_refused_effect_is_undone_and_remembered(database: Database, learner: Principal) -> None:
    async def effect(tx: Transaction) -> JsonObject:
        await goals.create(tx, NewGoal(title="Half"))
        raise Invalid("No.")

    for _ in range(2):
        async with database.transaction(learner) as tx:
            result = await ledger.once(tx, KEY, tool="t", args={}, effect=lambda tx=tx: effect(tx))
        assert (result.status, result.result) == ("error", {"error": "No."})
    assert await _count(database, learner) == 0


async def test_a_crash_leaves_no_trace_and_the_call_can_run_again(database: Database, learner: Principal) -> None:
    async def crash() -> JsonObject:
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        async with database.transaction(learner) as tx:
            await ledger.once(tx, KEY, tool="create_goal", args={"title": "Once"}, effect=crash)
    assert not (await _call(database, learner)).replayed


async def test_somebody_elses_call_is_neither_seen_nor_taken(
    database: Database, learner: Principal, other_learner: Principal
) -> None:
    await _call(database, learner)
    with pytest.raises(Conflict, match="somebody else"):
        await _call(database, other_learner)
    async with database.transaction(other_learner) as tx:
        assert await ledger.find(tx, KEY) is None
    assert await _count(database, other_learner) == 0


async def test_a_refusal_of_postgresql_is_remembered_too(database: Database, learner: Principal) -> None:
    async with database.transaction(learner) as tx:

        async def share_with_everybody() -> JsonObject:
            await goals.create(tx, NewGoal(title="Spam", visibility=Visibility.GLOBAL))
            return {}

        result = await ledger.once(tx, KEY, tool="t", args={}, effect=share_with_everybody)
    assert result.status == "error"
    assert "may not" in str(result.result["error"])
    assert await _count(database, learner) == 0
