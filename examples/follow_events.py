"""Prints every event of the service as it happens, each once and in order, and resumes where it was stopped.

Run it with the service's broker:  RABBITMQ_URL=amqp://… python examples/follow_events.py 'goal.*.ada'
Stop it with Ctrl-C and start it again: it goes on behind the last line it printed.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from store.consumer import Consumer, FileCheckpoint, Subscription
from store.messages import ReceivedEvent


async def show(event: ReceivedEvent) -> None:
    print(f"{event.position:>8}  {event.recorded_at:%H:%M:%S}  {event.type:<28} {event.entity_id}  {event.payload}")


async def main() -> None:
    url = os.environ.get("RABBITMQ_URL")
    if not url:
        sys.exit("Set RABBITMQ_URL to the broker the service publishes to.")
    subscription = Subscription(queue="example.follow", keys=sys.argv[1:] or ["#"])
    consumer = Consumer(url, subscription, FileCheckpoint(Path("follow_events.checkpoint")), show)
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, consumer.stop)
    await consumer.run()


if __name__ == "__main__":
    asyncio.run(main())
