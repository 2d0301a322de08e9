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
    #: Who acts as this user, by impersonation.
    impersonator: "UserInfo | None" = field(default=None, compare=False, repr=False)


class Repeated(str):
    """A header that came several times: joined by commas for most readers, and each value by itself in ``values``."""

    values: tuple[str, ...]

    def __new__(cls, values: Sequence[str]) -> "Repeated":
        made = super().__new__(cls, ", ".join(values))
        made.values = tuple(values)
        return made


def header_values(headers: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Each value of a header, as often as it came; commas inside of values are no separators."""
    found = headers.get(name)
    if found is None:
        return ()
    return found.values if isinstance(found, Repeated) else (found,)


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
    #: What authentication wants the client to be warned of.
    warnings: Sequence[str] = ()


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
    #: The ``Audit-Id`` header; apart from the others, which many answers share.
    audit_id: str = ""


Handler = Callable[[Request], Awaitable[Response]]
