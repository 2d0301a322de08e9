"""Audit events to a server of somebody else's: an ``EventList`` of ``audit.k8s.io/v1`` in each POST.

Source: Kubernetes docs, "Auditing", "Webhook backend".
"""

from collections.abc import Sequence
from typing import Final

from tiphys.apiserver.remote import Remote, RemoteError
from tiphys.base.clock import Clock

TRIES: Final = 5
BACKOFF_FACTOR: Final = 1.5
HEAD: Final = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":['


class Webhook:
    """Sends batches, several times if need be, each time after a longer pause."""

    def __init__(self, remote: Remote, clock: Clock, initial_backoff_seconds: float = 10.0) -> None:
        self._remote = remote
        self._clock = clock
        self._initial_backoff_seconds = initial_backoff_seconds

    async def send(self, lines: Sequence[bytes]) -> None:
        """Raises RemoteError."""
        body = HEAD + b",".join(lines) + b"]}"
        pause = self._initial_backoff_seconds
        for attempt in range(TRIES):
            try:
                await self._remote.post(body)
                return
            except RemoteError as problem:
                # What the server refuses as wrong it will refuse again.
                if attempt == TRIES - 1 or (400 <= problem.code < 500 and problem.code != 429):
                    raise
            await self._clock.sleep(pause)
            pause *= BACKOFF_FACTOR

    async def close(self) -> None:
        await self._remote.close()
