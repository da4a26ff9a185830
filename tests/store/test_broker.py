"""RabbitMQ: confirmed in order, readable as CloudEvents, and a consumer that sees each event once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from aio_pika import Message
from aio_pika.abc import AbstractChannel
from cloudevents.core.bindings.rabbitmq import RabbitMQMessage, from_binary
from cloudevents.core.formats.json import JSONFormat

from store.broker import Broker, declare
from store.consumer import Consumer, FileCheckpoint, Subscription
from store.messages import DEAD_QUEUE, Malformed, ReceivedEvent, from_message, routing_key, to_message, user_word
from store.relay import SinkUnavailable
from tests.events import sequenced, until
from tests.rabbitmq import free_port, rabbitmq_url

__all__ = ["rabbitmq_url"]


@pytest.fixture
def exchange() -> str:
    return f"test.{uuid4().hex}"


@pytest.fixture
async def channel(rabbitmq_url: str) -> AsyncIterator[AbstractChannel]:
    connection = await aio_pika.connect(rabbitmq_url)
    async with connection:
        yield await connection.channel()


@pytest.fixture
async def broker(rabbitmq_url: str, exchange: str) -> AsyncIterator[Broker]:
    opened = Broker(rabbitmq_url, exchange=exchange)
    yield opened
    await opened.close()


class Seen:
    """A handler that remembers, and fails when told to."""

    def __init__(self) -> None:
        self.events: list[ReceivedEvent] = []
        self.poison: set[int] = set()

    @property
    def positions(self) -> list[int]:
        return [event.position for event in self.events]

    async def __call__(self, event: ReceivedEvent) -> None:
        if event.position in self.poison:
            raise ValueError("cannot take it")
        self.events.append(event)


def test_a_routing_key_has_three_words_whatever_the_user_is_called() -> None:
    (event,) = sequenced(1, 1, user_id="Ada.Lovelace@example.org *#")
    assert routing_key(event).split(".") == ["goal", "updated", "Ada%2ELovelace%40example%2Eorg%20%2A%23"]
    assert len(user_word("ü" * 200)) == 64


def test_an_event_survives_the_way_through_a_message() -> None:
    (event,) = sequenced(5, 5)
    message = to_message(event, epoch=2)
    received = from_message(message.body, message.headers)
    assert (received.position, received.epoch, received.id, received.late) == (5, 2, event.id, False)
    assert received.payload == event.payload
    assert received.recorded_at == event.recorded_at


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"position": "x"}', b"\xff"])
def test_what_is_not_an_event_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        from_message(body, {})


def test_the_cloudevents_sdk_reads_our_headers() -> None:
    (event,) = sequenced(5, 5)
    message = to_message(event, epoch=1)
    headers = {name: str(value) for name, value in message.headers.items()}
    read = from_binary(RabbitMQMessage(headers, message.content_type, message.body), JSONFormat())
    assert read.get_id() == str(event.id)
    assert read.get_type() == "goal.updated"
    assert read.get_source() == "/goals/goal"
    assert read.get_subject() == event.entity_id
    assert read.get_time() == event.recorded_at
    data: Any = read.get_data()
    assert data["payload"] == event.payload


async def test_everything_is_confirmed_in_order_and_persistent(
    broker: Broker, channel: AbstractChannel, exchange: str
) -> None:
    events = await declare(channel, exchange)
    queue = await channel.declare_queue(durable=True, exclusive=True)
    await queue.bind(events, "#")
    await broker.deliver(sequenced(1, 500))
    received = [await queue.get(timeout=5) for _ in range(500)]
    assert [int(str(message.headers["position"])) for message in received] == list(range(1, 501))
    assert {message.delivery_mode for message in received} == {2}


async def test_a_broker_that_is_not_there_is_unavailable(exchange: str) -> None:
    nowhere = Broker(f"amqp://guest:guest@127.0.0.1:{free_port()}/", exchange=exchange)
    with pytest.raises(SinkUnavailable, match="RabbitMQ did not confirm"):
        await nowhere.deliver(sequenced(1, 3))


async def test_a_missing_log_queue_stops_the_sink_and_is_made_again(
    broker: Broker, channel: AbstractChannel, exchange: str
) -> None:
    await broker.deliver(sequenced(1, 1))
    await channel.queue_delete(f"{exchange}.log")
    with pytest.raises(SinkUnavailable):
        await broker.deliver(sequenced(2, 3))
    await broker.deliver(sequenced(2, 3))


async def test_a_consumer_sees_each_event_once_and_in_order(
    broker: Broker, rabbitmq_url: str, exchange: str, tmp_path: Path
) -> None:
    seen = Seen()
    subscription = Subscription(queue=f"{exchange}.work", exchange=exchange)
    consumer = Consumer(rabbitmq_url, subscription, FileCheckpoint(tmp_path / "place"), seen)
    running = asyncio.create_task(consumer.run(), name="consumer")
    await until(lambda: consumer.ready)
    events = sequenced(1, 30)
    await broker.deliver(events[:20])
    await broker.deliver(events[10:])
    await until(lambda: len(seen.events) >= 30)
    consumer.stop()
    await running
    assert seen.positions == list(range(1, 31))
    again = Consumer(rabbitmq_url, subscription, FileCheckpoint(tmp_path / "place"), seen)
    assert again.last == (1, 30)


async def test_a_late_subscriber_reads_the_log_from_its_start(
    broker: Broker, rabbitmq_url: str, exchange: str, tmp_path: Path
) -> None:
    await broker.deliver(sequenced(1, 20))
    seen = Seen()
    consumer = Consumer(
        rabbitmq_url, Subscription(queue=None, exchange=exchange), FileCheckpoint(tmp_path / "place"), seen
    )
    running = asyncio.create_task(consumer.run(), name="consumer")
    await until(lambda: len(seen.events) == 20)
    consumer.stop()
    await running
    assert seen.positions == list(range(1, 21))


async def test_only_the_keys_asked_for_arrive(broker: Broker, rabbitmq_url: str, exchange: str, tmp_path: Path) -> None:
    seen = Seen()
    subscription = Subscription(queue=f"{exchange}.bob", keys=["goal.*.bob"], exchange=exchange)
    consumer = Consumer(rabbitmq_url, subscription, FileCheckpoint(tmp_path / "place"), seen)
    running = asyncio.create_task(consumer.run(), name="consumer")
    await until(lambda: consumer.ready)
    await broker.deliver(sequenced(1, 3) + sequenced(4, 5, user_id="bob"))
    await until(lambda: len(seen.events) == 2)
    consumer.stop()
    await running
    assert seen.positions == [4, 5]


async def test_what_cannot_be_read_or_handled_becomes_a_dead_letter_and_the_rest_goes_on(
    broker: Broker, rabbitmq_url: str, channel: AbstractChannel, exchange: str, tmp_path: Path
) -> None:
    seen = Seen()
    seen.poison = {2}
    subscription = Subscription(queue=f"{exchange}.work", exchange=exchange, tries=2)
    consumer = Consumer(rabbitmq_url, subscription, FileCheckpoint(tmp_path / "place"), seen)
    running = asyncio.create_task(consumer.run(), name="consumer")
    await until(lambda: consumer.ready)
    events = await channel.get_exchange(exchange)
    await events.publish(Message(b"garbage", message_id=exchange), "goal.updated.ada")
    sent = sequenced(1, 3)
    await broker.deliver(sent)
    await until(lambda: seen.positions == [1, 3])
    consumer.stop()
    await running
    dead = await channel.get_queue(DEAD_QUEUE)
    letters = {(await dead.get(timeout=5, no_ack=True)).message_id for _ in range(2)}
    assert letters == {exchange, str(sent[1].id)}


async def test_an_event_that_had_been_parked_passes_although_it_is_late(
    broker: Broker, rabbitmq_url: str, exchange: str, tmp_path: Path
) -> None:
    seen = Seen()
    subscription = Subscription(queue=f"{exchange}.work", exchange=exchange)
    consumer = Consumer(rabbitmq_url, subscription, FileCheckpoint(tmp_path / "place"), seen)
    running = asyncio.create_task(consumer.run(), name="consumer")
    await until(lambda: consumer.ready)
    events = sequenced(1, 3)
    await broker.deliver([events[0], events[2]])
    await broker.redeliver(events[1])
    await until(lambda: len(seen.events) == 3)
    consumer.stop()
    await running
    assert seen.positions == [1, 3, 2]
    assert consumer.last == (1, 3)
