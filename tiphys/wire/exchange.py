"""A request and its response, whatever carries them.

The API server answers a ``Request`` with a ``Response``; the HTTPS listener and
the in-process transport of ``tiphys.client`` both speak in these, so that what
is tested in memory is what runs on the wire. Only bytes and text cross.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(slots=True, frozen=True)
class UserInfo:
    """Who asks. Source: Kubernetes docs, "Authenticating", user attributes."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Request:
    """One call. ``path`` is percent-decoded, header names are lower-case."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    remote: str = ""
    #: The client certificate (DER) that the TLS layer has verified against the client CA, if one was given.
    peer_certificate: bytes | None = None
    #: Set by in-process transports, whose caller is who it says; authentication is then skipped.
    user: UserInfo | None = None


class Sink(Protocol):
    """Where a streamed body goes. ``write`` never blocks; who writes watches ``buffered_bytes``."""

    def write(self, data: bytes) -> None:
        """Queue ``data``; ignored once the peer is gone."""

    def buffered_bytes(self) -> int:
        """What is queued and not yet taken by the peer."""

    async def drain(self) -> None:
        """Return once the queue is short enough to write more; raises ConnectionError if the peer is gone."""

    async def wait_closed(self) -> None:
        """Return once the peer is gone."""


@dataclass(slots=True)
class Response:
    """The answer: either ``body``, complete, or ``stream``, which writes it and returns at its end."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    stream: Callable[[Sink], Awaitable[None]] | None = None


Handler = Callable[[Request], Awaitable[Response]]
