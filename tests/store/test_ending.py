"""Ending tasks: also those that miss the first cancellation."""

import asyncio

from store.ending import end


async def test_a_task_that_misses_a_cancellation_ends_all_the_same() -> None:
    missed: list[int] = []

    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if missed:
                    raise
                missed.append(1)

    async def failing() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise OSError("while closing")

    tasks = [asyncio.create_task(stubborn()), asyncio.create_task(failing())]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await end(tasks)
    assert missed == [1]
    assert all(task.done() for task in tasks)


async def test_ending_nothing_or_the_finished_returns_at_once() -> None:
    done = asyncio.create_task(asyncio.sleep(0))
    await done
    async with asyncio.timeout(1):
        await end([])
        await end([done])
