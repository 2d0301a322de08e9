"""From ready to gone: what a server that ends does in which order. State only; ``loop`` walks through it.

    serving ──begin──► leaving (not ready, still serving) ──refuse──► refusing ──► ended

Source: Kubernetes docs, "kube-apiserver", ``--shutdown-delay-duration``,
``--shutdown-send-retry-after`` and ``--shutdown-watch-termination-grace-period``.
"""

import asyncio
from typing import Final

from tiphys.wire.exchange import Request, Response

RETRY_AFTER: Final = "5"
REFUSAL: Final = Response(
    429,
    {
        "Content-Type": "text/plain; charset=utf-8",
        "X-Content-Type-Options": "nosniff",
        "Retry-After": RETRY_AFTER,
        "Connection": "close",
    },
    b"The apiserver is shutting down, please try again later.\n",
)
#: What tells others how far we are goes on to be answered.
EXEMPT: Final = ("/healthz", "/livez", "/readyz", "/metrics")


class Lifecycle:
    """One server's. ``leaving`` fails ``/readyz``; ``refusing`` turns new requests away; ``closing`` ends
    connections."""

    def __init__(self) -> None:
        self.leaving = False
        self.refusing = False
        #: Each answer is its connection's last.
        self.closing = False
        self.running = 0
        self.streams = 0
        self._drained: asyncio.Event | None = None

    def refuses(self, request: Request) -> bool:
        """Whether to answer ``REFUSAL``; our own components are let through, as they end with us."""
        return (
            self.refusing
            and not request.path.startswith(EXEMPT)
            and not request.headers.get("user-agent", "").startswith("kube-apiserver")
        )

    def ended(self) -> None:
        """A request has been answered."""
        self.running -= 1
        if self._drained is not None and not self.running:
            self._drained.set()

    def stream_ended(self) -> None:
        """A watch or another long answer has ended."""
        self.streams -= 1
        if self._drained is not None and not self.streams:
            self._drained.set()

    async def drained(self, seconds: float, *, streams: bool = False) -> None:
        """Return once no request (or no stream) is under way, or after ``seconds``."""
        left = self.streams if streams else self.running
        if not left or seconds <= 0:
            return
        self._drained = asyncio.Event()
        try:
            async with asyncio.timeout(seconds):
                await self._drained.wait()
        except TimeoutError:
            return
        finally:
            self._drained = None
