"""For programs that read events from RabbitMQ: each event once, in order, malformed ones set aside, resumed anywhere.

The relay publishes at least once and keeps the order of first occurrences, so whoever remembers the last position and
drops everything not beyond it sees each event exactly once. That memory is the `Checkpoint`; put it into the same
transaction as the effect and the effect happens exactly once too.
"""

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import AMQPException

from store.background import backoff
from store.broker import declare, declare_dead_letters
from store.messages import DEAD_EXCHANGE, EXCHANGE, LOG_QUEUE, Malformed, ReceivedEvent, from_message

log = logging.getLogger(__name__)

Handler = Callable[[ReceivedEvent], Awaitable[None]]


class Checkpoint(Protocol):
    """Where a consumer keeps how far it has come: (epoch, position)."""

    def load(self) -> tuple[int, int]: ...

    def save(self, epoch: int, position: int) -> None: ...


class FileCheckpoint:
    """A checkpoint in a small file, replaced in one step."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> tuple[int, int]:
        try:
            kept: dict[str, int] = json.loads(self._path.read_text())
        except FileNotFoundError:
            return (0, 0)
        return (kept["epoch"], kept["position"])

    def save(self, epoch: int, position: int) -> None:
        temporary = self._path.with_name(self._path.name + ".new")
        with temporary.open("w") as file:
            json.dump({"epoch": epoch, "position": position}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)


@dataclass(frozen=True, slots=True)
class Subscription:
    """What to read: a quorum queue of one's own, or the log from its start when `queue` is None."""

    queue: str | None
    keys: Sequence[str] = ("#",)
    """Patterns of routing keys, e.g. `goal.*.ada` or `*.completed.*`."""
    exchange: str = EXCHANGE
    prefetch: int = 100
    tries: int = 5
    """How often the handler may fail for one event before it goes to the dead letters."""


class Consumer:
    """Calls `handler` for every event of a subscription; `run` returns after `stop`."""

    def __init__(self, url: str, subscription: Subscription, checkpoint: Checkpoint, handler: Handler) -> None:
        self._url = url
        self._subscription = subscription
        self._checkpoint = checkpoint
        self._handler = handler
        self._stopped = asyncio.Event()
        self.ready = False
        """True while the queue is bound and being read."""
        self.last = checkpoint.load()

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> None:
        """Consume until stopped; reconnects with back-off, never loses its place."""
        failures = 0
        while not self._stopped.is_set():
            try:
                await self._consume()
                failures = 0
            except (AMQPException, OSError, TimeoutError, RuntimeError) as error:
                failures += 1
                log.warning("Lost the broker, trying again: %s", error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), backoff(failures))

    async def _consume(self) -> None:
        connection = await aio_pika.connect(self._url, timeout=5)
        async with connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=self._subscription.prefetch)
            queue, arguments = await self._declare(channel)
            inbox: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()

            def ended(*_: object) -> None:
                inbox.put_nowait(None)

            connection.close_callbacks.add(ended)
            await queue.consume(inbox.put, arguments=arguments)
            self.ready = True
            stopping = asyncio.create_task(self._stopped.wait(), name="consumer-stop")
            stopping.add_done_callback(ended)
            try:
                while (message := await inbox.get()) is not None:
                    await self._take(message)
            finally:
                self.ready = False
                stopping.cancel()
            if not self._stopped.is_set():
                raise ConnectionError("the connection was closed")

    async def _declare(self, channel: AbstractChannel) -> tuple[AbstractQueue, dict[str, Any]]:
        wanted = self._subscription
        events = await declare(channel, wanted.exchange)
        await declare_dead_letters(channel)
        if wanted.queue is None:
            name = LOG_QUEUE if wanted.exchange == EXCHANGE else f"{wanted.exchange}.log"
            return await channel.get_queue(name), {"x-stream-offset": "first"}
        queue = await channel.declare_queue(
            wanted.queue,
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                # Two consumers of one queue would share it out and break the order; the second stands by instead.
                "x-single-active-consumer": True,
                "x-dead-letter-exchange": DEAD_EXCHANGE,
            },
        )
        for key in wanted.keys:
            await queue.bind(events, key)
        return queue, {}

    async def _take(self, message: AbstractIncomingMessage) -> None:
        try:
            event = from_message(message.body, message.headers)
        except Malformed as error:
            log.error("Dead-lettered: %s", error)
            await message.reject(requeue=False)
            return
        place = (event.epoch, event.position)
        if place <= self.last and not event.late:
            await message.ack()
            return
        handled = await self._handle(event)
        # Remembered before acknowledged: a crash in between brings the message again, and it is known by then.
        if not event.late:
            self._checkpoint.save(*place)
            self.last = place
        await (message.ack() if handled else message.reject(requeue=False))

    async def _handle(self, event: ReceivedEvent) -> bool:
        for attempt in range(1, self._subscription.tries + 1):
            try:
                await self._handler(event)
            except Exception:  # the handler is the caller's code: retried in place, so that the order stays
                log.exception("The handler failed for event %s (try %s)", event.position, attempt)
                await asyncio.sleep(backoff(attempt, cap=2.0))
            else:
                return True
        return False
