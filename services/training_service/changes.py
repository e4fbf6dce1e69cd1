"""Who waits for a change and who tells of it: LISTEN and NOTIFY, with a look at the table now and then besides."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

log = logging.getLogger(__name__)

EVENTS_CHANNEL = "training_events"
QUEUE_CHANNEL = "training_queue"
OUTBOX_CHANNEL = "training_outbox"
_RECONNECT_AFTER_S = 1.0


def topic(tenant: str, job_id: str) -> str:
    """What a notification about a job's events says."""
    return f"{tenant}/{job_id}"


class Subscription:
    """One waiter. News that came between two waits are not lost."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def tell(self) -> None:
        """Something changed."""
        self._news.set()

    async def wait(self, timeout_s: float) -> bool:
        """True as soon as something changed since the last wait, False after `timeout_s`."""
        try:
            # Not wait_for: before Python 3.12 that loses a cancellation that comes together with the news.
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True


class Changes:
    """One listening connection for all waiters of this process. While it is away `poll_s` is short."""

    def __init__(self, url: str, *, poll_s: float = 10.0, poll_deaf_s: float = 1.0) -> None:
        self._url = url
        self._poll_s = poll_s
        self._poll_deaf_s = poll_deaf_s
        self._listening = False
        self.stopping = False
        self._waiters: defaultdict[tuple[str, str], set[Subscription]] = defaultdict(set)

    @property
    def poll_s(self) -> float:
        """How long a waiter may trust in being told before it looks for itself, in seconds."""
        return self._poll_s if self._listening else self._poll_deaf_s

    @contextmanager
    def subscribe(self, channel: str, payload: str = "") -> Iterator[Subscription]:
        """News of one payload of a channel while the block runs."""
        subscription = Subscription()
        key = (channel, payload)
        self._waiters[key].add(subscription)
        try:
            yield subscription
        finally:
            self._waiters[key].discard(subscription)
            if not self._waiters[key]:
                del self._waiters[key]

    def stop(self) -> None:
        """Wakes all waiters, so that they see `stopping` and end."""
        self.stopping = True
        for key in list(self._waiters):
            self._tell(key)

    async def run(self) -> None:
        """Listens until cancelled, through every loss of the connection."""
        while True:
            try:
                await self._listen()
            except psycopg.Error as error:
                log.warning("not listening for changes: %s", error)
            finally:
                self._listening = False
            await asyncio.sleep(_RECONNECT_AFTER_S)

    async def _listen(self) -> None:
        connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True, connect_timeout=3)
        async with connection:
            for channel in (EVENTS_CHANNEL, QUEUE_CHANNEL, OUTBOX_CHANNEL):
                await connection.execute(f"LISTEN {channel}")
            self._listening = True
            # What happened while nobody listened is found by looking.
            for key in list(self._waiters):
                self._tell(key)
            async for notification in connection.notifies():
                self._tell((notification.channel, notification.payload))

    def _tell(self, key: tuple[str, str]) -> None:
        for subscription in self._waiters.get(key, ()):
            subscription.tell()
