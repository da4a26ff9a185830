"""RabbitMQ: every event at least once, first occurrences in order, confirmed by the broker before the cursor moves.

Why a plain connection and no robust one: while the broker is away the robust connection answers thousands of waiting
publishes with errors and reconnects on its own clock; the relay's back-off already is the reconnect loop. Why one
channel and a window of publishes: order is kept per channel, and waiting for each confirm alone costs 4-11x.
"""

import asyncio
from collections.abc import Sequence

import aio_pika
from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import AMQPException

from store.event_rows import SequencedEvent
from store.faults import fault
from store.messages import DEAD_EXCHANGE, DEAD_QUEUE, EXCHANGE, LOG_QUEUE, routing_key, to_message
from store.relay import BatchPolicy, SinkUnavailable

WINDOW = BatchPolicy(max_events=200, max_bytes=8 * 1024 * 1024)
LOG_MAX_AGE = "7D"


async def declare(channel: AbstractChannel, exchange: str = EXCHANGE) -> AbstractExchange:
    """Declare the exchange and the stream that keeps everything for late subscribers; return the exchange.

    The stream makes `mandatory` mean something: an event that no queue takes shows that the topology is broken.
    """
    events = await channel.declare_exchange(exchange, ExchangeType.TOPIC, durable=True)
    log_queue = await channel.declare_queue(
        LOG_QUEUE if exchange == EXCHANGE else f"{exchange}.log",
        durable=True,
        arguments={"x-queue-type": "stream", "x-max-age": LOG_MAX_AGE},
    )
    await log_queue.bind(events, "#")
    return events


async def declare_dead_letters(channel: AbstractChannel) -> None:
    """Declare where consumers send what they cannot read."""
    dead = await channel.declare_exchange(DEAD_EXCHANGE, ExchangeType.FANOUT, durable=True)
    queue = await channel.declare_queue(DEAD_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    await queue.bind(dead)


class Broker:
    """The RabbitMQ sink. Satisfies `store.relay.Sink` and `store.relay.Redelivers`."""

    name = "broker"

    def __init__(self, url: str, *, epoch: int = 1, exchange: str = EXCHANGE, confirm_seconds: float = 10.0) -> None:
        self._url = url
        self._epoch = epoch
        self._exchange_name = exchange
        self._confirm_seconds = confirm_seconds
        self._connection: AbstractConnection | None = None
        self._exchange: AbstractExchange | None = None

    async def deliver(self, events: Sequence[SequencedEvent]) -> None:
        """Publish and return once the broker has confirmed all; raises `SinkUnavailable` when it does not.

        A timeout does not mean the message was lost: it may still arrive, so consumers must drop what they have seen.
        """
        await self._publish(events, late=False)
        fault("broker.before_cursor")

    async def redeliver(self, event: SequencedEvent) -> None:
        """Publish an event that had been parked, marked as late."""
        await self._publish([event], late=True)

    async def close(self) -> None:
        """Drop the connection; the next delivery opens another."""
        connection, self._connection, self._exchange = self._connection, None, None
        if connection is not None:
            try:
                async with asyncio.timeout(2):
                    await connection.close()
            except (AMQPException, OSError, TimeoutError):
                return

    async def _publish(self, events: Sequence[SequencedEvent], *, late: bool) -> None:
        fault("broker.before_publish")
        try:
            async with asyncio.timeout(self._confirm_seconds):
                exchange = await self._open()
                async with asyncio.TaskGroup() as window:
                    for index, event in enumerate(events):
                        if index == len(events) // 2:
                            await _let_go()
                            fault("broker.half_published")
                        message = to_message(event, self._epoch, late=late)
                        window.create_task(exchange.publish(message, routing_key(event)))
                    await _let_go()
                    fault("broker.before_confirms")
        except* (AMQPException, OSError, TimeoutError, RuntimeError) as group:
            await self.close()
            first = _first(group)
            raise SinkUnavailable(f"RabbitMQ did not confirm: {type(first).__name__}: {first}") from group

    async def _open(self) -> AbstractExchange:
        if self._exchange is None or self._connection is None or self._connection.is_closed:
            await self.close()
            self._connection = await aio_pika.connect(
                self._url, timeout=5, client_properties={"connection_name": "goals"}
            )
            channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
            self._exchange = await declare(channel, self._exchange_name)
        return self._exchange


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


async def _let_go() -> None:
    """Let the publishes started so far reach the socket."""
    await asyncio.sleep(0)
