"""The thread that makes writes durable: whatever has gathered while one commit ran shares the next."""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence

from tiphys.store.database import Database, Write
from tiphys.store.interface import Event, StoreError

Done = Callable[[Sequence[Event], StoreError | None], None]


class Writer:
    """Runs commits and compaction steps one after another, off the event loop.

    ``done`` is called on the event loop in the order of submission, with the
    events of a commit or with what refused it.
    """

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        self._database = database
        self._loop = loop
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def commit(self, writes: Sequence[Write], done: Done) -> None:
        def job() -> None:
            try:
                self._database.commit(writes)
            except StoreError as error:
                self._tell(done, (), error)
            else:
                self._tell(done, self._database.events(writes), None)

        self._jobs.put(job)

    def compact(self, revision: int, done: Done) -> None:
        """One step of compaction, then back to the end of the line until all is done."""

        def job() -> None:
            try:
                more = self._database.compact_step(revision)
            except StoreError as error:
                self._tell(done, (), error)
            else:
                if more:
                    self._jobs.put(job)
                else:
                    self._tell(done, (), None)

        self._jobs.put(job)

    def _tell(self, done: Done, events: Sequence[Event], error: StoreError | None) -> None:
        self._loop.call_soon_threadsafe(done, events, error)

    def _run(self) -> None:
        while job := self._jobs.get():
            job()

    def close(self) -> None:
        """Finish what was submitted and end the thread."""
        self._jobs.put(None)
        self._thread.join()
