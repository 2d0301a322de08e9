"""One leader among several candidates, by a Lease.

A candidate takes the Lease if nobody holds it or if its holder has not renewed
it for the lease's duration, measured by the candidate's own clock from when it
last saw the Lease change: clocks of different machines are never compared.
Source: Kubernetes docs, "Leases", "Leader election"; client-go's leaderelection, by behaviour.
"""

import logging
from dataclasses import dataclass
from datetime import datetime

import msgspec

from tiphys.api import coordination_v1, meta_v1
from tiphys.base.clock import Clock
from tiphys.client.client import Client
from tiphys.client.tasks import Tasks
from tiphys.machinery import errors, times

logger = logging.getLogger(__name__)


class LeadershipLost(Exception):
    """Another leads, or the Lease could not be renewed in time."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds: how long a lease is respected, how long its holder tries to renew, and how often all try."""

    lease_seconds: float = 15.0
    renew_seconds: float = 10.0
    retry_seconds: float = 2.0


def may_take(lease: coordination_v1.Lease, identity: str, seconds_unchanged: float) -> bool:
    """Whether ``identity`` may write itself into ``lease``, last seen changing so many seconds ago."""
    holder = lease.spec.holderIdentity
    if not holder or holder == identity:
        return True
    return seconds_unchanged >= (lease.spec.leaseDurationSeconds or 0)


def taken(lease: coordination_v1.Lease, identity: str, terms: Terms, now: datetime) -> coordination_v1.Lease:
    """``lease`` as ``identity`` writes it to take or renew it."""
    spec = lease.spec
    renewal = spec.holderIdentity == identity
    instant = times.format_micro(now)
    return msgspec.structs.replace(
        lease,
        spec=msgspec.structs.replace(
            spec,
            holderIdentity=identity,
            leaseDurationSeconds=int(terms.lease_seconds),
            acquireTime=spec.acquireTime if renewal else instant,
            renewTime=instant,
            leaseTransitions=(spec.leaseTransitions or 0) + (0 if renewal or not spec.holderIdentity else 1),
        ),
    )


class LeaderElector:
    """``async with`` returns once this candidate leads; leaving gives the Lease up."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        *,
        namespace: str,
        name: str,
        identity: str,
        terms: Terms | None = None,
    ) -> None:
        self._leases = client.of(coordination_v1.Lease)
        self._clock = clock
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._terms = terms or Terms()
        self._tasks = Tasks()
        self._lease: coordination_v1.Lease | None = None
        self._changed_at = 0.0
        self._leading = False

    @property
    def leading(self) -> bool:
        return self._leading

    async def __aenter__(self) -> "LeaderElector":
        while not await self._try():
            await self._clock.sleep(self._terms.retry_seconds)
        self._leading = True
        self._tasks.start(self._renew(), name=f"leader {self._name}")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.close()
        if self._leading and self._lease is not None:
            self._leading = False
            await self._release(self._lease)

    async def wait(self) -> None:
        """Return only by raising LeadershipLost."""
        await self._tasks.wait()

    async def _renew(self) -> None:
        renewed = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._terms.retry_seconds)
            if await self._try():
                renewed = self._clock.monotonic()
            elif self._clock.monotonic() - renewed >= self._terms.renew_seconds:
                self._leading = False
                raise LeadershipLost(f"{self._identity} no longer holds {self._namespace}/{self._name}")

    async def _try(self) -> bool:
        """Take or renew; False if another holds the Lease, or on any trouble."""
        try:
            return await self._take()
        except (errors.StatusError, ConnectionError) as error:
            logger.debug("lease %s/%s: %s", self._namespace, self._name, error)
            return False

    async def _take(self) -> bool:
        try:
            lease = await self._leases.get(self._name, self._namespace)
        except errors.NotFound:
            meta = meta_v1.ObjectMeta(name=self._name, namespace=self._namespace)
            fresh = taken(coordination_v1.Lease(metadata=meta), self._identity, self._terms, self._clock.now())
            self._observe(await self._leases.create(fresh))
            return True
        self._observe(lease)
        if not may_take(lease, self._identity, self._clock.monotonic() - self._changed_at):
            return False
        self._observe(await self._leases.update(taken(lease, self._identity, self._terms, self._clock.now())))
        return True

    def _observe(self, lease: coordination_v1.Lease) -> None:
        if self._lease is None or self._lease.metadata.resourceVersion != lease.metadata.resourceVersion:
            self._lease = lease
            self._changed_at = self._clock.monotonic()

    async def _release(self, lease: coordination_v1.Lease) -> None:
        """Let another lead at once rather than after the lease's duration."""
        spec = msgspec.structs.replace(
            lease.spec, holderIdentity="", leaseDurationSeconds=1, renewTime=times.format_micro(self._clock.now())
        )
        try:
            await self._leases.update(msgspec.structs.replace(lease, spec=spec))
        except (errors.StatusError, ConnectionError) as error:
            logger.debug("lease %s/%s not released: %s", self._namespace, self._name, error)
