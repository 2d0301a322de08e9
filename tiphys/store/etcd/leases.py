"""Leases for keys with a time to live, shared by keys that were written at about the same time.

A lease that has a little more than the asked time left is used again, so a
thousand Events of a minute need one lease and not a thousand.
Source: kube-apiserver's lease manager, by behaviour: 5 % of the time to live, a minute at most, 1,000 keys a lease.
"""

import math
from dataclasses import dataclass

from tiphys.base.clock import Clock
from tiphys.store.etcd import messages_pb2 as messages
from tiphys.store.etcd.client import Client

REUSE_SHARE = 0.05
REUSE_SECONDS_MAX = 60
KEYS_MAX = 1000


@dataclass(slots=True)
class _Lease:
    id: int
    #: On the monotonic clock.
    expires: float
    keys: int = 1


class Leases:
    """``of`` gives the lease to write with; one is kept per time to live."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._kept: dict[int, _Lease] = {}

    async def of(self, ttl_seconds: float) -> int:
        ttl = math.ceil(ttl_seconds)
        reuse = min(int(ttl * REUSE_SHARE), REUSE_SECONDS_MAX)
        kept = self._kept.get(ttl)
        if kept is not None and kept.expires > self._clock.monotonic() + ttl and kept.keys < KEYS_MAX:
            kept.keys += 1
            return kept.id
        asked = self._clock.monotonic()
        granted = await self._client.read("grant", messages.LeaseGrantRequest(ttl=ttl + reuse))
        self._kept[ttl] = _Lease(granted.id, asked + ttl + reuse)
        return int(granted.id)

    def forget(self, ttl_seconds: float) -> None:
        """The lease for this time has ended."""
        self._kept.pop(math.ceil(ttl_seconds), None)
