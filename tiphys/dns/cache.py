"""A small memory of other servers' answers. No I/O; time is an argument."""

from collections import OrderedDict
from typing import NamedTuple

from tiphys.wire import dns
from tiphys.wire.dns import Reply

Key = tuple[bytes, int, bool]


class Entry(NamedTuple):
    data: bytes
    reply: Reply
    stored: float
    expires: float


class Cache:
    """Answers by name, type and DNSSEC; at most ``entries``, none longer than ``max_seconds``."""

    def __init__(self, entries: int, max_seconds: int) -> None:
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._limit = entries
        self._max_seconds = max_seconds

    def find(self, key: Key, now: float) -> Entry | None:
        entry = self._entries.get(key)
        if entry is None or entry.expires <= now:
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, key: Key, data: bytes, reply: Reply, now: float) -> None:
        """Keep an answer, positive or negative, for as long as its shortest record says."""
        if reply.code not in (dns.NOERROR, dns.NXDOMAIN) or reply.truncated or not reply.ttls:
            return
        seconds = min(self._max_seconds, *(ttl for _, ttl in reply.ttls))
        if seconds <= 0:
            return
        self._entries[key] = Entry(data, reply, now, now + seconds)
        self._entries.move_to_end(key)
        while len(self._entries) > self._limit:
            self._entries.popitem(last=False)
