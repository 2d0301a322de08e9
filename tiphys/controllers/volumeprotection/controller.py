"""Wires both protections."""

from contextlib import suppress
from typing import Any

from tiphys.api import core_v1
from tiphys.client import Done, Result
from tiphys.client.client import ResourceClient
from tiphys.controllers.base import Context, Controller, either
from tiphys.controllers.volumeprotection import desired
from tiphys.machinery import codec, errors


async def _write(calls: ResourceClient[Any], obj: Any, finalizers: list[str]) -> None:
    changed = codec.copy(obj)
    changed.metadata.finalizers = finalizers
    with suppress(errors.NotFound):
        await calls.update(changed)


class ClaimProtectionController(Controller):
    name = "persistentvolumeclaim-protection-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.claims = self.informers.of(core_v1.PersistentVolumeClaim)
        self.pods = self.informers.of(core_v1.Pod)
        self._calls = self.client.of(core_v1.PersistentVolumeClaim)
        self._pod_calls = self.client.of(core_v1.Pod)
        self.pods.add_index("claim", desired.claims_of)
        self.claims.add_handler(self._seen, either(self._seen))
        self.pods.add_handler(None, self._pod_changed, self._pod_gone)

    def _seen(self, claim: core_v1.PersistentVolumeClaim) -> None:
        if claim.metadata.deletionTimestamp is not None or desired.CLAIM_FINALIZER not in claim.metadata.finalizers:
            self.enqueue(claim)

    def _pod_changed(self, old: core_v1.Pod, new: core_v1.Pod) -> None:
        if old.spec.volumes and (
            desired.claims_of(old) != desired.claims_of(new)
            or old.metadata.deletionTimestamp != new.metadata.deletionTimestamp
        ):
            self._pod_gone(old)

    def _pod_gone(self, pod: core_v1.Pod) -> None:
        for key in desired.claims_of(pod):
            claim = self.claims.get(key)
            if claim is not None and claim.metadata.deletionTimestamp is not None:
                self.queue.add(key)

    async def reconcile(self, key: str) -> Result:
        claim = self.claims.get(key)
        if claim is None:
            return Done()
        deleted = claim.metadata.deletionTimestamp is not None
        used = deleted and await self._used(key, claim.metadata.namespace)
        found = desired.finalizers_after(claim.metadata.finalizers, desired.CLAIM_FINALIZER, deleted, used)
        if found is not None:
            await _write(self._calls, claim, found)
        return Done()

    async def _used(self, key: str, namespace: str) -> bool:
        """A Pod's absence is believed to the server alone: its data would be gone."""
        if desired.claim_is_used(self.pods.by_index("claim", key)):
            return True
        page = await self._pod_calls.list(namespace)
        return desired.claim_is_used(pod for pod in page.items if key in desired.claims_of(pod))


class VolumeProtectionController(Controller):
    name = "persistentvolume-protection-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.volumes = self.informers.of(core_v1.PersistentVolume)
        self._calls = self.client.of(core_v1.PersistentVolume)
        self.volumes.add_handler(self.enqueue, either(self.enqueue))

    async def reconcile(self, key: str) -> Result:
        volume = self.volumes.get(key)
        if volume is None:
            return Done()
        deleted = volume.metadata.deletionTimestamp is not None
        used = desired.volume_is_used(volume)
        found = desired.finalizers_after(volume.metadata.finalizers, desired.VOLUME_FINALIZER, deleted, used)
        if found is not None:
            await _write(self._calls, volume, found)
        return Done()
