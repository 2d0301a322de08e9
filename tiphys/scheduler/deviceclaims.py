"""Claims of devices: what the informers know of them, and giving a Pod's claims their devices before it is bound."""

from collections.abc import Callable, Sequence

from tiphys.api import core_v1, resource_v1
from tiphys.client import Client, Informers
from tiphys.machinery import codec, errors, meta
from tiphys.scheduler.devices.allocator import AllocationError, taken_by
from tiphys.scheduler.devices.inventory import Id
from tiphys.scheduler.devices.results import allocation
from tiphys.scheduler.events import ClusterEvent, DevicesChanged
from tiphys.scheduler.hooks import Hook, HookFailed, Rejected, Wanted
from tiphys.scheduler.plugins.dynamic_resources import DynamicResources, NoClaim, claims_of, is_reserved
from tiphys.scheduler.pods import PodInfo

FINALIZER = "resource.kubernetes.io/delete-protection"
#: A claim that somebody else changes at the same time is read again this often.
ATTEMPTS = 5


class InformedDevices:
    """``Devices`` of the informers' caches, and allocations that are on their way there."""

    def __init__(self, informers: Informers, happened: Callable[[ClusterEvent], None]) -> None:
        self._claims = informers.of(resource_v1.ResourceClaim)
        self._slices = informers.of(resource_v1.ResourceSlice)
        self._classes = informers.of(resource_v1.DeviceClass)
        self.version = 0
        #: By the claim's uid.
        self.pending: dict[str, resource_v1.AllocationResult] = {}
        self._allocated: dict[str, resource_v1.AllocationResult] = {}
        self._taken: frozenset[Id] | None = None
        self._happened = happened
        self._claims.add_handler(self._claim_seen, lambda _, new: self._claim_seen(new), self._claim_gone)
        for informer in (self._slices, self._classes):
            informer.add_handler(lambda _: self.changed(), lambda _, __: self.changed(), lambda _: self.changed())

    def _claim_seen(self, claim: resource_v1.ResourceClaim) -> None:
        uid = claim.metadata.uid
        if claim.status.allocation is not None:
            self._allocated[uid] = claim.status.allocation
            self.pending.pop(uid, None)
        else:
            self._allocated.pop(uid, None)
        self.changed()

    def _claim_gone(self, claim: resource_v1.ResourceClaim) -> None:
        self._allocated.pop(claim.metadata.uid, None)
        self.pending.pop(claim.metadata.uid, None)
        self.changed()

    def changed(self) -> None:
        """Forget what was derived, and wake whoever waits."""
        self.version += 1
        self._taken = None
        self._happened(DevicesChanged())

    def find_claim(self, namespace: str, name: str) -> resource_v1.ResourceClaim | None:
        return self._claims.get(f"{namespace}/{name}")

    def find_class(self, name: str) -> resource_v1.DeviceClass | None:
        return self._classes.get(name)

    def slices(self) -> Sequence[resource_v1.ResourceSlice]:
        return self._slices.list()

    def taken(self) -> frozenset[Id]:
        if self._taken is None:
            self._taken = taken_by(self._allocated) | taken_by(self.pending)
        return self._taken

    def is_pending(self, uid: str) -> bool:
        return uid in self.pending

    def keep(self, found: dict[str, resource_v1.AllocationResult]) -> None:
        """Take devices for claims, by uid, until their status says so."""
        self.pending |= found
        self.version += 1
        self._taken = None

    def release(self, uids: Sequence[str]) -> None:
        """Give back what was kept."""
        kept = [uid for uid in uids if self.pending.pop(uid, None) is not None]
        if kept:
            self.changed()


class DeviceClaims(Hook):
    """Keeps the devices for the chosen node, then writes them and the reservation into the claims."""

    name = DynamicResources.name

    def __init__(self, client: Client, devices: InformedDevices) -> None:
        self._calls = client.of(resource_v1.ResourceClaim)
        self._devices = devices
        self._plugin = DynamicResources(devices)
        #: Claims for which this Pod's decision has found devices, by the Pod's uid.
        self._kept: dict[str, list[str]] = {}

    def concerns(self, info: PodInfo) -> bool:
        return bool(info.pod.spec.resourceClaims)

    def held(self, pod: core_v1.Pod, info: PodInfo) -> str:
        """Why the Pod is not even to be tried; empty once all its claims are there."""
        try:
            claims_of(info, self._devices)
        except NoClaim as error:
            return str(error)
        return ""

    def reserve(self, info: PodInfo, node: core_v1.Node) -> None:
        try:
            claims = claims_of(info, self._devices)
            found = self._plugin.found_for(claims, node)
        except (NoClaim, AllocationError) as error:
            raise Rejected(self.name, str(error)) from error
        if found is None:
            raise Rejected(self.name, "cannot allocate all claims")
        waiting = [claim for claim in claims if claim.status.allocation is None]
        if not waiting:
            return
        results = {
            claim.metadata.uid: allocation(claim, given, self._devices.find_class, node)
            for claim, given in zip(waiting, found, strict=True)
        }
        self._kept[info.uid] = list(results)
        self._devices.keep(results)

    def unreserve(self, info: PodInfo, node: core_v1.Node) -> None:
        self._devices.release(self._kept.pop(info.uid, ()))

    async def pre_bind(self, info: PodInfo, node: core_v1.Node, wanted: Wanted) -> None:
        try:
            claims = claims_of(info, self._devices)
        except NoClaim as error:
            raise HookFailed(str(error)) from error
        for claim in claims:
            if wanted() and not is_reserved(claim, info):
                await self._write(claim, info)
        self._kept.pop(info.uid, None)

    async def _write(self, claim: resource_v1.ResourceClaim, info: PodInfo) -> None:
        found = self._devices.pending.get(claim.metadata.uid)
        for attempt in range(ATTEMPTS):
            if attempt:
                claim = await self._calls.get(claim.metadata.name, claim.metadata.namespace)
            try:
                await self._reserve(claim, info, found)
                return
            except errors.Conflict as error:
                if attempt == ATTEMPTS - 1:
                    raise HookFailed(f"add reservation to claim {meta.key_of(claim)}: {error}") from error

    async def _reserve(
        self, claim: resource_v1.ResourceClaim, info: PodInfo, found: resource_v1.AllocationResult | None
    ) -> None:
        key = meta.key_of(claim)
        if claim.metadata.deletionTimestamp is not None:
            raise HookFailed(f"claim {key} got deleted in the meantime")
        made = codec.copy(claim)
        if found is not None:
            if made.status.allocation is not None:
                raise HookFailed(f"claim {key} got allocated elsewhere in the meantime")
            if FINALIZER not in made.metadata.finalizers:
                made.metadata.finalizers.append(FINALIZER)
                made = await self._calls.update(made)
            made.status.allocation = found
        consumer = resource_v1.ResourceClaimConsumerReference(
            resource="pods", name=info.pod.metadata.name, uid=info.uid
        )
        made.status.reservedFor = [*(made.status.reservedFor or ()), consumer]
        await self._calls.update_status(made)

    async def free(self, info: PodInfo) -> None:
        """Deallocate one claim of a refused Pod that nobody uses, so that it can get devices elsewhere."""
        try:
            claims = claims_of(info, self._devices)
        except NoClaim:
            return
        for claim in claims:
            others = [consumer for consumer in claim.status.reservedFor or () if consumer.uid != info.uid]
            if claim.status.allocation is not None and not others:
                made = codec.copy(claim)
                made.status.allocation = made.status.reservedFor = None
                await self._calls.update_status(made)
                return
