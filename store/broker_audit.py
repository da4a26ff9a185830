"""Compares what RabbitMQ's log queue holds with PostgreSQL: complete, in order, the same content."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime

import aio_pika
import orjson
from aio_pika.abc import AbstractIncomingMessage

from store.audit import Report
from store.broker import declare
from store.database import Transaction
from store.messages import EXCHANGE, Malformed, ReceivedEvent, from_message

QUIET_SECONDS = 5.0


async def verify_broker(tx: Transaction, report: Report, url: str, *, exchange: str = EXCHANGE) -> None:
    """Read the log queue from its oldest message and add to `report` the first difference; repeats are no fault."""
    cursor = await tx.connection.execute(
        "SELECT s.position, h.epoch, h.pruned_to FROM sinks AS s, event_head AS h WHERE s.name = 'broker'"
    )
    row = await cursor.fetchone()
    confirmed, epoch, border = row or (0, 1, 0)
    report.messages = 0
    if confirmed == 0:
        return
    # Closed here and now: an abandoned generator would leave its connection to the garbage collector.
    async with aclosing(_log(url, exchange, confirmed, epoch)) as events:
        await _compare(tx, report, events, (confirmed, epoch, border))


async def _compare(
    tx: Transaction, report: Report, events: AsyncGenerator[ReceivedEvent], known: tuple[int, int, int]
) -> None:
    confirmed, epoch, border = known
    first, last, oldest = 0, 0, None
    async for event in events:
        report.messages = (report.messages or 0) + 1
        if event.epoch != epoch or event.late or (last and event.position <= last):
            continue
        if last and event.position != last + 1:
            report.add("broker", last + 1, f"after position {last} comes {event.position}")
            return
        first, last, oldest = first or event.position, event.position, oldest or event.recorded_at
        if event.position > border and not await _same(tx, event):
            report.add("broker", event.position, "the message and PostgreSQL differ")
            return
    if last < confirmed:
        report.add("broker", last + 1, f"confirmed up to {confirmed}, but the log queue ends at {last}")
    elif first > border + 1 and oldest and (datetime.now(UTC) - oldest).days < 1:
        report.add("broker", border + 1, f"the log queue begins only at {first}, although it is young")


async def _same(tx: Transaction, event: ReceivedEvent) -> bool:
    stored: bytes | None = await tx.fetch_value(
        "SELECT e.payload::text FROM event_log AS l JOIN events AS e USING (seq) WHERE l.position = %s AND e.id = %s",
        [event.position, event.id],
    )
    return stored is not None and orjson.loads(stored) == event.payload


async def _log(url: str, exchange: str, upto: int, epoch: int) -> AsyncGenerator[ReceivedEvent]:
    connection = await aio_pika.connect(url, timeout=5)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=500)
        await declare(channel, exchange)
        queue = await channel.get_queue(f"{exchange}.log")
        inbox: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        await queue.consume(inbox.put, arguments={"x-stream-offset": "first"})
        while True:
            try:
                async with asyncio.timeout(QUIET_SECONDS):
                    message = await inbox.get()
            except TimeoutError:
                return
            await message.ack()
            try:
                event = from_message(message.body, message.headers)
            except Malformed:
                continue
            yield event
            if (event.epoch, event.position) >= (epoch, upto):
                return
